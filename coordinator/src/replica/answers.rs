//! What a journal answers, in the engine's words.
//!
//! Not here: what records mean ([`codec`]), and when anything is asked.

use squall_domain::world::Entry;
use squall_proto::subject::Subject;

use crate::engine::AppendFailure;
use crate::journal::{AppendError, codec};

/// What a record says. One that can't be read damages its session, and no other; but a lever that can't be read may have
/// been a halt of everything.
pub(super) fn decoded(entry: &crate::journal::Entry) -> Result<Entry, codec::Error> {
    match (codec::decode(&entry.subject, &entry.bytes), &entry.subject) {
        (Err(error), Subject::SessionLog { session }) => {
            Ok(Entry::Unreadable(session.clone(), error.to_string()))
        }
        (decoded, _) => decoded,
    }
}

/// Why an append got no position.
pub(super) fn failure(error: AppendError) -> AppendFailure {
    match error {
        AppendError::Conflict { .. } => AppendFailure::Conflict,
        AppendError::Unanswered { why } => AppendFailure::Unclear(why.to_string()),
        AppendError::Full { text } => AppendFailure::Full(text),
        error @ (AppendError::TooLarge { .. } | AppendError::Refused { .. }) => {
            AppendFailure::Refused(error.to_string())
        }
    }
}
