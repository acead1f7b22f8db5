//! Lines of the process's log that anybody can cause: one a second tells of all.

use std::time::Duration;

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
