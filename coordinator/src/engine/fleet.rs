//! The shims that this replica heard of: who is there, and what they can do. Never in the log; a roll call brings it back.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_domain::rejection::Inapplicable;
use squall_domain::session::Session;
use squall_proto::vocabulary::blast_radius::BlastRadius;
use squall_proto::vocabulary::id::{ShimId, TenantId};
use squall_proto::vocabulary::message::Hello;
use squall_proto::vocabulary::plan::PlanVersion;
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::PercentageUnit;
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use super::Now;
use super::view::ShimView;

/// Most shims that are kept in mind: what one coordinator is built for, twice.
const SHIMS_MAX: usize = 200_000;
/// A shim that was not heard for this long is gone: shims say Hello again every 30 s.
const GONE_AFTER: Duration = Duration::from_secs(90);
/// Most reasons that an error lists for one experiment; the rest is counted.
const REASONS_MAX: usize = 5;

/// One connected shim.
#[derive(Debug)]
struct Member {
    hello: Hello,
    heard: BootNanos,
    heard_wall: UnixMillis,
    plan: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<(TenantId, ShimId), Member>,
    announced: BTreeMap<TenantId, u64>,
}

impl Fleet {
    pub(super) fn hello(&mut self, tenant: TenantId, shim: ShimId, hello: Hello, now: Now) {
        let key = (tenant, shim);
        if self.members.len() >= SHIMS_MAX && !self.members.contains_key(&key) {
            tracing::warn!(limit = SHIMS_MAX, "a shim is not listed: too many are");
            return;
        }
        let plan = self.members.get(&key).and_then(|member| member.plan);
        self.members.insert(key, Member { hello, heard: now.boot, heard_wall: now.wall, plan });
    }

    pub(super) fn heard(&mut self, tenant: &TenantId, shim: &ShimId, now: BootNanos) {
        if let Some(member) = self.members.get_mut(&(tenant.clone(), shim.clone())) {
            let since = now.since(member.heard);
            member.heard_wall = member.heard_wall.plus(since);
            member.heard = now;
        }
    }

    pub(super) fn has_plan(
        &mut self,
        tenant: &TenantId,
        shim: &ShimId,
        plan: Option<&PlanVersion>,
    ) {
        if let Some(member) = self.members.get_mut(&(tenant.clone(), shim.clone())) {
            member.plan = plan.map(|plan| plan.sequence);
        }
    }

    pub(super) fn forget(&mut self, now: BootNanos) {
        self.members.retain(|_, member| now.since(member.heard) < GONE_AFTER);
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.members.keys().map(|(tenant, _)| tenant.clone())
    }

    /// The plan version that was announced to a tenant last.
    pub(super) fn announced(&self, tenant: &TenantId) -> u64 {
        self.announced.get(tenant).copied().unwrap_or(0)
    }

    pub(super) fn announce(&mut self, tenant: TenantId, version: u64) {
        self.announced.insert(tenant, version);
    }

