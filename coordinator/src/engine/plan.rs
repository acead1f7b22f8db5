//! Plans: what the shims of a tenant have to know, as a level with a version.

use squall_domain::session::{Phase, Session};
use squall_domain::world::Applied;
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::limits::PLAN_BYTES_MAX;
use squall_proto::vocabulary::message::Command;
use squall_proto::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};

use super::{Engine, Lane, Now};

/// Bytes that a session takes in a plan beside its specification: keys, numbers, and protobuf's framing.
const SESSION_OVERHEAD_BYTES: usize = 512;

/// How a session stands in a plan.
enum Standing {
    Live(Box<PlanSession>),
    Ended(SessionKey, Ending),
    Absent,
}

impl Engine {
    pub(super) fn plan_version(&self, tenant: &TenantId) -> PlanVersion {
        PlanVersion { log: self.identity.log.clone(), sequence: self.world.plan_version(tenant) }
    }

    /// Sends each tenant what changed in its plan. One replica sends everything of one sequence: two deltas with the same
    /// version would hide each other.
    pub(super) fn publish_deltas(&mut self, now: Now, applied: &Applied) {
        for tenant in &applied.plan_changed {
            let (live, ended) = self.standings(now, tenant, applied.sessions.iter());
            let previous = self.fleet.announced(tenant);
            let version = self.plan_version(tenant);
            let plan = Plan { version, previous: Some(previous), page: 0, pages: 1, live, ended };
            self.tell(tenant.clone(), Lane::Bulk, Command::Plan(plan));
        }
    }

    /// Every replica notes what was announced, so that each can send the next delta.
    pub(super) fn announced(&mut self, applied: &Applied) {
        for tenant in &applied.plan_changed {
            let version = self.world.plan_version(tenant);
            self.fleet.announce(tenant.clone(), version);
        }
    }

    fn standings<'a>(
        &self,
        now: Now,
        tenant: &TenantId,
        keys: impl Iterator<Item = &'a SessionKey>,
    ) -> (Vec<PlanSession>, Vec<(SessionKey, Ending)>) {
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for session in
            keys.filter_map(|key| self.world.session(key)).filter(|session| session.covers(tenant))
        {
            match self.standing(now, session) {
                Standing::Live(session) => live.push(*session),
                Standing::Ended(key, ending) => ended.push((key, ending)),
                Standing::Absent => {}
            }
        }
        (live, ended)
    }

    fn standing(&self, now: Now, session: &Session) -> Standing {
        match session.phase {
            Phase::Running | Phase::Paused => {
                Standing::Live(Box::new(self.plan_session(now, session)))
            }
            Phase::Draining | Phase::Completed | Phase::Exhausted => {
                Standing::Ended(session.key.clone(), Ending::Ended)
            }
            Phase::Aborted | Phase::LogDamaged => match &session.stop {
                Some(stop) => Standing::Ended(
                    session.key.clone(),
                    Ending::Aborted(AbortEpoch::Logged(stop.epoch)),
                ),
                None => Standing::Absent,
            },
            Phase::Draft => Standing::Absent,
        }
    }

    fn plan_session(&self, now: Now, session: &Session) -> PlanSession {
        let started = session.started.as_ref().map_or(now.wall, |stamp| stamp.at);
        PlanSession {
            key: session.key.clone(),
            spec: std::sync::Arc::clone(&session.spec),
            seed: session.seed,
            running: session.phase == Phase::Running,
            age: session.active_since.map(|since| now.wall.since(since)).unwrap_or_default(),
            remaining: session.spec.safety.max_duration.saturating_sub(now.wall.since(started)),
            phi0: self.fleet.phi0(session),
            dry: session.ledger.available() == 0,
        }
    }

    /// One page of the tenant's whole plan: everything that is live, and stops that are not proven yet. Who asks for a page
    /// that the plan no longer has gets the first, and so starts over; a page beyond the last is one that nobody reads.
    pub(super) fn whole_plan(&self, now: Now, tenant: &TenantId, page: u32) -> Plan {
        let wanted = |session: &&squall_domain::session::Session| {
            let open_stop = session.stop.as_ref().is_some_and(|stop| stop.proof.is_none());
            session.covers(tenant) && (session.phase.is_live() || open_stop)
        };
        let keys: Vec<&SessionKey> =
            self.world.sessions().filter(wanted).map(|session| &session.key).collect();
        let pages = self.paged(&keys);
        let page = if (page as usize) < pages.len() { page } else { 0 };
        let keys = pages.get(page as usize).map(Vec::as_slice).unwrap_or_default();
        let (live, ended) = self.standings(now, tenant, keys.iter().copied());
        Plan {
            version: self.plan_version(tenant),
            previous: None,
            page,
            pages: u32::try_from(pages.len().max(1)).unwrap_or(u32::MAX),
            live,
            ended,
        }
    }

    /// Cuts the sessions into pages of at most [`PLAN_BYTES_MAX`]. JSON is larger than the wire format, so that the
    /// estimate is on the safe side.
    fn paged<'a>(&self, keys: &[&'a SessionKey]) -> Vec<Vec<&'a SessionKey>> {
        let mut pages: Vec<Vec<&SessionKey>> = Vec::new();
        let mut room = 0;
        for key in keys {
            let spec =
                self.world.session(key).and_then(|session| serde_json::to_vec(&*session.spec).ok());
            let bytes = spec.map_or(0, |spec| spec.len()) + SESSION_OVERHEAD_BYTES;
            if pages.is_empty() || bytes > room {
                pages.push(Vec::new());
                room = PLAN_BYTES_MAX;
            }
            room = room.saturating_sub(bytes);
            if let Some(page) = pages.last_mut() {
                page.push(key);
            }
        }
        pages
    }
}
