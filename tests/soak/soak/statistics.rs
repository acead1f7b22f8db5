//! The figures that a verdict rests on: robust, and with an error of their own.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Samples drawn for an interval: its ends move by a hundredth of it then.
const RESAMPLES: usize = 1_000;
/// Pairs of points whose slopes are looked at, at most: an hour's samples have 260,000.
const PAIRS_MAX: usize = 400_000;

/// The median; `None` of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value that `share` of them don't pass, by linear interpolation; `None` of nothing.
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (place.floor(), place.ceil());
    let at = |place: f64| sorted.get(place as usize).copied();
    Some(at(low)? + (at(high)? - at(low)?) * (place - low))
}

/// The median of the slopes of all pairs of points (Theil 1950, Sen 1968): a third of the points may be anywhere.
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let pairs = points.len() * points.len().saturating_sub(1) / 2;
    let every = pairs.div_ceil(PAIRS_MAX).max(1);
    let pairs =
        points.iter().enumerate().flat_map(|(n, a)| points[..n].iter().map(move |b| (a, b)));
    let slopes: Vec<f64> = pairs
        .step_by(every)
        .filter(|(a, b)| a.0 > b.0)
        .map(|(a, b)| (a.1 - b.1) / (a.0 - b.0))
        .collect();
    median(&slopes)
}

/// A median, and where it lies in 95 of 100 samples drawn from the same values (the percentile bootstrap, Efron 1979).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

/// The interval of the median of `values`; `None` of nothing.
pub(crate) fn interval(values: &[f64], seed: u64) -> Option<Interval> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut draw = || {
        let drawn: Vec<f64> =
            values.iter().map(|_| values[random.random_range(0..values.len())]).collect();
        median(&drawn)
    };
    let medians: Vec<f64> = (0..RESAMPLES).filter_map(|_| draw()).collect();
    let (low, high) = (quantile(&medians, 0.025)?, quantile(&medians, 0.975)?);
    Some(Interval { low, median: median(values)?, high })
}

/// How likely it is that of `all` events `some` or more fall to a side that has `share` of the exposure.
pub(crate) fn at_least(some: u64, all: u64, share: f64) -> f64 {
    if some == 0 {
        return 1.0;
    }
    let (yes, no) = (share.max(f64::MIN_POSITIVE).ln(), (1.0 - share).max(f64::MIN_POSITIVE).ln());
    // The logarithm of how likely exactly `k` are, from that of one less.
    let next = |before: f64, k: u64| before + ((all - k + 1) as f64 / k as f64).ln() + yes - no;
    let mut exactly = (1..=some).fold(all as f64 * no, next);
    let mut sum = exactly.exp();
    for k in some + 1..=all {
        exactly = next(exactly, k);
        sum += exactly.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_most_points() {
        let mut points: Vec<(f64, f64)> =
            (0..100).map(|n| (f64::from(n), 3.0 * f64::from(n))).collect();
        for n in [3, 20, 50, 77] {
            points[n].1 = 1e6;
        }
        assert!((slope(&points).unwrap() - 3.0).abs() < 0.2);
        assert_eq!(slope(&[(1.0, 1.0)]), None);
        let level: Vec<(f64, f64)> = (0..2_000).map(|n| (f64::from(n), 7.0)).collect();
        assert_eq!(slope(&level), Some(0.0));
    }

    #[test]
    fn an_interval_holds_its_median_and_narrows() {
        let few: Vec<f64> = (0..20).map(f64::from).collect();
        let many: Vec<f64> = (0..2_000).map(|n| f64::from(n) / 100.0).collect();
        let (few, many) = (interval(&few, 1).unwrap(), interval(&many, 1).unwrap());
        assert!(few.low < few.median && few.median < few.high, "{few:?}");
        assert!(many.high - many.low < few.high - few.low, "{many:?}");
        assert_eq!(interval(&[], 1), None);
    }

    #[test]
    fn chance_explains_a_half_and_not_all() {
        assert!((at_least(0, 10, 0.5) - 1.0).abs() < 1e-9);
        assert!((at_least(10, 10, 0.5) - 1.0 / 1024.0).abs() < 1e-9);
        assert!((at_least(1, 2, 0.5) - 0.75).abs() < 1e-9);
        assert!(at_least(500, 1_000, 0.5) > 0.4);
        assert!(at_least(600, 1_000, 0.5) < 1e-6);
        // As many as a busy machine makes in an hour are judged at once.
        assert!((at_least(500_000, 1_000_000, 0.5) - 0.5).abs() < 0.01);
    }
}
