//! What shims hear of the log: whole plans, and what changed in them.

use std::sync::Arc;
use std::time::Duration;

use squall_domain::session::{Phase, Session};
use squall_domain::world::{Applied, World};
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::message::Command;
use squall_proto::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};

use crate::cast::log_id;

/// What a tenant's shims hear of an entry that changed their plan.
pub(super) fn deltas(world: &World, applied: &Applied, before: &World) -> Vec<(TenantId, Command)> {
    let delta = |tenant: &TenantId| {
        let keys = applied.sessions.iter();
        let plan = plan(world, tenant, keys, Some(before.plan_version(tenant)), 0);
        (tenant.clone(), Command::Plan(plan))
    };
    applied.plan_changed.iter().map(delta).collect()
}

/// The whole plan of a tenant.
#[must_use]
pub fn whole_plan(world: &World, tenant: &TenantId, page: u32) -> Plan {
    let wanted = |session: &&Session| {
        let open_stop = session.stop.as_ref().is_some_and(|stop| stop.proof.is_none());
        session.covers(tenant) && (session.phase.is_live() || open_stop)
    };
    let keys: Vec<&SessionKey> =
        world.sessions().filter(wanted).map(|session| &session.key).collect();
    plan(world, tenant, keys.into_iter(), None, page)
}

fn plan<'a>(
    world: &World,
    tenant: &TenantId,
    keys: impl Iterator<Item = &'a SessionKey>,
    previous: Option<u64>,
    page: u32,
) -> Plan {
    let (mut live, mut ended) = (Vec::new(), Vec::new());
    for session in keys.filter_map(|key| world.session(key)).filter(|s| s.covers(tenant)) {
        match session.phase {
            Phase::Running | Phase::Paused => live.push(PlanSession {
                key: session.key.clone(),
                spec: Arc::clone(&session.spec),
                seed: session.seed,
                running: session.phase == Phase::Running,
                age: Duration::ZERO,
                remaining: session.spec.safety.max_duration,
                phi0: 1.0,
                dry: false,
            }),
            Phase::Draining | Phase::Completed | Phase::Exhausted => {
                ended.push((session.key.clone(), Ending::Ended));
            }
            Phase::Aborted | Phase::LogDamaged => {
                let epoch = session.stop.as_ref().map(|stop| AbortEpoch::Logged(stop.epoch));
                ended.extend(epoch.map(|epoch| (session.key.clone(), Ending::Aborted(epoch))));
            }
            Phase::Draft => {}
        }
    }
    let version = PlanVersion { log: log_id(), sequence: world.plan_version(tenant) };
    Plan { version, previous, page, pages: 1, live, ended }
}
