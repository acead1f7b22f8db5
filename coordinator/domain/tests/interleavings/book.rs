//! The log read again, as simply as can be: sums over all its events, no state but what they say.

use std::collections::{BTreeMap, BTreeSet};

use squall_domain::event::{BoundScope, Event, LeverEvent, ProofKind};
use squall_domain::world::Entry;
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::id::{Holder, RequestId};
use squall_proto::vocabulary::session::SessionSpec;

use crate::shim::Injection;

type Grant = (Holder, u64);

/// What a prefix of the log adds up to.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) issued: BTreeMap<Grant, u32>,
    pub(crate) closed: BTreeMap<Grant, u32>,
    commands: BTreeSet<RequestId>,
    bound: Option<BoundScope>,
    /// The session's own subject holds a stop of any kind.
    over: bool,
    /// A lever was engaged while the session lived, or the session began to live behind it.
    pub(crate) halted: bool,
    live: bool,
    engaged: bool,
    /// Who had an open grant when the first stop came, or got one behind it; none before.
    held: Option<BTreeSet<Holder>>,
    confirmed: BTreeSet<Holder>,
    pub(crate) proven: bool,
}

impl Book {
    /// Reads a prefix, and checks I2, I4, I5 (as bound), I6, I8 and proofs by confirmations on the way. Levers in these logs cover the session.
    pub(crate) fn read<'a>(spec: &SessionSpec, log: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut book = Self::default();
        for entry in log {
            match entry {
                Entry::Session(_, record) => {
                    for recorded in &record.events {
                        if let Some(command) = &recorded.command {
                            let new = book.commands.insert(command.request.clone());
                            assert!(new, "{command:?} is in the log twice");
                        }
                        book.event(spec, &recorded.event);
                    }
                }
                Entry::Lever(_, record) => {
                    for recorded in &record.events {
                        book.engaged = matches!(recorded.event, LeverEvent::Engaged { .. });
                        book.halted |= book.engaged && book.live;
                        if book.halted {
                            book.stopped();
                        }
                    }
                }
                Entry::Unreadable(..) | Entry::Other => {}
            }
        }
        book
    }

    fn event(&mut self, spec: &SessionSpec, event: &Event) {
        match event {
            Event::Started { .. } => {
                self.live = true;
                self.halted |= self.engaged;
            }
            Event::GrantIssued { holder, req_no, permits, scope, agent, .. } => {
                assert!(!self.over, "I4: {event:?} behind a stop");
                let grant = (holder.clone(), *req_no);
                assert!(!self.issued.contains_key(&grant), "I6: {grant:?} issued twice");
                let open = |(grant, _): &(&Grant, _)| {
                    grant.0 == *holder && !self.closed.contains_key(grant)
                };
                assert!(
                    !self.issued.iter().any(|entry| open(&entry)),
                    "{holder:?} has two open grants"
                );
                if spec.safety.strictness == Strictness::StrictClaim {
                    assert!(*permits == 1 && scope.request.is_some(), "a claim is for one request");
                }
                let fits = match &self.bound {
                    None => !matches!(
                        spec.safety.blast_radius,
                        BlastRadius::SingleAgent | BlastRadius::SingleTrace
                    ),
                    Some(BoundScope::Agent(tenant, name)) => {
                        holder.tenant == *tenant && agent == name
                    }
                    Some(BoundScope::Trace(tenant, trace)) => {
                        holder.tenant == *tenant && scope.trace.as_ref() == Some(trace)
                    }
                    Some(BoundScope::Request(tenant, request)) => {
                        holder.tenant == *tenant && scope.request == Some(*request)
                    }
                };
                assert!(fits, "I5: {event:?} is not in {:?}", self.bound);
                self.issued.insert(grant, *permits);
                if let Some(held) = &mut self.held {
                    held.insert(holder.clone());
                }
                assert!(self.available(spec) >= 0, "I2: overdrawn by {event:?}");
            }
            Event::GrantClosed { holder, req_no, used } => {
                let grant = (holder.clone(), *req_no);
                let permits =
                    self.issued.get(&grant).unwrap_or_else(|| panic!("I6: {event:?} of no grant"));
                assert!(used <= permits, "I6: {event:?} of {permits}");
                assert!(self.closed.insert(grant, *used).is_none(), "I6: {event:?} twice");
            }
            Event::ScopeBound { scope } => self.bound = Some(scope.clone()),
            Event::DrainBegan { .. } | Event::Ended { .. } | Event::Aborted { .. } => {
                self.over = true;
                self.live = false;
                if matches!(event, Event::Aborted { .. }) {
                    self.stopped();
                }
            }
            Event::LogDamaged { why } => panic!("false damage: {why}"),
            Event::InertConfirmed { holder, .. } => drop(self.confirmed.insert(holder.clone())),
            Event::StopProven { by, .. } => {
                let held = self.held.as_ref().expect("a proof without a stop");
                let all = held.is_subset(&self.confirmed);
                assert!(*by == ProofKind::Time || all, "T1: {held:?} held, {:?}", self.confirmed);
                self.proven = true;
            }
            Event::Created { .. } | Event::Paused | Event::Resumed | Event::GuardTripped { .. } => {
            }
        }
    }

    fn stopped(&mut self) {
        let open = self.issued.keys().filter(|grant| !self.closed.contains_key(grant));
        self.held.get_or_insert(open.map(|(holder, _)| holder.clone()).collect());
    }

    /// Whether the session must not give a permit any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.over || self.halted
    }

    pub(crate) fn available(&self, spec: &SessionSpec) -> i64 {
        let issued: i64 = self.issued.values().map(|permits| i64::from(*permits)).sum();
        let back: i64 = self
            .closed
            .iter()
            .map(|(grant, used)| i64::from(self.issued[grant]) - i64::from(*used))
            .sum();
        i64::from(spec.safety.max_affected_requests) - issued + back
    }

    /// I3, I6 and I8: whatever was injected is spent, and covered by its own grant and Close.
    pub(crate) fn covers(&self, spec: &SessionSpec, injections: &[Injection]) {
        let mut burned: BTreeMap<Grant, u32> = BTreeMap::new();
        for injection in injections {
            *burned.entry((injection.holder.clone(), injection.req_no)).or_default() += 1;
        }
        for (grant, burned) in burned {
            assert!(
                burned <= self.issued.get(&grant).copied().unwrap_or(0),
                "I7: {grant:?} burned {burned}"
            );
            if let Some(used) = self.closed.get(&grant) {
                assert!(burned <= *used, "I8: {grant:?} burned {burned}, closed with {used}");
            }
        }
        let spent = i64::from(spec.safety.max_affected_requests) - self.available(spec);
        assert!(spent >= i64::try_from(injections.len()).unwrap(), "I3: {spent} spent");
    }
}

