//! What the link needs of the data plane: the plan's way in, the wallets that permits go into, and the evidence.

use std::sync::Arc;

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{CountRow, GrantScope, Sample, ScopeKeys, TraceRow};
use squall_proto::vocabulary::time::BootNanos;

use crate::live::Live;
use crate::plan::{ActiveSession, Unarmed};
use crate::registry::{Announced, Registry};

/// Permits of one grant, on their way into a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    /// The request that was granted.
    pub req_no: u64,
    /// How many, at least 1.
    pub count: u32,
    /// What every injection must match.
    pub scope: GrantScope,
    /// None may be burned from here on, unless the lease is extended.
    pub deadline: BootNanos,
    /// None may be burned from here on whatever happens: the first send of the request + `PERMIT_LIFE`.
    pub cap: BootNanos,
}

/// What a session's wallet holds, and what runs because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Permits in hand.
    pub left: u32,
    /// Faults of the session under way.
    pub running: u32,
    /// Injections of the session in this process, in all its grants.
    pub burned: u64,
    /// When the last fault of the session ended.
    pub last_ended: Option<BootNanos>,
}

/// What became of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TakesPart {
    /// The sessions that this process takes part in.
    pub sessions: Vec<SessionKey>,
    /// What was left out, and why.
    pub unarmed: Vec<Unarmed>,
}

/// The data plane, as the link sees it. Its own threads burn permits and run faults at any time in between.
///
/// What every implementation has to keep, since the bounds rest on it (docs/protocol.md, shim rules 2 and 4):
/// - A fault is counted in [`Held::running`] *before* its permit is burned, and until it has ended. So an empty wallet
///   and then `running == 0` means that nothing of the grant runs or will run.
/// - Each permit is burned at most once, and never in a stopped or paused session or past a deadline.
/// - For a session that it doesn't know, every method does nothing and finds nothing.
pub trait Plane {
    /// Makes `sessions` the plan.
    fn install(&mut self, sessions: &[ActiveSession]) -> TakesPart;

    /// Forgets a session that left the plan.
    fn forget(&mut self, session: &SessionKey);

    /// Moves the lease, and the deadline of all permits in hand up to their cap, forward to `until`.
    fn extend_lease(&mut self, until: BootNanos);

    /// Ends the lease at once.
    fn end_lease(&mut self);

    /// From the return on nothing of the session starts, for good; what runs is to end.
    fn stop(&mut self, session: &SessionKey);

    /// From the return on nothing of the session starts while it is paused.
    fn pause(&mut self, session: &SessionKey, paused: bool);

    /// The session ends at `moment`, contact or not.
    fn end_by(&mut self, session: &SessionKey, moment: BootNanos);

    /// Puts permits into the session's wallet. `false`: they can't be used, and nothing changed.
    fn put(&mut self, session: &SessionKey, permits: Permits) -> bool;

    /// Takes the rest of the open grant out: from the return on nothing burns of it. Its request, and how many were burned.
    fn drain(&mut self, session: &SessionKey) -> Option<(u64, u32)>;

    /// A grant's Close was acknowledged.
    fn settled(&mut self, session: &SessionKey, req_no: u64);

    /// What is in the wallet.
    fn held(&self, session: &SessionKey) -> Held;

    /// Whether a chosen request of the session had no permit since the last [`Plane::take_demand`].
    fn has_demand(&self, session: &SessionKey) -> bool;

    /// How many such requests there were, and the keys of one of them.
    fn take_demand(&mut self, session: &SessionKey) -> Option<(u32, ScopeKeys)>;

    /// How many sites there are: one more has to be announced.
    fn site_count(&self) -> usize;

    /// What a Hello says of the process.
    fn announced(&self) -> Announced;

    /// All counters, with their newest values.
    fn counts(&self) -> Vec<CountRow>;

    /// How traces ended, for each session.
    fn trace_counts(&self) -> Vec<TraceRow>;

    /// Takes up to `max` samples, oldest first.
    fn drain_samples(&mut self, max: usize) -> Vec<Sample>;

    /// Samples lost since the process started.
    fn samples_lost(&self) -> u64;
}

impl Plane for Arc<Registry> {
    fn install(&mut self, sessions: &[ActiveSession]) -> TakesPart {
        let installed = Registry::install(self, sessions);
        let sessions = installed.live.iter().map(|live| live.key().clone()).collect();
        TakesPart { sessions, unarmed: installed.unarmed }
    }

    fn forget(&mut self, session: &SessionKey) {
        Registry::forget(self, session);
    }

    fn extend_lease(&mut self, until: BootNanos) {
        self.lease().extend(until);
        self.sessions().iter().for_each(|live| live.wallet().extend(until));
    }

    fn end_lease(&mut self) {
        self.lease().end();
    }

    fn stop(&mut self, session: &SessionKey) {
        if let Some(live) = self.session(session) {
            live.wallet().stop();
        }
    }

    fn pause(&mut self, session: &SessionKey, paused: bool) {
        if let Some(live) = self.session(session) {
            live.wallet().pause(paused);
        }
    }

    fn end_by(&mut self, session: &SessionKey, moment: BootNanos) {
        if let Some(live) = self.session(session) {
            live.wallet().end_by(moment);
        }
    }

    fn put(&mut self, session: &SessionKey, permits: Permits) -> bool {
        let Permits { req_no, count, scope, deadline, cap } = permits;
        let Some(live) = self.session(session) else { return false };
        let wallet = live.wallet();
        if wallet.open_grant().is_none() {
            let log = self.journal().and_then(|journal| journal.open(session, req_no, count));
            wallet.log_burns_to(log);
        }
        wallet.install(req_no, count, scope, deadline, cap).is_ok()
    }

    fn settled(&mut self, session: &SessionKey, req_no: u64) {
        if let Some(journal) = self.journal() {
            journal.settled(session, req_no);
        }
    }

    fn drain(&mut self, session: &SessionKey) -> Option<(u64, u32)> {
        self.session(session)?.wallet().drain()
    }

    fn held(&self, session: &SessionKey) -> Held {
        self.session(session).map(|live| held(&live)).unwrap_or_default()
    }

    fn has_demand(&self, session: &SessionKey) -> bool {
        self.session(session).is_some_and(|live| live.demand().wanted() > 0)
    }

    fn take_demand(&mut self, session: &SessionKey) -> Option<(u32, ScopeKeys)> {
        self.session(session)?.demand().take()
    }

    fn site_count(&self) -> usize {
        Registry::site_count(self)
    }

    fn announced(&self) -> Announced {
        Registry::announced(self)
    }

    fn counts(&self) -> Vec<CountRow> {
        Registry::counts(self)
    }

    fn trace_counts(&self) -> Vec<TraceRow> {
        Registry::trace_counts(self)
    }

    fn drain_samples(&mut self, max: usize) -> Vec<Sample> {
        Registry::drain_samples(self, max)
    }

    fn samples_lost(&self) -> u64 {
        Registry::samples_lost(self)
    }
}

fn held(live: &Live) -> Held {
    let wallet = live.wallet();
    // In this order: what is still running when `left` was read is seen as running, or as ended with its time.
    let left = wallet.left();
    let running = wallet.running();
    Held { left, running, burned: wallet.used_total(), last_ended: wallet.last_ended() }
}
