//! What must hold of what really happened, whatever log, replicas and shims believe.
//!
//! Not here: what the log alone tells ([`crate::book`]).

use std::collections::BTreeMap;
use std::time::Duration;

use squall_proto::vocabulary::blast_radius::BlastRadius;
use squall_proto::vocabulary::limits::{CLOCK_RATE_PPM, LEASE_TTL};

use crate::book::Grant;
use crate::cast::tenant;
use crate::fleet::{Fleet, Injection, State};
use crate::invariant::{Breach, Invariant, hold};

impl Fleet {
    /// Checks everything.
    ///
    /// # Errors
    /// The first thing that doesn't hold.
    pub fn check(&self, state: &State) -> Result<(), Breach> {
        if let Some(breach) = state.log.breach.as_ref().filter(|_| state.spent.records == 0) {
            return Err(breach.clone());
        }
        self.ledger(state)?;
        self.sub_budgets(state)?;
        self.level(state)?;
        self.throttles(state)?;
        self.after_the_proof(state)?;
        self.quiet(state)?;
        let damage = state.log.world.session(&self.key).and_then(|session| session.damage.clone());
        let damaged = damage.is_some() && state.spent.records == 0;
        hold(!damaged, Invariant::Damage, || damage.unwrap_or_default())
    }

    /// Checks what can break although neither the log nor what really happened changes.
    ///
    /// # Errors
    /// The first thing that doesn't hold.
    pub fn quiet(&self, state: &State) -> Result<(), Breach> {
        self.in_hands(state)?;
        let overlapped = state.processes.iter().any(|process| process.hands().overlapped);
        hold(!overlapped, Invariant::Install, || "a grant over a running fault".to_owned())
    }

    /// I1, I3, I7, I8. A log that lost a record can't bound anything until that is found.
    fn ledger(&self, state: &State) -> Result<(), Breach> {
        if state.spent.records > 0 {
            return Ok(());
        }
        let (book, budget) = (&state.log.book, self.spec.safety.max_affected_requests);
        let injected = state.injections.len() as u64;
        hold(injected <= u64::from(budget), Invariant::I1, || {
            format!("{injected} injected of {budget}")
        })?;
        let mut burned: BTreeMap<Grant, u32> = BTreeMap::new();
        for injection in &state.injections {
            *burned.entry(self.grant_of(state, injection)).or_default() += 1;
        }
        for (grant, burned) in burned {
            let issued = book.issued.get(&grant).copied().unwrap_or(0);
            hold(burned <= issued, Invariant::I7, || {
                format!("{burned} of {issued} permits of {grant:?}")
            })?;
            let used = book.closed.get(&grant).copied().unwrap_or(u32::MAX);
            hold(burned <= used, Invariant::I8, || {
                format!("{burned} burned and closed with {used}: {grant:?}")
            })?;
        }
        let spent = i64::from(budget) - book.available(&self.spec);
        hold(spent >= i64::try_from(injected).unwrap_or(i64::MAX), Invariant::I3, || {
            format!("{injected} injected, {spent} spent")
        })
    }

    fn grant_of(&self, state: &State, injection: &Injection) -> Grant {
        let seat = &self.seats[state.processes[injection.process].seat];
        (seat.holder(injection.life), injection.req_no)
    }

    /// Tenant, agent, trace and request of an injection.
    fn keys_of(
        &self,
        state: &State,
        injection: &Injection,
    ) -> (&'static str, &'static str, Option<&'static str>, usize) {
        let seat = &self.seats[state.processes[injection.process].seat];
        let (agent, trace) = seat.wishes[injection.wish];
        (seat.tenant, agent, trace, injection.wish)
    }

    /// I9.
    fn sub_budgets(&self, state: &State) -> Result<(), Breach> {
        let safety = &self.spec.safety;
        let keys = || state.injections.iter().map(|injection| self.keys_of(state, injection));
        for (of, limit) in &safety.max_per_tenant {
            let count = keys().filter(|(name, ..)| tenant(name) == *of).count();
            hold(count <= *limit as usize, Invariant::I9, || format!("{count} in {of}"))?;
        }
        let agents = keys().map(|(tenant, agent, ..)| (tenant, agent));
        most(agents, safety.max_per_agent)?;
        most(
            keys().filter_map(|(tenant, _, trace, _)| Some((tenant, trace?))),
            safety.max_per_trace,
        )
    }

