//! Between replicas and the log: writes and their answers, the tails of the log and of the evidence, snapshots.

use std::rc::Rc;
use std::time::Duration;

use squall::engine::Input;
use squall::journal::{Append, AppendError, Appended};
use squall::replica::{snapshot, translation};
use squall_proto::subject::{Partition, Subject};
use squall_proto::wire;

use super::{Event, ForReplica, World};
use crate::clock::Moment;
use crate::log::{Heard, Reported};
use crate::scenario::{End, Way};

/// As in the settings of the JetStream journal.
pub(super) const APPEND_WITHIN: Duration = Duration::from_secs(3);
/// Time between two tries of a write that nobody listened to.
const AGAIN: Duration = Duration::from_millis(200);
/// Evidence that wasn't heard for so long can't be read.
const BLIND_AFTER: Duration = Duration::from_secs(12);
/// Least time between two snapshots of a replica.
const SNAPSHOT_TIME: Duration = Duration::from_secs(2);

impl World {
    /// To or from the log, on a connection that keeps its order but not its pace.
    pub(super) fn log_delay(&mut self) -> Duration {
        let micros = self.log_dice.within(60, 900);
        let late = if self.log_dice.chance(20) { self.log_dice.within(0, 60_000) } else { 0 };
        Duration::from_micros(micros + late)
    }

    pub(super) fn arrives(&mut self, from: usize, life: u32, append: Rc<Append>, first: Moment) {
        let time = self.log_host.wall(self.now);
        let end = self.log.end();
        match self.log.hear(from, &append, time, &mut self.log_dice) {
            Heard::Answered(result) => {
                self.stored_since(end);
                self.log_answers(from, life, &append, result);
            }
            Heard::Nobody if self.now.since(first) < APPEND_WITHIN => {
                self.after(AGAIN, Event::Arrives(from, life, append, first));
            }
            Heard::Nobody | Heard::Swallowed => {}
            Heard::Slow => {
                let time = Duration::from_millis(self.log_dice.within(20, 1_000));
                self.after(time, Event::Written(from, life, append));
            }
        }
    }

    pub(super) fn written(&mut self, from: usize, life: u32, append: &Append) {
        let (end, time) = (self.log.end(), self.log_host.wall(self.now));
        let result = self.log.written(append, time);
        self.stored_since(end);
        self.log_answers(from, life, append, result);
    }

    pub(super) fn log_answers(
        &mut self,
        to: usize,
        life: u32,
        append: &Append,
        result: Result<Appended, AppendError>,
    ) {
        if self.replicas[to].life != life || self.is_cut(End::Log(to), Way::In) {
            return;
        }
        // An answer gets lost with the connection that it was on.
        if self.stage == super::Stage::Trouble && self.log_dice.chance(self.weather().lost / 2) {
            return;
        }
        let Some(tries) = self.replicas[to].under_way.get(&append.id).copied() else { return };
        let delay = self.log_delay();
        self.send_replica(to, delay, ForReplica::Landed(append.id, tries, result));
    }

    /// What the log stored behind `end` is checked, and goes to whoever reads it.
    pub(super) fn stored_since(&mut self, end: u64) {
        let from = usize::try_from(end).unwrap_or(usize::MAX);
        let new: Vec<_> = self.log.records().get(from..).unwrap_or_default().to_vec();
        for record in &new {
            self.trace
                .line(self.now, format_args!("log stores {} {}", record.sequence, record.subject));
            self.book.stored(self.now, record);
            self.note_stored(&record.subject);
        }
        if !new.is_empty() {
            (0..self.replicas.len()).for_each(|at| self.kick_tail(at));
        }
    }

    pub(super) fn release(&mut self, held: &[Append]) {
        for append in held {
            let (end, time) = (self.log.end(), self.log_host.wall(self.now));
            let result = self.log.store(append, time);
            self.trace.line(self.now, format_args!("log gets a write late: {result:?}"));
            if result.is_ok_and(|appended| !appended.duplicate) {
                self.coverage.count("appends stored after their sender gave up");
            }
            self.stored_since(end);
        }
    }

    pub(super) fn kick_tail(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        if replica.engine.is_some() && !replica.tail_is_due {
            replica.tail_is_due = true;
            let delay = self.log_delay();
            self.send_replica(at, delay, ForReplica::Tail);
        }
    }

