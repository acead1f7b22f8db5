//! A shim as the contract wants it: permits are burned before a fault is applied, used only within their scope and life,
//! and given back once, when nothing of them runs.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_proto::vocabulary::id::{AgentName, Holder, TenantId, TraceId};
use squall_proto::vocabulary::limits::PERMIT_LIFE;
use squall_proto::vocabulary::message::{GrantScope, ScopeKeys};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::BootNanos;

use crate::cast::{SHIMS, agent, holder, trace};

/// A fault that was applied to a call.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) holder: Holder,
    pub(crate) req_no: u64,
    pub(crate) at: BootNanos,
    pub(crate) until: BootNanos,
    pub(crate) agent: AgentName,
    pub(crate) trace: Option<TraceId>,
    pub(crate) request: u64,
}

impl Injection {
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.holder.tenant
    }
}

/// Permits in hand.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    pub(crate) req_no: u64,
    pub(crate) left: u32,
    used: u32,
    scope: GrantScope,
    pub(crate) until: BootNanos,
    busy_until: BootNanos,
}

#[derive(Clone, Debug)]
pub(crate) struct Shim {
    number: usize,
    life: u8,
    next: u64,
    /// The request that waits, what for, and when it was sent first.
    pub(crate) waiting: Option<(u64, ScopeKeys, BootNanos)>,
    pub(crate) hand: Option<Hand>,
    /// Closes without an acknowledgement.
    pub(crate) unacked: BTreeMap<u64, u32>,
    pub(crate) sticky: Option<AbortEpoch>,
}

/// How long a fault runs.
const FAULT: Duration = Duration::from_secs(1);

impl Shim {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            life: 1,
            next: 1,
            waiting: None,
            hand: None,
            unacked: BTreeMap::new(),
            sticky: None,
        }
    }

    pub(crate) fn holder(&self) -> Holder {
        holder(self.number, self.life)
    }

    /// A request was chosen and no permit is in hand.
    pub(crate) fn ask(&mut self, with: u8, now: BootNanos) -> bool {
        if self.waiting.is_some() || self.hand.is_some() || self.sticky.is_some() {
            return false;
        }
        let agents = SHIMS[self.number].2;
        let scope = ScopeKeys {
            agent: agent(agents[usize::from(with) % agents.len()]),
            trace: (!with.is_multiple_of(5)).then(|| trace(with % 3)),
            request: u64::from(with),
        };
        self.waiting = Some((self.next, scope, now));
        self.next += 1;
        true
    }

    /// A grant arrived; a number comes back that is to be closed unused.
    pub(crate) fn granted(&mut self, req_no: u64, permits: u32, scope: GrantScope) -> Option<u64> {
        match self.waiting.take_if(|(no, ..)| *no == req_no) {
            Some((_, _, first)) if self.sticky.is_none() => {
                let until = first.plus(PERMIT_LIFE);
                self.hand =
                    Some(Hand { req_no, left: permits, used: 0, scope, until, busy_until: first });
                None
            }
            _ if self.hand.as_ref().is_some_and(|hand| hand.req_no == req_no) => None,
            _ if self.unacked.contains_key(&req_no) => None,
            _ => {
                self.unacked.insert(req_no, 0);
                Some(req_no)
            }
        }
    }

    pub(crate) fn inject(&mut self, with: u8, now: BootNanos) -> Option<Injection> {
        let (holder, agents) = (self.holder(), SHIMS[self.number].2);
        let hand = self.hand.as_mut()?;
        if self.sticky.is_some() || hand.left == 0 || now >= hand.until {
            return None;
        }
        hand.left -= 1;
        hand.used += 1;
        let until = now.plus(FAULT);
        hand.busy_until = hand.busy_until.max(until);
        let any = || agent(agents[usize::from(with) % agents.len()]);
        let bound = hand.scope.request.is_some();
        Some(Injection {
            holder,
            req_no: hand.req_no,
            at: now,
            until,
            agent: hand.scope.agent.clone().unwrap_or_else(any),
            trace: hand.scope.trace.clone().or_else(|| (!bound).then(|| trace(with % 3))),
            request: hand.scope.request.unwrap_or_else(|| u64::from(with)),
        })
    }

    /// Whether a fault runs.
    pub(crate) fn is_busy(&self, now: BootNanos) -> bool {
        self.hand.as_ref().is_some_and(|hand| now < hand.busy_until)
    }

    /// Permits that can still be used.
    pub(crate) fn usable(&self, now: BootNanos) -> u64 {
        self.hand.as_ref().filter(|hand| now < hand.until).map_or(0, |hand| u64::from(hand.left))
    }

    /// Gives the grant in hand back, or the one that it no longer waits for.
    pub(crate) fn give_back(&mut self, now: BootNanos) {
        if !self.is_busy(now)
            && let Some(hand) = self.hand.take()
        {
            self.unacked.insert(hand.req_no, hand.used);
        }
    }

    pub(crate) fn give_up(&mut self) {
        if let Some((req_no, ..)) = self.waiting.take() {
            self.unacked.insert(req_no, 0);
        }
    }

    /// The process starts anew: what it held is stranded.
    pub(crate) fn restart(&mut self) {
        *self = Self { life: self.life + 1, ..Self::new(self.number) };
    }
}