    /// I5.
    fn level(&self, state: &State) -> Result<(), Breach> {
        let keys: Vec<_> =
            state.injections.iter().map(|injection| self.keys_of(state, injection)).collect();
        let radius = self.spec.safety.blast_radius;
        let same = |alike: &dyn Fn(usize, usize) -> bool| (1..keys.len()).all(|at| alike(0, at));
        let holds = match radius {
            BlastRadius::SingleRequest => keys.len() <= 1,
            BlastRadius::SingleAgent => {
                same(&|a, b| (keys[a].0, keys[a].1) == (keys[b].0, keys[b].1))
            }
            BlastRadius::SingleTrace => {
                same(&|a, b| (keys[a].0, keys[a].2) == (keys[b].0, keys[b].2))
                    && keys.iter().all(|(_, _, trace, _)| trace.is_some())
            }
            BlastRadius::SingleTenant => keys.iter().all(|key| tenant(key.0) == self.key.tenant),
            BlastRadius::MultiTenant => {
                keys.iter().all(|key| self.spec.target.tenants.contains(&tenant(key.0)))
            }
        };
        hold(holds, Invariant::I5, || format!("{radius:?}: {keys:?}"))
    }

    /// Permits in hands that could still be burned.
    fn in_hands(&self, state: &State) -> Result<(), Breach> {
        let safety = &self.spec.safety;
        if safety.max_outstanding >= safety.max_affected_requests {
            return Ok(()); // I1 and I3 say more.
        }
        let usable = state.processes.iter().filter(|it| it.alive).map(|it| {
            let (seat, now) = (&self.seats[it.seat], self.clock_of(state, it));
            let could = |wish| it.hands().could_burn(&self.key, now, &seat.keys(wish));
            let could = (0..seat.wishes.len()).any(could);
            if could { u64::from(it.hands().left(&self.key)) } else { 0 }
        });
        let (usable, limit) = (usable.sum::<u64>(), safety.max_outstanding);
        hold(usable <= u64::from(limit), Invariant::Outstanding, || format!("{usable} of {limit}"))
    }

    /// I10 and I11.
    fn throttles(&self, state: &State) -> Result<(), Breach> {
        let safety = &self.spec.safety;
        if let Some(limit) = safety.max_concurrent {
            let runs = state.injections.iter().filter(|injection| injection.runs).count();
            hold(runs <= limit as usize, Invariant::I10, || format!("{runs} of {limit} run"))?;
        }
        let Some(rate) = safety.max_rate else { return Ok(()) };
        for injection in &state.injections {
            let within = |other: &&Injection| {
                other.tick <= injection.tick
                    && self.between(other.tick, injection.tick) < rate.window
            };
            let count = state.injections.iter().filter(within).count();
            hold(count <= rate.permits as usize, Invariant::I11, || {
                format!("{count} of {} in one window", rate.permits)
            })?;
        }
        Ok(())
    }

    /// I13, and promise 2: nothing runs behind a proof.
    fn after_the_proof(&self, state: &State) -> Result<(), Breach> {
        if state.log.book.proven.is_none() || state.spent.records > 0 {
            return Ok(());
        }
        let runs = state.injections.iter().any(|injection| injection.runs);
        hold(!runs, Invariant::I13, || "a fault runs although the stop is proven".to_owned())
    }

    /// What must hold of an injection that begins now: T1, T2, I13.
    ///
    /// # Errors
    /// What doesn't.
    pub fn begins(&self, state: &State, process: usize) -> Result<(), Breach> {
        let proven = state.log.book.proven.is_some() && state.spent.records == 0;
        hold(!proven, Invariant::I13, || "an injection behind the proof".to_owned())?;
        let longest = slowest(LEASE_TTL);
        let contact = self.between(state.processes[process].contact, state.tick);
        hold(contact <= longest, Invariant::T2, || {
            format!("an injection {contact:?} after the contact")
        })?;
        let Some(stopped) = state.stopped_at else { return Ok(()) };
        let late = self.between(stopped, state.tick);
        hold(late <= longest, Invariant::T1, || {
            format!("an injection {late:?} after the stop's commit")
        })
    }
}

/// How long a clock that is as slow as allowed takes to show `duration`: duration / (1 - rho).
fn slowest(duration: Duration) -> Duration {
    let nanos = duration.as_nanos() * 1_000_000 / u128::from(1_000_000 - CLOCK_RATE_PPM);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

fn most<K: Ord + std::fmt::Debug>(
    keys: impl Iterator<Item = K>,
    limit: Option<u32>,
) -> Result<(), Breach> {
    let Some(limit) = limit else { return Ok(()) };
    let mut sums: BTreeMap<K, u32> = BTreeMap::new();
    keys.for_each(|key| *sums.entry(key).or_default() += 1);
    for (key, sum) in sums {
        hold(sum <= limit, Invariant::I9, || format!("{sum} of {limit} for {key:?}"))?;
    }
    Ok(())
}
