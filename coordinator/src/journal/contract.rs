//! What every [`Journal`] must do: one suite that memory and JetStream both pass.
//!
//! Each function is one test and wants a [`Backend`] whose log is empty. [`journal_contract!`](crate::journal_contract)
//! makes a test of each, so that a new rule reaches every backend. A broken rule panics: this is test code that lives
//! here because two crates run it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::stream::{BoxStream, StreamExt};
use squall_proto::subject::{Partition, Subject, TenantSubject};
use squall_proto::vocabulary::id::{AppendId, ReplicaId, SessionId, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::time::UnixMillis;

use super::{
    Append, AppendError, Appended, Entry, Expected, Journal, RECORD_BYTES_MAX, SNAPSHOT_BYTES_MAX,
    SaveError, Snapshot, TailEvent,
};

/// Longest wait for anything: three elections of a stream leader (4 to 9 s each).
const PATIENCE: Duration = Duration::from_secs(30);

/// A log to test, empty at first.
pub trait Backend: Send + Sync {
    /// Another handle on the same log, as another replica would have. Only the first call's `log_bytes_max` counts.
    fn open(&self, log_bytes_max: Option<usize>) -> BoxFuture<'_, Arc<dyn Journal>>;

    /// Takes away whatever tails read with.
    fn lose_consumers(&self) -> BoxFuture<'_, ()>;

    /// Publishes evidence as a shim does.
    fn publish_evidence(&self, subject: Subject, bytes: Bytes) -> BoxFuture<'_, ()>;

    /// Changes stored bytes of the kept snapshot.
    fn damage_snapshot(&self) -> BoxFuture<'_, ()>;

    /// What a repeated write with an expectation answers.
    fn repeated(&self) -> Repeated;

    /// Copies of the log.
    fn replicas(&self) -> usize;
}

/// What a write that is in the log already answers when it comes again: where one server and a cluster differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// [`AppendError::Conflict`]: one server looks at the expected sequence first.
    Conflict,
    /// [`Appended::duplicate`]: a cluster looks at the id first.
    Duplicate,
}

/// Makes a test of each rule of the [contract](crate::journal::contract): `journal_contract!(backend)`; `backend` is evaluated in each and may await.
#[macro_export]
macro_rules! journal_contract {
    ($backend:expr) => {
        $crate::journal_contract! { $backend =>
            exactly_one_of_eight_racing_writers_wins
            a_wrong_expectation_is_a_conflict_and_stores_nothing
            a_repeated_write_is_reported_and_stored_once
            barriers_need_no_expectation
            what_was_written_is_read_back_by_another_handle
            the_tail_starts_where_it_is_told
            the_tail_says_when_it_has_caught_up
            the_tail_has_no_gap_when_its_consumer_is_lost
            a_slow_reader_misses_nothing
            a_record_that_is_too_large_is_refused
            a_full_log_refuses_and_stores_nothing
            the_log_keeps_its_identity
            evidence_is_read_in_order
            a_snapshot_larger_than_a_message_comes_back
            an_older_snapshot_never_replaces_a_newer_one
            a_damaged_snapshot_is_ignored
            a_snapshot_that_is_too_large_is_refused
        }
    };
    ($backend:expr => $($rule:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let backend = $backend;
                $crate::journal::contract::$rule(&backend).await;
            }
        )+
    };
}

/// Of writers that expect the same last record, one commits and the others hear of a conflict.
pub async fn exactly_one_of_eight_racing_writers_wins(backend: &dyn Backend) {
    let writers = join_all((0..8).map(|_| backend.open(None))).await;
    let mut revision = 0;
    for round in 0..20 {
        let race = writers.iter().zip(0..).map(|(journal, writer)| {
            journal.append(append("race", revision, id(round * 8 + writer), b"run"))
        });
        let results = join_all(race).await;
        let won: Vec<Appended> = results.iter().filter_map(|result| result.clone().ok()).collect();
        let lost = results.iter().filter(|r| matches!(r, Err(AppendError::Conflict { .. })));
        assert_eq!((won.len(), lost.count()), (1, 7), "round {round}: {results:?}");
        assert!(!won[0].duplicate);
        revision = won[0].sequence;
    }
    assert_eq!(read(&writers[0], 0, 20).await.len(), 20);
}

/// A conflict leaves no trace in the log.
pub async fn a_wrong_expectation_is_a_conflict_and_stores_nothing(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let first = commit(&journal, append("s", 0, id(1), b"first")).await;
    let other = commit(&journal, append("other", 0, id(2), b"other")).await;
    for (expected, id_of) in [(0, 3), (other, 4), (other + 7, 5)] {
        match journal.append(append("s", expected, id(id_of), b"never")).await {
            Err(AppendError::Conflict { last }) => {
                assert!(last.is_none_or(|last| last == first), "hint {last:?}, not {first}");
            }
            other => panic!("expected {expected} on a subject at {first}: {other:?}"),
        }
    }
    commit(&journal, append("s", first, id(6), b"second")).await;
    let written: Vec<Bytes> = read(&journal, 0, 3).await.into_iter().map(|e| e.bytes).collect();
    assert_eq!(written, ["first", "other", "second"]);
}

