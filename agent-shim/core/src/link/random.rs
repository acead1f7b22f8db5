//! The link's only source of randomness: jitter and draws that need no secrecy, from a seed given as an argument.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix for each number.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 (included) to 1 (excluded).
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time from zero up to `spread`.
    pub(super) fn within(&mut self, spread: Duration) -> Duration {
        spread.mul_f64(self.unit())
    }

    /// Half to one and a half of `pause`.
    pub(super) fn around(&mut self, pause: Duration) -> Duration {
        (pause / 2).saturating_add(self.within(pause))
    }
}
