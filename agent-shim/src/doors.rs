//! What reads bytes from outside and is nobody's to call: for fuzzers.
//!
//! Everything else that they knock at is public anyway.

use std::io;
use std::path::Path;

use squall_proto::vocabulary::id::Incarnation;
use squall_proto::vocabulary::message::Close;

use crate::journal::Journal;

/// What a process that takes the journal at `path` for its `life` owes for the one before it.
///
/// # Errors
/// When the file can't be used, or another process has it.
pub fn journal(path: &Path, life: Incarnation) -> io::Result<Vec<Close>> {
    Journal::open(path, life).map(|(_, owed)| owed)
}
