//! Everything in the host that waits on behalf of a fault: held calls, and claims for a permit.
//!
//! The shim's own thread ends the waits, so a host needs no timer of its own, and a stop ends them all at once. Should
//! that thread be gone, nobody waits: [`Timers::add`] refuses. Nor does a claim while no coordinator answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::time::BootNanos;

use crate::bell::Bell;
use crate::signal::Signal;

type Key = (BootNanos, u64);

#[derive(Debug)]
struct Entry {
    signal: Arc<Signal>,
    /// A claim, and the session whose permit it waits for; otherwise a held call.
    claim: Option<SessionKey>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    last: u64,
    /// Whether a coordinator answered the last thing that it was asked.
    answered: bool,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Timers {
    state: Mutex<State>,
    bell: Arc<Bell>,
}

/// One wait. Dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) signal: Arc<Signal>,
    timers: Arc<Timers>,
    key: Key,
}

impl Drop for Wait {
    fn drop(&mut self) {
        // A fork may have left the lock held. What stays behind ends when it is due, which nobody waits for.
        if let Ok(mut state) = self.timers.state.try_lock() {
            state.entries.remove(&self.key);
        }
    }
}

impl Timers {
    pub(crate) fn new(bell: Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), bell })
    }

    /// A wait until `until`, or until something happens that concerns it. `None`: nobody would end it.
    pub(crate) fn add(
        self: &Arc<Self>,
        until: BootNanos,
        claim: Option<SessionKey>,
    ) -> Option<Wait> {
        let signal = Arc::new(Signal::default());
        let (key, earliest) = {
            let mut state = self.lock();
            if state.closed || (claim.is_some() && !state.answered) {
                return None;
            }
            state.last += 1;
            let key = (until, state.last);
            state.entries.insert(key, Entry { signal: Arc::clone(&signal), claim });
            (key, state.entries.first_key_value().is_some_and(|(first, _)| *first == key))
        };
        if earliest {
            self.bell.ring();
        }
        Some(Wait { signal, timers: Arc::clone(self), key })
    }

    /// When the next wait ends.
    pub(crate) fn next(&self) -> Option<BootNanos> {
        self.lock().entries.first_key_value().map(|((until, _), _)| *until)
    }

    /// Ends the waits whose time has come.
    pub(crate) fn end_due(&self, now: BootNanos) {
        self.end(|until, _| until <= now);
    }

    /// Lets all held calls look whether they may go on.
    pub(crate) fn wake_held(&self) {
        self.end(|_, claim| claim.is_none());
    }

    /// Lets the claims of a session look for their permit.
    pub(crate) fn wake_claims(&self, session: &SessionKey) {
        self.end(|_, claim| claim == Some(session));
    }

    /// Whether there is a coordinator that answers. Without one no claim can be, and none waits.
    pub(crate) fn answered(&self, answered: bool) {
        let before = std::mem::replace(&mut self.lock().answered, answered);
        if before && !answered {
            self.end(|_, claim| claim.is_some());
        }
    }

    /// Ends all waits, for good: the thread that ends them goes.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.end(|_, _| true);
    }

    fn end(&self, which: impl Fn(BootNanos, Option<&SessionKey>) -> bool) {
        let ended: Vec<Entry> = self
            .lock()
            .entries
            .extract_if(.., |(until, _), entry| which(*until, entry.claim.as_ref()))
            .map(|(_, entry)| entry)
            .collect();
        ended.iter().for_each(|entry| entry.signal.give());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
