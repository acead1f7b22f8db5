//! What a shim costs its host: memory, threads and files over time, and time in calls that no fault is in.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_soak::said::Block;

use super::Verdict;
use crate::crew::KINDS;
use crate::record::{Host, Record, Vitals};
use crate::statistics::{Interval, at_least, interval, median, slope};

/// A shorter run is shown and not judged: caches and pools are still filling, and turns are few.
const JUDGED_FROM: Duration = Duration::from_secs(10 * 60);
/// The part of a run that is no steady state yet.
const WARM_UP: f64 = 0.2;
/// Most growth of memory beyond the twin's, in KiB an hour. What a shim may add to its agent is 2 MiB in all; a leak of one
/// connection's buffers at each of an hour's 150 reconnects is several times as much.
const RSS_MAX: f64 = 2048.0;
/// Most growth of threads or open files in an hour. One that stays behind at one of a hundred reconnects is twice that.
const PIECES_MAX: f64 = 1.0;
/// Longer medians than the twin's, in microseconds and as a share of it, whichever is more. A call to a tool or a model
/// over a network takes a millisecond at the very least, of which that is a hundredth.
const MEDIAN_MAX: (f64, f64) = (10.0, 0.05);
/// The same for what 99 of 100 calls don't pass: less than a switch of threads on a busy machine.
const P99_MAX: (f64, f64) = (100.0, 0.1);
/// Calls that a turn must have on both sides to be compared.
const CALLS_MIN: u64 = 20;
/// Stalls that chance alone would give a host in one of a thousand runs are too many.
const UNLIKELY: f64 = 0.001;
/// Where intervals are drawn from: the same record is judged in the same way again.
const SEED: u64 = 7;

/// Memory, threads and files of the host beside its twin's.
pub(super) fn growth(record: &Record, kind: &'static str, time: Duration, verdict: &mut Verdict) {
    let slopes = |twin: bool| {
        let vitals = record.hosts.get(&(kind, twin)).map(|host| host.vitals.as_slice());
        let of = |what: fn(&Vitals) -> u64| hourly(vitals.unwrap_or_default(), time, what);
        Some([of(|it| it.rss_kib)?, of(|it| it.threads)?, of(|it| it.descriptors)?])
    };
    let (Some(host), Some(twin)) = (slopes(false), slopes(true)) else {
        return verdict.require(time < JUDGED_FROM, || format!("{kind}: nobody looked at it"));
    };
    let last = |twin: bool| record.hosts.get(&(kind, twin)).and_then(|host| host.vitals.last());
    let rss = |twin| last(twin).map_or(0, |vitals| vitals.rss_kib);
    verdict.figures.push(format!(
        "  rss: {} KiB (twin {}), slope: {:.0} KiB/h (twin {:.0}, bound {RSS_MAX}), threads: {:.1}/h, files: {:.1}/h (bound {PIECES_MAX})",
        rss(false), rss(true), host[0], twin[0], host[1], host[2]
    ));
    let generations = record.hosts.get(&(kind, false)).map_or(0.0, files_over_generations);
    if time >= JUDGED_FROM {
        for (what, slope, most) in [
            ("KiB of memory an hour", host[0] - twin[0].max(0.0), RSS_MAX),
            ("threads an hour", host[1], PIECES_MAX),
            ("files an hour", host[2], PIECES_MAX),
            ("files in a thousand generations of workers", generations, PIECES_MAX),
        ] {
            verdict.require(slope <= most, || format!("{kind}: grows by {slope:.1} {what}"));
        }
    }
}

fn hourly(vitals: &[Vitals], time: Duration, what: fn(&Vitals) -> u64) -> Option<f64> {
    let from = vitals.first()?.at + time.mul_f64(WARM_UP);
    let steady = vitals.iter().filter(|vitals| vitals.at >= from);
    let points: Vec<_> =
        steady.map(|vitals| (vitals.at.as_secs_f64() / 3600.0, what(vitals) as f64)).collect();
    slope(&points)
}

/// What a later worker has open more than an earlier one of its part.
fn files_over_generations(host: &Host) -> f64 {
    let of_part = |files: &Vec<u64>| {
        let points: Vec<_> =
            files.iter().enumerate().map(|(n, files)| (n as f64 / 1000.0, *files as f64)).collect();
        slope(&points).unwrap_or(0.0)
    };
    host.workers.values().map(|workers| of_part(&workers.descriptors)).fold(0.0, f64::max)
}

