//! Whether anybody was harmed: the figures of a run, and what of them is a violation.
//!
//! Health: no panic, no process that ended otherwise than meant, chaos wherever it was meant to be and nowhere else. Cost:
//! what a host holds doesn't grow, and its calls take as long as its twin's. Costs are judged only by an hour or a good
//! part of it.

mod cost;

use std::collections::BTreeMap;
use std::time::Duration;

use squall_soak::said::Part;

use crate::crew::KINDS;
use crate::record::{Host, Record, Workers};

/// Figures for people, and violations in words.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) figures: Vec<String>,
    pub(crate) violations: Vec<String>,
}

impl Verdict {
    fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }
}

/// Judges a run that took `time`.
pub(crate) fn judge(record: &Record, time: Duration) -> Verdict {
    let mut verdict = Verdict::default();
    for kind in KINDS {
        health(record, kind, &mut verdict);
        cost::growth(record, kind, time, &mut verdict);
    }
    cost::latency(record, time, &mut verdict);
    let Record { deaths, freezes, sessions, .. } = record;
    verdict.figures.push(format!("deaths: {deaths}, freezes: {freezes}, sessions: {sessions}"));
    verdict.require(*deaths > 0 && *freezes > 0 && *sessions > 0, || {
        "nothing happened: the run proves nothing".to_owned()
    });
    verdict
}

/// Judges only whether everybody is well.
pub(crate) fn judge_health(record: &Record) -> Verdict {
    let mut verdict = Verdict::default();
    KINDS.iter().for_each(|kind| health(record, kind, &mut verdict));
    verdict
}

fn health(record: &Record, kind: &'static str, verdict: &mut Verdict) {
    let nobody = Host::default();
    let host = record.hosts.get(&(kind, false)).unwrap_or(&nobody);
    let twin = record.hosts.get(&(kind, true)).unwrap_or(&nobody);
    verdict.figures.push(format!(
        "{kind}: calls: {} (twin {}), injected: {}, panics: {}",
        host.calls(),
        twin.calls(),
        host.injected(),
        host.panics() + twin.panics()
    ));
    for (whose, host) in [(kind.to_owned(), host), (format!("{kind}, twin"), twin)] {
        verdict.require(host.calls() > 0, || format!("{whose}: no calls"));
        verdict.require(host.panics() == 0, || format!("{whose}: {} panics", host.panics()));
        verdict.violations.extend(host.wrong.iter().map(|wrong| format!("{whose}: {wrong}")));
    }
    verdict.require(host.injected() > 0, || format!("{kind}: nothing was injected"));
    workers(kind, &host.workers, verdict);
}

fn workers(kind: &str, workers: &BTreeMap<Part, Workers>, verdict: &mut Verdict) {
    for (part, Workers { lives, calls, injected, midway, .. }) in workers {
        verdict.figures.push(format!(
            "  workers ({part:?}): {lives}, calls: {calls}, injected: {injected}, forked midway: {midway}"
        ));
        let is_silent = *part == Part::Silent;
        verdict.require(is_silent == (*injected == 0), || {
            format!("{kind}: workers ({part:?}) injected {injected} times")
        });
    }
}
