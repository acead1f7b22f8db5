//! Identifiers and names. A token fits into a NATS subject; a name is free text for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::{NAME_BYTES_MAX, TOKEN_BYTES_MAX};

/// Why a text is not an identifier or a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// The text is empty.
    #[error("is empty; allowed is 1 to {max} bytes")]
    Empty {
        /// Longest allowed, in bytes.
        max: usize,
    },
    /// The text is too long.
    #[error("has {bytes} bytes; allowed is 1 to {max}")]
    TooLong {
        /// Length found, in bytes.
        bytes: usize,
        /// Longest allowed, in bytes.
        max: usize,
    },
    /// A character that a subject token can't hold.
    #[error("holds {found:?}; allowed are A-Z a-z 0-9 _ -")]
    Token {
        /// The first character that is not allowed.
        found: char,
    },
    /// A control character in a name.
    #[error("holds the control character {found:?}; allowed is printable text")]
    Control {
        /// The first control character.
        found: char,
    },
    /// What stands for all tenants where one is named.
    #[error("is \"-\", which stands for all tenants; allowed is one")]
    Every,
    /// Not the hexadecimal text of 16 bytes.
    #[error("is not 32 hexadecimal digits")]
    Hex,
}

/// Checks a subject token: `[A-Za-z0-9_-]{1,64}` (docs/nats.md).
fn check_token(text: &str) -> Result<(), InvalidId> {
    check_length(text, TOKEN_BYTES_MAX)?;
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))) {
        Some(found) => Err(InvalidId::Token { found }),
        None => Ok(()),
    }
}

/// Checks a tenant: a token, and not the one that stands for all of them in `tenants/-`.
fn check_tenant(text: &str) -> Result<(), InvalidId> {
    if text == TenantId::EVERY { Err(InvalidId::Every) } else { check_token(text) }
}

/// Checks a name: 1 to 128 bytes without control characters.
fn check_name(text: &str) -> Result<(), InvalidId> {
    check_length(text, NAME_BYTES_MAX)?;
    match text.chars().find(|c| c.is_control()) {
        Some(found) => Err(InvalidId::Control { found }),
        None => Ok(()),
    }
}

fn check_length(text: &str, max: usize) -> Result<(), InvalidId> {
    match text.len() {
        0 => Err(InvalidId::Empty { max }),
        bytes if bytes > max => Err(InvalidId::TooLong { bytes, max }),
        _ => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and keeps `text`.
            ///
            /// # Errors
            /// [`InvalidId`] says what is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

text_id!(
    /// A tenant: who owns agents. A subject token other than [`TenantId::EVERY`].
    TenantId, check_tenant
);
text_id!(
    /// A chaos session. A subject token, unique in its log tenant.
    SessionId, check_token
);
text_id!(
    /// One shim's stable name: the same over restarts of its process. A subject token.
    ShimId, check_token
);
text_id!(
    /// One coordinator replica. A subject token, new at each start.
    ReplicaId, check_token
);
text_id!(
    /// What a client gave to make a command idempotent. A subject token.
    RequestId, check_token
);
text_id!(
    /// Identity of one log: new whenever the stream is made anew. A subject token.
    LogId, check_token
);
text_id!(
    /// An agent, by the name its owner gave it.
    AgentName, check_name
);
text_id!(
    /// A tool or model, by the name the agent calls it.
    ToolName, check_name
);
text_id!(
    /// An experiment; unique in its session.
    ExperimentName, check_name
);
text_id!(
    /// A trace: one task of an agent with everything it causes (W3C trace id, run id, session id of the framework).
    TraceId, check_name
);
text_id!(
    /// Where a process runs: `production`, `staging`, `ci`.
    Environment, check_token
);
text_id!(
    /// Who gave a command: a person or program, as shown in the log.
    Actor, check_name
);

impl TenantId {
    /// The log tenant of sessions that span tenants. Not allowed as a real tenant.
    pub const FLEET: &'static str = "_fleet";
    /// What stands for all tenants where one is named, as in `tenants/-`. Not allowed as a tenant: a halt of it would stop
    /// nobody.
    pub const EVERY: &'static str = "-";

    /// The log tenant of sessions that span tenants.
    #[must_use]
    pub fn fleet() -> Self {
        Self(Self::FLEET.to_owned())
    }

    /// Whether this is the log tenant of sessions that span tenants.
    #[must_use]
    pub fn is_fleet(&self) -> bool {
        self.0 == Self::FLEET
    }
}

impl Environment {
    /// The environment that a shim assumes unless told otherwise, and that sessions leave out unless told otherwise.
    #[must_use]
    pub fn production() -> Self {
        Self("production".to_owned())
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hex16(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

random_id!(
    /// One life of one shim: 128 random bits, new at start, after fork and after a snapshot is restored.
    Incarnation
);
random_id!(
    /// One append to the log: 128 random bits, kept over its retries, and the NATS message id.
    AppendId
);
random_id!(
    /// One injected fault: goes to events, spans and error attributes, never into text that a model sees.
    InjectionId
);

fn parse_hex16(text: &str) -> Result<[u8; 16], InvalidId> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(InvalidId::Hex);
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| InvalidId::Hex)?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| InvalidId::Hex)?;
    }
    Ok(bytes)
}

/// Where a session lives in the log: its log tenant ([`TenantId::fleet`] for sessions that span tenants) and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    /// The log tenant.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tenants/{}/sessions/{}", self.tenant, self.session)
    }
}

/// One process of one shim of one tenant: who holds permits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The tenant that the transport vouches for (the subject), never a message's body.
    pub tenant: TenantId,
    /// The shim that the transport vouches for.
    pub shim: ShimId,
    /// The life of that shim.
    pub incarnation: Incarnation,
}

/// A grant: at most one is issued for each, and at most one closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GrantId {
    /// The session whose budget it spends.
    pub session: SessionKey,
    /// Who asked.
    pub holder: Holder,
    /// The holder's number of the request, counted up from 1 for each session and never used again by it.
    pub req_no: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_refuse_what_would_break_a_subject() {
        for bad in ["", "a.b", "a*", ">", "a b", "ä", &"x".repeat(65)] {
            assert!(SessionId::new(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(SessionId::new("Ab_9-").is_ok());
    }

    #[test]
    fn what_stands_for_all_tenants_is_no_tenant() {
        assert_eq!(TenantId::new("-"), Err(InvalidId::Every));
        assert!(TenantId::new("--").is_ok() && SessionId::new("-").is_ok());
    }

    #[test]
    fn names_refuse_line_breaks_and_other_control_characters() {
        assert!(AgentName::new("plan\nner").is_err());
        assert_eq!(AgentName::new("Größe 7").unwrap().as_str(), "Größe 7");
    }

    #[test]
    fn random_ids_survive_their_text() {
        let id = AppendId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<AppendId>().unwrap(), id);
        assert!("zz".parse::<AppendId>().is_err());
    }
}
