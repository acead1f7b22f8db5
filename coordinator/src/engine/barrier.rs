//! Freshness and catching up: what a replica can know of a log that other replicas write to.
//!
//! Reads prove nothing: a deposed leader answers them. Only a write of one's own, acknowledged without error and without
//! `duplicate`, shows that at its first send this replica's fold (once it has applied all up to that write) was current.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::time::BootNanos;

use super::desk::Place;
use super::{AppendFailure, Engine, Now, Output, Write};

/// A barrier is written when no other own write qualified for this long.
const FRESH_EVERY: Duration = Duration::from_millis(500);
/// A barrier that was not answered for this long is given up, and the next one takes its place.
const GIVE_UP: Duration = Duration::from_secs(2);
/// A replica keeps itself fresh this long after it was last asked to be.
const WANTED_FOR: Duration = Duration::from_secs(10);
/// A log that answers no write for longer takes none: a change of its leader takes 4 to 9 s (docs/nats.md).
const SILENT_MAX: Duration = Duration::from_secs(12);
/// What is known to silence a log that can still be read: a nats-server that can't write answers no publish until it restarts.
const SILENT_WHY: &str = "is a disk of the nats-servers full? after making room restart them: they take no writes before";

/// A point in the order of barriers: satisfied once a barrier sent after it was taken has been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need(u64);

#[derive(Clone, Copy, Debug)]
struct Barrier {
    number: u64,
    sent: BootNanos,
}

/// Own writes and what they show.
#[derive(Debug, Default)]
pub(super) struct Barriers {
    /// First sends of own writes that were not answered yet.
    sent: BTreeMap<AppendId, BootNanos>,
    /// Acknowledged writes that are not applied yet: by sequence, their first send.
    acknowledged: BTreeMap<u64, BootNanos>,
    barrier: Option<(AppendId, Barrier)>,
    /// The barrier that was acknowledged: its sequence and number.
    landed: Option<(u64, u64)>,
    next: u64,
    satisfied: u64,
    fresh: Option<BootNanos>,
    last_write: BootNanos,
    wanted: Option<BootNanos>,
    /// The first send since which no write was answered, where one waits for that.
    unanswered: Option<BootNanos>,
    /// It was told that the log takes no writes.
    told_silent: bool,
    applied: u64,
}

impl Barriers {
    /// An own write leaves; a repetition keeps the date of its first send.
    pub(super) fn sent(&mut self, append: AppendId, now: BootNanos) {
        self.sent.entry(append).or_insert(now);
        self.last_write = now;
        self.unanswered.get_or_insert(now);
    }

    /// For how long no write was answered, if that is longer than `least`, and what may be the matter.
    pub(super) fn silence(&self, now: BootNanos, least: Duration) -> Option<String> {
        let silent = now.since(self.unanswered?);
        (silent >= least).then(|| {
            format!("the log has answered no write for {} s; {SILENT_WHY}", silent.as_secs())
        })
    }

    /// The same once it is beyond what a change of leaders takes.
    pub(super) fn takes_no_writes(&self, now: BootNanos) -> Option<String> {
        self.silence(now, SILENT_MAX)
    }

    /// Everything up to `sequence` is applied.
    pub(super) fn applied(&mut self, _now: BootNanos, sequence: u64) {
        self.applied = sequence;
        let rest = self.acknowledged.split_off(&(sequence + 1));
        let passed = std::mem::replace(&mut self.acknowledged, rest);
        self.fresh = passed.into_values().chain(self.fresh).max();
        if let Some((landed, number)) = self.landed
            && landed <= sequence
        {
            self.satisfied = self.satisfied.max(number);
            self.landed = None;
        }
    }

    fn acknowledged(&mut self, append: AppendId, sequence: u64) {
        let first_sent = self.sent.remove(&append);
        if let Some((_, barrier)) = self.barrier.take_if(|(id, _)| *id == append) {
            self.landed = Some((sequence, barrier.number));
        }
        if let Some(first_sent) = first_sent {
            self.acknowledged.insert(sequence, first_sent);
        }
        self.applied(first_sent.unwrap_or_default(), self.applied);
    }

    fn failed(&mut self, append: AppendId) {
        self.sent.remove(&append);
        self.barrier.take_if(|(id, _)| *id == append);
    }

    /// Time since this replica's fold was certainly current; `None` if it never was.
    pub(super) fn fresh(&self) -> Option<BootNanos> {
        self.fresh
    }

    /// Something may only be answered after a barrier that is sent from now on.
    pub(super) fn need(&mut self) -> Need {
        Need(self.next + 1)
    }

    pub(super) fn met(&self, need: Need) -> bool {
        self.satisfied >= need.0
    }
}

impl Engine {
    /// The lease that can be given at `now`: TTL - (now - fresh); `None` if nothing is left of it.
    pub(super) fn remaining(&mut self, now: Now) -> Option<Duration> {
        self.barriers.wanted = Some(now.boot);
        let fresh = self.barriers.fresh()?;
        LEASE_TTL.checked_sub(now.boot.since(fresh)).filter(|left| !left.is_zero())
    }

    pub(super) fn appended(&mut self, now: Now, id: AppendId, result: Result<u64, AppendFailure>) {
        if !matches!(result, Err(AppendFailure::Unclear(_))) {
            self.barriers.unanswered = None;
        }
        match result {
            Ok(sequence) => {
                self.barriers.acknowledged(id, sequence);
                self.after_barriers(now);
                self.answer_reports(now);
            }
            Err(failure) => {
                self.barriers.failed(id);
                if let Some(place) = self.flights.remove(&id) {
                    self.grounded(now, &place, failure);
                }
            }
        }
    }

    /// Something waits for a barrier: it is sent now, or with the next tick after the one that is on its way.
    pub(super) fn send_barrier(&mut self, now: Now) {
        if self.barriers.barrier.is_some_and(|(_, barrier)| now.boot.since(barrier.sent) < GIVE_UP)
        {
            return;
        }
        self.barriers.next += 1;
        let (id, number) = (self.append_id(), self.barriers.next);
        self.barriers.barrier = Some((id, Barrier { number, sent: now.boot }));
        self.barriers.sent(id, now.boot);
        self.out(Output::Append(id, Write::Barrier));
    }

    /// Keeps the fold provably current while somebody may need a lease from it, and while something waits for a barrier.
    pub(super) fn stay_fresh(&mut self, now: Now) {
        let owns_live = self.world.sessions().any(|session| {
            session.phase.is_live() && self.owns(&Place::Session(session.key.clone()))
        });
        let wanted = self.barriers.wanted.is_some_and(|at| now.boot.since(at) < WANTED_FOR);
        let stale = now.boot.since(self.barriers.last_write) >= FRESH_EVERY;
        let silent = self.barriers.unanswered.is_some();
        if ((owns_live || wanted || silent) && stale) || self.somebody_waits_for_a_barrier() {
            self.send_barrier(now);
        }
    }

    /// Tells once that the log takes no writes, and once that it does again.
    pub(super) fn watch_writes(&mut self, now: Now) {
        let silence = self.barriers.takes_no_writes(now.boot);
        let was_told = std::mem::replace(&mut self.barriers.told_silent, silence.is_some());
        match silence {
            Some(why) if !was_told => tracing::error!("{why}"),
            None if was_told => tracing::info!("the log takes writes again"),
            Some(_) | None => {}
        }
    }
}
