//! What shims ask of a session: permits, closes, confirmations.
//!
//! Every decision is a function of the folded state: a request that is repeated after its effect was folded is
//! answered from the state, so that a repetition never issues or refunds twice.

use squall_proto::vocabulary::blast_radius::{BlastRadius, Safety, Strictness};
use squall_proto::vocabulary::id::Holder;
use squall_proto::vocabulary::limits::GRANT_PERMITS_MAX;
use squall_proto::vocabulary::message::{Ask, Close, GrantScope, Inert, RefusedWhy};

use super::ledger::{Known, OpenGrant};
use super::{Phase, Session};
use crate::event::{BoundScope, Event};
use crate::local::Usage;

/// The answer to an Ask.
#[derive(Clone, Debug, PartialEq)]
pub enum AskDecision {
    /// The holder has this grant already: it is sent again as it is.
    Granted(OpenGrant),
    /// These are to be appended; the grant goes out once they are folded.
    Issue(Vec<Event>),
    /// No permits. Never written.
    Refuse(RefusedWhy),
}

/// The answer to a Close.
#[derive(Clone, Debug, PartialEq)]
pub enum CloseDecision {
    /// This is to be appended; the acknowledgement goes out once it is folded.
    Record(Event),
    /// Recorded already, or nothing that could be recorded.
    Acknowledge,
    /// Permits were burned from a grant that this view lacks: it is stale, or the log is damaged.
    CatchUp,
    /// What is claimed can't be: audited, not recorded.
    Refuse(&'static str),
}

impl CloseDecision {
    /// What the Close of a sender makes whom nothing authenticates: what it says is never log damage.
    #[must_use]
    pub fn of_unauthenticated(self) -> Self {
        match self {
            Self::Record(Event::LogDamaged { .. }) => {
                Self::Refuse("the log lacks the grant, and nothing vouches for the sender")
            }
            decision @ (Self::Record(_) | Self::Acknowledge | Self::CatchUp | Self::Refuse(_)) => {
                decision
            }
        }
    }
}

/// The answer to a confirmation.
#[derive(Clone, Debug, PartialEq)]
pub enum InertDecision {
    /// This is to be appended.
    Record(Event),
    /// Recorded already, or not needed.
    Note,
    /// The abort that it names is not in this view yet.
    Wait,
}

impl Session {
    /// Decides an Ask by `holder`, whom the transport vouches for. `usage` is what the owner measures by its own clock.
    #[must_use]
    pub fn ask(&self, holder: &Holder, ask: &Ask, usage: &Usage) -> AskDecision {
        if self.phase != Phase::Running {
            return AskDecision::Refuse(RefusedWhy::NotRunning);
        }
        if !self.covers(&holder.tenant) || ask.want == 0 || ask.req_no == 0 || !self.has_permits() {
            return AskDecision::Refuse(RefusedWhy::Invalid);
        }
        // An Ask that would be refused for the holder's open grant is answered with it: the shim forgot it and gives it back.
        if let Some(open) = self.ledger.open_grant(holder) {
            return AskDecision::Granted(open.clone());
        }
        if self.ledger.known(holder, ask.req_no) != Known::Unknown {
            return AskDecision::Refuse(RefusedWhy::Invalid);
        }
        if !self.in_scope(holder, ask) {
            return AskDecision::Refuse(RefusedWhy::OutOfScope);
        }
        match self.permits_for(holder, ask, usage) {
            Ok(permits) => AskDecision::Issue(self.issue(holder, ask, permits)),
            Err(why) => AskDecision::Refuse(why),
        }
    }

    /// Whether the blast radius, where it is bound, is bound to what is asked for.
    fn in_scope(&self, holder: &Holder, ask: &Ask) -> bool {
        match &self.bound {
            Some(bound) => self.scope_of(holder, ask).as_ref() == Some(bound),
            None => {
                self.spec.safety.blast_radius != BlastRadius::SingleTrace
                    || ask.scope.trace.is_some()
            }
        }
    }

    /// What a first grant for this Ask binds the blast radius to. A single request needs no more than its budget of 1
    /// and a permit that is bound to it: a permit that comes back unused may go to another request.
    fn scope_of(&self, holder: &Holder, ask: &Ask) -> Option<BoundScope> {
        let tenant = holder.tenant.clone();
        match self.spec.safety.blast_radius {
            BlastRadius::SingleAgent => Some(BoundScope::Agent(tenant, ask.scope.agent.clone())),
            BlastRadius::SingleTrace => Some(BoundScope::Trace(tenant, ask.scope.trace.clone()?)),
            BlastRadius::SingleRequest | BlastRadius::SingleTenant | BlastRadius::MultiTenant => {
                None
            }
        }
    }

    /// `n = clamp(min(want, available / (2 * askers)), 1, min(256, available))` over all sums that apply, within the caps.
    fn permits_for(&self, holder: &Holder, ask: &Ask, usage: &Usage) -> Result<u32, RefusedWhy> {
        let available = self.available_to(holder, ask)?;
        if available == 0 {
            return Err(RefusedWhy::Dry);
        }
        let safety = &self.spec.safety;
        let room = u64::from(safety.max_outstanding).saturating_sub(usage.outstanding);
        if room == 0 {
            return Err(RefusedWhy::OutstandingCap);
        }
        let throttle = throttle(safety, usage);
        if throttle == 0 {
            return Err(RefusedWhy::Throttled);
        }
        let wanted =
            if safety.strictness == Strictness::StrictClaim { 1 } else { u64::from(ask.want) };
        let share = available / (2 * usage.askers.max(1));
        let most = available.min(u64::from(GRANT_PERMITS_MAX)).min(room).min(throttle);
        let permits = wanted.min(share).clamp(1, most);
        Ok(u32::try_from(permits).unwrap_or(GRANT_PERMITS_MAX))
    }

