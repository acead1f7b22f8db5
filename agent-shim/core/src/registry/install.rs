//! From a plan to armed sites.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::site::Obstacle;

use super::{Registry, State};
use crate::limits::{LEFT_MAX, RULES_MAX, SESSIONS_MAX};
use crate::live::Live;
use crate::plan::{ActiveSession, Installed, Unarmed, WhyUnarmed};
use crate::policy::Policy;
use crate::shared::Shared;
use crate::site::Site;

impl Registry {
    /// Makes `sessions` the plan: arms and disarms every site. Sessions that are gone stay known, with their wallets
    /// (no permit burns any more) and counters, until [`Registry::forget`].
    pub fn install(&self, sessions: &[ActiveSession]) -> Installed {
        let mut installed = Installed::default();
        let Some(mut state) = self.write() else { return installed };
        let mut running = Vec::new();
        for session in sessions {
            match admit(session, &self.shared, installed.live.len()) {
                Ok(()) => {
                    let live = state.enter(session, &self.shared);
                    live.wallet().pause(!session.running);
                    if session.running {
                        running.push(Arc::clone(&live));
                    }
                    installed.live.push(live);
                }
                Err(why) => installed.unarmed.push(whole(&session.key, why)),
            }
        }
        state.leave_all_but(&installed.live);
        state.running = running;
        self.arm_sites(&state, &mut installed.unarmed);
        installed
    }

    /// Forgets a session that left the plan: its counters are reported and its permits closed.
    pub fn forget(&self, key: &SessionKey) {
        let Some(mut state) = self.write() else { return };
        if let Some(at) = state.left.iter().position(|left| left == key) {
            state.left.remove(at);
            state.known.remove(key);
        }
    }

    /// The owner's kill switch: disarms every site and stops every session, for good.
    pub fn kill(&self) {
        self.shared.killed.store(true, Ordering::SeqCst);
        // In a copy of the process no permit burns anyway.
        let Some(mut state) = self.write().filter(|_| self.shared.is_ours()) else { return };
        state.known.values().for_each(|live| live.wallet().stop());
        state.running.clear();
        self.arm_sites(&state, &mut Vec::new());
        drop(state);
        self.shared.wake();
    }

    fn arm_sites(&self, state: &State, unarmed: &mut Vec<Unarmed>) {
        let shared = &self.shared;
        let running = u32::try_from(state.running.len()).unwrap_or(u32::MAX);
        shared.sessions_running.store(running, Ordering::Relaxed);
        shared.traces.follow(state.running.clone());
        for live in &state.running {
            unarmed.extend(refused_by_owner(live, &shared.policy));
        }
        for site in state.all_sites() {
            arm(site, &state.running, &shared.policy, unarmed);
        }
    }
}

impl State {
    /// The session as it lives here: the one that is known, unless it became another one.
    fn enter(&mut self, session: &ActiveSession, shared: &Arc<Shared>) -> Arc<Live> {
        self.left.retain(|left| *left != session.key);
        if let Some(live) = self.known.get(&session.key) {
            if live.is(session) {
                return Arc::clone(live);
            }
            live.wallet().stop();
        }
        let live = Live::new(session, shared);
        self.known.insert(session.key.clone(), Arc::clone(&live));
        live
    }

    fn leave_all_but(&mut self, staying: &[Arc<Live>]) {
        for (key, live) in &self.known {
            let stays = staying.iter().any(|other| Arc::ptr_eq(live, other));
            if !stays && !self.left.contains(key) {
                live.wallet().stop();
                self.left.push_back(key.clone());
            }
        }
        while self.left.len() > LEFT_MAX {
            let is_quiet =
                |key| self.known.get(key).is_none_or(|live| live.wallet().running() == 0);
            let quiet = self.left.iter().position(is_quiet);
            let Some(oldest) = quiet.and_then(|at| self.left.remove(at)) else { break };
            self.known.remove(&oldest);
        }
    }
}

fn admit(session: &ActiveSession, shared: &Shared, admitted: usize) -> Result<(), WhyUnarmed> {
    if !shared.policy.enabled || shared.killed.load(Ordering::SeqCst) {
        return Err(WhyUnarmed::Off);
    }
    shared.policy.allowance().admits(&session.spec.target).map_err(WhyUnarmed::Obstacle)?;
    if admitted >= SESSIONS_MAX { Err(WhyUnarmed::Sessions) } else { Ok(()) }
}

/// Arms one site with every experiment that may and can be applied there.
pub(super) fn arm(site: &Site, running: &[Arc<Live>], policy: &Policy, unarmed: &mut Vec<Unarmed>) {
    let mut wanted = Vec::new();
    for live in running {
        for (index, experiment) in live.spec().experiments.iter().enumerate() {
            if policy.allowance().lets(&experiment.fault).is_err() {
                continue;
            }
            match site.place().fits(live.spec(), experiment) {
                Ok(()) if wanted.len() < RULES_MAX => wanted.push((Arc::clone(live), index)),
                Ok(()) => note(unarmed, site, live, index, WhyUnarmed::Rules),
                Err(Obstacle::Agent | Obstacle::Tool) => {}
                Err(
                    why @ (Obstacle::Environment
                    | Obstacle::Kind(_)
                    | Obstacle::Delay { .. }
                    | Obstacle::Seam(_)
                    | Obstacle::NoTrace),
                ) => note(unarmed, site, live, index, WhyUnarmed::Obstacle(why)),
            }
        }
    }
    site.arm(&wanted);
}

fn refused_by_owner(live: &Live, policy: &Policy) -> Vec<Unarmed> {
    let refused = live.spec().experiments.iter().filter_map(|experiment| {
        let why = policy.allowance().lets(&experiment.fault).map_err(WhyUnarmed::Obstacle).err()?;
        let experiment = Some(experiment.name.clone());
        Some(Unarmed { session: live.key().clone(), experiment, seam: None, why })
    });
    refused.collect()
}

/// Notes a refusal once for each seam, not for each site.
fn note(unarmed: &mut Vec<Unarmed>, site: &Site, live: &Live, index: usize, why: WhyUnarmed) {
    let refusal = Unarmed {
        session: live.key().clone(),
        experiment: Some(live.experiment(index).name.clone()),
        seam: Some(site.seam().name.clone()),
        why,
    };
    if !unarmed.contains(&refusal) {
        unarmed.push(refusal);
    }
}

fn whole(session: &SessionKey, why: WhyUnarmed) -> Unarmed {
    Unarmed { session: session.clone(), experiment: None, seam: None, why }
}
