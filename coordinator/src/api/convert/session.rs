//! Sessions.

use squall_domain::evidence::Sums;
use squall_domain::session::{Phase, Session};
use squall_proto::vocabulary::time::UnixMillis;
use squall_proto::wire::v1;

use super::{stop, timestamp};
use crate::engine::SessionView;

/// A session as clients see it.
pub(crate) fn session(view: &SessionView) -> v1::Session {
    let SessionView { session, sums, outstanding, unread, replica, owner, .. } = view;
    let Sums { total, tenants, agents, other_agents, other_agents_count, traces, experiments: _ } =
        sums;
    v1::Session {
        name: session.key.to_string(),
        title: session.spec.title.clone(),
        spec: Some(session.spec.as_ref().into()),
        state: state(session.phase).into(),
        create_time: Some(timestamp(session.created.at)),
        start_time: session.started.as_ref().map(|stamp| timestamp(stamp.at)),
        end_time: ended_at(session).map(timestamp),
        deadline: session.deadline().map(|deadline| timestamp(deadline.at)),
        seed: session.seed,
        revision: session.revision,
        budget: Some(budget(session, *outstanding)),
        counts: Some((*total).into()),
        experiments: experiments(session, sums),
        tenants: tenants
            .iter()
            .map(|(tenant, counts)| v1::TenantCounts {
                tenant: tenant.to_string(),
                counts: Some((*counts).into()),
            })
            .collect(),
        agents: agents
            .iter()
            .map(|((tenant, agent), counts)| v1::AgentCounts {
                tenant: tenant.to_string(),
                agent: agent.to_string(),
                counts: Some((*counts).into()),
            })
            .collect(),
        other_agents: Some((*other_agents).into()),
        other_agents_count: *other_agents_count,
        traces: Some((*traces).into()),
        stop: Some(stop::stop(view)),
        damage: session.damage.clone().unwrap_or_default(),
        evidence_outage: unread.as_ref().map(|unread| v1::EvidenceOutage {
            since: Some(timestamp(unread.since)),
            why: unread.why.clone(),
        }),
        replica: replica.to_string(),
        owner: owner.to_string(),
    }
}

/// The state of a session.
pub(crate) const fn state(phase: Phase) -> v1::SessionState {
    match phase {
        Phase::Draft => v1::SessionState::Draft,
        Phase::Running => v1::SessionState::Running,
        Phase::Paused => v1::SessionState::Paused,
        Phase::Draining => v1::SessionState::Draining,
        Phase::Completed => v1::SessionState::Completed,
        Phase::Exhausted => v1::SessionState::Exhausted,
        Phase::Aborted => v1::SessionState::Aborted,
        Phase::LogDamaged => v1::SessionState::LogDamaged,
    }
}

fn ended_at(session: &Session) -> Option<UnixMillis> {
    let stopped = session.stop.as_ref().and_then(|stop| stop.record.as_ref());
    let ended = session.ended.as_ref().map(|(stamp, _)| stamp.at);
    ended.or_else(|| stopped.map(|record| record.stamp.at))
}

/// The permits of a session.
pub(super) fn budget(session: &Session, outstanding: u64) -> v1::Budget {
    let totals = session.ledger.totals();
    v1::Budget {
        budget: u64::from(session.ledger.budget()),
        issued: totals.issued,
        refunded: totals.refunded,
        available: session.ledger.available(),
        outstanding,
    }
}

/// Every experiment of the specification, also those that nothing is known of.
pub(super) fn experiments(session: &Session, sums: &Sums) -> Vec<v1::ExperimentCounts> {
    let counts = |name| sums.experiments.get(name).copied().unwrap_or_default();
    session
        .spec
        .experiments
        .iter()
        .map(|experiment| v1::ExperimentCounts {
            experiment: experiment.name.to_string(),
            counts: Some(counts(&experiment.name).into()),
        })
        .collect()
}
