//! The permits of one session in this process.
//!
//! Order is law (docs/protocol.md, shim rule 2): clone guard, deadline, burn the permit, *then* apply the fault. This module
//! does the first three; that the fault comes after is the shape of the API: a
//! [`Directive`](crate::Directive) exists only with a [`Burn`] inside.
//!
//! Why no permit burns twice, late, or after it was given back: everything that must change together is one 64-bit
//! atomic (permits left, faults running, stopped, paused, and the number of the grant), and a burn is one
//! compare-and-swap from the value that it checked.
//!
//! - A racing [`Wallet::drain`] either comes after the swap and counts it in `used`, or before, and the swap fails.
//! - The deadline and the scope lie beside the atomic. They are written before the grant is published (release) and read
//!   after it was seen (acquire); when they belong to a later grant already, the generation has moved and the swap fails.
//! - After [`Wallet::stop`] or `pause(true)` returned, the value has changed: no swap from an older one succeeds.

mod lease;
#[cfg(feature = "model")]
mod model;
mod state;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use squall_proto::vocabulary::id::{AgentName, TraceId};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::time::BootNanos;

pub use lease::{CloneGuard, Lease};

use crate::journal::BurnLog;
use crate::lock::{lock, read, write};
use state::State;

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

impl Keys<'_> {
    fn are_within(&self, scope: &GrantScope) -> bool {
        let GrantScope { agent, trace, request } = scope;
        agent.as_ref().is_none_or(|agent| agent == self.agent)
            && trace.as_ref().is_none_or(|trace| Some(trace) == self.trace)
            && request.is_none_or(|request| request == self.request)
    }
}

/// Why no permit was burned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoPermit {
    /// The wallet belongs to another copy of the process.
    #[error("the process was copied")]
    Cloned,
    /// The session was aborted, ended, or left the plan.
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
#[cfg_attr(feature = "model", derive(Clone))]
#[must_use = "the fault counts as running until it is given to `finished`"]
pub struct Burn(State);

impl Burn {
    /// Unlike that of any other burn of the same wallet; below 2^44.
    pub(crate) fn number(&self) -> u64 {
        self.0.number()
    }
}

/// Why a grant was not installed. Its permits must be closed unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotInstalled {
    /// Permits of another grant are in hand.
    #[error("another grant is open")]
    Open,
    /// The session was aborted or ended.
    #[error("the session was stopped")]
    Stopped,
    /// The request number, or a later one, was used before.
    #[error("the request number was used before")]
    Used,
    /// More permits than a wallet holds, or none.
    #[error("the wallet holds 1 to {max} permits", max = state::PERMITS_MAX)]
    Permits,
}

/// The permits of one session, shared by hook threads and the control plane.
#[derive(Debug)]
pub struct Wallet {
    state: AtomicU64,
    /// When the permits in hand end, or the session's longest duration, whichever is first.
    until: AtomicU64,
    /// When the life of the newest grant's permits ends. It is that of every fault under way: none is granted before all
    /// faults of the grant before it have ended (shim rule 4). Never, while nothing was granted or in an `eventual` session.
    cap: AtomicU64,
    /// When the session's longest duration ends.
    ends: AtomicU64,
    /// Burns of an `eventual` session.
    used_eventual: AtomicU64,
    /// When the last fault ended; 0 for never.
    last_ended: AtomicU64,
    scope: RwLock<GrantScope>,
    /// Where burns are written down, if anywhere.
    log: RwLock<Option<Arc<dyn BurnLog>>>,
    control: Mutex<Control>,
    lease: Arc<Lease>,
    epoch: u32,
}

/// What only the control plane touches.
#[derive(Debug, Default)]
struct Control {
    open: Option<Open>,
    last_req_no: u64,
    /// Permits burned of grants that are drained.
    used_drained: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    req_no: u64,
    permits: u32,
}

impl Wallet {
    /// An empty wallet of a `strict` or `strict_claim` session.
    #[must_use]
    pub fn new(guard: &CloneGuard, lease: Arc<Lease>) -> Self {
        Self::with(State::EMPTY, guard, lease)
    }

    /// The wallet of an `eventual` session: no permits, only the lease.
    #[must_use]
    pub fn eventual(guard: &CloneGuard, lease: Arc<Lease>) -> Self {
        Self::with(State::EMPTY.eventual(), guard, lease)
    }

