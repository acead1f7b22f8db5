//! The shims that this replica heard of: who is there, and what they can do. Never in the log; a roll call brings it back.

mod obstacle;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_domain::rejection::Inapplicable;
use squall_domain::session::Session;
use squall_proto::vocabulary::id::{Holder, Incarnation, ShimId, TenantId};
use squall_proto::vocabulary::limits::HELLO_EVERY;
use squall_proto::vocabulary::message::{Ask, Hello, Inert, Renew, Request, Sync};
use squall_proto::vocabulary::plan::PlanVersion;
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::time::BootNanos;

use self::obstacle::{can_apply, why_not};
use super::view::ShimView;
use crate::seldom::Seldom;

/// Most shims that are kept in mind: what one coordinator is built for, twice.
const SHIMS_MAX: usize = 200_000;
/// A shim that was not heard for this long is gone: of three Hellos one may get lost, and another one be late.
const GONE_AFTER: Duration = HELLO_EVERY.saturating_mul(3);
/// Most reasons that an error lists for one experiment; the rest is counted.
const REASONS_MAX: usize = 5;
/// Most that are counted: a large fleet says the same of one shim after the other.
const REASONS_COUNTED: usize = 100;

/// One connected shim.
#[derive(Debug)]
struct Member {
    hello: Hello,
    heard: BootNanos,
    plan: Option<u64>,
}

/// All of them. Each is a process: two of one name are told apart by their lives, and both can be hit.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<Holder, Member>,
    announced: BTreeMap<TenantId, u64>,
    unlisted: Seldom,
}

impl Fleet {
    pub(super) fn hello(&mut self, tenant: TenantId, shim: ShimId, hello: Hello, now: BootNanos) {
        let holder = Holder { tenant, shim, incarnation: hello.incarnation };
        if self.members.len() >= SHIMS_MAX && !self.members.contains_key(&holder) {
            if let Some(times) = self.unlisted.another(now.since(BootNanos::default())) {
                tracing::warn!(limit = SHIMS_MAX, times, "a shim is not listed: too many are");
            }
            return;
        }
        let plan = self.members.get(&holder).and_then(|member| member.plan);
        self.members.insert(holder, Member { hello, heard: now, plan });
    }

    /// This process said something itself.
    pub(super) fn heard(&mut self, holder: &Holder, now: BootNanos) {
        if let Some(member) = self.members.get_mut(holder) {
            member.heard = now;
        }
    }

    pub(super) fn has_plan(&mut self, holder: &Holder, plan: Option<&PlanVersion>) {
        if let Some(member) = self.members.get_mut(holder) {
            member.plan = plan.map(|plan| plan.sequence);
        }
    }

    pub(super) fn forget(&mut self, now: BootNanos) {
        self.members.retain(|_, member| now.since(member.heard) < GONE_AFTER);
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.members.keys().map(|holder| holder.tenant.clone())
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
            .filter(|(holder, _)| session.covers(&holder.tenant))
            .map(|(holder, member)| (&holder.shim, member))
    }

    /// First probability of asking: `min(1, 2B/N)` over the shims that take part.
    pub(super) fn phi0(&self, session: &Session) -> f64 {
        let shims = self.covered(session).count().max(1);
        let budget = f64::from(session.spec.safety.max_affected_requests);
        (2.0 * budget / f64::from(u32::try_from(shims).unwrap_or(u32::MAX))).min(1.0)
    }

    /// How many shims can apply something, and which experiments nobody can apply, with the reasons.
    pub(super) fn applicability(&self, session: &Session) -> (u32, Vec<Inapplicable>) {
        let spec = &session.spec;
        let able = |(_, member): &(&ShimId, &Member)| {
            spec.experiments.iter().any(|experiment| can_apply(spec, experiment, &member.hello))
        };
        let shims = self.covered(session).filter(able).count();
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
        let (spec, mut covered) = (&session.spec, self.covered(session));
        if covered.any(|(_, member)| can_apply(spec, experiment, &member.hello)) {
            return None;
        }
        let mut reasons = BTreeSet::new();
        for (shim, member) in self.covered(session) {
            reasons.extend(why_not(spec, experiment, shim, &member.hello));
            if reasons.len() > REASONS_COUNTED {
                break;
            }
        }
        if reasons.is_empty() {
            let tenants: Vec<_> = session.tenants().iter().map(ToString::to_string).collect();
            return Some(format!("no shim of {} is connected", tenants.join(", ")));
        }
        let more = match reasons.len() {
            0..=REASONS_MAX => String::new(),
            all @ ..=REASONS_COUNTED => format!("; and {} more reasons", all - REASONS_MAX),
            _ => format!("; and more than {} more reasons", REASONS_COUNTED - REASONS_MAX),
        };
        let reasons: Vec<_> = reasons.into_iter().take(REASONS_MAX).collect();
        Some(format!("{}{more}", reasons.join("; ")))
    }

    pub(super) fn view(&self, now: BootNanos, tenant: Option<&TenantId>) -> Vec<ShimView> {
        self.members
            .iter()
            .filter(|(holder, _)| tenant.is_none_or(|tenant| *tenant == holder.tenant))
            .map(|(holder, member)| ShimView {
                tenant: holder.tenant.clone(),
                shim: holder.shim.clone(),
                hello: member.hello.clone(),
                heard_ago: now.since(member.heard),
                plan: member.plan,
            })
            .collect()
    }
}

/// The process that speaks. A Close tells nothing of that: it may be said for a life that is over, by its journal.
pub(super) fn speaker(request: &Request) -> Option<Incarnation> {
    match request {
        Request::Hello(Hello { incarnation, .. })
        | Request::Sync(Sync { incarnation, .. })
        | Request::Ask(Ask { incarnation, .. })
        | Request::Renew(Renew { incarnation, .. })
        | Request::Inert(Inert { incarnation, .. }) => Some(*incarnation),
        Request::Close(_) => None,
    }
}
