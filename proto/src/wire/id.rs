//! Identities.

use super::read::{Read, field, try_from_wire};
use super::v1;
use crate::vocabulary::id::{
    AgentName, AppendId, Environment, ExperimentName, Incarnation, InjectionId, LogId, SessionId,
    SessionKey, TenantId, ToolName, TraceId,
};
use crate::vocabulary::violation::Check;

/// Identifiers and names travel as their text.
macro_rules! texts {
    ($($kind:ident),+ $(,)?) => {
        $(impl Read<String> for $kind {
            fn read(check: &mut Check, text: String) -> Option<Self> {
                check.value(Self::new(text))
            }
        })+
    };
}

texts!(TenantId, SessionId, LogId, AgentName, ToolName, ExperimentName, TraceId, Environment);

/// Random identifiers travel as their 16 bytes.
macro_rules! random {
    ($($kind:ident),+ $(,)?) => {
        $(impl Read<Vec<u8>> for $kind {
            fn read(check: &mut Check, bytes: Vec<u8>) -> Option<Self> {
                let id = <[u8; 16]>::try_from(bytes.as_slice()).ok().map(Self);
                check.require(id.is_some(), || {
                    format!("has {} bytes; allowed are exactly 16", bytes.len())
                });
                id
            }
        }

        impl From<$kind> for Vec<u8> {
            fn from(id: $kind) -> Self {
                let $kind(bytes) = id;
                bytes.to_vec()
            }
        })+
    };
}

random!(Incarnation, AppendId, InjectionId);

/// The text of each name in a list.
pub(super) fn names<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl From<&SessionKey> for v1::SessionKey {
    fn from(key: &SessionKey) -> Self {
        let SessionKey { tenant, session } = key;
        Self { tenant: tenant.to_string(), session: session.to_string() }
    }
}

impl Read<v1::SessionKey> for SessionKey {
    fn read(check: &mut Check, wire: v1::SessionKey) -> Option<Self> {
        let v1::SessionKey { tenant, session } = wire;
        let tenant = field(check, "tenant", tenant);
        let session = field(check, "session", session);
        Some(Self { tenant: tenant?, session: session? })
    }
}

try_from_wire!(SessionKey => SessionKey);