/// A repeat never stores twice, and never looks like a commit.
pub async fn a_repeated_write_is_reported_and_stored_once(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let write = append("s", 0, id(1), b"once");
    let sequence = commit(&journal, write.clone()).await;
    let again = journal.append(write).await;
    match backend.repeated() {
        Repeated::Conflict => {
            assert!(matches!(again, Err(AppendError::Conflict { .. })), "{again:?}");
        }
        Repeated::Duplicate => {
            assert_eq!(again, Ok(Appended { sequence, duplicate: true }));
        }
    }
    let barrier = Append { expected: Expected::Any, ..append("s", 0, id(2), b"barrier") };
    commit(&journal, barrier.clone()).await;
    let again = journal.append(barrier).await.expect("nothing is expected of a barrier");
    assert!(again.duplicate);
    commit(&journal, append("end", 0, id(3), b"end")).await;
    assert_eq!(read(&journal, 0, 3).await.len(), 3);
}

/// Barriers commit whatever else is written to their subject.
pub async fn barriers_need_no_expectation(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let subject = Subject::BarrierLog { replica: ReplicaId::new("r1").expect("is a token") };
    for number in 1..=5 {
        let (subject, expected, id) = (subject.clone(), Expected::Any, id(number));
        let sequence =
            commit(&journal, Append { subject, expected, id, bytes: Bytes::new() }).await;
        assert_eq!(sequence, number);
    }
}

/// Sequence, subject, bytes, id and time survive, in the order of the log.
pub async fn what_was_written_is_read_back_by_another_handle(backend: &dyn Backend) {
    let writer = backend.open(None).await;
    let written = write_to_many_subjects(&writer, 60).await;
    drop(writer);
    let entries = read(&backend.open(None).await, 0, written.len()).await;
    for (entry, append) in entries.iter().zip(&written) {
        assert_eq!((&entry.subject, &entry.bytes), (&append.subject, &append.bytes));
        assert_eq!(entry.id, Some(append.id));
        assert_ne!(entry.time, UnixMillis(0));
    }
    assert!(entries.is_sorted_by_key(|entry| entry.time));
}

/// `after` is the last sequence that is *not* wanted.
pub async fn the_tail_starts_where_it_is_told(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    write_to_many_subjects(&journal, 30).await;
    for after in [0, 1, 17, 29] {
        let entries = read(&journal, after, 30 - after as usize).await;
        assert_eq!(entries[0].sequence, after + 1);
    }
    let mut tail = journal.tail(30);
    assert_eq!(next(&mut tail).await, TailEvent::CaughtUp { last_sequence: 30 });
}

/// An empty log is caught up at once; each live record is followed by a hint.
pub async fn the_tail_says_when_it_has_caught_up(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let mut tail = journal.tail(0);
    assert_eq!(next(&mut tail).await, TailEvent::CaughtUp { last_sequence: 0 });
    let mut revision = 0;
    for number in 1..=3 {
        revision = commit(&journal, append("s", revision, id(number), b"live")).await;
        let event = next(&mut tail).await;
        assert!(matches!(&event, TailEvent::Entry(entry) if entry.sequence == number), "{event:?}");
        assert_eq!(next(&mut tail).await, TailEvent::CaughtUp { last_sequence: number });
    }
}

/// Whatever happens to the consumer, the next record is the one after the last.
pub async fn the_tail_has_no_gap_when_its_consumer_is_lost(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let mut tail = journal.tail(0);
    let mut seen = 0;
    for round in 0..3 {
        for number in 1..=20 {
            let subject = format!("s{round}-{number}");
            commit(&journal, append(&subject, 0, id(round * 20 + number), b"x")).await;
            if number == 10 {
                backend.lose_consumers().await;
            }
        }
        let until = (round + 1) * 20;
        for entry in entries(&mut tail, (until - seen) as usize).await {
            seen += 1;
            assert_eq!(entry.sequence, seen);
        }
        // Lost while nothing is on its way, too.
        backend.lose_consumers().await;
    }
}

