//! `phi`: may this shim ask? 100,000 shims and a budget of 50 must not mean 100,000 Asks (docs/protocol.md, "Finding the demand").

use std::time::Duration;

use squall_proto::vocabulary::plan::PlanSession;
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{DEMAND_ROUND, DRY_HOLDS, REFUSED_AT_LEAST, REFUSED_AT_MOST};
use super::random::Random;

/// `phi(t) = min(1, phi0 * 2^(t / tau))`, and what holds a shim back beside it.
#[derive(Clone, Debug)]
pub(super) struct Phi {
    phi0: f64,
    since: BootNanos,
    not_before: BootNanos,
}

impl Phi {
    /// Starts at `since` with `phi0`, which is brought into its range: a wrong number must not silence a session.
    pub(super) fn new(phi0: f64, since: BootNanos) -> Self {
        let phi0 = if phi0.is_finite() { phi0.clamp(1e-6, 1.0) } else { 1e-6 };
        Self { phi0, since, not_before: since }
    }

    /// The owner said that permits came back.
    pub(super) fn refilled(&mut self, phi0: f64, now: BootNanos) {
        *self = Self::new(phi0, now);
    }

    /// The owner said that no permits are left: no Ask for a while, then as at the start.
    pub(super) fn dry(&mut self, now: BootNanos, random: &mut Random) {
        let until = now.plus(random.around(DRY_HOLDS));
        *self = Self { since: until, not_before: until, ..*self };
    }

    /// An Ask was refused.
    pub(super) fn refused(&mut self, now: BootNanos, backoff: Duration, random: &mut Random) {
        let backoff = backoff.clamp(REFUSED_AT_LEAST, REFUSED_AT_MOST);
        self.not_before = self.not_before.max(now.plus(random.around(backoff)));
    }

    /// The probability at `now`.
    pub(super) fn at(&self, now: BootNanos) -> f64 {
        let doublings = now.since(self.since).as_secs_f64() / PlanSession::DEMAND_TAU.as_secs_f64();
        (self.phi0 * doublings.min(64.0).exp2()).min(1.0)
    }

    /// Before this moment, no request may ask.
    pub(super) const fn not_before(&self) -> BootNanos {
        self.not_before
    }

    /// Whether a chosen request without a permit may ask now. One that may not silences the shim until the next round,
    /// so that it draws once in each round however many requests there are.
    pub(super) fn admits(&mut self, now: BootNanos, random: &mut Random) -> bool {
        if now < self.not_before {
            return false;
        }
        let admitted = random.unit() < self.at(now);
        if !admitted {
            let into_round = now.since(self.since).as_nanos() % DEMAND_ROUND.as_nanos();
            let rest = DEMAND_ROUND.as_nanos() - into_round;
            self.not_before = now.plus(Duration::from_nanos(rest.try_into().unwrap_or(u64::MAX)));
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: BootNanos = BootNanos(1_000_000_000);

    fn after(ms: u64) -> BootNanos {
        START.plus(Duration::from_millis(ms))
    }

    #[test]
    fn phi_doubles_every_tau_and_ends_at_one() {
        let phi = Phi::new(0.001, START);
        assert!((phi.at(START) - 0.001).abs() < 1e-9);
        assert!((phi.at(after(250)) - 0.002).abs() < 1e-9);
        assert!((phi.at(after(500)) - 0.004).abs() < 1e-9);
        assert!((phi.at(after(10_000)) - 1.0).abs() < 1e-9);
        assert!((phi.at(BootNanos(u64::MAX)) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_thousand_requests_in_one_round_are_one_draw() {
        let mut random = Random::new(1);
        let admitted = (0..1000)
            .filter(|_| {
                let mut phi = Phi::new(0.01, START);
                (0..1000).any(|_| phi.admits(START, &mut random))
            })
            .count();
        assert!((1..40).contains(&admitted), "{admitted} of 1000 shims asked, expected about 10");
    }

    #[test]
    fn dry_silences_for_a_while_and_not_for_ever() {
        let mut random = Random::new(1);
        let mut phi = Phi::new(1.0, START);
        phi.dry(START, &mut random);
        assert!(!phi.admits(after(4_900), &mut random));
        assert!(phi.admits(after(15_100), &mut random));
    }

    #[test]
    fn refill_ends_dry_and_every_refusal() {
        let mut random = Random::new(1);
        let mut phi = Phi::new(1.0, START);
        phi.dry(START, &mut random);
        phi.refused(START, Duration::from_secs(30), &mut random);
        phi.refilled(1.0, after(100));
        assert!(phi.admits(after(100), &mut random));
    }

    #[test]
    fn a_refusal_holds_back_for_its_backoff_with_jitter() {
        let mut random = Random::new(7);
        let mut phi = Phi::new(1.0, START);
        phi.refused(START, Duration::from_secs(10), &mut random);
        assert!(!phi.admits(after(4_999), &mut random));
        assert!(phi.admits(after(15_001), &mut random));
    }

    #[test]
    fn wrong_numbers_neither_silence_nor_flood() {
        for phi0 in [f64::NAN, f64::INFINITY, -1.0, 0.0, 7.0] {
            let phi = Phi::new(phi0, START);
            assert!((0.0..=1.0).contains(&phi.at(START)), "{phi0}");
            assert!((phi.at(after(60_000)) - 1.0).abs() < 1e-9, "{phi0}");
        }
    }
}