    fn covered<'a>(
        &'a self,
        session: &'a Session,
    ) -> impl Iterator<Item = (&'a ShimId, &'a Member)> {
        self.members
            .iter()
            .filter(|((tenant, _), _)| session.covers(tenant))
            .map(|((_, shim), member)| (shim, member))
    }

    /// First probability of asking: `min(1, 2B/N)` over the shims that take part.
    pub(super) fn phi0(&self, session: &Session) -> f64 {
        let shims = self.covered(session).count().max(1);
        let budget = f64::from(session.spec.safety.max_affected_requests);
        (2.0 * budget / f64::from(u32::try_from(shims).unwrap_or(u32::MAX))).min(1.0)
    }

    /// How many shims can apply something, and which experiments nobody can apply, with the reasons.
    pub(super) fn applicability(&self, session: &Session) -> (u32, Vec<Inapplicable>) {
        let able = |(shim, member): (&ShimId, &Member)| {
            session
                .spec
                .experiments
                .iter()
                .any(|experiment| obstacle(session, experiment, shim, member).is_none())
        };
        let shims = self.covered(session).filter(|covered| able(*covered)).count();
        let inapplicable = session
            .spec
            .experiments
            .iter()
            .filter_map(|experiment| {
                let why = self.why_nobody(session, experiment)?;
                Some(Inapplicable { experiment: experiment.name.to_string(), why })
            })
            .collect();
        (u32::try_from(shims).unwrap_or(u32::MAX), inapplicable)
    }

    fn why_nobody(&self, session: &Session, experiment: &Experiment) -> Option<String> {
        let mut reasons = Vec::new();
        for (shim, member) in self.covered(session) {
            reasons.push(obstacle(session, experiment, shim, member)?);
        }
        if reasons.is_empty() {
            let tenants: Vec<_> = session.tenants().iter().map(ToString::to_string).collect();
            return Some(format!("no shim of {} is connected", tenants.join(", ")));
        }
        reasons.sort_unstable();
        reasons.dedup();
        let more = reasons.len().saturating_sub(REASONS_MAX);
        reasons.truncate(REASONS_MAX);
        let more = if more == 0 { String::new() } else { format!("; and {more} more reasons") };
        Some(format!("{}{more}", reasons.join("; ")))
    }

    pub(super) fn view(&self, now: Now, tenant: Option<&TenantId>) -> Vec<ShimView> {
        self.members
            .iter()
            .filter(|((of, _), _)| tenant.is_none_or(|tenant| tenant == of))
            .map(|((tenant, shim), member)| ShimView {
                tenant: tenant.clone(),
                shim: shim.clone(),
                hello: member.hello.clone(),
                heard_ago: now.boot.since(member.heard),
                plan: member.plan,
            })
            .collect()
    }
}

/// Why this shim can't apply the experiment; `None` if it can.
fn obstacle(
    session: &Session,
    experiment: &Experiment,
    shim: &ShimId,
    member: &Member,
) -> Option<String> {
    let hello = &member.hello;
    if !session.spec.target.allows(&hello.environment) {
        return Some(format!(
            "shim {shim} runs in {}, which the target leaves out",
            hello.environment
        ));
    }
    if !hello.allowed.contains(&experiment.fault.kind()) {
        use squall_proto::vocabulary::named::Named;
        return Some(format!(
            "the owner of shim {shim} does not allow {}",
            experiment.fault.kind().name()
        ));
    }
    let selectors = [&session.spec.target.selector, &experiment.selector];
    let agent = hello.agents.is_empty()
        || hello
            .agents
            .iter()
            .any(|agent| selectors.iter().all(|selector| selector.matches_agent(agent)));
    let tool = hello.tools.is_empty()
        || hello.tools.iter().any(|tool| {
            selectors
                .iter()
                .all(|selector| selector.tools.is_empty() || selector.tools.contains(tool))
        });
    if !agent || !tool {
        let what = if agent { "tools" } else { "agents" };
        return Some(format!("the target matches none of the {what} of shim {shim}"));
    }
    if hello.seams.is_empty() {
        return Some(format!("shim {shim} has no seam"));
    }
    let mut unsupported: Vec<String> = Vec::new();
    for seam in &hello.seams {
        match seam.supports(&experiment.fault) {
            Ok(()) if needs_trace(session) && !seam.capabilities.knows_trace => {
                unsupported.push(format!("seam {}: it knows no trace of its calls", seam.name));
            }
            Ok(()) => return None,
            Err(why) => unsupported.push(format!("seam {}: {why}", seam.name)),
        }
    }
    Some(unsupported.join(", "))
}

/// Whether the session is bound or drawn by trace: refused where no seam knows it, never approximated.
fn needs_trace(session: &Session) -> bool {
    let safety = &session.spec.safety;
    safety.blast_radius == BlastRadius::SingleTrace
        || safety.max_per_trace.is_some()
        || session.spec.target.percentage_unit == PercentageUnit::Trace
}
