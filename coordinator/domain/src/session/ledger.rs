//! The permit ledger: escrow without a clock.
//!
//! A permit is spent the moment it is issued. Only a Close by its holder gives the unused rest back, once:
//! `available = budget - issued + refunded`, and the same sum for each tenant, agent and trace.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{AgentName, Holder, TenantId, TraceId};
use squall_proto::vocabulary::limits::GRANT_PERMITS_MAX;
use squall_proto::vocabulary::message::GrantScope;

use crate::event::Totals;

/// Closed grants that a holder's record keeps. Older ones count as closed: request numbers only grow, and a shim
/// has one request open at a time, so that a Close of one this old can only be a repetition.
const CLOSED_MAX: usize = 64;
/// Holders that are kept although they used nothing and hold nothing: each later run of a short-lived process is another
/// one, and only these are not bounded by the budget. An Ask of a forgotten one would have to be under way while this
/// many others came and went; its permits would be spent until its holder gives them back, as any.
const UNUSED_MAX: usize = 65_536;

/// A grant that was not closed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenGrant {
    /// The holder's number of the request.
    pub req_no: u64,
    /// Permits, 1 to 256.
    pub permits: u32,
    /// What every injection must match.
    pub scope: GrantScope,
    agent: AgentName,
    trace: Option<TraceId>,
}

/// What is known of one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// Issued, not closed.
    Open(&'a OpenGrant),
    /// Issued and closed, or too old to matter.
    Closed,
    /// Not in this ledger.
    Unknown,
}

/// One holder's grants: at most one is open.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Held {
    open: Option<OpenGrant>,
    closed: BTreeMap<u64, u32>,
    /// Everything up to this number counts as closed.
    forgotten: u64,
    used: u64,
    /// Whether it stands in [`Ledger::unused`].
    unused: bool,
}

/// Everything that a session issued and got back.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    budget: u32,
    totals: Totals,
    open: u64,
    holders: BTreeMap<Holder, Held>,
    tenants: BTreeMap<TenantId, u64>,
    agents: BTreeMap<(TenantId, AgentName), u64>,
    traces: BTreeMap<(TenantId, TraceId), u64>,
    /// Holders that had used nothing when they closed a grant, oldest first.
    unused: VecDeque<Holder>,
}

impl Ledger {
    /// An unspent budget.
    #[must_use]
    pub fn new(budget: u32) -> Self {
        Self { budget, ..Self::default() }
    }

    /// The budget.
    #[must_use]
    pub const fn budget(&self) -> u32 {
        self.budget
    }

    /// Running totals, as records repeat them.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Permits that can still be issued. Never below 0 in a log that is whole.
    #[must_use]
    pub fn available(&self) -> u64 {
        (u64::from(self.budget) + self.totals.refunded).saturating_sub(self.totals.issued)
    }

    /// Permits of open grants, whatever their age.
    #[must_use]
    pub const fn open_permits(&self) -> u64 {
        self.open
    }

    /// Permits that count as spent, given back ones excepted.
    #[must_use]
    pub const fn spent(&self) -> u64 {
        self.totals.issued.saturating_sub(self.totals.refunded)
    }

    /// Spent permits of one tenant.
    #[must_use]
    pub fn spent_by_tenant(&self, tenant: &TenantId) -> u64 {
        self.tenants.get(tenant).copied().unwrap_or(0)
    }

    /// Spent permits of one agent.
    #[must_use]
    pub fn spent_by_agent(&self, tenant: &TenantId, agent: &AgentName) -> u64 {
        self.agents.get(&(tenant.clone(), agent.clone())).copied().unwrap_or(0)
    }

    /// Spent permits of one trace.
    #[must_use]
    pub fn spent_by_trace(&self, tenant: &TenantId, trace: &TraceId) -> u64 {
        self.traces.get(&(tenant.clone(), trace.clone())).copied().unwrap_or(0)
    }

    /// Holders with an open grant, and their grants.
    pub fn open_grants(&self) -> impl Iterator<Item = (&Holder, &OpenGrant)> {
        self.holders
            .iter()
            .filter_map(|(holder, held)| held.open.as_ref().map(|open| (holder, open)))
    }

    /// The open grant of one holder.
    #[must_use]
    pub fn open_grant(&self, holder: &Holder) -> Option<&OpenGrant> {
        self.holders.get(holder)?.open.as_ref()
    }

    /// Whether the holder was ever granted anything.
    #[must_use]
    pub fn knows(&self, holder: &Holder) -> bool {
        self.holders.contains_key(holder)
    }

    /// Permits that a holder burned, by its closed grants.
    #[must_use]
    pub fn used_by(&self, holder: &Holder) -> u64 {
        self.holders.get(holder).map_or(0, |held| held.used)
    }

