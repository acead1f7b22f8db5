//! What the link needs of the data plane: the plan's way in, the wallets that permits go into, and the evidence.

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{CountRow, GrantScope, Sample, ScopeKeys, TraceRow};
use squall_proto::vocabulary::time::BootNanos;

use crate::plan::ActiveSession;
use crate::registry::Announced;

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

/// The data plane, as the link sees it. Its own threads burn permits and run faults at any time in between.
///
/// What every implementation has to keep, since the bounds rest on it (bounds.md, shim rules 2 and 4):
/// - A fault is counted in [`Held::running`] *before* its permit is burned, and until it has ended. So an empty wallet
///   and then `running == 0` means that nothing of the grant runs or will run.
/// - Each permit is burned at most once, and never in a stopped or paused session or past a deadline.
/// - For a session that it doesn't know, every method does nothing and finds nothing.
pub trait Plane {
    /// Makes `sessions` the plan. Returns those that this process takes part in.
    fn install(&mut self, sessions: &[ActiveSession]) -> Vec<SessionKey>;

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

    /// What is in the wallet.
    fn held(&self, session: &SessionKey) -> Held;

    /// Whether a chosen request of the session had no permit since the last [`Plane::take_demand`].
    fn has_demand(&self, session: &SessionKey) -> bool;

    /// How many such requests there were, and the keys of one of them.
    fn take_demand(&mut self, session: &SessionKey) -> Option<(u32, ScopeKeys)>;

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
