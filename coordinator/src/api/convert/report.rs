//! What a session did.

use squall_domain::evidence::Excess;
use squall_domain::session::Session;
use squall_proto::vocabulary::blast_radius::{BlastRadius, Safety, Strictness};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::Holder;
use squall_proto::vocabulary::message::{Sample, SampleKind};
use squall_proto::vocabulary::named::Named;
use squall_proto::wire::v1;

use super::{duration, event, session, stop, timestamp};
use crate::engine::{SessionView, Stage};

/// The report of a session, finished or not.
pub(crate) fn report(view: &SessionView) -> v1::Report {
    let whole = session::session(view);
    let applied = view.sums.total.applied;
    let bounded = u64::from(view.session.ledger.budget());
    v1::Report {
        budget: whole.budget,
        applied,
        overshoot: view.excess.iter().fold(applied.saturating_sub(bounded), |sum, excess| {
            sum.saturating_add(excess.reported - excess.permits)
        }),
        experiments: whole.experiments.clone(),
        tenants: whole.tenants.clone(),
        agents: whole.agents.clone(),
        other_agents: whole.other_agents,
        other_agents_count: whole.other_agents_count,
        abort: (view.stage != Stage::None).then(|| stop::stop(view)),
        samples: view.samples.iter().map(sample).collect(),
        bounds: bounds(view),
        session: Some(whole),
    }
}

fn sample((holder, sample): &(Holder, Sample)) -> v1::TimelineSample {
    use v1::timeline_sample::What;
    let Sample { session: _, experiment, injection, agent, tool, trace, at, what } = sample;
    let what = match what {
        SampleKind::Applied { held } => What::Applied(duration(*held)),
        SampleKind::NotApplied { why } => What::NotApplied(why.clone()),
        SampleKind::Failed => What::Failed(v1::CallFailed {}),
    };
    v1::TimelineSample {
        time: Some(timestamp(*at)),
        tenant: holder.tenant.to_string(),
        shim: holder.shim.to_string(),
        experiment: experiment.to_string(),
        agent: agent.to_string(),
        tool: tool.to_string(),
        trace: trace.as_ref().map(ToString::to_string).unwrap_or_default(),
        injection: injection.to_string(),
        what: Some(what),
    }
}

/// What was promised, what was reached, how it is known. Evidence may be late, so a number that only shims know says so.
fn bounds(view: &SessionView) -> Vec<String> {
    let SessionView { session, sums, .. } = view;
    let safety = &session.spec.safety;
    let applied = sums.total.applied;
    let mut bounds = vec![budget(session, applied)];
    bounds.extend(view.excess.iter().map(excess));
    bounds.push(radius(view));
    let largest = |name: &str, limit: u32, reached: u64| {
        format!(
            "{name}: at most {limit} promised, {reached} reported applied for the one with most"
        )
    };
    for (tenant, limit) in &safety.max_per_tenant {
        let reached = sums.tenants.get(tenant).map_or(0, |counts| counts.applied);
        bounds.push(format!(
            "max_per_tenant.{tenant}: at most {limit} promised, {reached} reported applied"
        ));
    }
    if let Some(limit) = safety.max_per_agent {
        let reached = sums.agents.values().map(|counts| counts.applied).max().unwrap_or(0);
        bounds.push(largest("max_per_agent", limit, reached));
    }
    bounds.push(duration_bound(session, safety));
    bounds.extend(stop_bound(view));
    bounds
}

fn budget(session: &Session, applied: u64) -> String {
    let budget = session.ledger.budget();
    let spent = session.ledger.spent();
    match session.spec.safety.strictness {
        Strictness::Strict | Strictness::StrictClaim => format!(
            "max_affected_requests: at most {budget} promised; by the log permits for {spent} were issued and not given \
             back, and no fault happens without one; {applied} reported applied"
        ),
        Strictness::Eventual => format!(
            "max_affected_requests: {budget} aimed at, not promised; an eventual session has no permits and ends once \
             reports reach that, so that what shims inject until they hear of it is over; {applied} reported applied"
        ),
    }
}

/// A breach of the budget's bound, or a false report: nobody but an operator can tell which.
fn excess(Excess { holder, reported, permits }: &Excess) -> String {
    let Holder { tenant, shim, incarnation } = holder;
    format!(
        "max_affected_requests: NOT KEPT, if this report is true: shim {shim} of {tenant} (life {incarnation}) reported \
         {reported} applied with permits for {permits}; what it reported last is in no other sum here"
    )
}

fn radius(view: &SessionView) -> String {
    let SessionView { session, sums, .. } = view;
    let radius = session.spec.safety.blast_radius;
    let held = match (radius, &session.bound) {
        (BlastRadius::SingleTenant, _) => format!("only calls of tenant {}", session.key.tenant),
        (BlastRadius::MultiTenant, _) => {
            format!(
                "only calls of the tenants listed, {} of them",
                session.spec.target.tenants.len()
            )
        }
        (
            BlastRadius::SingleRequest | BlastRadius::SingleAgent | BlastRadius::SingleTrace,
            Some(scope),
        ) => format!("bound by the log, with its first permit, to {}", event::bound(scope)),
        (
            BlastRadius::SingleRequest | BlastRadius::SingleAgent | BlastRadius::SingleTrace,
            None,
        ) => "bound by the log to whoever gets its first permit; nobody did".to_owned(),
    };
    let affected = |counts: &&Counts| counts.applied > 0;
    let agents = sums.agents.values().filter(affected).count();
    let tenants = sums.tenants.values().filter(affected).count();
    let least = if sums.other_agents.applied > 0 { "at least " } else { "" };
    format!(
        "blast_radius {}: {held}; affected, as reported: agents {least}{agents}, tenants {tenants}",
        radius.name()
    )
}

fn duration_bound(session: &Session, safety: &Safety) -> String {
    let promised = safety.max_duration.as_secs();
    let started = session.started.as_ref().map(|stamp| stamp.at);
    let ended = session
        .ended
        .as_ref()
        .map(|(stamp, _)| stamp.at)
        .or_else(|| session.stop.as_ref()?.record.as_ref().map(|record| record.stamp.at));
    match (started, ended) {
        (Some(started), Some(ended)) => {
            let ran = ended.since(started).as_secs_f64();
            format!(
                "max_duration_s: at most {promised} s promised, ended after {ran:.1} s by the log"
            )
        }
        (Some(_), None) => format!("max_duration_s: at most {promised} s promised, still running"),
        (None, _) => format!("max_duration_s: at most {promised} s promised, never started"),
    }
}

fn stop_bound(view: &SessionView) -> Option<String> {
    let absent = view.session.stop.as_ref().map_or(0, |stop| stop.unconfirmed().count());
    match view.stage {
        Stage::None => None,
        Stage::Pushed => Some("stop: pushed to the shims, not durable yet".to_owned()),
        Stage::Aborted => Some(format!(
            "stop: durable, not proven yet; holders of permits that have not confirmed: {absent}"
        )),
        Stage::Proven => Some(
            "stop: all stopped, proven; who confirmed and who did not stands in the abort"
                .to_owned(),
        ),
    }
}
