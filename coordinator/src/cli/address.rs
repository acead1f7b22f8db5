//! Where `dev` and `serve` listen, as people write it.

use std::net::{Ipv4Addr, SocketAddr};

/// Reads `127.0.0.1:7070`, `[::1]:7070`, `localhost:7070` or a port of this machine alone, `7070`.
///
/// # Errors
/// A fragment that says what is allowed.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    let local = port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    local.or_else(|_| text.parse()).map_err(|_| {
        "allowed is an address with a port, such as 127.0.0.1:7070, or a port alone".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_on_loopback() {
        for text in ["127.0.0.1:7072", "localhost:7072", "7072"] {
            assert_eq!(parse(text).unwrap(), SocketAddr::from((Ipv4Addr::LOCALHOST, 7072)));
        }
        assert!(parse("[::1]:7072").unwrap().is_ipv6());
        for bad in ["", "nowhere", "127.0.0.1", "70720", "localhost:"] {
            assert!(parse(bad).unwrap_err().contains("127.0.0.1:7070"), "{bad:?}");
        }
    }
}