    pub(super) fn tail(&mut self, at: usize) {
        let cut = self.is_cut(End::Log(at), Way::In);
        let end = self.log.end_for(at);
        let replica = &mut self.replicas[at];
        replica.tail_is_due = false;
        let Some(engine) = replica.engine.as_ref().filter(|_| !cut) else { return };
        let applied = engine.world().applied;
        if applied < end {
            let next = usize::try_from(applied).expect("a run has few records");
            let input = translation::logged(&self.log.records()[next]);
            self.trace.line(self.now, format_args!("replica{at} reads {}", applied + 1));
            if applied + 1 < end {
                replica.tail_is_due = true;
                let micros = self.log_dice.within(5, 120);
                self.send_replica(at, Duration::from_micros(micros), ForReplica::Tail);
            }
            self.engine(at, input);
        }
        let replica = &mut self.replicas[at];
        let done = replica.engine.as_ref().is_some_and(|engine| engine.world().applied >= end);
        if done && !replica.caught_up {
            replica.caught_up = true;
            self.trace.line(self.now, format_args!("replica{at} caught up"));
            self.engine(at, Input::CaughtUp);
            self.kick_evidence(at);
        }
    }

    pub(super) fn reported(&mut self, reported: &Rc<Reported>) {
        self.log.evidence.push((**reported).clone());
        (0..self.replicas.len()).for_each(|at| self.kick_evidence(at));
    }

    pub(super) fn kick_evidence(&mut self, at: usize) {
        let ready = self.blind.is_empty();
        let replica = &mut self.replicas[at];
        if ready && replica.caught_up && !replica.evidence_is_due {
            replica.evidence_is_due = true;
            let delay = self.log_delay();
            self.send_replica(at, delay, ForReplica::EvidenceTail);
        }
    }

    pub(super) fn evidence_tail(&mut self, at: usize) {
        let cut = !self.blind.is_empty() || self.is_cut(End::Log(at), Way::In);
        let replica = &mut self.replicas[at];
        replica.evidence_is_due = false;
        if cut {
            return;
        }
        let next = usize::try_from(replica.evidence_at).expect("a run has little evidence");
        if let Some(reported) = self.log.evidence.get(next).cloned() {
            replica.evidence_at += 1;
            let sequence = replica.evidence_at;
            match wire::decode_evidence(&reported.bytes) {
                Ok(evidence) => {
                    let Reported { tenant, shim, bytes: _ } = reported;
                    self.trace
                        .line(self.now, format_args!("replica{at} evidence {sequence} of {shim}"));
                    let evidence = Box::new(evidence);
                    self.engine(at, Input::Evidence { sequence, tenant, shim, evidence });
                }
                Err(why) => self.book.violated("WIRE", format!("evidence can't be read: {why}")),
            }
            self.kick_evidence(at);
        } else if std::mem::take(&mut replica.is_blind) {
            self.engine(at, Input::EvidenceReadable);
        }
    }

    /// The stream of evidence is silent from now on; it is told of after a while.
    pub(super) fn goes_blind(&mut self) {
        for at in 0..self.replicas.len() {
            self.for_next(at, BLIND_AFTER, ForReplica::Blind);
        }
    }

    pub(super) fn blind_for_long(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        if self.blind.is_empty() || !replica.caught_up {
            return;
        }
        replica.is_blind = true;
        self.coverage.count("replicas without evidence");
        self.engine(
            at,
            Input::EvidenceUnreadable { why: "silence".to_owned(), silent: BLIND_AFTER },
        );
    }

    /// As the pump: the owner of the first partition keeps one for those that start later.
    pub(super) fn keep_snapshot(&mut self, at: usize) {
        let every = self.scenario.snapshot_every;
        let cut = self.is_cut(End::Log(at), Way::Out);
        let replica = &mut self.replicas[at];
        let Some(engine) = &replica.engine else { return };
        let (sequence, since) = replica.snapshot_at;
        let applied = engine.world().applied;
        let first = Partition::all().next().is_some_and(|first| engine.owns_partition(first));
        let due = engine.is_live() && first && applied >= sequence + every;
        if !due || cut || self.now.since(since) < SNAPSHOT_TIME {
            return;
        }
        replica.snapshot_at = (applied, self.now);
        match snapshot::of(engine.world(), engine.archive()) {
            Ok(snapshot) => {
                self.coverage.count("snapshots kept");
                self.log.keep(snapshot);
            }
            Err(error) => {
                self.book.violated("WIRE", format!("a snapshot can't be written: {error}"))
            }
        }
    }

    pub(super) fn note_sent(&mut self, subject: &Subject) {
        let Subject::SessionLog { session } = subject else { return };
        let number = self.session_number(session);
        if let Some(sent) = number.map(|number| &mut self.sent[number]) {
            *sent += 1;
        }
        self.trigger(false, number);
    }

    pub(super) fn note_stored(&mut self, subject: &Subject) {
        let Subject::SessionLog { session } = subject else { return };
        let number = self.session_number(session);
        if let Some(stored) = number.map(|number| &mut self.stored[number]) {
            *stored += 1;
        }
        self.trigger(true, number);
    }
}
