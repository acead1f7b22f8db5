//! The fold of a session's subject. It is total: what doesn't fit turns the session into `LogDamaged`.

use std::collections::BTreeSet;

use squall_proto::vocabulary::id::Holder;

use super::stop::Stop;
use super::{Phase, Session, Stamp};
use crate::event::{DrainReason, Ending, Event, Hash, Record};
use crate::lever::Engaged;

impl Session {
    /// Folds a record of the session's subject.
    pub fn evolve(&mut self, sequence: u64, record: &Record<Event>, hash: Hash) {
        if record.previous != self.head {
            let why = format!("record {sequence} follows a record that is not the newest one");
            self.damaged(sequence, why);
        }
        self.revision = sequence;
        self.head = hash;
        for recorded in &record.events {
            if let Some(command) = &recorded.command {
                self.commands.note(command);
            }
            let by = recorded.command.as_ref().map(|command| command.actor.clone());
            self.apply(&recorded.event, Stamp { sequence, at: record.at, by }, record);
        }
        if self.ledger.totals() != record.totals {
            let why = format!("record {sequence} has other totals than the records before it give");
            self.damaged(sequence, why);
        }
    }

    /// Folds events that are not in the log yet, so that the next request of the same append is decided on what they leave.
    pub fn preview(&mut self, record: &Record<Event>) {
        for recorded in &record.events {
            if let Some(command) = &recorded.command {
                self.commands.note(command);
            }
            let stamp = Stamp { sequence: self.revision, at: record.at, by: None };
            self.apply(&recorded.event, stamp, record);
        }
    }

    fn apply(&mut self, event: &Event, stamp: Stamp, record: &Record<Event>) {
        let sequence = stamp.sequence;
        if !self.allows(event) {
            let why = format!("{} while the session was {}", event.kind(), self.phase.name());
            self.damaged(sequence, why);
        }
        match event {
            Event::Created { .. } => {
                if self.created.sequence != sequence {
                    self.damaged(sequence, "the session was created twice".to_owned());
                }
            }
            Event::Started { .. } => {
                self.active_since = Some(stamp.at);
                self.started = Some(stamp);
                self.enter(Phase::Running);
            }
            Event::Paused => self.enter(Phase::Paused),
            Event::Resumed => {
                self.active_since = Some(stamp.at);
                self.enter(Phase::Running);
            }
            Event::DrainBegan { why } => {
                self.draining = Some((stamp, *why));
                self.enter(Phase::Draining);
            }
            Event::Ended { how } => {
                self.ended = Some((stamp, *how));
                self.enter(match how {
                    Ending::Completed | Ending::Expired => Phase::Completed,
                    Ending::Exhausted => Phase::Exhausted,
                });
            }
            Event::ScopeBound { scope } => {
                if self.bound.replace(scope.clone()).is_some_and(|before| before != *scope) {
                    self.damaged(sequence, "the blast radius was bound twice".to_owned());
                }
            }
            Event::GrantIssued { holder, req_no, permits, scope, agent, trace } => {
                let fits =
                    self.ledger.issue(holder, *req_no, *permits, scope, agent, trace.as_ref());
                self.fits(sequence, fits);
                if let Some(stop) = &mut self.stop {
                    stop.holders.insert(holder.clone());
                }
            }
            Event::GrantClosed { holder, req_no, used } => {
                let fits = self.ledger.close(holder, *req_no, *used);
                self.fits(sequence, fits);
            }
            Event::Aborted { reason, cause } => {
                let held = self.holders();
                self.stop.get_or_insert_with(|| Stop::new(stamp.sequence, held)).aborted(
                    stamp,
                    record.append,
                    reason.clone(),
                    *cause,
                );
                self.enter(Phase::Aborted);
            }
            Event::InertConfirmed { holder, used, last_injection_ago } => {
                if let Some(stop) = &mut self.stop {
                    stop.confirmed(holder.clone(), stamp.at, *used, *last_injection_ago);
                }
            }
            Event::StopProven { by, out_of_contact } => {
                if let Some(stop) = &mut self.stop {
                    stop.prove(stamp.at, *by, out_of_contact.clone());
                }
            }
            Event::GuardTripped { failed_downstream, .. } => {
                self.guard_tripped.get_or_insert(*failed_downstream);
            }
            Event::LogDamaged { why } => self.damaged(sequence, why.clone()),
        }
    }

    /// Whether the state before it allows an event. Compare-and-swap orders a session's own subject, so that each event
    /// was decided on exactly this state; only a lever stands on another subject, and what was decided before its halt
    /// was known may lie behind it.
    fn allows(&self, event: &Event) -> bool {
        let fits = match event {
            Event::Started { .. } | Event::Ended { how: Ending::Expired } => {
                self.phase == Phase::Draft
            }
            Event::Paused | Event::ScopeBound { .. } | Event::GrantIssued { .. } => {
                self.phase == Phase::Running
            }
            Event::Ended { how: Ending::Exhausted } => {
                self.phase == Phase::Running || self.drains_for(DrainReason::Budget)
            }
            Event::Resumed => self.phase == Phase::Paused,
            Event::DrainBegan { .. } => matches!(self.phase, Phase::Running | Phase::Paused),
            Event::Ended { how: Ending::Completed } => self.phase == Phase::Draining,
            Event::GuardTripped { .. } => self.phase.is_live(),
            Event::InertConfirmed { .. } | Event::StopProven { .. } => self.stop.is_some(),
            Event::Created { .. }
            | Event::GrantClosed { .. }
            | Event::Aborted { .. }
            | Event::LogDamaged { .. } => true,
        };
        fits || self.abort_to_record().is_some() || self.phase == Phase::LogDamaged
    }

    /// A terminal phase is never left, but for `LogDamaged`.
    fn enter(&mut self, phase: Phase) {
        if !self.phase.is_terminal() {
            self.phase = phase;
        }
    }

    fn fits(&mut self, sequence: u64, result: Result<(), String>) {
        if let Err(why) = result {
            self.damaged(sequence, why);
        }
    }

    /// The log can't be trusted, as the entry at `sequence` shows: the session is over, whatever it was.
    pub(crate) fn damaged(&mut self, sequence: u64, why: String) {
        let held = self.holders();
        self.stop.get_or_insert_with(|| Stop::new(sequence, held));
        self.phase = Phase::LogDamaged;
        self.damage.get_or_insert(why);
    }

    /// A lever is engaged while the session is live: it is halted for good, before anything records it.
    pub(crate) fn halt(&mut self, lever: &Engaged) {
        let held = self.holders();
        self.stop.get_or_insert_with(|| Stop::by_lever(lever, held));
        self.enter(Phase::Aborted);
    }

    fn holders(&self) -> BTreeSet<Holder> {
        self.ledger.open_grants().map(|(holder, _)| holder.clone()).collect()
    }
}
