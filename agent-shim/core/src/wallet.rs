//! The permits of one session in this process.
//!
//! Order is law (bounds.md, shim rule 2): clone guard, deadline, burn the permit, *then* apply the fault.

use std::sync::Arc;

use squall_proto::vocabulary::id::{AgentName, TraceId};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::time::BootNanos;

/// Tells a process from a forked copy of it: permits belong to the process that they were granted to.
#[derive(Debug, Default)]
pub struct CloneGuard {}

impl CloneGuard {
    /// Makes every permit of this process void. Only an atomic increment: safe in the child of a fork and in a signal
    /// handler.
    pub fn invalidate(&self) {
        todo!()
    }

    /// Which copy this is: wallets burn only in the copy that they were made in.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        todo!()
    }
}

/// The time until which the process may inject without contact. One for all its sessions.
#[derive(Debug, Default)]
pub struct Lease {}

impl Lease {
    /// Moves the end forward to `until`; an earlier moment changes nothing.
    pub fn extend(&self, until: BootNanos) {
        let _ = until;
        todo!()
    }

    /// Ends the lease at once (another log, a failed sync). It can be extended again.
    pub fn end(&self) {
        todo!()
    }

    /// The end: nothing burns at this moment or later.
    #[must_use]
    pub fn until(&self) -> BootNanos {
        todo!()
    }
}

/// Whom a permit is burned for.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// The trace, where the seam knows it.
    pub trace: Option<&'a TraceId>,
    /// Hash of the logical request.
    pub request: u64,
}

/// Why no permit was burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoPermit {
    /// The wallet belongs to another copy of the process.
    #[error("the process was copied")]
    Cloned,
    /// The session was aborted or left the plan.
    #[error("the session was stopped")]
    Stopped,
    /// The session is paused.
    #[error("the session is paused")]
    Paused,
    /// The lease or the permits' own deadline is over.
    #[error("the lease is over")]
    Expired,
    /// No permit is left.
    #[error("no permit is left")]
    Empty,
    /// The permits are for another agent, trace or request.
    #[error("the permits are for others")]
    OutOfScope,
    /// As many faults run as can be counted.
    #[error("too many faults are running")]
    Busy,
}

/// A burned permit. It counts as a running fault until it is given to [`Wallet::finished`].
#[derive(Debug)]
#[must_use = "the fault counts as running until it is given to `finished`"]
pub struct Burn {}

/// Why a grant was not installed. Its permits must be closed unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotInstalled {
    /// Permits of another grant are in hand.
    #[error("another grant is open")]
    Open,
    /// The session was aborted, or the process copied.
    #[error("the session was stopped")]
    Stopped,
    /// The request number was used before.
    #[error("the request number was used before")]
    Used,
    /// More permits than a wallet holds.
    #[error("more permits than a wallet holds")]
    TooMany,
}

/// The permits of one session, shared by hook threads and the control plane.
#[derive(Debug)]
pub struct Wallet {}

impl Wallet {
    /// An empty wallet of a `strict` or `strict_claim` session.
    #[must_use]
    pub fn new(guard: &CloneGuard, lease: Arc<Lease>) -> Self {
        let _ = (guard, lease);
        todo!()
    }

    /// The wallet of an `eventual` session: no permits, only the lease.
    #[must_use]
    pub fn eventual(guard: &CloneGuard, lease: Arc<Lease>) -> Self {
        let _ = (guard, lease);
        todo!()
    }

    /// Burns one permit for `keys`.
    ///
    /// # Errors
    /// [`NoPermit`] says why nothing was burned.
    #[inline]
    pub fn try_burn(
        &self,
        now: BootNanos,
        guard: &CloneGuard,
        keys: &Keys<'_>,
    ) -> Result<Burn, NoPermit> {
        let _ = (now, guard, keys);
        todo!()
    }

    /// The fault of `burn` ended, applied or not.
    pub fn finished(&self, burn: Burn, now: BootNanos) {
        let _ = (burn, now);
        todo!()
    }

    /// Control plane: takes the permits of a grant in hand. `deadline` is when they end unless extended, `cap` their
    /// life's end (`V`), which nothing moves.
    ///
    /// # Errors
    /// [`NotInstalled`]; then nothing changed.
    pub fn install(
        &self,
        req_no: u64,
        permits: u32,
        scope: GrantScope,
        deadline: BootNanos,
        cap: BootNanos,
    ) -> Result<(), NotInstalled> {
        let _ = (req_no, permits, scope, deadline, cap);
        todo!()
    }

    /// Control plane: moves the deadline of the permits in hand forward, never beyond their cap.
    pub fn extend(&self, deadline: BootNanos) {
        let _ = deadline;
        todo!()
    }

    /// Control plane: takes the rest of the open grant away, so that nothing burns of it any more. Returns its request
    /// number and how many were burned. Faults that burned them may still run: see [`Wallet::running`].
    pub fn drain(&self) -> Option<(u64, u32)> {
        todo!()
    }

    /// Request number of the open grant.
    #[must_use]
    pub fn open_grant(&self) -> Option<u64> {
        todo!()
    }

    /// Permits in hand.
    #[must_use]
    pub fn left(&self) -> u32 {
        todo!()
    }

    /// Faults under way.
    #[must_use]
    pub fn running(&self) -> u32 {
        todo!()
    }

    /// Permits burned in all.
    #[must_use]
    pub fn used_total(&self) -> u64 {
        todo!()
    }

    /// When the last fault ended, if there was one.
    #[must_use]
    pub fn last_ended(&self) -> Option<BootNanos> {
        todo!()
    }

    /// Stops for good: nothing burns once this returns. Running faults see it by [`Wallet::is_live`].
    pub fn stop(&self) {
        todo!()
    }

    /// Whether [`Wallet::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        todo!()
    }

    /// Pauses or resumes: nothing burns once `pause(true)` returned. Running faults go on.
    pub fn pause(&self, paused: bool) {
        let _ = paused;
        todo!()
    }

    /// Control plane: the session's longest duration ends at `moment`; nothing burns then or later, contact or not. Only
    /// an earlier moment than the known one has an effect.
    pub fn end_by(&self, moment: BootNanos) {
        let _ = moment;
        todo!()
    }

    /// Whether a fault that runs may go on: not stopped, not copied, lease not over. So the link must renew the lease
    /// also while [`Wallet::running`] isn't 0.
    #[must_use]
    pub fn is_live(&self, now: BootNanos, guard: &CloneGuard) -> bool {
        let _ = (now, guard);
        todo!()
    }
}