    /// Permits that a holder can have burned: those of its closed grants, and all of its open one.
    #[must_use]
    pub fn burnable_by(&self, holder: &Holder) -> u64 {
        let open = self.open_grant(holder).map_or(0, |open| u64::from(open.permits));
        self.used_by(holder) + open
    }

    /// What is known of a grant.
    #[must_use]
    pub fn known(&self, holder: &Holder, req_no: u64) -> Known<'_> {
        let Some(held) = self.holders.get(holder) else { return Known::Unknown };
        match &held.open {
            Some(open) if open.req_no == req_no => Known::Open(open),
            _ if held.closed.contains_key(&req_no) || req_no <= held.forgotten => Known::Closed,
            _ => Known::Unknown,
        }
    }

    /// Folds an issue. An agent or a trace is charged where the grant is bound to it: permits that any agent of the
    /// holder may use are nobody's in particular.
    ///
    /// # Errors
    /// What doesn't fit: the log is damaged.
    pub fn issue(
        &mut self,
        holder: &Holder,
        req_no: u64,
        permits: u32,
        scope: &GrantScope,
        agent: &AgentName,
        trace: Option<&TraceId>,
    ) -> Result<(), String> {
        if !(1..=GRANT_PERMITS_MAX).contains(&permits) {
            return Err(format!("{permits} permits issued; allowed is 1 to {GRANT_PERMITS_MAX}"));
        }
        if u64::from(permits) > self.available() {
            return Err(format!("{permits} permits issued with {} available", self.available()));
        }
        if self.known(holder, req_no) != Known::Unknown || self.open_grant(holder).is_some() {
            return Err(format!("grant {req_no} issued twice, or beside an open one"));
        }
        let held = self.holders.entry(holder.clone()).or_default();
        held.open = Some(OpenGrant {
            req_no,
            permits,
            scope: scope.clone(),
            agent: agent.clone(),
            trace: trace.cloned(),
        });
        let permits = u64::from(permits);
        self.totals.issued += permits;
        self.open += permits;
        *self.tenants.entry(holder.tenant.clone()).or_default() += permits;
        if scope.agent.is_some() {
            *self.agents.entry((holder.tenant.clone(), agent.clone())).or_default() += permits;
        }
        if let (Some(_), Some(trace)) = (&scope.trace, trace) {
            *self.traces.entry((holder.tenant.clone(), trace.clone())).or_default() += permits;
        }
        Ok(())
    }

    /// Folds a close: the one way in which permits come back.
    ///
    /// # Errors
    /// What doesn't fit: the log is damaged.
    pub fn close(&mut self, holder: &Holder, req_no: u64, used: u32) -> Result<(), String> {
        let held = self
            .holders
            .get_mut(holder)
            .ok_or_else(|| format!("grant {req_no} closed but never issued"))?;
        let open = match held.open.take() {
            Some(open) if open.req_no == req_no && used <= open.permits => open,
            other => {
                held.open = other;
                return Err(format!(
                    "grant {req_no} closed with {used} used doesn't fit what was issued"
                ));
            }
        };
        held.close(req_no, used);
        if held.used == 0 && !std::mem::replace(&mut held.unused, true) {
            self.unused.push_back(holder.clone());
        }
        let back = u64::from(open.permits - used);
        self.totals.refunded += back;
        self.open -= u64::from(open.permits);
        refund(&mut self.tenants, &holder.tenant, back);
        if open.scope.agent.is_some() {
            refund(&mut self.agents, &(holder.tenant.clone(), open.agent), back);
        }
        if let (Some(_), Some(trace)) = (open.scope.trace, open.trace) {
            refund(&mut self.traces, &(holder.tenant.clone(), trace), back);
        }
        self.forget_unused();
        Ok(())
    }

    fn forget_unused(&mut self) {
        while self.unused.len() > UNUSED_MAX {
            let Some(oldest) = self.unused.pop_front() else { return };
            let Some(held) = self.holders.get_mut(&oldest) else { continue };
            held.unused = false;
            if held.used == 0 && held.open.is_none() {
                self.holders.remove(&oldest);
            }
        }
    }
}

impl Held {
    fn close(&mut self, req_no: u64, used: u32) {
        self.used += u64::from(used);
        self.closed.insert(req_no, used);
        while self.closed.len() > CLOSED_MAX {
            if let Some((oldest, _)) = self.closed.pop_first() {
                self.forgotten = self.forgotten.max(oldest);
            }
        }
    }
}

/// Gives permits back to one sum; a sum of 0 is not kept, so that the map holds only what was affected.
fn refund<K: Ord>(sums: &mut BTreeMap<K, u64>, key: &K, back: u64) {
    if let Some(sum) = sums.get_mut(key) {
        *sum = sum.saturating_sub(back);
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