/// I1, I5, I9, I10 and I11, over what was really injected.
pub(crate) fn bounds(spec: &SessionSpec, injections: &[Injection]) {
    let safety = &spec.safety;
    assert!(injections.len() <= safety.max_affected_requests as usize, "I1");
    for (tenant, limit) in &safety.max_per_tenant {
        let of = injections.iter().filter(|injection| injection.tenant() == tenant).count();
        assert!(of <= *limit as usize, "I9: {of} in {tenant}");
    }
    if let Some(limit) = safety.max_per_agent {
        most(injections, limit, |injection| {
            Some((injection.tenant().clone(), injection.agent.clone()))
        });
    }
    if let Some(limit) = safety.max_per_trace {
        most(injections, limit, |injection| injection.trace.clone());
    }
    let kinds = |count: usize| assert!(count <= 1, "I5: {count} of {}", injections.len());
    match safety.blast_radius {
        BlastRadius::SingleRequest => {
            kinds(distinct(injections, |injection| (injection.holder.clone(), injection.request)));
        }
        BlastRadius::SingleAgent => {
            kinds(distinct(injections, |injection| {
                (injection.tenant().clone(), injection.agent.clone())
            }));
        }
        BlastRadius::SingleTrace => {
            kinds(distinct(injections, |injection| {
                (injection.tenant().clone(), injection.trace.clone())
            }));
            assert!(injections.iter().all(|injection| injection.trace.is_some()), "I5: no trace");
        }
        BlastRadius::SingleTenant => {
            kinds(distinct(injections, |injection| injection.tenant().clone()))
        }
        BlastRadius::MultiTenant => {
            assert!(
                injections.iter().all(|injection| spec.target.tenants.contains(injection.tenant())),
                "I5"
            );
        }
    }
    for (n, injection) in injections.iter().enumerate() {
        let before = &injections[..=n];
        if let Some(limit) = safety.max_concurrent {
            let running = before.iter().filter(|other| other.until > injection.at).count();
            assert!(running <= limit as usize, "I10: {running} run at once");
        }
        if let Some(rate) = safety.max_rate {
            let lately =
                before.iter().filter(|other| injection.at.since(other.at) < rate.window).count();
            assert!(lately <= rate.permits as usize, "I11: {lately} in one window");
        }
    }
}

fn most<K: Ord>(injections: &[Injection], limit: u32, key: impl Fn(&Injection) -> Option<K>) {
    let mut sums: BTreeMap<K, u32> = BTreeMap::new();
    for key in injections.iter().filter_map(key) {
        let sum = sums.entry(key).or_default();
        *sum += 1;
        assert!(*sum <= limit, "I9: {sum} of {limit}");
    }
}

fn distinct<K: Ord>(injections: &[Injection], key: impl Fn(&Injection) -> K) -> usize {
    injections.iter().map(key).collect::<BTreeSet<_>>().len()
}