    /// Permits left in the budget and in every part of it that the Ask falls under.
    fn available_to(&self, holder: &Holder, ask: &Ask) -> Result<u64, RefusedWhy> {
        let (safety, ledger) = (&self.spec.safety, &self.ledger);
        let left = |limit: u32, spent: u64| u64::from(limit).saturating_sub(spent);
        let mut available = ledger.available();
        if let Some(limit) = safety.max_per_tenant.get(&holder.tenant) {
            available = available.min(left(*limit, ledger.spent_by_tenant(&holder.tenant)));
        }
        if let Some(limit) = safety.max_per_agent {
            available =
                available.min(left(limit, ledger.spent_by_agent(&holder.tenant, &ask.scope.agent)));
        }
        if let Some(limit) = safety.max_per_trace {
            let trace = ask.scope.trace.as_ref().ok_or(RefusedWhy::OutOfScope)?;
            available = available.min(left(limit, ledger.spent_by_trace(&holder.tenant, trace)));
        }
        Ok(available)
    }

    /// The scope is bound in the append of the first grant: apart, two grants could slip in with different scopes.
    fn issue(&self, holder: &Holder, ask: &Ask, permits: u32) -> Vec<Event> {
        let bind = if self.bound.is_none() { self.scope_of(holder, ask) } else { None };
        let scope = self.grant_scope(ask);
        let issued = Event::GrantIssued {
            holder: holder.clone(),
            req_no: ask.req_no,
            permits,
            agent: ask.scope.agent.clone(),
            trace: scope.trace.clone(),
            scope,
        };
        bind.map(|scope| Event::ScopeBound { scope }).into_iter().chain([issued]).collect()
    }

    /// What the shim must check again for every injection of the grant. What a limit charges the grant to is in it, or
    /// the permits could be used for another agent.
    fn grant_scope(&self, ask: &Ask) -> GrantScope {
        let safety = &self.spec.safety;
        let claim = safety.strictness == Strictness::StrictClaim;
        let one_agent = claim
            || safety.max_per_agent.is_some()
            || safety.blast_radius == BlastRadius::SingleAgent;
        GrantScope {
            agent: one_agent.then(|| ask.scope.agent.clone()),
            trace: if claim { ask.scope.trace.clone() } else { None },
            request: claim.then_some(ask.scope.request),
        }
    }

    /// Decides a Close by `holder`, whom the transport vouches for. `caught_up` says that a barrier sent after the
    /// Close was received has been applied.
    ///
    /// A session that is over acknowledges every Close: a known grant's once it is recorded, or, where the damaged log
    /// may refuse the record, without one.
    #[must_use]
    pub fn close(&self, holder: &Holder, close: &Close, caught_up: bool) -> CloseDecision {
        if !self.covers(&holder.tenant) {
            return CloseDecision::Refuse("the session has no shims of this tenant");
        }
        if self.phase == Phase::LogDamaged {
            return CloseDecision::Acknowledge;
        }
        match self.ledger.known(holder, close.grant.req_no) {
            Known::Closed => CloseDecision::Acknowledge,
            Known::Open(open) if close.used <= open.permits => {
                CloseDecision::Record(Event::GrantClosed {
                    holder: holder.clone(),
                    req_no: close.grant.req_no,
                    used: close.used,
                })
            }
            Known::Open(_) if self.phase.is_terminal() => CloseDecision::Acknowledge,
            Known::Open(_) => CloseDecision::Refuse("more permits used than were issued"),
            Known::Unknown if self.phase.is_terminal() => CloseDecision::Acknowledge,
            // Also one of nothing: its grant may have been issued by another replica, and would stay open.
            Known::Unknown if !caught_up => CloseDecision::CatchUp,
            Known::Unknown if close.used == 0 => CloseDecision::Acknowledge,
            Known::Unknown => CloseDecision::Record(Event::LogDamaged {
                why: format!(
                    "{} used {} permits of a grant that the log lacks",
                    holder.shim, close.used
                ),
            }),
        }
    }

    /// Decides a confirmation by `holder`, whom the transport vouches for.
    #[must_use]
    pub fn inert(&self, holder: &Holder, inert: &Inert) -> InertDecision {
        let Some(stop) = self.stop.as_ref().filter(|stop| stop.is(inert.epoch)) else {
            // A graceful end needs no confirmation; any other abort is one that this view lacks.
            let gracefully = self.stop.is_none() && self.ended.is_some();
            return if gracefully { InertDecision::Note } else { InertDecision::Wait };
        };
        // Who held nothing then is recorded for the time of its last injection, and only up to the proof.
        let needed =
            stop.holders.contains(holder) || (stop.proof.is_none() && self.ledger.knows(holder));
        if !needed || stop.confirmations.contains_key(holder) {
            return InertDecision::Note;
        }
        InertDecision::Record(Event::InertConfirmed {
            holder: holder.clone(),
            used: inert.used,
            last_injection_ago: inert.last_injection_ago,
        })
    }
}

/// Permits that concurrency and rate leave. A permit in hand counts as an injection under way: it may be one.
fn throttle(safety: &Safety, usage: &Usage) -> u64 {
    let left = |limit: Option<u32>, used: u64| {
        limit.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(used))
    };
    left(safety.max_concurrent, usage.outstanding)
        .min(left(safety.max_rate.map(|rate| rate.permits), usage.issued_in_window))
}
