//! Who calls, and until when: what stands in a request's metadata. Identities come later; until then a caller names
//! itself, and the log keeps what it said.

use std::time::Duration;

use squall_proto::vocabulary::id::{Actor, RequestId};
use squall_proto::vocabulary::violation::Check;
use tokio::time::Instant;
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::errors::Error;

/// Metadata in which a caller names itself.
pub const ACTOR_METADATA: &str = "x-squall-actor";
/// Actor where nothing is known, as on a connection without an address.
const UNKNOWN: &str = "unknown";

/// The actor of a call: what its metadata says, else the peer's address.
pub(crate) fn actor<T>(request: &Request<T>, check: &mut Check) -> Option<Actor> {
    let named = request.metadata().get(ACTOR_METADATA);
    check.field(ACTOR_METADATA, |check| match named.map(|value| value.to_str()) {
        Some(Ok(name)) => check.value(name.parse()),
        Some(Err(_)) => {
            check.wrong("is not printable ASCII");
            None
        }
        None => {
            let address = request.remote_addr();
            let address = address.map_or_else(|| UNKNOWN.to_owned(), |address| address.to_string());
            check.value(address.parse())
        }
    })
}

/// Reads the field `request_id`: given, or a new one.
pub(crate) fn request_id(check: &mut Check, id: &str) -> Option<RequestId> {
    check.field("request_id", |check| match id {
        "" => check.value(uuid::Uuid::new_v4().simple().to_string().parse()),
        id => check.value(id.parse()),
    })
}

/// When the caller stops waiting, by `grpc-timeout`. tonic ends unary calls by itself, but not streams.
pub(crate) fn deadline(metadata: &MetadataMap) -> Result<Option<Instant>, Error> {
    let Some(timeout) = metadata.get("grpc-timeout") else { return Ok(None) };
    let timeout = timeout.to_str().ok().and_then(timeout_of);
    // The longest time-out that can be written overflows no clock.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    deadline.map(Some).ok_or_else(|| {
        let problem = "is not 1 to 8 digits and one of H M S m u n";
        squall_proto::vocabulary::violation::Violations::one("grpc-timeout", problem).into()
    })
}

fn timeout_of(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(timeout_of("5S"), Some(Duration::from_secs(5)));
        assert_eq!(timeout_of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout_of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "5s", "123456789S", "-5S", "5.0S", "ä"] {
            assert_eq!(timeout_of(bad), None, "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_caller_may_name_itself_and_must_do_it_readably() {
        let mut request = Request::new(());
        assert_eq!(actor(&request, &mut Check::new()).unwrap().as_str(), UNKNOWN);
        request.metadata_mut().insert(ACTOR_METADATA, "ada".parse().unwrap());
        assert_eq!(actor(&request, &mut Check::new()).unwrap().as_str(), "ada");
        request.metadata_mut().insert(ACTOR_METADATA, "x".repeat(200).parse().unwrap());
        assert!(actor(&request, &mut Check::new()).is_none());
    }

    #[test]
    fn a_missing_request_id_is_a_new_one_each_time() {
        let new = || request_id(&mut Check::new(), "");
        assert_ne!(new(), new());
        assert!(request_id(&mut Check::new(), "a b").is_none());
    }
}
