use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;

use super::super::Damage;
use super::super::contract::{Backend, Repeated, append, commit, entries, id, next, session_log};
use super::*;

struct InMemory {
    memory: Memory,
}

fn in_memory(copies: Copies) -> InMemory {
    InMemory { memory: Memory::new(log_id("l1"), copies) }
}

impl Backend for InMemory {
    fn open(&self, log_bytes_max: Option<usize>) -> BoxFuture<'_, Arc<dyn Journal>> {
        if log_bytes_max.is_some() {
            self.memory.set_bytes_max(log_bytes_max);
        }
        std::future::ready(Arc::new(self.memory.clone()) as Arc<dyn Journal>).boxed()
    }

    fn lose_consumers(&self) -> BoxFuture<'_, ()> {
        // There are none: tails read the memory itself.
        std::future::ready(()).boxed()
    }

    fn publish_evidence(&self, subject: Subject, bytes: Bytes) -> BoxFuture<'_, ()> {
        self.memory.publish_evidence(subject, bytes);
        std::future::ready(()).boxed()
    }

    fn damage_snapshot(&self) -> BoxFuture<'_, ()> {
        self.memory.damage_snapshot();
        std::future::ready(()).boxed()
    }

    fn repeated(&self) -> Repeated {
        match self.memory.shared.copies {
            Copies::One => Repeated::Conflict,
            Copies::Three => Repeated::Duplicate,
        }
    }

    fn replicas(&self) -> usize {
        match self.memory.shared.copies {
            Copies::One => 1,
            Copies::Three => 3,
        }
    }
}

mod one {
    crate::journal_contract!(super::in_memory(super::Copies::One));
}

mod three {
    crate::journal_contract!(super::in_memory(super::Copies::Three));
}

fn log_id(text: &str) -> LogId {
    LogId::new(text).unwrap()
}

fn memory() -> (Memory, Arc<dyn Journal>) {
    let memory = Memory::new(log_id("l1"), Copies::Three);
    (memory.clone(), Arc::new(memory))
}

fn outcome(outcome: Outcome) -> impl FnMut(&Append) -> Fault + Send + 'static {
    move |_| Fault { outcome, ..Fault::default() }
}

const UNANSWERED: AppendError = AppendError::Unanswered { why: Unanswered::TimedOut };

#[tokio::test]
async fn an_unanswered_write_is_in_the_log_or_is_not_as_the_fault_says() {
    let (memory, journal) = memory();
    memory.set_faults(outcome(Outcome::UnansweredLost));
    assert_eq!(journal.append(append("s", 0, id(1), b"lost")).await, Err(UNANSWERED));
    memory.set_faults(outcome(Outcome::UnansweredCommitted));
    assert_eq!(journal.append(append("s", 0, id(2), b"there")).await, Err(UNANSWERED));
    assert_eq!(entries(&mut journal.tail(0), 1).await[0].bytes, "there");
}

#[tokio::test]
async fn a_held_write_commits_later_unless_another_came_first() {
    let (memory, journal) = memory();
    memory.set_faults(outcome(Outcome::UnansweredHeld));
    for (session, number) in [("a", 1), ("b", 2)] {
        let held = journal.append(append(session, 0, id(number), b"held")).await;
        assert_eq!(held, Err(UNANSWERED));
    }
    memory.set_faults(|_| Fault::default());
    commit(&journal, append("b", 0, id(3), b"first")).await;
    assert_eq!(memory.release_held(), 1);
    let written: Vec<_> = entries(&mut journal.tail(0), 2).await;
    assert_eq!((&written[0].id, &written[1].id), (&Some(id(3)), &Some(id(1))));
}

