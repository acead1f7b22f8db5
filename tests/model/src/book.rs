//! The log read a second time, as simply as can be: sums over its events and no rule of the domain.
//!
//! It checks what the log alone tells: I2, I4, I6, the bound of I5, proofs by confirmations, commands.

use std::collections::{BTreeMap, BTreeSet};

use squall_domain::event::{BoundScope, Event, LeverEvent, ProofKind};
use squall_domain::world::Entry;
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::id::{Holder, RequestId};
use squall_proto::vocabulary::session::SessionSpec;

use crate::invariant::{Breach, Invariant, hold};

/// A grant: who holds it and the number of its request.
pub type Grant = (Holder, u64);

/// What a prefix of the log adds up to.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Permits of every grant.
    pub issued: BTreeMap<Grant, u32>,
    /// Burned permits of every closed grant.
    pub closed: BTreeMap<Grant, u32>,
    /// Client commands.
    pub commands: BTreeSet<RequestId>,
    /// What the blast radius is bound to.
    pub bound: Option<BoundScope>,
    /// The session's own subject holds a stop of any kind.
    pub over: bool,
    /// A lever was engaged while the session lived, or the session began to live behind it.
    pub halted: bool,
    /// It was aborted: the record of it stands in the log.
    pub aborted: bool,
    /// Who had an open grant when the first stop came, or got one behind it.
    pub held: Option<BTreeSet<Holder>>,
    /// Who confirmed the stop.
    pub confirmed: BTreeSet<Holder>,
    /// How the stop was proven.
    pub proven: Option<ProofKind>,
    /// The log says of itself that it is damaged.
    pub damaged: bool,
    live: bool,
    engaged: bool,
}

impl Book {
    /// Reads one entry more.
    ///
    /// # Errors
    /// What it breaks.
    pub fn read(&mut self, spec: &SessionSpec, entry: &Entry) -> Result<(), Breach> {
        match entry {
            Entry::Session(_, record) => {
                for recorded in &record.events {
                    if let Some(command) = &recorded.command {
                        let new = self.commands.insert(command.request.clone());
                        hold(new, Invariant::Commands, || format!("{command:?} twice"))?;
                    }
                    self.event(spec, &recorded.event)?;
                }
            }
            Entry::Lever(_, record) => {
                for recorded in &record.events {
                    self.engaged = matches!(recorded.event, LeverEvent::Engaged { .. });
                    self.halted |= self.engaged && self.live;
                    if self.halted {
                        self.stopped();
                    }
                }
            }
            Entry::Unreadable(..) | Entry::Other => {}
        }
        Ok(())
    }

    fn event(&mut self, spec: &SessionSpec, event: &Event) -> Result<(), Breach> {
        match event {
            Event::Started { .. } => {
                self.live = true;
                self.halted |= self.engaged;
            }
            Event::GrantIssued { .. } => self.issue(spec, event)?,
            Event::GrantClosed { holder, req_no, used } => {
                let grant = (holder.clone(), *req_no);
                let permits = self.issued.get(&grant);
                let fits = permits.is_some_and(|permits| used <= permits);
                hold(fits, Invariant::I6, || format!("{event:?} of {permits:?} permits"))?;
                let first = self.closed.insert(grant, *used).is_none();
                hold(first, Invariant::I6, || format!("{event:?} twice"))?;
            }
            Event::ScopeBound { scope } => self.bound = Some(scope.clone()),
            Event::DrainBegan { .. } | Event::Ended { .. } => {
                self.over = true;
                self.live = false;
            }
            Event::Aborted { .. } => {
                self.over = true;
                self.live = false;
                self.aborted = true;
                self.stopped();
            }
            Event::LogDamaged { .. } => {
                self.over = true;
                self.live = false;
                self.damaged = true;
                self.stopped();
            }
            Event::InertConfirmed { holder, .. } => drop(self.confirmed.insert(holder.clone())),
            Event::StopProven { by, .. } => self.prove(*by)?,
            Event::Created { .. } | Event::Paused | Event::Resumed | Event::GuardTripped { .. } => {
            }
        }
        Ok(())
    }

    fn issue(&mut self, spec: &SessionSpec, event: &Event) -> Result<(), Breach> {
        let Event::GrantIssued { holder, req_no, permits, scope, agent, .. } = event else {
            return Ok(());
        };
        hold(!self.over, Invariant::I4, || format!("{event:?} behind a stop"))?;
        let grant = (holder.clone(), *req_no);
        let new = !self.issued.contains_key(&grant);
        hold(new, Invariant::I6, || format!("{grant:?} issued twice"))?;
        let two = self.open().any(|(other, _)| other.0 == *holder);
        hold(!two, Invariant::I6, || format!("{holder:?} has two open grants"))?;
        if spec.safety.strictness == Strictness::StrictClaim {
            let one = *permits == 1 && scope.request.is_some();
            hold(one, Invariant::I5, || format!("{event:?} claims more than one request"))?;
        }
        let radius = spec.safety.blast_radius;
        let fits = match &self.bound {
            None => !matches!(radius, BlastRadius::SingleAgent | BlastRadius::SingleTrace),
            Some(BoundScope::Agent(tenant, name)) => holder.tenant == *tenant && agent == name,
            Some(BoundScope::Trace(tenant, trace)) => {
                holder.tenant == *tenant && scope.trace.as_ref() == Some(trace)
            }
            Some(BoundScope::Request(tenant, request)) => {
                holder.tenant == *tenant && scope.request == Some(*request)
            }
        };
        hold(fits, Invariant::I5, || format!("{event:?} is not in {:?}", self.bound))?;
        self.issued.insert(grant, *permits);
        if let Some(held) = &mut self.held {
            held.insert(holder.clone());
        }
        let available = self.available(spec);
        hold(available >= 0, Invariant::I2, || format!("{available} behind {event:?}"))
    }

    fn prove(&mut self, by: ProofKind) -> Result<(), Breach> {
        self.proven.get_or_insert(by);
        let held = self.held.clone().unwrap_or_default();
        let all = by == ProofKind::Time || held.is_subset(&self.confirmed);
        hold(all, Invariant::Proof, || format!("{held:?} held, {:?} confirmed", self.confirmed))
    }

    fn stopped(&mut self) {
        let open: BTreeSet<Holder> = self.open().map(|(grant, _)| grant.0.clone()).collect();
        self.held.get_or_insert(open);
    }

    /// Grants that are not closed.
    pub fn open(&self) -> impl Iterator<Item = (&Grant, &u32)> {
        self.issued.iter().filter(|(grant, _)| !self.closed.contains_key(*grant))
    }

    /// Whether nobody may be given a permit any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.over || self.halted
    }

    /// Permits that can still be issued; below 0 if too many were.
    #[must_use]
    pub fn available(&self, spec: &SessionSpec) -> i64 {
        let issued: i64 = self.issued.values().copied().map(i64::from).sum();
        i64::from(spec.safety.max_affected_requests) - issued + self.refunded()
    }

    /// Permits that came back.
    #[must_use]
    pub fn refunded(&self) -> i64 {
        let back = |(grant, used): (&Grant, &u32)| {
            i64::from(self.issued.get(grant).copied().unwrap_or(0)) - i64::from(*used)
        };
        self.closed.iter().map(back).sum()
    }
}
