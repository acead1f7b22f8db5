//! Whose turn it is: hosts and twins make their measured calls one after the other, by the machine's clock and without a
//! word to each other. So both sides of a comparison have the same minutes, and none measures the other.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a turn is: some hundreds of calls, and a cycle of six in a second and a half.
pub const TURN: Duration = Duration::from_millis(250);

/// The place of one host among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Its number, from 0.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

impl Lane {
    /// The cycle, if it is this lane's turn.
    #[must_use]
    pub fn turn(self) -> Option<u64> {
        self.turn_at(since_boot())
    }

    /// How long until the next turn begins.
    #[must_use]
    pub fn pause(self) -> Duration {
        self.pause_at(since_boot())
    }

    /// Which cycle it is.
    #[must_use]
    pub fn cycle(self) -> u64 {
        self.cycle_at(since_boot())
    }

    fn cycle_at(self, now: Duration) -> u64 {
        u64::try_from(now.as_millis() / self.cycle_time().as_millis()).unwrap_or(u64::MAX)
    }

    fn turn_at(self, now: Duration) -> Option<u64> {
        let place = (now.as_millis() / TURN.as_millis()) % u128::from(self.of);
        (place == u128::from(self.number)).then(|| self.cycle_at(now))
    }

    fn pause_at(self, now: Duration) -> Duration {
        let cycle = self.cycle_time().as_nanos();
        let start = (TURN * u32::try_from(self.number).unwrap_or(0)).as_nanos();
        let pause = (start + cycle - now.as_nanos() % cycle) % cycle;
        Duration::from_nanos(u64::try_from(pause).unwrap_or(0))
    }

    fn cycle_time(self) -> Duration {
        TURN * u32::try_from(self.of).unwrap_or(1)
    }
}

/// The machine's clock: the same in every process.
#[must_use]
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_never_overlap() {
        let lanes = [0, 1, 2].map(|number| Lane { number, of: 3 });
        for ms in (0..3_000).step_by(10) {
            let now = Duration::from_millis(ms);
            let whose: Vec<u64> = lanes.iter().filter_map(|lane| lane.turn_at(now)).collect();
            assert_eq!(whose, [ms / 750], "at {ms} ms");
        }
    }

    #[test]
    fn a_pause_ends_where_the_turn_begins() {
        let lane = Lane { number: 1, of: 3 };
        for ms in [0, 10, 249, 500, 740, 1_000] {
            let now = Duration::from_millis(ms);
            let start = now + lane.pause_at(now);
            assert!(lane.turn_at(start).is_some(), "at {ms} ms");
            assert_ne!(lane.turn_at(start - Duration::from_millis(1)), lane.turn_at(start));
        }
    }
}
