//! A signal that is given once and can be awaited by any runtime, or by a thread without one.

use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    given: bool,
    waker: Option<Waker>,
}

/// See the module. One waits, one gives.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    given: Condvar,
}

impl Signal {
    /// Gives the signal; the second time does nothing.
    pub(crate) fn give(&self) {
        let waker = {
            let mut state = self.lock();
            state.given = true;
            state.waker.take()
        };
        self.given.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends when the signal is given.
    pub(crate) async fn given(&self) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.given {
                return Poll::Ready(());
            }
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => state.waker = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }

    /// Blocks until the signal is given, or for `most`.
    pub(crate) fn wait(&self, most: Duration) {
        let state = self.lock();
        drop(self.given.wait_timeout_while(state, most, |state| !state.given));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_signal_wakes_a_blocked_thread_and_stays_given() {
        let signal = Arc::new(Signal::default());
        let waiting = Arc::clone(&signal);
        let waiter = std::thread::spawn(move || waiting.wait(Duration::from_secs(60)));
        signal.give();
        waiter.join().unwrap();
        signal.wait(Duration::from_secs(60));
    }

    #[test]
    fn a_signal_is_awaited_without_any_runtime() {
        let signal = Arc::new(Signal::default());
        let giving = Arc::clone(&signal);
        let giver = std::thread::spawn(move || giving.give());
        futures::executor::block_on(signal.given());
        giver.join().unwrap();
    }

    #[test]
    fn a_wait_ends_without_the_signal() {
        Signal::default().wait(Duration::from_millis(1));
    }
}
