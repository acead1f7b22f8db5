//! Reading what is in memory, in order, then live: with the same findings as on a real log.

use futures::stream::{self, BoxStream, StreamExt};
use squall_proto::vocabulary::id::LogId;
use tokio::sync::watch;

use super::super::{Damage, TailEvent};
use super::{Memory, State, after};

/// Which stream is read.
pub(super) enum Which {
    Log { log_id: LogId },
    Evidence,
}

/// A reader at work.
pub(super) struct Tail {
    memory: Memory,
    which: Which,
    read: u64,
    changed: watch::Receiver<u64>,
    told_end: Option<u64>,
    over: bool,
}

impl Tail {
    pub(super) fn start(memory: Memory, which: Which, read: u64) -> BoxStream<'static, TailEvent> {
        let changed = memory.shared.changed.subscribe();
        let tail = Self { memory, which, read, changed, told_end: None, over: false };
        stream::unfold(tail, |mut tail| async move { Some((tail.next().await?, tail)) }).boxed()
    }

    async fn next(&mut self) -> Option<TailEvent> {
        while !self.over {
            if let Some(event) = self.step() {
                return Some(event);
            }
            // The sender lives in `self.memory`, so this ends only by a change.
            self.changed.changed().await.ok()?;
        }
        None
    }

    fn step(&mut self) -> Option<TailEvent> {
        let memory = self.memory.clone();
        let state = memory.state();
        self.changed.mark_unchanged();
        let event = match &self.which {
            Which::Log { log_id } => state.log_event(self.read, log_id),
            Which::Evidence => after(&state.evidence, self.read).cloned().map(TailEvent::Entry),
        };
        match &event {
            Some(TailEvent::Entry(entry)) => self.read = entry.sequence,
            Some(TailEvent::Damaged { .. }) => self.over = true,
            Some(TailEvent::CaughtUp { .. } | TailEvent::Unreadable { .. }) | None => {}
        }
        if event.is_some() || self.told_end == Some(self.read) {
            return event;
        }
        self.told_end = Some(self.read);
        Some(TailEvent::CaughtUp { last_sequence: self.read })
    }
}

impl State {
    fn log_event(&self, read: u64, log_id: &LogId) -> Option<TailEvent> {
        let damage = |why| Some(TailEvent::Damaged { why });
        if self.log_id != *log_id {
            let (expected, found) = (log_id.to_string(), self.log_id.to_string());
            return damage(Damage::Recreated { expected, found });
        }
        if self.last_sequence() < read {
            return damage(Damage::Truncated { last: self.last_sequence(), read });
        }
        if read > 0 && self.expired > read {
            let first = after(&self.log, self.expired).map_or(self.expired + 1, |e| e.sequence);
            return damage(Damage::Expired { expected: read + 1, first });
        }
        let next = after(&self.log, read.max(self.expired)).cloned();
        let found = next.as_ref().map_or(self.last_sequence() + 1, |entry| entry.sequence);
        if read > 0 && found > read + 1 {
            return damage(Damage::Gap { expected: read + 1, found });
        }
        next.map(TailEvent::Entry)
    }
}
