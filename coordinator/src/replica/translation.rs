//! Between an engine and its journal: the same things in each other's words.
//!
//! Nothing is decided here and nothing is awaited, so that whoever pumps an engine, a simulator too, says the same. Not here:
//! what records mean ([`codec`]), and when anything is asked.

use bytes::Bytes;
use squall_domain::world::Entry;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, ReplicaId};

use crate::engine::{AppendFailure, Input, Write};
use crate::journal::{self, Append, AppendError, Appended, Expected, codec};

/// What a write of this replica is to the journal.
///
/// # Errors
/// [`codec::Error`] when it is too large to be written.
pub fn append(replica: &ReplicaId, id: AppendId, write: &Write) -> Result<Append, codec::Error> {
    let append = |subject, expected, bytes: Bytes| Append { subject, expected, id, bytes };
    Ok(match write {
        Write::Session(key, expected, record) => append(
            Subject::SessionLog { session: key.clone() },
            Expected::Revision(*expected),
            codec::encode_session(record)?,
        ),
        Write::Lever(scope, expected, record) => append(
            Subject::LeverLog { scope: scope.log_tenant() },
            Expected::Revision(*expected),
            codec::encode_lever(record)?,
        ),
        Write::Barrier => {
            append(Subject::BarrierLog { replica: replica.clone() }, Expected::Any, Bytes::new())
        }
    })
}

/// What the journal's answer to an append is to the engine. A duplicate is no commit (docs/protocol.md, coordinator rule 5).
///
/// # Errors
/// [`AppendFailure`] when the answer shows no position.
pub fn appended(result: Result<Appended, AppendError>) -> Result<u64, AppendFailure> {
    match result {
        Ok(appended) if appended.duplicate => {
            Err(AppendFailure::Unclear("it has this append already".to_owned()))
        }
        Ok(appended) => Ok(appended.sequence),
        Err(AppendError::Conflict { .. }) => Err(AppendFailure::Conflict),
        Err(AppendError::Unanswered { why }) => Err(AppendFailure::Unclear(why.to_string())),
        Err(AppendError::Full { text }) => Err(AppendFailure::Full(text)),
        Err(error @ (AppendError::TooLarge { .. } | AppendError::Refused { .. })) => {
            Err(AppendFailure::Refused(error.to_string()))
        }
    }
}

/// What a record of the log is to the engine.
#[must_use]
pub fn logged(record: &journal::Entry) -> Input {
    match decoded(record) {
        Ok(entry) => Input::Logged {
            sequence: record.sequence,
            time: record.time,
            append: record.id,
            entry: Box::new(entry),
            hash: codec::hash(&record.bytes),
        },
        Err(error) => Input::LogDamaged(format!("record {}: {error}", record.sequence)),
    }
}

/// What a record says. One that can't be read damages its session, and no other; but a lever that can't be read may have
/// been a halt of everything.
fn decoded(record: &journal::Entry) -> Result<Entry, codec::Error> {
    match (codec::decode(&record.subject, &record.bytes), &record.subject) {
        (Err(error), Subject::SessionLog { session }) => {
            Ok(Entry::Unreadable(session.clone(), error.to_string()))
        }
        (decoded, _) => decoded,
    }
}
