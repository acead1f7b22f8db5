//! The calls of one transport that were sent and not answered, as far as a session concerns them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::rmcp::model::RequestId;
use squall_shim_core::{Directive, NotApplied};
use tokio::sync::Notify;

use super::seat::Caller;

/// Most calls that are watched at once. A server that answers none must not cost memory without end; what is sent beyond
/// it is sent as it is.
const UNDERWAY_MAX: usize = 4096;

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing; only its end is of interest.
    Untouched,
    /// It is held; the notice gives it up.
    Held(Arc<Notify>),
    /// It was sent with changed arguments.
    InputChanged,
    /// Its answer is to be changed.
    Expected(Directive),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Underway {
    calls: Mutex<HashMap<RequestId, (Caller, State)>>,
}

impl Underway {
    fn calls(&self) -> MutexGuard<'_, HashMap<RequestId, (Caller, State)>> {
        // Every change under the lock is one operation of the map, so a panic elsewhere left nothing half done.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no more calls can be watched.
    pub(super) fn is_full(&self) -> bool {
        self.calls().len() >= UNDERWAY_MAX
    }

    /// Watches a call until it is answered or given up.
    pub(super) fn watch(&self, id: RequestId, caller: Caller, state: State) {
        self.calls().insert(id, (caller, state));
    }

    /// Watches a call that is held; the notice comes when the host gives it up.
    pub(super) fn hold(&self, id: RequestId, caller: &Caller) -> Arc<Notify> {
        let given_up = Arc::new(Notify::new());
        self.watch(id, caller.clone(), State::Held(Arc::clone(&given_up)));
        given_up
    }

    /// A call that was held goes on as `state`. `false`: the host gave it up.
    pub(super) fn resume(&self, id: &RequestId, state: State) -> bool {
        let mut calls = self.calls();
        let Some((_, held)) = calls.get_mut(id) else { return false };
        *held = state;
        true
    }

    /// The call was answered: who made it and what was to become of it.
    pub(super) fn finish(&self, id: &RequestId) -> Option<(Caller, State)> {
        let mut calls = self.calls();
        calls.remove(id).or_else(|| calls.remove(&as_number(id)?))
    }

    /// The host gave the call up. Whether it was held, so that the server never sees it.
    pub(super) fn give_up(&self, id: &RequestId) -> bool {
        match self.finish(id) {
            Some((_, State::Held(given_up))) => {
                given_up.notify_one();
                true
            }
            Some((caller, State::Expected(directive))) => {
                directive.not_applied(&caller.call(), NotApplied::Dropped);
                false
            }
            Some((_, State::Untouched | State::InputChanged)) | None => false,
        }
    }

    /// Whether the answer to any call is to be changed.
    pub(super) fn expects(&self) -> bool {
        self.calls().values().any(|(_, state)| matches!(state, State::Expected(_)))
    }

    /// Lets go of changes whose session has stopped: a slow server must not keep a stop waiting.
    pub(super) fn release(&self) {
        for (caller, state) in self.calls().values_mut() {
            if matches!(state, State::Expected(directive) if !directive.is_live())
                && let State::Expected(directive) = std::mem::replace(state, State::Untouched)
            {
                directive.not_applied(&caller.call(), NotApplied::Dropped);
            }
        }
    }

    /// The connection ended by itself: no answer comes any more.
    pub(super) fn abandon(&self) {
        for (_, (caller, state)) in self.calls().drain() {
            if let State::Expected(directive) = state {
                directive.not_applied(&caller.call(), NotApplied::CallFailed);
            }
        }
    }
}

/// Some servers answer a number as a string; rmcp takes that for the same id.
fn as_number(id: &RequestId) -> Option<RequestId> {
    match id {
        RequestId::String(text) => text.parse().ok().map(RequestId::Number),
        RequestId::Number(_) => None,
    }
}