/// A reader that takes nothing while thousands are written gets them all later.
pub async fn a_slow_reader_misses_nothing(backend: &dyn Backend) {
    const WRITES: usize = 4_000;
    let journal = backend.open(None).await;
    let mut tail = journal.tail(0);
    assert_eq!(next(&mut tail).await, TailEvent::CaughtUp { last_sequence: 0 });
    let writes =
        (0..WRITES).map(|number| {
            let journal = Arc::clone(&journal);
            async move {
                commit(&journal, append(&format!("s{number}"), 0, id(number as u64), b"x")).await
            }
        });
    let sequences: Vec<u64> = futures::stream::iter(writes).buffer_unordered(128).collect().await;
    assert_eq!(sequences.len(), WRITES);
    for (entry, sequence) in entries(&mut tail, WRITES).await.iter().zip(1..) {
        assert_eq!(entry.sequence, sequence);
    }
}

/// The limit is checked before anything is sent, so the connection survives.
pub async fn a_record_that_is_too_large_is_refused(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let write = |number, bytes| Append {
        bytes: Bytes::from(vec![7; bytes]),
        ..append(&format!("s{number}"), 0, id(number), b"")
    };
    let refused = journal.append(write(1, RECORD_BYTES_MAX + 1)).await;
    let (bytes, max) = (RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX);
    assert_eq!(refused, Err(AppendError::TooLarge { bytes, max }));
    assert_eq!(commit(&journal, write(2, RECORD_BYTES_MAX)).await, 1);
    assert_eq!(read(&journal, 0, 1).await[0].bytes.len(), RECORD_BYTES_MAX);
}

/// A full log says so, keeps what it has, and discards nothing to make room.
pub async fn a_full_log_refuses_and_stores_nothing(backend: &dyn Backend) {
    let journal = backend.open(Some(64 * 1024)).await;
    let mut stored = 0;
    let refused = loop {
        let bytes = Bytes::from(vec![b'x'; 7 * 1024]);
        let write = Append { bytes, ..append("s", stored, id(stored + 1), b"") };
        match journal.append(write).await {
            Ok(Appended { sequence, duplicate: false }) => stored = sequence,
            other => break other,
        }
        assert!(stored < 10, "{stored} records of 7 KiB in a log of 64 KiB");
    };
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    assert!(stored >= 4, "only {stored} records of 7 KiB in a log of 64 KiB");
    assert_eq!(commit(&journal, append("small", 0, id(90), b"fits")).await, stored + 1);
    assert_eq!(read(&journal, 0, stored as usize + 1).await[0].sequence, 1);
}

/// Every handle sees the same identity, size and copies.
pub async fn the_log_keeps_its_identity(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let facts = journal.facts().await.expect("the log is there");
    assert_eq!((facts.first_sequence, facts.last_sequence), (1, 0));
    assert_eq!(facts.replicas, backend.replicas());
    assert_eq!(journal.last_sequence().await, Ok(0));
    write_to_many_subjects(&journal, 5).await;
    assert_eq!(journal.last_sequence().await, Ok(5));
    let later = backend.open(None).await.facts().await.expect("the log is there");
    assert_eq!(later.log_id, facts.log_id);
    assert_eq!((later.first_sequence, later.last_sequence), (1, 5));
}

/// Evidence has its own sequences and never shows up in the log.
pub async fn evidence_is_read_in_order(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let mut tail = journal.evidence_tail(0);
    let sent: Vec<(Subject, Bytes)> =
        (0..20).map(|n| (evidence(n % 3), Bytes::from(format!("evidence {n}")))).collect();
    for (subject, bytes) in &sent {
        backend.publish_evidence(subject.clone(), bytes.clone()).await;
    }
    for (entry, (subject, bytes)) in entries(&mut tail, 20).await.iter().zip(&sent) {
        assert_eq!((&entry.subject, &entry.bytes, entry.id), (subject, bytes, None));
    }
    let rest = entries(&mut journal.evidence_tail(15), 5).await;
    assert_eq!(rest[0].sequence, 16);
    let mut log = journal.tail(0);
    assert_eq!(next(&mut log).await, TailEvent::CaughtUp { last_sequence: 0 });
}

/// Snapshots are larger than what one message may hold.
pub async fn a_snapshot_larger_than_a_message_comes_back(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    assert_eq!(journal.load_snapshot().await, Ok(None));
    for (sequence, bytes) in [(1, 0), (2, 1), (3, 256 * 1024), (4, 3 * 1024 * 1024 + 17)] {
        let snapshot = snapshot(sequence, bytes);
        journal.save_snapshot(snapshot.clone()).await.expect("the bucket has room");
        let kept = backend.open(None).await.load_snapshot().await;
        assert!(kept == Ok(Some(snapshot)), "a snapshot of {bytes} bytes came back otherwise");
    }
}

/// Replicas save on their own; the newest projection stays.
pub async fn an_older_snapshot_never_replaces_a_newer_one(backend: &dyn Backend) {
    let (one, other) = (backend.open(None).await, backend.open(None).await);
    let newer = snapshot(9, 600_000);
    one.save_snapshot(newer.clone()).await.expect("the bucket has room");
    other.save_snapshot(snapshot(8, 10)).await.expect("an older one is dropped, not an error");
    assert!(other.load_snapshot().await == Ok(Some(newer)));
}

