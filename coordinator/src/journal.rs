//! The log and what stands beside it, as bytes: append by compare-and-swap, read in order, say how durable it is.
//!
//! [`Journal`] is what the engine needs of a log. [`memory`] keeps it in memory with
//! faults that tests control; [`contract`] is the suite that both pass.
//!
//! Not here: which events exist, when to write, and what to do after a conflict. A journal never repeats a write
//! under another id and never decides that an unanswered write failed.

pub mod codec;
pub mod contract;
pub mod jetstream;
pub mod memory;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, LogId};
use squall_proto::vocabulary::time::UnixMillis;

/// Largest record in bytes: half of the NATS server's default `max_payload`, so that headers and the Raft entry fit beside it.
pub const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Largest snapshot in bytes, all chunks together: far above the largest projection, so that a runaway one is refused
/// before it fills the bucket.
pub const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A log with compare-and-swap on each subject, an evidence stream and a place for snapshots.
///
/// Object safe: the engine holds an `Arc<dyn Journal>`.
pub trait Journal: Send + Sync + 'static {
    /// Writes one record, once.
    ///
    /// # Errors
    /// [`AppendError`]; only [`AppendError::Unanswered`] leaves open whether the record is, or will be, in the log.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>>;

    /// The log after `after`, in order and without gaps, then live. 0 starts at the oldest record that is kept.
    ///
    /// Holds a bounded number of records that were not taken yet. Reconnects by itself, for ever; ends after
    /// [`TailEvent::Damaged`].
    fn tail(&self, after: u64) -> BoxStream<'static, TailEvent>;

    /// What the log is and how durable. Asks the servers anew at each call.
    fn facts(&self) -> BoxFuture<'_, Result<LogFacts, ReadError>>;

    /// The evidence after `after`, then live. Old evidence is discarded, so its sequences may have gaps; and they begin
    /// again when its stream had to be made anew. Never ends.
    fn evidence_tail(&self, after: u64) -> BoxStream<'static, TailEvent>;

    /// Sequence of the log's newest record; 0 if it is empty and always was. May be stale, as in [`LogFacts`]: that the log
    /// answers is what it shows.
    fn last_sequence(&self) -> BoxFuture<'_, Result<u64, ReadError>>;

    /// Keeps `snapshot` in place of an older one. A snapshot that is not newer than the kept one is dropped.
    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SaveError>>;

    /// The kept snapshot of this very log. A torn or damaged one is ignored with a warning: `None`.
    fn load_snapshot(&self) -> BoxFuture<'_, Result<Option<Snapshot>, ReadError>>;
}

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Where to: one of the `log.` subjects.
    pub subject: Subject,
    /// What must be the last record on this subject for the write to happen.
    pub expected: Expected,
    /// Identity of the write: random, and kept if the caller repeats it.
    pub id: AppendId,
    /// The record, at most [`RECORD_BYTES_MAX`].
    pub bytes: Bytes,
}

/// The compare of compare-and-swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Sequence of the last record on this literal subject; 0 if there must be none.
    Revision(u64),
    /// No condition. Only for barriers, which nothing depends on.
    Any,
}

/// An answered write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Sequence of the record in the log. Worth nothing with `duplicate`: a deposed leader answers duplicates too.
    pub sequence: u64,
    /// The log had this id already. Never proof of a commit (docs/protocol.md, coordinator rules 5 and 10).
    pub duplicate: bool,
}

/// Why a write was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another record stands on the subject, or is on its way there. It may be this very write, sent before.
    #[error("another record came first (last on the subject: {last:?})")]
    Conflict {
        /// The last sequence on the subject as the server gave it: a hint, since a deposed leader gives one too.
        last: Option<u64>,
    },
    /// No answer: the record may be in the log, or may still get there.
    #[error("no answer: {why}; the record may still commit")]
    Unanswered {
        /// What was seen.
        why: Unanswered,
    },
    /// The log has no room. Nothing was stored.
    #[error("the log is full: {text}")]
    Full {
        /// What the server said.
        text: String,
    },
    /// The record is too large. Nothing was stored.
    #[error("the record has {bytes} bytes, allowed are {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Refused by the server for any other reason. Nothing was stored.
    #[error("the server refused it: {text} ({code:?})")]
    Refused {
        /// JetStream's error code; `None` if the refusal came from NATS itself, as for a missing permission.
        code: Option<u64>,
        /// What the server said.
        text: String,
    },
}

