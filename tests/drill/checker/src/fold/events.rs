//! What each event of a session does to it, and what the state before it must have been.

use std::collections::BTreeSet;

use super::{Internal, Phase, Session};
use crate::ledger::Kept;
use crate::log::{Event, Holder, Record};
use crate::verdict::{Rule, Violations};

impl Session {
    /// Whether a lever halted it and its own subject doesn't say so yet: what was decided before may lie there.
    fn is_halted_unrecorded(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| !stop.recorded)
    }

    pub(super) fn apply(
        &mut self,
        record: &Record,
        by_client: bool,
        event: &Event,
        at: &str,
        wrong: &mut Violations,
    ) {
        let phase = self.phase;
        let excused = self.is_halted_unrecorded();
        let mut needs = |holds: bool, rule: Rule| {
            wrong.require(holds || excused, rule, || {
                format!("{at}: {event:?} while the session was {}", phase.name())
            });
        };
        match event {
            Event::Created(_) => {}
            Event::Started => {
                needs(phase == Phase::Draft, Rule::Log);
                self.started_ns = Some(record.wall_ns);
                self.enter(record, by_client, Phase::Running);
            }
            Event::Paused => {
                needs(phase == Phase::Running, Rule::Log);
                self.enter(record, by_client, Phase::Paused);
            }
            Event::Resumed => {
                needs(phase == Phase::Paused, Rule::Log);
                self.enter(record, by_client, Phase::Running);
            }
            Event::DrainBegan => {
                needs(matches!(phase, Phase::Running | Phase::Paused), Rule::Log);
                self.enter(record, by_client, Phase::Draining);
            }
            Event::Ended(how) => {
                let to = if *how == 2 { Phase::Exhausted } else { Phase::Completed };
                needs(
                    matches!(
                        (*how, phase),
                        (1, Phase::Draining)
                            | (2, Phase::Running | Phase::Draining)
                            | (3, Phase::Draft)
                    ),
                    Rule::Log,
                );
                let exhausted = *how != 2 || self.ledger.spent() == self.spec.budget;
                needs(exhausted, Rule::Log);
                self.ended_ns.get_or_insert(record.wall_ns);
                self.enter(record, by_client, to);
            }
            Event::ScopeBound { tenant, scope } => {
                needs(phase == Phase::Running, Rule::Log);
                let scope = (tenant.clone(), scope.clone());
                let before = self.bound.replace(scope.clone());
                needs(before.is_none_or(|before| before == scope), Rule::I5);
            }
            Event::Issued(grant) => {
                needs(phase == Phase::Running, Rule::I4);
                if let Some(stop) = &mut self.stop {
                    stop.holders.insert(grant.holder.clone());
                }
                let (wall_ns, sequence) = (record.wall_ns, record.sequence);
                let grant = grant.clone();
                let kept = Kept { grant, wall_ns, sequence, used: None, behind_a_halt: excused };
                self.ledger.issue(kept, &self.spec, at, wrong);
            }
            Event::Closed { holder, req_no, used } => {
                self.ledger.close(holder, *req_no, *used, at, wrong);
            }
            Event::Aborted { cause, lever } => {
                // A lever's abort is only the record of what the lever did.
                needs(*cause != 2 || self.stop.is_some(), Rule::Log);
                needs(*cause == 2 || *lever == 0, Rule::Log);
                self.stopped(record.wall_ns, true);
                self.enter(record, by_client, Phase::Aborted);
            }
            Event::Inert { holder } => {
                needs(self.stop.is_some(), Rule::Log);
                if let Some(stop) = &mut self.stop {
                    stop.confirmed.insert(holder.clone());
                }
            }
            Event::Proven { by, out_of_contact } => {
                self.prove(record, *by, out_of_contact, at, wrong);
            }
            Event::GuardTripped => needs(phase.is_live(), Rule::Log),
            Event::LogDamaged(why) => {
                wrong.add(Rule::Log, format!("{at}: the coordinator says of the log: {why}"));
            }
        }
    }

    /// A terminal phase is never left.
    fn enter(&mut self, record: &Record, by_client: bool, to: Phase) {
        if self.phase.is_terminal() {
            return;
        }
        self.phase = to;
        if !by_client {
            self.internals.push(Internal { wall_ns: record.wall_ns, to });
        }
    }

    fn prove(
        &mut self,
        record: &Record,
        by: u32,
        out_of_contact: &[Holder],
        at: &str,
        wrong: &mut Violations,
    ) {
        let Some(stop) = &self.stop else {
            return wrong.add(Rule::Proof, format!("{at}: a proof of no stop"));
        };
        let missing: BTreeSet<Holder> = stop.holders.difference(&stop.confirmed).cloned().collect();
        let said: BTreeSet<Holder> = out_of_contact.iter().cloned().collect();
        let lease_is_over = record.wall_ns >= stop.wall_ns + crate::constant::LEASE_NS;
        wrong.require(stop.recorded, Rule::Proof, || {
            format!("{at}: proven before its stop is recorded")
        });
        wrong.require(by == 2 || missing.is_empty(), Rule::Proof, || {
            format!("{at}: proven by confirmations that these lack: {missing:?}")
        });
        wrong.require(by != 2 || lease_is_over, Rule::Proof, || {
            format!("{at}: proven by time before a lease was over")
        });
        wrong.require(missing == said, Rule::Proof, || {
            format!("{at}: {missing:?} didn't confirm, and it says {said:?}")
        });
        self.proven_ns.get_or_insert(record.wall_ns);
    }
}