/// Damage costs the snapshot, never the truth; the next one is good again.
pub async fn a_damaged_snapshot_is_ignored(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    journal.save_snapshot(snapshot(5, 700_000)).await.expect("the bucket has room");
    backend.damage_snapshot().await;
    assert_eq!(journal.load_snapshot().await, Ok(None));
    let next = snapshot(6, 700_000);
    journal.save_snapshot(next.clone()).await.expect("the bucket has room");
    assert!(journal.load_snapshot().await == Ok(Some(next)));
}

/// A projection that grows without end is stopped here.
pub async fn a_snapshot_that_is_too_large_is_refused(backend: &dyn Backend) {
    let journal = backend.open(None).await;
    let (bytes, max) = (SNAPSHOT_BYTES_MAX + 1, SNAPSHOT_BYTES_MAX);
    let refused = journal.save_snapshot(snapshot(1, bytes)).await;
    assert_eq!(refused, Err(SaveError::TooLarge { bytes, max }));
}

/// A write to the log of session `name` of the tenant `acme`.
#[must_use]
pub fn append(name: &str, revision: u64, id: AppendId, bytes: &'static [u8]) -> Append {
    let (subject, expected) = (session_log(name), Expected::Revision(revision));
    Append { subject, expected, id, bytes: Bytes::from_static(bytes) }
}

/// The log of session `name` of the tenant `acme`.
#[must_use]
pub fn session_log(name: &str) -> Subject {
    let session = SessionId::new(name).expect("is a token");
    Subject::SessionLog { session: SessionKey { tenant: tenant(), session } }
}

/// A recognizable append id.
#[must_use]
pub fn id(number: u64) -> AppendId {
    AppendId((0xabcd_u128 << 64 | u128::from(number)).to_be_bytes())
}

/// Commits a write that must not fail; its sequence.
pub async fn commit(journal: &Arc<dyn Journal>, append: Append) -> u64 {
    match journal.append(append.clone()).await {
        Ok(Appended { sequence, duplicate: false }) => sequence,
        other => panic!("{:?} on {} was not committed: {other:?}", append.id, append.subject),
    }
}

/// The next event of a tail, within a bounded time.
pub async fn next(tail: &mut BoxStream<'static, TailEvent>) -> TailEvent {
    let event = tokio::time::timeout(PATIENCE, tail.next()).await;
    event.expect("the tail yields in time").expect("the tail goes on")
}

/// The next `count` records of a tail.
pub async fn entries(tail: &mut BoxStream<'static, TailEvent>, count: usize) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        match next(tail).await {
            TailEvent::Entry(entry) => entries.push(entry),
            TailEvent::CaughtUp { .. } => {}
            TailEvent::Unreadable { why, .. } => panic!("unreadable: {why}"),
            TailEvent::Damaged { why } => panic!("damaged after {} entries: {why}", entries.len()),
        }
    }
    entries
}

/// `count` records after `after`, and no more: the tail has caught up behind them.
async fn read(journal: &Arc<dyn Journal>, after: u64, count: usize) -> Vec<Entry> {
    let mut tail = journal.tail(after);
    let entries = entries(&mut tail, count).await;
    for (entry, sequence) in entries.iter().zip(after + 1..) {
        assert_eq!(entry.sequence, sequence);
    }
    let last_sequence = after + count as u64;
    assert_eq!(next(&mut tail).await, TailEvent::CaughtUp { last_sequence });
    entries
}

async fn write_to_many_subjects(journal: &Arc<dyn Journal>, count: u64) -> Vec<Append> {
    let mut revisions: HashMap<u64, u64> = HashMap::new();
    let mut written = Vec::new();
    for number in 0..count {
        let revision = revisions.entry(number % 7).or_default();
        let bytes = Bytes::from(format!("record {number}"));
        let append =
            Append { bytes, ..append(&format!("s{}", number % 7), *revision, id(number), b"") };
        *revision = commit(journal, append.clone()).await;
        written.push(append);
    }
    written
}

fn evidence(number: u16) -> Subject {
    let shim = ShimId::new(format!("shim{number}")).expect("is a token");
    let partition = Partition::new(number).expect("is below 64");
    Subject::Tenant { tenant: tenant(), subject: TenantSubject::Evidence { shim, partition } }
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("is a token")
}

fn snapshot(sequence: u64, bytes: usize) -> Snapshot {
    let bytes = (0..bytes).map(|n| (n * 31 / 7 + sequence as usize) as u8).collect();
    Snapshot { sequence, format: 3, bytes }
}