/// Calls of hosts beside those of their twins in the same cycles: all of them, and those while somebody was away.
pub(super) fn latency(record: &Record, time: Duration, verdict: &mut Verdict) {
    let cycle = squall_soak::turn::TURN * u32::try_from(KINDS.len() * 2).unwrap_or(1);
    let is_away = |turn: u64| {
        let from = cycle * u32::try_from(turn).unwrap_or(u32::MAX);
        record.away.iter().any(|away| away.0 < from + cycle && from < away.1)
    };
    let seams: Vec<&String> =
        record.blocks.keys().filter(|(_, twin)| !twin).map(|(seam, _)| seam).collect();
    for seam in seams {
        let (host, twin) = (blocks(record, seam, false), blocks(record, seam, true));
        let pairs: Vec<(u64, &Turn, &Turn)> = host
            .iter()
            .filter_map(|(turn, host)| Some((*turn, host, twin.get(turn)?)))
            .filter(|(_, host, twin)| host.calls.min(twin.calls) >= CALLS_MIN)
            .collect();
        let away: Vec<_> = pairs.iter().copied().filter(|(turn, ..)| is_away(*turn)).collect();
        for (when, pairs) in [("", &pairs), (" while somebody is away", &away)] {
            compare(&format!("{seam}{when}"), pairs, time, verdict);
        }
    }
}

/// The calls of one turn, over all processes that made some.
#[derive(Debug)]
struct Turn {
    calls: u64,
    median_us: f64,
    p99_us: f64,
    longest_us: f64,
    stalls: u64,
}

fn blocks(record: &Record, seam: &str, twin: bool) -> BTreeMap<u64, Turn> {
    let turns = record.blocks.get(&(seam.to_owned(), twin)).into_iter().flatten();
    turns.filter_map(|(turn, blocks)| Some((*turn, Turn::of(blocks)?))).collect()
}

impl Turn {
    fn of(blocks: &[Block]) -> Option<Self> {
        let all = |what: fn(&Block) -> u64| -> Vec<f64> {
            blocks.iter().map(|block| what(block) as f64 / 1000.0).collect()
        };
        Some(Self {
            calls: blocks.iter().map(|block| block.calls).sum(),
            median_us: median(&all(|block| block.median_ns))?,
            p99_us: median(&all(|block| block.p99_ns))?,
            longest_us: all(|block| block.longest_ns).into_iter().fold(0.0, f64::max),
            stalls: blocks.iter().map(|block| block.stalls).sum(),
        })
    }
}

type Pair<'a> = (u64, &'a Turn, &'a Turn);

fn compare(what: &str, pairs: &[Pair<'_>], time: Duration, verdict: &mut Verdict) {
    for (name, of, most) in [
        ("median", (|turn| turn.median_us) as fn(&Turn) -> f64, MEDIAN_MAX),
        ("p99", |turn| turn.p99_us, P99_MAX),
    ] {
        let host: Vec<f64> = pairs.iter().map(|(_, host, _)| of(host)).collect();
        let twin: Vec<f64> = pairs.iter().map(|(_, _, twin)| of(twin)).collect();
        let more: Vec<f64> = host.iter().zip(&twin).map(|(host, twin)| host - twin).collect();
        let (Some(host), Some(twin), Some(more)) =
            (median(&host), median(&twin), interval(&more, SEED))
        else {
            return verdict.require(time < JUDGED_FROM, || format!("{what}: no turns to compare"));
        };
        let bound = most.0.max(most.1 * twin);
        let Interval { low, median: middle, high } = more;
        let noise = if low <= 0.0 { "within noise" } else { "beyond noise" };
        verdict.figures.push(format!(
            "latency {what}: {name} with {host:.1} / without {twin:.1} us, ratio {:.3}, difference {middle:.2} [{low:.2}, {high:.2}] us over {} turns: {noise} (bound {bound:.0})",
            host / twin, pairs.len()
        ));
        verdict.require(time < JUDGED_FROM || low <= bound, || {
            format!("{what}: the {name} is {middle:.1} us longer than without a shim")
        });
    }
    stalls(what, pairs, time, verdict);
}

/// Calls that something stopped: the machine stops both sides alike.
fn stalls(what: &str, pairs: &[Pair<'_>], time: Duration, verdict: &mut Verdict) {
    let sums = |turns: &[&Turn]| {
        let calls: u64 = turns.iter().map(|turn| turn.calls).sum();
        let stalls: u64 = turns.iter().map(|turn| turn.stalls).sum();
        let longest_ms = turns.iter().map(|turn| turn.longest_us).fold(0.0, f64::max) / 1000.0;
        (calls, stalls, longest_ms)
    };
    let (hosts, twins): (Vec<&Turn>, Vec<&Turn>) =
        pairs.iter().map(|(_, host, twin)| (*host, *twin)).unzip();
    let (host, twin) = (sums(&hosts), sums(&twins));
    // By time, which both sides have the same of: a machine that stops whoever runs doesn't ask how many calls he made.
    let chance = at_least(host.1, host.1 + twin.1, 0.5);
    verdict.figures.push(format!(
        "stalls {what}: with {} of {} / without {} of {} calls, chance {chance:.3}, longest {:.0} / {:.0} ms",
        host.1, host.0, twin.1, twin.0, host.2, twin.2
    ));
    verdict.require(time < JUDGED_FROM || chance >= UNLIKELY, || {
        format!("{what}: {} calls stalled, and {} without a shim", host.1, twin.1)
    });
}
