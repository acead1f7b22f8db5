//! A journal in memory, with the semantics of JetStream and faults that a test controls.
//!
//! For the simulator and for tests of whoever uses a [`Journal`]. Deterministic: it reads no clock but the one it is
//! given, draws nothing, and spawns nothing. Nothing is kept when the last handle is dropped.

mod tail;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, LogId};
use squall_proto::vocabulary::time::UnixMillis;
use tokio::sync::watch;

use self::tail::{Tail, Which};
use super::{
    Append, AppendError, Appended, Entry, Expected, Journal, LogFacts, RECORD_BYTES_MAX, ReadError,
    SNAPSHOT_BYTES_MAX, SaveError, Snapshot, TailEvent, Unanswered,
};

/// A journal in memory. Clones share one log: each stands for one replica's connection.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

/// Which JetStream it behaves like where one server and a cluster differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// One server: checks the expected sequence first, so a repeated write is a conflict.
    One,
    /// Three servers: looks for the id first, so a repeated write is a duplicate.
    Three,
}

/// What happens to one append. The default passes it at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// Time before the log sees it.
    pub before: Duration,
    /// What the log does with it.
    pub outcome: Outcome,
    /// Time between what the log did and the caller's answer.
    pub after: Duration,
}

/// What the log does with one append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// What it should.
    #[default]
    Pass,
    /// What it should, but the answer is lost.
    UnansweredCommitted,
    /// Nothing, ever.
    UnansweredLost,
    /// Nothing until [`Memory::release_held`]: a write that commits after the network healed.
    UnansweredHeld,
    /// Refuses it for want of room.
    Full,
}

/// Chooses the fault of each append.
pub type FaultPlan = dyn FnMut(&Append) -> Fault + Send;
/// Tells the time of stored records.
pub type Clock = dyn Fn() -> UnixMillis + Send + Sync;

struct Shared {
    state: Mutex<State>,
    /// Bumped at each change, to wake the tails.
    changed: watch::Sender<u64>,
    clock: Box<Clock>,
    copies: Copies,
}

struct State {
    log_id: LogId,
    log: Vec<Entry>,
    /// Records up to this sequence have expired.
    expired: u64,
    /// Last sequence on each subject, and bytes of all records: what is derived from the two above.
    last_on: HashMap<Subject, u64>,
    bytes: usize,
    ids: HashMap<AppendId, u64>,
    evidence: Vec<Entry>,
    snapshot: Option<Snapshot>,
    snapshot_damaged: bool,
    bytes_max: Option<usize>,
    sync_always: bool,
    plan: Box<FaultPlan>,
    held: Vec<Append>,
}

impl Memory {
    /// An empty log with the wall clock.
    #[must_use]
    pub fn new(log_id: LogId, copies: Copies) -> Self {
        Self::with_clock(log_id, copies, wall_clock)
    }

    /// An empty log whose records bear the times of `clock`.
    #[must_use]
    pub fn with_clock(
        log_id: LogId,
        copies: Copies,
        clock: impl Fn() -> UnixMillis + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            log_id,
            log: Vec::new(),
            expired: 0,
            last_on: HashMap::new(),
            bytes: 0,
            ids: HashMap::new(),
            evidence: Vec::new(),
            snapshot: None,
            snapshot_damaged: false,
            bytes_max: None,
            sync_always: true,
            plan: Box::new(|_| Fault::default()),
            held: Vec::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            clock: Box::new(clock),
            copies,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks `plan` about each append from here on.
    pub fn set_faults(&self, plan: impl FnMut(&Append) -> Fault + Send + 'static) {
        self.state().plan = Box::new(plan);
    }

    /// Lets every held write happen now, oldest first, each under its own expectation. Says how many committed.
    pub fn release_held(&self) -> usize {
        let held = std::mem::take(&mut self.state().held);
        held.into_iter().filter(|append| self.commit(append).is_ok()).count()
    }

    /// Limits the log's records to `bytes` in all, as `max_bytes` of a stream does.
    pub fn set_bytes_max(&self, bytes: Option<usize>) {
        self.state().bytes_max = bytes;
    }

    /// What [`LogFacts::sync_always`] says from here on.
    pub fn set_sync_always(&self, always: bool) {
        self.state().sync_always = always;
    }

    /// Stores one message of evidence, as the evidence stream does with what shims publish.
    pub fn publish_evidence(&self, subject: Subject, bytes: Bytes) {
        let time = (self.shared.clock)();
        let mut state = self.state();
        let sequence = end_of(&state.evidence) + 1;
        state.evidence.push(Entry { sequence, subject, bytes, time, id: None });
        drop(state);
        self.wake();
    }

    /// Lets every record up to `sequence` expire, as `max_age` of a stream does.
    pub fn expire(&self, sequence: u64) {
        self.damage(|state| state.expired = state.expired.max(sequence));
    }

    /// Loses every record after `sequence`, as a crash without sync does.
    pub fn truncate(&self, sequence: u64) {
        self.damage(|state| {
            state.log.retain(|entry| entry.sequence <= sequence);
            state.ids.retain(|_, stored| *stored <= sequence);
        });
    }

    /// Loses one record in the middle: the log goes on behind the gap.
    pub fn lose(&self, sequence: u64) {
        self.damage(|state| state.log.retain(|entry| entry.sequence != sequence));
    }

    /// Starts an empty log under a new identity.
    pub fn recreate(&self, log_id: LogId) {
        self.damage(|state| {
            state.log_id = log_id;
            state.log.clear();
            state.ids.clear();
            state.expired = 0;
            state.snapshot = None;
        });
    }

    /// Makes the kept snapshot fail its checks.
    pub fn damage_snapshot(&self) {
        self.state().snapshot_damaged = true;
    }

    fn damage(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        state.derive();
        drop(state);
        self.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a failing test; its state is still the one to look at.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.shared.changed.send_modify(|version| *version += 1);
    }

    fn commit(&self, append: &Append) -> Result<Appended, AppendError> {
        let time = (self.shared.clock)();
        let result = self.state().commit(append, self.shared.copies, time);
        self.wake();
        result
    }

    async fn append_with_fault(&self, append: Append) -> Result<Appended, AppendError> {
        check_size(&append.bytes)?;
        let Fault { before, outcome, after } = (self.state().plan)(&append);
        wait(before).await;
        let result = match outcome {
            Outcome::Pass => self.commit(&append),
            Outcome::UnansweredCommitted => self.commit(&append).and(Err(unanswered())),
            Outcome::UnansweredLost => Err(unanswered()),
            Outcome::UnansweredHeld => {
                self.state().held.push(append);
                Err(unanswered())
            }
            Outcome::Full => Err(full()),
        };
        wait(after).await;
        result
    }
}

impl State {
    fn commit(
        &mut self,
        append: &Append,
        copies: Copies,
        time: UnixMillis,
    ) -> Result<Appended, AppendError> {
        let duplicate = self.ids.get(&append.id).copied();
        if let (Copies::Three, Some(sequence)) = (copies, duplicate) {
            return Ok(Appended { sequence, duplicate: true });
        }
        if let Expected::Revision(expected) = append.expected {
            let last = self.last_on.get(&append.subject).copied().unwrap_or(0);
            if last != expected {
                return Err(AppendError::Conflict { last: Some(last) });
            }
        }
        if let Some(sequence) = duplicate {
            return Ok(Appended { sequence, duplicate: true });
        }
        if self.bytes_max.is_some_and(|max| self.bytes + append.bytes.len() > max) {
            return Err(full());
        }
        let sequence = self.last_sequence() + 1;
        self.ids.insert(append.id, sequence);
        let Append { subject, bytes, id, expected: _ } = append.clone();
        self.last_on.insert(subject.clone(), sequence);
        self.bytes += bytes.len();
        self.log.push(Entry { sequence, subject, bytes, time, id: Some(id) });
        Ok(Appended { sequence, duplicate: false })
    }

