//! The permits of one session, folded anew.

use std::collections::BTreeMap;

use crate::constant::GRANT_MAX;
use crate::log::{Grant, Holder, Spec};
use crate::verdict::{Rule, Violations};

/// A grant as the log has it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) grant: Grant,
    /// When the log's server took its record, by its wall clock.
    pub(crate) wall_ns: u64,
    /// Stream sequence of its record.
    pub(crate) sequence: u64,
    /// Permits that its holder said it burned; `None` while it is open.
    pub(crate) used: Option<u32>,
    /// Whether a lever that stops the session stood before it: it may be there, and must never be used.
    pub(crate) behind_a_halt: bool,
}

/// The permits of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) issued: u64,
    pub(crate) refunded: u64,
    /// In log order.
    pub(crate) grants: Vec<Kept>,
    by_agent: BTreeMap<(String, String), u64>,
    by_tenant: BTreeMap<String, u64>,
    by_trace: BTreeMap<(String, String), u64>,
}

impl Ledger {
    pub(crate) fn spent(&self) -> u64 {
        self.issued.saturating_sub(self.refunded)
    }

    /// Permits that a life can have burned: what it said it used, and all of what it never gave back.
    pub(crate) fn burnable(&self, incarnation: &str) -> u64 {
        let of_it = self.grants.iter().filter(|kept| kept.grant.holder.incarnation == incarnation);
        of_it.map(|kept| u64::from(kept.used.unwrap_or(kept.grant.permits))).sum()
    }

    /// The same for all lives of a shim.
    pub(crate) fn burnable_by_shim(&self, shim: &str) -> u64 {
        let of_it = self.grants.iter().filter(|kept| kept.grant.holder.shim == shim);
        of_it.map(|kept| u64::from(kept.used.unwrap_or(kept.grant.permits))).sum()
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = &Kept> {
        self.grants.iter().filter(|kept| kept.used.is_none())
    }

    pub(crate) fn issue(&mut self, kept: Kept, spec: &Spec, at: &str, wrong: &mut Violations) {
        let grant = &kept.grant;
        let is_it = |known: &&Kept| known.grant.holder == grant.holder;
        let known = || self.grants.iter().filter(is_it);
        wrong.require(!known().any(|known| known.grant.req_no == grant.req_no), Rule::I6, || {
            format!("{at}: a grant of {:?} is issued twice", grant.holder)
        });
        wrong.require(!known().any(|known| known.used.is_none()), Rule::I6, || {
            format!("{at}: {:?} gets a grant while it has one", grant.holder)
        });
        wrong.require((1..=GRANT_MAX).contains(&grant.permits), Rule::I6, || {
            format!("{at}: a grant of {} permits", grant.permits)
        });
        self.issued += u64::from(grant.permits);
        self.charge(&kept.grant, i64::from(kept.grant.permits));
        wrong.require(self.spent() <= spec.budget, Rule::I2, || {
            format!("{at}: {} of {} permits are spent", self.spent(), spec.budget)
        });
        self.parts(&kept.grant, spec, at, wrong);
        self.grants.push(kept);
    }

    /// Sub-budgets, in this prefix of the log.
    fn parts(&self, grant: &Grant, spec: &Spec, at: &str, wrong: &mut Violations) {
        let tenant = &grant.holder.tenant;
        let mut within = |spent: Option<&u64>, limit: Option<u32>, whose: &str| {
            let (spent, limit) =
                (spent.copied().unwrap_or_default(), limit.map_or(u64::MAX, u64::from));
            wrong.require(spent <= limit, Rule::I9, || {
                format!("{at}: {spent} permits are spent by {whose}, allowed are {limit}")
            });
        };
        within(self.by_tenant.get(tenant), spec.per_tenant.get(tenant).copied(), tenant);
        let agent = (tenant.clone(), grant.agent.clone());
        within(self.by_agent.get(&agent), spec.per_agent, &grant.agent);
        if let Some(trace) = &grant.trace {
            let key = (tenant.clone(), trace.clone());
            within(self.by_trace.get(&key), spec.per_trace, trace);
        }
    }

    fn charge(&mut self, grant: &Grant, permits: i64) {
        let tenant = &grant.holder.tenant;
        let add = |sum: &mut u64| *sum = sum.saturating_add_signed(permits);
        add(self.by_tenant.entry(tenant.clone()).or_default());
        add(self.by_agent.entry((tenant.clone(), grant.agent.clone())).or_default());
        if let Some(trace) = &grant.trace {
            add(self.by_trace.entry((tenant.clone(), trace.clone())).or_default());
        }
    }

    pub(crate) fn close(
        &mut self,
        holder: &Holder,
        req_no: u64,
        used: u32,
        at: &str,
        wrong: &mut Violations,
    ) {
        let issued = self.grants.iter_mut().find(|kept| {
            kept.grant.req_no == req_no && kept.grant.holder.incarnation == holder.incarnation
        });
        let Some(kept) = issued else {
            return wrong.add(Rule::I8, format!("{at}: {holder:?} closes what nobody issued"));
        };
        wrong.require(kept.grant.holder == *holder, Rule::I8, || {
            format!("{at}: {holder:?} closes a grant of {:?}", kept.grant.holder)
        });
        if kept.used.is_some() {
            return wrong.add(Rule::I6, format!("{at}: {holder:?} closes {req_no} twice"));
        }
        wrong.require(used <= kept.grant.permits, Rule::I6, || {
            format!("{at}: {used} of {} permits were used", kept.grant.permits)
        });
        wrong.require(!kept.behind_a_halt || used == 0, Rule::I4, || {
            format!("{at}: {used} permits of a grant behind a halt were used")
        });
        kept.used = Some(used);
        let rest = kept.grant.permits.saturating_sub(used);
        let grant = kept.grant.clone();
        self.refunded += u64::from(rest);
        self.charge(&grant, -i64::from(rest));
    }
}