/// How a write stayed unanswered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Time was over.
    #[error("timed out")]
    TimedOut,
    /// No stream listened, for as long as we tried.
    #[error("no stream was listening")]
    NoResponders,
    /// The connection is closed or broken.
    #[error("connection lost: {0}")]
    Disconnected(String),
    /// The server answered, but not whether the record is stored.
    #[error("{0}")]
    Unclear(String),
}

/// What a tail yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailEvent {
    /// The next record.
    Entry(Entry),
    /// A hint: nothing after this sequence was known to the server when it said so.
    CaughtUp {
        /// Sequence of the last record yielded, or of the last in the stream.
        last_sequence: u64,
    },
    /// Evidence only: nothing could be read for a while. The next [`TailEvent::CaughtUp`] ends that; what
    /// comes before it is old.
    Unreadable {
        /// What came instead.
        why: String,
        /// For how long so far.
        silent: Duration,
    },
    /// The log only: what is read doesn't fit what was read before. Nothing follows.
    Damaged {
        /// What doesn't fit.
        why: Damage,
    },
}

/// One record or piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in its stream, counted from 1.
    pub sequence: u64,
    /// Where it was written to.
    pub subject: Subject,
    /// What was written.
    pub bytes: Bytes,
    /// When the server stored it, by its wall clock.
    pub time: UnixMillis,
    /// The append that wrote it. `None` for evidence.
    pub id: Option<AppendId>,
}

/// How a log contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Records that were due are older than what the log keeps, and gone. The log itself is whole: whoever has not answered
    /// anybody yet starts over at the oldest record. Whoever has may have missed a stop.
    #[error("the records from sequence {expected} on expired unread, the log begins with {first}")]
    Expired {
        /// The sequence that was due.
        expected: u64,
        /// The oldest that is kept.
        first: u64,
    },
    /// Records are missing, or came in another order.
    #[error("the log goes on with sequence {found} where {expected} was due")]
    Gap {
        /// The sequence that was due.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The log is shorter than what was read of it.
    #[error("the log ends at sequence {last}, though {read} was read before")]
    Truncated {
        /// Its last sequence.
        last: u64,
        /// The last one read.
        read: u64,
    },
    /// A record is not the one that was read before.
    #[error("the record at sequence {sequence} is not the one that was read before")]
    Rewritten {
        /// Where.
        sequence: u64,
    },
    /// The stream is another one, made anew under the same name.
    #[error("the log is {found:?}, not {expected:?}: it was made anew")]
    Recreated {
        /// Identity of the log that was opened.
        expected: String,
        /// Identity of the one that is there; empty if it has none.
        found: String,
    },
    /// The stream is gone.
    #[error("the log is gone")]
    Gone,
    /// A record under a subject that no coordinator of this version writes.
    #[error("the record at sequence {sequence} is on {subject:?}, which this version doesn't know")]
    UnknownSubject {
        /// Where.
        sequence: u64,
        /// Its subject.
        subject: String,
    },
}

/// What a log is, and how durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFacts {
    /// Identity of the log: another one whenever the stream is made anew.
    pub log_id: LogId,
    /// Version of the server that we are connected to.
    pub server_version: String,
    /// Every server that holds the log said that it syncs each write to disk. `false` also when one of them can't be
    /// seen: unknown is not always.
    pub sync_always: bool,
    /// Copies of the log.
    pub replicas: usize,
    /// Oldest sequence that is kept; 1 if the log is empty and always was.
    pub first_sequence: u64,
    /// Newest sequence; 0 if the log is empty and always was. May be stale: never decide by it.
    pub last_sequence: u64,
}

/// A projection of the log up to a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last sequence folded into it.
    pub sequence: u64,
    /// Format of the bytes: a reader that doesn't know it starts from the log.
    pub format: u32,
    /// The projection, at most [`SNAPSHOT_BYTES_MAX`].
    pub bytes: Bytes,
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {what}: {why}")]
pub struct ReadError {
    /// What was to be read.
    pub what: &'static str,
    /// What the server or the connection said.
    pub why: String,
}

/// Why a snapshot was not kept. The one before it is still there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The snapshot is too large.
    #[error("the snapshot has {bytes} bytes, allowed are {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The bucket refused a part of it or didn't answer.
    #[error("store {what} of the snapshot: {why}")]
    Store {
        /// Which part.
        what: &'static str,
        /// What the server or the connection said.
        why: String,
    },
}
