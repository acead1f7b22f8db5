//! What each record of the log does to the accounts, and what no record may do.

use squall_domain::event::{AbortCause, Event, LeverEvent, Record};
use squall_domain::lever::Scope;
use squall_domain::world::Entry;
use squall_proto::vocabulary::id::{Holder, SessionKey, TenantId};

use super::account::Grant;
use super::{Account, Book};
use crate::clock::Moment;

impl Book {
    pub(super) fn take(&mut self, now: Moment, sequence: u64, entry: &Entry) {
        match entry {
            Entry::Session(key, record) => self.take_session(now, sequence, key, record),
            Entry::Lever(scope, record) => self.take_lever(now, sequence, scope, record),
            Entry::Unreadable(key, why) => {
                self.violated("DAMAGE", format!("a record of {key} can't be read: {why}"));
            }
            Entry::Other => {}
        }
        self.nobody_is_damaged();
    }

    /// The log is whole here, so whoever finds damage in it is wrong, or wrote what damages it.
    fn nobody_is_damaged(&mut self) {
        let damaged = self.reference.sessions().find_map(|session| {
            let why = session.damage.as_ref()?;
            (!self.damaged.contains(&session.key)).then(|| (session.key.clone(), why.clone()))
        });
        if let Some((key, why)) = damaged {
            self.violated("DAMAGE", format!("the records of {key} contradict each other: {why}"));
            self.damaged.insert(key);
        }
    }

    fn take_session(
        &mut self,
        now: Moment,
        sequence: u64,
        key: &SessionKey,
        record: &Record<Event>,
    ) {
        for recorded in &record.events {
            if let Event::Created { spec, .. } = &recorded.event {
                let account = Account::new(std::sync::Arc::clone(spec));
                if self.accounts.insert(key.clone(), account).is_some() {
                    self.violated("DAMAGE", format!("{key} was created twice"));
                }
                continue;
            }
            if self.accounts.contains_key(key) {
                self.take_event(now, sequence, key, &recorded.event);
            }
        }
        let spent = self.accounts.get(key).filter(|account| account.is_strict());
        if let Some(account) = spent.filter(|account| account.burned > account.spent) {
            let (burned, spent) = (account.burned, account.spent);
            self.violated("I3", format!("{key}: {burned} burned, the log says {spent} spent"));
        }
    }

    fn take_event(&mut self, now: Moment, sequence: u64, key: &SessionKey, event: &Event) {
        let engaged = self.is_engaged_for(key);
        let Some(account) = self.accounts.get_mut(key) else { return };
        let behind_lever = engaged || account.stopped.is_some();
        match event {
            Event::Started { .. } => {
                account.started = true;
                if engaged {
                    self.stops(now, key);
                }
            }
            Event::Paused => account.paused = Some(now),
            Event::Resumed => account.paused = None,
            Event::DrainBegan { .. } | Event::Ended { .. } => {
                account.closed_at.get_or_insert(sequence);
            }
            Event::GrantIssued { holder, req_no, permits, agent, trace, .. } => {
                let grant = Grant {
                    permits: *permits,
                    closed: None,
                    burned: 0,
                    heard: false,
                    behind_lever,
                    agent: (holder.tenant.clone(), agent.clone()),
                    trace: trace.clone().map(|trace| (holder.tenant.clone(), trace)),
                };
                self.issued(key, holder, *req_no, grant);
            }
            Event::GrantClosed { holder, req_no, used } => self.closed(key, holder, *req_no, *used),
            Event::Aborted { cause, .. } => {
                account.closed_at.get_or_insert(sequence);
                if matches!(cause, AbortCause::Cascade) {
                    self.violated(
                        "I4",
                        format!("{key}: no trace fails here, and its guard tripped"),
                    );
                }
                self.stops(now, key);
            }
            Event::StopProven { by, out_of_contact } => {
                self.proven(now, key, *by, out_of_contact);
            }
            Event::InertConfirmed { holder, used, .. } => self.confirmed(key, holder, *used),
            Event::LogDamaged { why } => {
                let what = format!("{key} is said to be damaged: {why}");
                self.violated("DAMAGE", what);
            }
            Event::Created { .. } | Event::ScopeBound { .. } | Event::GuardTripped { .. } => {}
        }
    }

