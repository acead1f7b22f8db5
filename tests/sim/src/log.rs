//! The log's servers: what JetStream does with an append, when it is well and when it isn't (docs/nats.md, "Pitfalls").
//!
//! Three copies: an id that is known is answered as a duplicate, whatever else the write says; of two writes to one subject
//! only one may be in flight. Without a leader nobody answers, and what was sent may be stored later or never. A deposed leader
//! goes on to answer reads, duplicates and wrong expectations as of when it was deposed, with whatever sequence it has.
//!
//! Not here: the network to it, and who reads what ([`crate::world`]).

use std::collections::BTreeMap;

use bytes::Bytes;
use squall::journal::{Append, AppendError, Appended, Entry, Expected, Snapshot, Unanswered};
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::{AppendId, ShimId, TenantId};
use squall_proto::vocabulary::time::UnixMillis;

use crate::dice::Dice;
use crate::scenario::LogTrouble;

/// What a write gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer; the record may be stored by now.
    Answered(Result<Appended, AppendError>),
    /// Nobody listens: it never reached a server, and its sender tries again.
    Nobody,
    /// Silence, for ever.
    Swallowed,
    /// It is being written, and takes its time.
    Slow,
}

/// One piece of evidence.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Whose shim.
    pub tenant: TenantId,
    /// Which.
    pub shim: ShimId,
    /// What it said.
    pub bytes: Bytes,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Log {
    records: Vec<Entry>,
    last_on: BTreeMap<String, u64>,
    ids: BTreeMap<AppendId, u64>,
    writing: BTreeMap<String, AppendId>,
    /// What was sent while no leader could store it.
    held: Vec<Append>,
    trouble: BTreeMap<usize, LogTrouble>,
    /// By replica: up to where the deposed leader goes that it speaks with.
    deposed: BTreeMap<usize, u64>,
    /// The evidence, another stream.
    pub evidence: Vec<Reported>,
    /// The kept snapshot.
    pub snapshot: Option<Snapshot>,
}

impl Log {
    /// The records.
    #[must_use]
    pub fn records(&self) -> &[Entry] {
        &self.records
    }

    /// The newest sequence.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// Up to where a replica can read.
    #[must_use]
    pub fn end_for(&self, replica: usize) -> u64 {
        self.deposed.get(&replica).copied().unwrap_or_else(|| self.end())
    }

    /// Trouble begins, under a number by which it ends.
    pub fn trouble(&mut self, number: usize, trouble: LogTrouble) {
        self.trouble.insert(number, trouble);
    }

    /// A replica speaks with a leader that is deposed just now.
    pub fn depose(&mut self, replica: usize) {
        let end = self.end();
        self.deposed.entry(replica).or_insert(end);
    }

    /// Trouble ends. Returns what was held and is stored now, if the dice say so: nobody can tell.
    pub fn heal(&mut self, number: usize, dice: &mut Dice) -> Vec<Append> {
        self.trouble.remove(&number);
        self.release(dice)
    }

    /// A replica speaks with the real leader again.
    pub fn recognise(&mut self, replica: usize, dice: &mut Dice) -> Vec<Append> {
        self.deposed.remove(&replica);
        self.release(dice)
    }

    fn release(&mut self, dice: &mut Dice) -> Vec<Append> {
        if self.has(LogTrouble::Leaderless) || !self.deposed.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.held).into_iter().filter(|_| dice.chance(600)).collect()
    }

    fn has(&self, trouble: LogTrouble) -> bool {
        self.trouble.values().any(|one| *one == trouble)
    }

    /// A write of a replica arrives.
    pub fn hear(
        &mut self,
        from: usize,
        append: &Append,
        time: UnixMillis,
        dice: &mut Dice,
    ) -> Heard {
        if let Some(end) = self.deposed.get(&from).copied() {
            return self.hear_deposed(append, end, dice);
        }
        if self.has(LogTrouble::Leaderless) {
            if dice.chance(500) {
                return Heard::Nobody;
            }
            self.held.push(append.clone());
            return Heard::Swallowed;
        }
        if self.has(LogTrouble::Silent) {
            return Heard::Swallowed;
        }
        let subject = append.subject.to_string();
        if let Some(other) = self.writing.get(&subject) {
            let unclear = Unanswered::Unclear("the same id is on its way".to_owned());
            return Heard::Answered(match *other == append.id {
                true => Err(AppendError::Unanswered { why: unclear }),
                false => Err(AppendError::Conflict { last: None }),
            });
        }
        if self.has(LogTrouble::Slow) && append.expected != Expected::Any {
            self.writing.insert(subject, append.id);
            return Heard::Slow;
        }
        Heard::Answered(self.store(append, time))
    }

    /// What was slow is written now.
    pub fn written(&mut self, append: &Append, time: UnixMillis) -> Result<Appended, AppendError> {
        self.writing.remove(&append.subject.to_string());
        self.store(append, time)
    }

    /// Stores a record, if it may be.
    pub fn store(&mut self, append: &Append, time: UnixMillis) -> Result<Appended, AppendError> {
        if let Some(sequence) = self.ids.get(&append.id) {
            return Ok(Appended { sequence: *sequence, duplicate: true });
        }
        let subject = append.subject.to_string();
        if let Expected::Revision(expected) = append.expected {
            let last = self.last_on.get(&subject).copied().unwrap_or(0);
            if last != expected {
                return Err(AppendError::Conflict { last: Some(last) });
            }
        }
        if self.has(LogTrouble::Full) {
            return Err(AppendError::Full { text: "maximum bytes exceeded".to_owned() });
        }
        let sequence = self.end() + 1;
        self.last_on.insert(subject, sequence);
        self.ids.insert(append.id, sequence);
        let Append { subject, bytes, id, expected: _ } = append.clone();
        self.records.push(Entry { sequence, subject, bytes, time, id: Some(id) });
        Ok(Appended { sequence, duplicate: false })
    }

    /// A leader that doesn't know that it was deposed: it knows what it knew, and stores nothing.
    fn hear_deposed(&mut self, append: &Append, end: u64, dice: &mut Dice) -> Heard {
        if self.ids.get(&append.id).is_some_and(|sequence| *sequence <= end) {
            // Whatever sequence it has at hand.
            let sequence = dice.within(1, end.max(1));
            return Heard::Answered(Ok(Appended { sequence, duplicate: true }));
        }
        if let Expected::Revision(expected) = append.expected {
            let last = self.last_of(&append.subject, end);
            if last != expected {
                return Heard::Answered(Err(AppendError::Conflict { last: Some(last) }));
            }
        }
        self.held.push(append.clone());
        Heard::Swallowed
    }

    fn last_of(&self, subject: &Subject, end: u64) -> u64 {
        let kept = self.records.iter().rev().skip_while(|record| record.sequence > end);
        kept.clone().find(|record| record.subject == *subject).map_or(0, |record| record.sequence)
    }

    /// Keeps a snapshot in place of an older one.
    pub fn keep(&mut self, snapshot: Snapshot) {
        if self.snapshot.as_ref().is_none_or(|kept| kept.sequence < snapshot.sequence) {
            self.snapshot = Some(snapshot);
        }
    }
}