    fn derive(&mut self) {
        let kept = || self.log.iter().filter(|entry| entry.sequence > self.expired);
        self.last_on = kept().map(|entry| (entry.subject.clone(), entry.sequence)).collect();
        self.bytes = kept().map(|entry| entry.bytes.len()).sum();
    }

    fn last_sequence(&self) -> u64 {
        end_of(&self.log).max(self.expired)
    }
}

fn end_of(entries: &[Entry]) -> u64 {
    entries.last().map_or(0, |entry| entry.sequence)
}

/// The first entry after `read`.
fn after(entries: &[Entry], read: u64) -> Option<&Entry> {
    entries.get(entries.partition_point(|entry| entry.sequence <= read))
}

impl Journal for Memory {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.append_with_fault(append).boxed()
    }

    fn tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        Tail::start(self.clone(), Which::Log { log_id: self.state().log_id.clone() }, after)
    }

    fn facts(&self) -> BoxFuture<'_, Result<LogFacts, ReadError>> {
        let state = self.state();
        let facts = LogFacts {
            log_id: state.log_id.clone(),
            server_version: "memory".to_owned(),
            sync_always: state.sync_always,
            replicas: match self.shared.copies {
                Copies::One => 1,
                Copies::Three => 3,
            },
            first_sequence: after(&state.log, state.expired)
                .map_or(state.last_sequence() + 1, |entry| entry.sequence),
            last_sequence: state.last_sequence(),
        };
        std::future::ready(Ok(facts)).boxed()
    }

    fn evidence_tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        Tail::start(self.clone(), Which::Evidence, after)
    }

    fn last_sequence(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        std::future::ready(Ok(self.state().last_sequence())).boxed()
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SaveError>> {
        std::future::ready(self.state().save(snapshot)).boxed()
    }

    fn load_snapshot(&self) -> BoxFuture<'_, Result<Option<Snapshot>, ReadError>> {
        let state = self.state();
        let snapshot = if state.snapshot_damaged { None } else { state.snapshot.clone() };
        std::future::ready(Ok(snapshot)).boxed()
    }
}

impl State {
    fn save(&mut self, snapshot: Snapshot) -> Result<(), SaveError> {
        if snapshot.bytes.len() > SNAPSHOT_BYTES_MAX {
            let (bytes, max) = (snapshot.bytes.len(), SNAPSHOT_BYTES_MAX);
            return Err(SaveError::TooLarge { bytes, max });
        }
        let kept = self.snapshot.as_ref().filter(|_| !self.snapshot_damaged);
        if kept.is_none_or(|kept| kept.sequence < snapshot.sequence) {
            self.snapshot = Some(snapshot);
            self.snapshot_damaged = false;
        }
        Ok(())
    }
}

fn check_size(bytes: &Bytes) -> Result<(), AppendError> {
    let (bytes, max) = (bytes.len(), RECORD_BYTES_MAX);
    if bytes > max { Err(AppendError::TooLarge { bytes, max }) } else { Ok(()) }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn unanswered() -> AppendError {
    AppendError::Unanswered { why: Unanswered::TimedOut }
}

fn full() -> AppendError {
    AppendError::Full { text: "maximum bytes exceeded".to_owned() }
}

fn wall_clock() -> UnixMillis {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
