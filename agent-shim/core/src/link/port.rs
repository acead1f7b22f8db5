//! What the link needs of the data plane: the wallets that permits go into, and the counters that evidence comes from.

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{CountRow, GrantScope, Sample, TraceRow};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

/// Permits of one grant, on their way into a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    /// The request that was granted.
    pub req_no: u64,
    /// How many, at least 1.
    pub count: u32,
    /// None may be burned from here on: the first send of the request + `PERMIT_LIFE`. The lease is checked beside it.
    pub until: BootNanos,
    /// What every injection must match.
    pub scope: GrantScope,
}

/// What a session's wallet holds, and what runs because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Held {
    /// Permits of the current grant that are not burned.
    pub left: u32,
    /// Permits of the current grant that are burned.
    pub used: u32,
    /// Faults of the session under way.
    pub running: u32,
    /// Injections of the session since the process started (since the fork, in a child), in all its grants.
    pub burned: u64,
    /// When the last permit was burned.
    pub last_burn: Option<BootNanos>,
    /// When the last fault of the session ended.
    pub last_end: Option<BootNanos>,
}

/// Whether a session may inject at all, apart from permits and lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// Not now.
    Paused,
    /// Never again in this process.
    Stopped,
}

/// At most this much, in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HarvestLimits {
    /// Rows of counters, and as many of traces.
    pub rows: usize,
    /// Samples.
    pub samples: usize,
}

/// What changed in the counters since the last harvest.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Harvest {
    /// Rows that changed, with their newest values.
    pub rows: Vec<CountRow>,
    /// Trace rows that changed.
    pub traces: Vec<TraceRow>,
    /// Samples, oldest first.
    pub samples: Vec<Sample>,
    /// Samples lost since the process started.
    pub samples_lost: u64,
    /// Whether a limit left something behind.
    pub more: bool,
}

/// The data plane, as the link sees it. Its own threads burn permits and run faults at any time in between.
///
/// What every implementation has to keep, since the bounds rest on it (bounds.md, shim rules 2 and 4):
/// - A fault is counted in [`Held::running`] *before* its permit is burned, and until it has ended. So `left == 0` and
///   then `running == 0` means that nothing of the grant runs or will run.
/// - Each permit is burned at most once, and only while the gate is open and both deadlines lie ahead.
/// - For a session that the plan does not hold, every method does nothing and [`Held`] is empty.
pub trait Plane {
    /// Permits, and sessions without permits, may be used until here. Never goes back but to 0.
    fn set_lease(&mut self, until: BootNanos);

    /// From the return on, a gate that is not open lets nothing start.
    fn set_gate(&mut self, session: &SessionKey, gate: Gate);

    /// Replaces what is in the wallet; [`Held::used`] counts from 0 again.
    fn put(&mut self, session: &SessionKey, permits: Permits);

    /// Takes the unburned permits out: from the return on none of them can be burned.
    fn seize(&mut self, session: &SessionKey) -> Held;

    /// What is in the wallet.
    fn held(&self, session: &SessionKey) -> Held;

    /// What changed in the counters. Samples get their wall time from `wall`, which is the wall clock at `now`.
    fn harvest(&mut self, now: BootNanos, wall: UnixMillis, limits: HarvestLimits) -> Harvest;
}