    fn with(state: State, guard: &CloneGuard, lease: Arc<Lease>) -> Self {
        Self {
            state: AtomicU64::new(state.bits()),
            until: AtomicU64::new(0),
            cap: AtomicU64::new(u64::MAX),
            ends: AtomicU64::new(u64::MAX),
            used_eventual: AtomicU64::new(0),
            last_ended: AtomicU64::new(0),
            scope: RwLock::new(GrantScope::default()),
            log: RwLock::default(),
            control: Mutex::default(),
            lease,
            epoch: guard.epoch(),
        }
    }

    /// Burns one permit for `keys`.
    ///
    /// # Errors
    /// [`NoPermit`] says why nothing was burned.
    pub fn try_burn(
        &self,
        now: BootNanos,
        guard: &CloneGuard,
        keys: &Keys<'_>,
    ) -> Result<Burn, NoPermit> {
        if guard.epoch() != self.epoch {
            return Err(NoPermit::Cloned);
        }
        // Held until the burn is written down, so that no other grant's log takes its place in between.
        let log = read(&self.log);
        let mut state = self.load();
        loop {
            let after = self.burned(state, now, keys)?;
            match self.swap(state, after) {
                Ok(()) => break,
                Err(found) => state = found,
            }
        }
        if state.is_eventual() {
            let used = self.used_eventual.fetch_add(1, Ordering::Relaxed);
            return Ok(Burn(State::numbered(used)));
        }
        if log.as_ref().is_some_and(|log| log.burned().is_err()) {
            // Someone else closes this grant: the permit stays spent, and no other one burns.
            self.stop();
            self.update(State::finished);
            return Err(NoPermit::Stopped);
        }
        Ok(Burn(state))
    }

    /// Burns one permit if that takes no second look: the session runs, its permits are for anyone, nobody interferes.
    /// `None` says nothing about why; [`Wallet::try_burn`] does.
    #[inline(always)]
    pub(crate) fn burn_at_once(&self, now: BootNanos, guard: &CloneGuard) -> Option<Burn> {
        let state = self.load();
        let allowed = guard.epoch() == self.epoch
            && now.0 < self.until.load(Ordering::Relaxed)
            && now < self.lease.until()
            && state.is_plain()
            && state.permits() > 0;
        if !allowed {
            return None;
        }
        self.swap(state, state.burned_plainly()).ok().map(|()| Burn(state))
    }

    /// The state after a burn, if everything that was read allows it.
    fn burned(&self, state: State, now: BootNanos, keys: &Keys<'_>) -> Result<State, NoPermit> {
        if state.is_stopped() || now.0 >= self.ends.load(Ordering::Relaxed) {
            return Err(NoPermit::Stopped);
        }
        if state.is_paused() {
            return Err(NoPermit::Paused);
        }
        if now >= self.lease.until() {
            return Err(NoPermit::Expired);
        }
        if !state.is_eventual() {
            if state.permits() == 0 {
                return Err(NoPermit::Empty);
            }
            if now.0 >= self.until.load(Ordering::Relaxed) {
                return Err(NoPermit::Expired);
            }
            if state.is_scoped() && !keys.are_within(&read(&self.scope)) {
                return Err(NoPermit::OutOfScope);
            }
        }
        state.burned().ok_or(NoPermit::Busy)
    }

    /// Whether a burn for `keys` would succeed now.
    #[must_use]
    pub fn could_burn(&self, now: BootNanos, guard: &CloneGuard, keys: &Keys<'_>) -> bool {
        guard.epoch() == self.epoch && self.burned(self.load(), now, keys).is_ok()
    }

    /// The fault of `burn` ended, applied or not.
    pub fn finished(&self, burn: Burn, now: BootNanos) {
        let Burn(_) = burn;
        // In this order, so that whoever sees that nothing runs also sees when it ended.
        self.last_ended.fetch_max(now.0.max(1), Ordering::Relaxed);
        self.update(State::finished);
    }

    /// Control plane: where the burns of the next grant are written down. Not while a grant is open.
    pub fn log_burns_to(&self, log: Option<Arc<dyn BurnLog>>) {
        *write(&self.log) = log;
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
        let mut control = lock(&self.control);
        if self.load().is_stopped() {
            return Err(NotInstalled::Stopped);
        }
        if req_no <= control.last_req_no {
            return Err(NotInstalled::Used);
        }
        if control.open.is_some() {
            return Err(NotInstalled::Open);
        }
        if permits == 0 || permits > state::PERMITS_MAX {
            return Err(NotInstalled::Permits);
        }
        // Burns that are written down take the way of scoped ones: the short one has no room for it.
        let scoped = scope != GrantScope::default() || read(&self.log).is_some();
        *write(&self.scope) = scope;
        let ends = self.ends.load(Ordering::Relaxed);
        self.until.store(deadline.min(cap).0.min(ends), Ordering::Relaxed);
        self.cap.store(cap.0, Ordering::Relaxed);
        control.last_req_no = req_no;
        control.open = Some(Open { req_no, permits });
        // A stop that comes in between stays: the permits are in hand and can't burn.
        self.update(|state| state.granted(permits, scoped));
        Ok(())
    }

