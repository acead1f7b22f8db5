//! Parameters of a fault from a draw.

use std::time::Duration;

use squall_proto::vocabulary::fault::Delay;

/// An index below `len` (0 if there is nothing to choose from), each as likely: `draw * len / 2^32`.
#[must_use]
pub fn index(draw: u32, len: usize) -> usize {
    let product = u128::from(draw) * len as u128;
    usize::try_from(product >> 32).unwrap_or(0)
}

/// A delay of whole milliseconds.
///
/// Uniform: `min + draw * (max - min + 1) / 2^32`. Lognormal: `median * exp(sigma * z)`, rounded, at most `max_ms`, with
/// `z` the [`inverse_normal`] of `(draw + 0.5) / 2^32`.
#[must_use]
pub fn delay(delay: Delay, draw: u32) -> Duration {
    Duration::from_millis(match delay {
        Delay::Fixed { ms } => ms,
        Delay::Uniform { min_ms, max_ms } => {
            let values = u128::from(max_ms.saturating_sub(min_ms)) + 1;
            let above = (u128::from(draw) * values) >> 32;
            min_ms.saturating_add(u64::try_from(above).unwrap_or(u64::MAX))
        }
        Delay::Lognormal { median_ms, sigma, max_ms } => lognormal(median_ms, sigma, max_ms, draw),
    })
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "delays are at most 60,000 ms, and the conversion back saturates"
)]
fn lognormal(median_ms: u64, sigma: f64, max_ms: u64, draw: u32) -> u64 {
    let z = inverse_normal((f64::from(draw) + 0.5) / 4_294_967_296.0);
    let ms = (median_ms as f64 * (sigma * z).exp()).round();
    (ms as u64).min(max_ms)
}

/// The value that a standard normal variable stays below with probability `p`, for `p` above 0 and below 1.
///
/// Algorithm AS 241, `PPND7` (M. J. Wichura, "The percentage points of the normal distribution", Applied Statistics 37,
/// 1988, 477-484). About 7 digits: delays are rounded to milliseconds.
#[must_use]
pub fn inverse_normal(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let top =
            ((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9;
        let bottom = ((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0;
        return q * top / bottom;
    }
    let r = (-p.min(1.0 - p).ln()).sqrt();
    let far = if r <= 5.0 {
        let r = r - 1.6;
        let top =
            ((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7;
        top / ((0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        let top = ((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r
            + 6.657_905_115_0;
        top / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    if q < 0.0 { -far } else { far }
}