    fn issued(&mut self, key: &SessionKey, holder: &Holder, req_no: u64, grant: Grant) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let n = u64::from(grant.permits);
        let (tenant, agent, trace) =
            (holder.tenant.clone(), grant.agent.clone(), grant.trace.clone());
        account.spent += n;
        *account.spent_by_tenant.entry(tenant).or_default() += n;
        *account.spent_by_agent.entry(agent).or_default() += n;
        if let Some(trace) = trace {
            *account.spent_by_trace.entry(trace).or_default() += n;
        }
        let (spent, budget, closed_at) = (account.spent, account.budget(), account.closed_at);
        let open = account
            .grants
            .iter()
            .any(|((other, _), grant)| other == holder && grant.closed.is_none());
        let before = account.grants.insert((holder.clone(), req_no), grant);
        let over = account.over_a_sub_budget();
        if closed_at.is_some() {
            self.violated("I4", format!("{key}: a grant follows the end of the session"));
        }
        if before.is_some() {
            self.violated("I6", format!("{key}: grant {req_no} of {holder:?} was issued twice"));
        }
        if open {
            self.violated(
                "I6",
                format!("{key}: {holder:?} got a second grant beside its open one"),
            );
        }
        if spent > budget {
            self.violated("I2", format!("{key}: {spent} permits spent of {budget}"));
        }
        if let Some(over) = over {
            self.violated("I9", format!("{key}: {over}"));
        }
    }

    fn closed(&mut self, key: &SessionKey, holder: &Holder, req_no: u64, used: u32) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(grant) = account.grants.get_mut(&(holder.clone(), req_no)) else {
            return self
                .violated("I6", format!("{key}: grant {req_no} was closed and never issued"));
        };
        let (permits, burned, before) = (grant.permits, grant.burned, grant.closed.replace(used));
        let (agent, trace) = (grant.agent.clone(), grant.trace.clone());
        let back = u64::from(permits.saturating_sub(used));
        account.spent = account.spent.saturating_sub(back);
        let less = |sum: Option<&mut u64>| {
            if let Some(sum) = sum {
                *sum = sum.saturating_sub(back);
            }
        };
        less(account.spent_by_tenant.get_mut(&holder.tenant));
        less(account.spent_by_agent.get_mut(&agent));
        less(trace.and_then(|trace| account.spent_by_trace.get_mut(&trace)));
        if before.is_some() {
            self.violated("I6", format!("{key}: grant {req_no} was closed twice"));
        }
        if used > permits {
            self.violated("I6", format!("{key}: {used} used of a grant of {permits}"));
        }
        if used < burned {
            self.violated(
                "I8",
                format!("{key}: {burned} burned of a grant that was closed as {used}"),
            );
        }
    }

    fn take_lever(
        &mut self,
        now: Moment,
        sequence: u64,
        scope: &Scope,
        record: &Record<LeverEvent>,
    ) {
        for recorded in &record.events {
            match &recorded.event {
                LeverEvent::Engaged { .. } => {
                    self.engaged.entry(scope.clone()).or_insert(sequence);
                    let live = self.live_under(scope);
                    live.iter().for_each(|key| self.stops(now, key));
                }
                LeverEvent::Released { .. } => drop(self.engaged.remove(scope)),
                LeverEvent::Renewed { .. } => {}
            }
        }
    }

    fn is_engaged_for(&self, key: &SessionKey) -> bool {
        let Some(account) = self.accounts.get(key) else { return false };
        self.engaged.keys().any(|scope| covers(scope, key, account))
    }

    /// Sessions that are started and not over, and that the lever covers.
    fn live_under(&self, scope: &Scope) -> Vec<SessionKey> {
        let over = |key: &SessionKey| {
            self.reference.session(key).is_some_and(|session| {
                session.ended.is_some() || session.phase == squall_domain::session::Phase::Draft
            })
        };
        self.accounts
            .iter()
            .filter(|(key, account)| account.started && covers(scope, key, account) && !over(key))
            .map(|(key, _)| key.clone())
            .collect()
    }
}

fn covers(scope: &Scope, key: &SessionKey, account: &Account) -> bool {
    let has =
        |tenant: &TenantId| key.tenant == *tenant || account.spec.target.tenants.contains(tenant);
    match scope {
        Scope::Fleet => true,
        Scope::Tenant(tenant) => has(tenant),
    }
}
