//! What a plan means for the sessions: which are live, which ended, and what the data plane is to arm.

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::plan::{Ending, Plan, PlanSession, PlanVersion};
use squall_proto::vocabulary::time::BootNanos;

use super::pace::GAP_SPREAD;
use super::phi::Phi;
use super::port::{Plane, TakesPart};
use super::session::{Gate, Session};
use super::versions::{Change, Step};
use super::{Link, Output};
use crate::plan::ActiveSession;

/// Most sessions kept, ended ones included. Far more than one process can serve; the rest stays without chaos here.
const SESSIONS_MAX: usize = 1024;

impl Link {
    pub(super) fn plan_broadcast(&mut self, plan: Plan, plane: &mut impl Plane) {
        match self.versions.broadcast(plan) {
            Step::Apply(change) => {
                self.apply(change, self.now);
                self.apply_early();
            }
            Step::NewLog(log) => self.new_log(log, plane),
            Step::Gap | Step::Again | Step::Page(_) => self.sync_within(GAP_SPREAD),
            Step::Nothing => {}
        }
    }

    pub(super) fn beat(&mut self, version: PlanVersion, plane: &mut impl Plane) {
        match self.versions.beat(version) {
            Step::NewLog(log) => self.new_log(log, plane),
            Step::Gap => self.sync_within(GAP_SPREAD),
            Step::Again | Step::Page(_) | Step::Apply(_) | Step::Nothing => {}
        }
    }

    pub(super) fn apply_early(&mut self) {
        while let Some(change) = self.versions.next_early() {
            self.apply(change, self.now);
        }
    }

    /// Applies a change that was said at `said` at the earliest: times in it count from there.
    pub(super) fn apply(&mut self, change: Change, said: BootNanos) {
        let Change { whole, sequence, live, ended } = change;
        if whole {
            let listed = |key: &SessionKey| live.iter().any(|session| session.key == *key);
            let gone = self.sessions.iter().filter(|(key, _)| !listed(key));
            for key in gone.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                self.leave(&key);
            }
        }
        for session in live {
            self.enter(session, sequence, said, whole);
        }
        for (key, ending) in ended {
            self.leave(&key);
            if let Ending::Aborted(epoch) = ending {
                self.abort(&key, epoch);
            }
        }
        if whole {
            self.contact.regained = false;
        }
        self.plan_changed = true;
        self.lease.unblocked(self.now);
    }

    fn enter(&mut self, plan: PlanSession, sequence: u64, said: BootNanos, whole: bool) {
        if !self.sessions.contains_key(&plan.key) && self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        let (now, regained, last_req_no) =
            (self.now, whole && self.contact.regained, self.forgotten_req_no);
        let key = plan.key.clone();
        let session =
            self.sessions.entry(key.clone()).or_insert_with(|| Session::new(last_req_no, now));
        if session.paused_until.is_some_and(|until| sequence >= until) {
            session.paused_until = None;
        }
        session.ends_at = session.ends_at.min(said.plus(plan.remaining));
        // Demand starts again when the session is new here, is resumed, or contact is regained.
        let resumed = session.plan.as_ref().is_none_or(|old| !old.running) && plan.running;
        if regained {
            session.phi = Phi::new(plan.phi0, now);
        } else if resumed {
            session.phi = Phi::new(plan.phi0, BootNanos(now.0.saturating_sub(nanos(plan.age))));
        }
        if plan.dry && (regained || resumed) {
            session.phi.dry(now, &mut self.random);
        }
        session.left_at = None;
        session.plan = Some(plan);
    }

    fn leave(&mut self, key: &SessionKey) {
        let now = self.now;
        if let Some(session) = self.sessions.get_mut(key) {
            session.plan = None;
            session.left_at.get_or_insert(now);
        }
    }

    /// Brings the data plane in line with what every session may do: stops first, then the plan, then what resumes.
    pub(super) fn settle_gates(&mut self, plane: &mut impl Plane) {
        let gates: Vec<(SessionKey, Gate)> = self
            .sessions
            .iter()
            .map(|(key, session)| (key.clone(), self.gate(key, session)))
            .filter(|(key, gate)| self.sessions[key].gate != *gate)
            .collect();
        if gates.is_empty() && !self.plan_changed {
            return;
        }
        for (key, gate) in &gates {
            match gate {
                Gate::Stopped => plane.stop(key),
                Gate::Paused => plane.pause(key, true),
                Gate::Open | Gate::Ended => {}
            }
            if let Some(session) = self.sessions.get_mut(key) {
                session.gate = *gate;
            }
        }
        self.install(plane);
        for (key, _) in gates.iter().filter(|(_, gate)| *gate == Gate::Open) {
            plane.pause(key, false);
        }
        if gates.iter().any(|(_, gate)| *gate == Gate::Stopped) {
            self.outputs.push_back(Output::WakeDelays);
        }
    }

    fn install(&mut self, plane: &mut impl Plane) {
        let active: Vec<ActiveSession> = self
            .sessions
            .values()
            .filter(|session| matches!(session.gate, Gate::Open | Gate::Paused))
            .filter_map(|session| {
                let mut active = ActiveSession::from(session.plan.as_ref()?);
                active.running = session.gate == Gate::Open;
                Some(active)
            })
            .collect();
        let TakesPart { sessions, unarmed } = plane.install(&active);
        self.unarmed = unarmed;
        for (key, session) in &mut self.sessions {
            session.takes_part = sessions.contains(key);
            if session.gate != Gate::Ended {
                plane.end_by(key, session.ends_at);
            }
        }
        self.plan_changed = false;
        self.outputs.push_back(Output::PlanChanged);
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}
