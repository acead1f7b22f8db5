//! One session, as far as the protocol has to know it.

use std::time::Duration;

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::limits::{GRANT_PERMITS_MAX, PERMIT_IDLE, PERMIT_LIFE};
use squall_proto::vocabulary::message::ScopeKeys;
use squall_proto::vocabulary::plan::PlanSession;
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{self, CLAIM_IDLE, Retry};
use super::phi::Phi;

/// First number of permits wanted. Doubles while chunks are used up, halves when one is given back.
const WANT_AT_FIRST: u32 = 8;

/// What the session may do here, permits and lease apart; the later, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gate {
    /// Inject.
    Open,
    /// Nothing for now.
    Paused,
    /// Nothing new; what runs may end.
    Ended,
    /// Nothing; what runs ends now.
    Stopped,
}

/// The one Ask of a session that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct OpenAsk {
    pub(super) req_no: u64,
    pub(super) want: u32,
    pub(super) scope: ScopeKeys,
    pub(super) first_sent: BootNanos,
    pub(super) last_sent: BootNanos,
    pub(super) repeated: bool,
    /// From here on a grant comes too late. For a claim, that is when its request passes.
    pub(super) late_from: BootNanos,
    pub(super) retry: Retry,
}

impl OpenAsk {
    pub(super) fn new(
        req_no: u64,
        want: u32,
        scope: ScopeKeys,
        now: BootNanos,
        late_after: Duration,
    ) -> Self {
        Self {
            req_no,
            want,
            scope,
            first_sent: now,
            last_sent: now,
            repeated: false,
            late_from: now.plus(late_after),
            retry: Retry::at(pace::ASK, now),
        }
    }
}

/// The one grant of a session whose permits are in hand or whose faults still run.
#[derive(Clone, Debug)]
pub(super) struct OpenGrant {
    pub(super) req_no: u64,
    pub(super) permits: u32,
    pub(super) cap: BootNanos,
    pub(super) bound_to_request: bool,
    /// Injections of the session when this was looked at last, and since when there were as many.
    pub(super) burned: u64,
    pub(super) quiet_since: BootNanos,
    /// The permits were taken out, and so many had been burned: what runs still has to end.
    pub(super) drained: Option<u32>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// As the plan has it, while it is live there.
    pub(super) plan: Option<PlanSession>,
    /// A pause was pushed that the plan in force lacks: this version says what holds.
    pub(super) paused_until: Option<u64>,
    /// Its longest duration ends here.
    pub(super) ends_at: BootNanos,
    /// The gate that the data plane knows of.
    pub(super) gate: Gate,
    /// Whether this process takes part.
    pub(super) takes_part: bool,
    /// When it left the plan.
    pub(super) left_at: Option<BootNanos>,
    pub(super) last_req_no: u64,
    /// Whether this incarnation ever asked: the ledger may hold an open grant of it.
    pub(super) asked: bool,
    pub(super) ask: Option<OpenAsk>,
    pub(super) grant: Option<OpenGrant>,
    pub(super) phi: Phi,
    /// When the demand that lies in the mailbox was noticed.
    pub(super) demand_seen: Option<BootNanos>,
    want: u32,
    last_demand: Option<BootNanos>,
    demand_gap: Duration,
}

impl Session {
    pub(super) fn new(last_req_no: u64, now: BootNanos) -> Self {
        Self {
            plan: None,
            paused_until: None,
            ends_at: BootNanos(u64::MAX),
            gate: Gate::Ended,
            takes_part: false,
            left_at: None,
            last_req_no,
            asked: false,
            ask: None,
            grant: None,
            phi: Phi::new(1.0, now),
            demand_seen: None,
            want: WANT_AT_FIRST,
            last_demand: None,
            demand_gap: Duration::ZERO,
        }
    }

    pub(super) fn strictness(&self) -> Option<Strictness> {
        self.plan.as_ref().map(|plan| plan.spec.safety.strictness)
    }

    /// What the session may do now, if it wasn't aborted.
    pub(super) fn gate_at(&self, now: BootNanos) -> Gate {
        match &self.plan {
            _ if now >= self.ends_at => Gate::Stopped,
            None => Gate::Ended,
            Some(plan) if plan.running && self.paused_until.is_none() => Gate::Open,
            Some(_) => Gate::Paused,
        }
    }

    /// Permits to ask for: one for a request of its own, else as the last chunks went.
    pub(super) fn want(&self, demanded: u32) -> u32 {
        match self.strictness() {
            Some(Strictness::Strict) => self.want.max(demanded).clamp(1, GRANT_PERMITS_MAX),
            Some(Strictness::StrictClaim | Strictness::Eventual) | None => 1,
        }
    }

    /// A chosen request without a permit was taken from the mailbox.
    pub(super) fn demanded(&mut self, now: BootNanos) {
        if let Some(last) = self.last_demand {
            self.demand_gap = now.since(last);
        }
        self.last_demand = Some(now);
    }

    /// The grant ended with `left` permits to give back.
    pub(super) fn learn(&mut self, left: u32) {
        self.want = if left == 0 {
            self.want.saturating_mul(2).min(GRANT_PERMITS_MAX)
        } else {
            (self.want / 2).max(1)
        };
    }

    /// How long permits may lie idle: [`PERMIT_IDLE`], unless chosen requests come at longer intervals. An agent that
    /// calls a tool every few seconds would otherwise never find the permits that its last call asked for. What may be
    /// held in all is not touched: permits live for [`PERMIT_LIFE`] at most.
    pub(super) fn idle_limit(&self, grant: &OpenGrant) -> Duration {
        if grant.bound_to_request {
            CLAIM_IDLE
        } else {
            self.demand_gap.saturating_mul(2).clamp(PERMIT_IDLE, PERMIT_LIFE)
        }
    }
}
