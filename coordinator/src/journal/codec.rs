//! Stored records: what the bytes of the log mean.
//!
//! A record carries its format's version. This version reads every older one; a newer one is an error that says so,
//! and the replica then trusts nothing. Conversions name every field, so that a new one fails to compile until it is stored.

mod lever;
mod session;

use bytes::Bytes;
use prost::Message;
use squall_domain::event::{CommandKind, CommandRef, Event, Hash, LeverEvent, Record};
use squall_domain::lever::Scope;
use squall_domain::world::Entry;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::Holder;
use squall_proto::wire::v1;

use super::RECORD_BYTES_MAX;

/// The format that is written.
const VERSION: u32 = 1;

/// Why a record can't be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the bytes of a record.
    #[error("is not a record: {0}")]
    Malformed(String),
    /// Written by a newer coordinator.
    #[error(
        "has format {found}, this version reads up to {VERSION}; a newer coordinator wrote it, so upgrade this one"
    )]
    Newer {
        /// The record's format.
        found: u32,
    },
    /// A field doesn't hold what it must.
    #[error("field {field}: {problem}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Too large to be written.
    #[error("has {bytes} bytes; allowed are {RECORD_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

/// The hash that the next record of the same subject repeats.
#[must_use]
pub fn hash(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

/// The bytes of a session's record.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn encode_session(record: &Record<Event>) -> Result<Bytes, Error> {
    bounded(session::store(record).encode_to_vec())
}

/// The bytes of a lever's record.
///
/// # Errors
/// [`Error::TooLarge`].
pub fn encode_lever(record: &Record<LeverEvent>) -> Result<Bytes, Error> {
    bounded(lever::store(record).encode_to_vec())
}

fn bounded(bytes: Vec<u8>) -> Result<Bytes, Error> {
    match bytes.len() {
        size if size > RECORD_BYTES_MAX => Err(Error::TooLarge { bytes: size }),
        _ => Ok(bytes.into()),
    }
}

/// What the record on `subject` says. Subjects that the fold doesn't read are [`Entry::Other`].
///
/// # Errors
/// [`Error`] when a session's or lever's record can't be read.
pub fn decode(subject: &Subject, bytes: &[u8]) -> Result<Entry, Error> {
    match subject {
        Subject::SessionLog { session } => {
            let stored: v1::StoredSessionRecord = readable(bytes)?;
            Ok(Entry::Session(session.clone(), session::load(stored)?))
        }
        Subject::LeverLog { scope } => {
            let stored: v1::StoredLeverRecord = readable(bytes)?;
            let scope = if scope.is_fleet() { Scope::Fleet } else { Scope::Tenant(scope.clone()) };
            Ok(Entry::Lever(scope, lever::load(stored)?))
        }
        Subject::BarrierLog { .. } | Subject::AuditLog { .. } | Subject::TenantLog { .. } => {
            Ok(Entry::Other)
        }
        Subject::Tenant { .. } | Subject::Alive { .. } => {
            Err(Error::Malformed(format!("{subject} is no subject of the log")))
        }
    }
}

fn malformed(error: prost::DecodeError) -> Error {
    Error::Malformed(error.to_string())
}

/// Only the format. It is in the same place in every format, so it can be read whatever else changed.
#[derive(Clone, PartialEq, Message)]
struct Format {
    #[prost(uint32, tag = "1")]
    version: u32,
}

fn readable<T: Message + Default>(bytes: &[u8]) -> Result<T, Error> {
    match Format::decode(bytes).map_err(malformed)?.version {
        1..=VERSION => T::decode(bytes).map_err(malformed),
        0 => Err(Error::Malformed("it has no format".to_owned())),
        found => Err(Error::Newer { found }),
    }
}

/// The value of a field that every record of this format has.
fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::Field { field, problem: "is missing".to_owned() })
}

fn fits<T, E: ToString>(field: &'static str, value: Result<T, E>) -> Result<T, Error> {
    value.map_err(|error| Error::Field { field, problem: error.to_string() })
}

fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], Error> {
    fits(field, bytes.try_into().map_err(|_| format!("has {} bytes, not {N}", bytes.len())))
}

fn unknown<T>(field: &'static str, number: u32) -> Result<T, Error> {
    Err(Error::Field { field, problem: format!("is {number}, which this version doesn't know") })
}

fn store_command(command: &CommandRef) -> v1::StoredCommand {
    let CommandRef { request, actor, kind } = command;
    v1::StoredCommand {
        request: request.to_string(),
        actor: actor.to_string(),
        kind: kind_number(*kind),
    }
}

fn load_command(stored: v1::StoredCommand) -> Result<CommandRef, Error> {
    let v1::StoredCommand { request, actor, kind } = stored;
    Ok(CommandRef {
        request: fits("command.request", request.parse())?,
        actor: fits("command.actor", actor.parse())?,
        kind: load_kind(kind)?,
    })
}

const fn kind_number(kind: CommandKind) -> u32 {
    match kind {
        CommandKind::Create => 1,
        CommandKind::Start => 2,
        CommandKind::Pause => 3,
        CommandKind::Resume => 4,
        CommandKind::Stop => 5,
        CommandKind::Abort => 6,
        CommandKind::Engage => 7,
        CommandKind::Release => 8,
    }
}

fn load_kind(number: u32) -> Result<CommandKind, Error> {
    Ok(match number {
        1 => CommandKind::Create,
        2 => CommandKind::Start,
        3 => CommandKind::Pause,
        4 => CommandKind::Resume,
        5 => CommandKind::Stop,
        6 => CommandKind::Abort,
        7 => CommandKind::Engage,
        8 => CommandKind::Release,
        other => return unknown("command.kind", other),
    })
}

fn store_holder(holder: &Holder) -> v1::StoredHolder {
    let Holder { tenant, shim, incarnation } = holder;
    v1::StoredHolder {
        tenant: tenant.to_string(),
        shim: shim.to_string(),
        incarnation: incarnation.0.to_vec(),
    }
}

fn load_holder(stored: Option<v1::StoredHolder>) -> Result<Holder, Error> {
    let v1::StoredHolder { tenant, shim, incarnation } = required("holder", stored)?;
    Ok(Holder {
        tenant: fits("holder.tenant", tenant.parse())?,
        shim: fits("holder.shim", shim.parse())?,
        incarnation: squall_proto::vocabulary::id::Incarnation(bytes(
            "holder.incarnation",
            &incarnation,
        )?),
    })
}

#[cfg(test)]
mod tests;