    /// Control plane: moves the deadline of the permits in hand forward, never beyond their cap.
    pub fn extend(&self, deadline: BootNanos) {
        let control = lock(&self.control);
        if control.open.is_some() {
            let (cap, ends) = (self.cap.load(Ordering::Relaxed), self.ends.load(Ordering::Relaxed));
            self.until.fetch_max(deadline.0.min(cap).min(ends), Ordering::Relaxed);
        }
    }

    /// Control plane: takes the rest of the open grant away, so that nothing burns of it any more. Returns its request
    /// number and how many were burned. Faults that burned them may still run: see [`Wallet::running`].
    pub fn drain(&self) -> Option<(u64, u32)> {
        let mut control = lock(&self.control);
        let open = control.open.take()?;
        let before = self.update(State::drained);
        let used = open.permits.saturating_sub(before.permits());
        control.used_drained += u64::from(used);
        Some((open.req_no, used))
    }

    /// Request number of the open grant.
    #[must_use]
    pub fn open_grant(&self) -> Option<u64> {
        lock(&self.control).open.map(|open| open.req_no)
    }

    /// When the permits in hand end.
    #[must_use]
    pub fn deadline(&self) -> Option<BootNanos> {
        let open = lock(&self.control).open;
        open.map(|_| BootNanos(self.until.load(Ordering::Relaxed)))
    }

    /// Permits in hand.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.load().permits()
    }

    /// Faults under way.
    #[must_use]
    pub fn running(&self) -> u32 {
        self.load().running()
    }

    /// Permits burned in all; of an `eventual` session, injections begun.
    #[must_use]
    pub fn used_total(&self) -> u64 {
        let control = lock(&self.control);
        let open = control.open.map_or(0, |open| open.permits.saturating_sub(self.left()));
        control.used_drained + u64::from(open) + self.used_eventual.load(Ordering::Relaxed)
    }

    /// When the last fault ended, if there was one.
    #[must_use]
    pub fn last_ended(&self) -> Option<BootNanos> {
        match self.last_ended.load(Ordering::Acquire) {
            0 => None,
            ended => Some(BootNanos(ended)),
        }
    }

    /// Stops for good: nothing burns once this returns. Running faults see it by [`Wallet::is_live`].
    pub fn stop(&self) {
        self.update(State::stopped);
    }

    /// Whether [`Wallet::stop`] was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.load().is_stopped()
    }

    /// Pauses or resumes: nothing burns once `pause(true)` returned. Running faults go on.
    pub fn pause(&self, paused: bool) {
        self.update(|state| state.paused(paused));
    }

    /// Control plane: the session's longest duration ends at `moment`; nothing burns then or later, contact or not. Only
    /// an earlier moment than the known one has an effect.
    pub fn end_by(&self, moment: BootNanos) {
        // Under the lock, so that neither a grant nor an extension comes in between with a later end.
        let _control = lock(&self.control);
        self.ends.fetch_min(moment.0, Ordering::Relaxed);
        self.until.fetch_min(moment.0, Ordering::Relaxed);
    }

    /// Whether a fault that runs may go on: not stopped, not copied, lease not over, and neither its permit's life nor the
    /// `longest` duration of such a fault after that. So the link must renew the lease also while [`Wallet::running`]
    /// isn't 0.
    #[must_use]
    pub fn is_live(&self, now: BootNanos, guard: &CloneGuard, longest: Duration) -> bool {
        guard.epoch() == self.epoch
            && !self.is_stopped()
            && now.0 < self.ends.load(Ordering::Relaxed)
            && now < BootNanos(self.cap.load(Ordering::Relaxed)).plus(longest)
            && now < self.lease.until()
    }

    #[inline]
    fn load(&self) -> State {
        State::from_bits(self.state.load(Ordering::Acquire))
    }

    #[inline]
    fn swap(&self, before: State, after: State) -> Result<(), State> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.state
            .compare_exchange_weak(before.bits(), after.bits(), success, failure)
            .map(|_| ())
            .map_err(State::from_bits)
    }

    /// Changes the state and returns what it was.
    fn update(&self, change: impl Fn(State) -> State) -> State {
        let mut before = self.load();
        loop {
            match self.swap(before, change(before)) {
                Ok(()) => return before,
                Err(found) => before = found,
            }
        }
    }
}

#[cfg(test)]
mod tests;