#[tokio::test]
async fn a_fault_sees_the_append_that_it_hits() {
    let (memory, journal) = memory();
    memory.set_faults(|append| {
        let full = append.subject == session_log("full");
        Fault { outcome: if full { Outcome::Full } else { Outcome::Pass }, ..Fault::default() }
    });
    let refused = journal.append(append("full", 0, id(1), b"x")).await;
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    assert_eq!(commit(&journal, append("s", 0, id(2), b"x")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_before_the_log_lets_others_overtake() {
    let (memory, journal) = memory();
    memory.set_faults(|append| {
        let before = Duration::from_secs(if append.id == id(1) { 5 } else { 0 });
        Fault { before, ..Fault::default() }
    });
    let slow = journal.append(append("s", 0, id(1), b"slow"));
    let fast = journal.append(append("s", 0, id(2), b"fast"));
    let (slow, fast) = futures::join!(slow, fast);
    assert_eq!(slow, Err(AppendError::Conflict { last: Some(1) }));
    assert_eq!(fast, Ok(Appended { sequence: 1, duplicate: false }));
}

#[tokio::test]
async fn records_bear_the_time_of_the_given_clock() {
    let now = Arc::new(AtomicU64::new(5_000));
    let clock = Arc::clone(&now);
    let memory = Memory::with_clock(log_id("l1"), Copies::One, move || {
        UnixMillis(clock.load(Ordering::SeqCst))
    });
    let journal: Arc<dyn Journal> = Arc::new(memory);
    let first = commit(&journal, append("s", 0, id(1), b"x")).await;
    now.store(7_000, Ordering::SeqCst);
    commit(&journal, append("s", first, id(2), b"x")).await;
    let times: Vec<u64> =
        entries(&mut journal.tail(0), 2).await.iter().map(|entry| entry.time.0).collect();
    assert_eq!(times, [5_000, 7_000]);
}

/// Writes three records, reads `read` of them, does `harm`, and says what the tail finds next.
async fn after_harm(read: usize, harm: impl FnOnce(&Memory)) -> Vec<TailEvent> {
    let (memory, journal) = memory();
    for number in 1..=3 {
        commit(&journal, append(&format!("s{number}"), 0, id(number), b"x")).await;
    }
    let mut tail = journal.tail(0);
    entries(&mut tail, read).await;
    harm(&memory);
    let mut events = vec![next(&mut tail).await];
    if matches!(events[0], TailEvent::Damaged { .. }) {
        events.extend(tail.next().await);
    }
    events
}

fn damaged(why: Damage) -> Vec<TailEvent> {
    vec![TailEvent::Damaged { why }]
}

#[tokio::test]
async fn a_lost_record_is_damage_and_ends_the_tail() {
    let found = after_harm(1, |memory| memory.lose(2)).await;
    assert_eq!(found, damaged(Damage::Gap { expected: 2, found: 3 }));
}

#[tokio::test]
async fn a_shorter_log_is_damage() {
    let found = after_harm(3, |memory| memory.truncate(1)).await;
    assert_eq!(found, damaged(Damage::Truncated { last: 1, read: 3 }));
}

#[tokio::test]
async fn another_log_under_the_same_name_is_damage() {
    let found = after_harm(2, |memory| memory.recreate(log_id("l2"))).await;
    let (expected, found_id) = ("l1".to_owned(), "l2".to_owned());
    assert_eq!(found, damaged(Damage::Recreated { expected, found: found_id }));
}

#[tokio::test]
async fn records_that_expired_unread_are_told_from_lost_ones_and_expired_ones_that_were_read_are_neither()
 {
    let found = after_harm(1, |memory| memory.expire(2)).await;
    assert_eq!(found, damaged(Damage::Expired { expected: 2, first: 3 }));
    let found = after_harm(1, |memory| memory.expire(3)).await;
    assert_eq!(found, damaged(Damage::Expired { expected: 2, first: 4 }));
    let found = after_harm(2, |memory| memory.expire(2)).await;
    assert!(matches!(&found[0], TailEvent::Entry(entry) if entry.sequence == 3), "{found:?}");
}

#[tokio::test]
async fn a_tail_from_the_beginning_starts_at_the_oldest_record_that_is_kept() {
    let (memory, journal) = memory();
    for number in 1..=3 {
        commit(&journal, append(&format!("s{number}"), 0, id(number), b"x")).await;
    }
    memory.expire(2);
    assert_eq!(entries(&mut journal.tail(0), 1).await[0].sequence, 3);
    assert_eq!(journal.facts().await.unwrap().first_sequence, 3);
}
