//! Lines of the process's log that anybody can cause: one a second tells of all.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line in this time: garbage must not fill a disk, and who looks still sees that it comes.
const EVERY: Duration = Duration::from_secs(1);

/// Something that is told of seldom, however often it happens.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seldom {
    told: Option<Duration>,
    untold: u64,
}

impl Seldom {
    /// It happened again, so long after some moment: how often it did since the last line, if a line is due.
    pub(crate) fn another(&mut self, now: Duration) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.saturating_sub(told) < EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// The same for several tasks, by the process's clock.
#[derive(Debug)]
pub(crate) struct Shared {
    since: Instant,
    seldom: Mutex<Seldom>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { since: Instant::now(), seldom: Mutex::default() }
    }
}

impl Shared {
    /// [`Seldom::another`].
    pub(crate) fn another(&self) -> Option<u64> {
        // Counting can't be left half done.
        let mut seldom = self.seldom.lock().unwrap_or_else(PoisonError::into_inner);
        seldom.another(self.since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_once_a_second_with_its_number() {
        let mut seldom = Seldom::default();
        let at = Duration::from_millis;
        assert_eq!(seldom.another(at(500)), Some(1));
        let told: Vec<u64> = (501..=1500).filter_map(|now| seldom.another(at(now))).collect();
        assert_eq!(told, [1000]);
    }
}
