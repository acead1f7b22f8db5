//! What is dropped of what comes in: garbage, and what finds no room. Anybody can send it, so it is told of seldom, with its
//! number.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::seldom::Seldom;

/// Of all subscriptions of one replica.
#[derive(Debug)]
pub(super) struct Dropped {
    since: Instant,
    garbage: Mutex<Seldom>,
    overload: Mutex<Seldom>,
}

impl Default for Dropped {
    fn default() -> Self {
        Self { since: Instant::now(), garbage: Mutex::default(), overload: Mutex::default() }
    }
}

impl Dropped {
    /// A message that nobody honest sends: how many there were, if it is time to tell.
    pub(super) fn garbage(&self) -> Option<u64> {
        another(&self.garbage, self.since.elapsed())
    }

    /// A message that found no room: how many there were, if it is time to tell.
    pub(super) fn overload(&self) -> Option<u64> {
        another(&self.overload, self.since.elapsed())
    }
}

fn another(seldom: &Mutex<Seldom>, now: Duration) -> Option<u64> {
    // Counting can't be left half done.
    seldom.lock().unwrap_or_else(PoisonError::into_inner).another(now)
}
