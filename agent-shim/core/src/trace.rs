//! How traces end: what the raw cascade guard counts.
//!
//! The host says how a trace ended ([`Outcome`]), or it is inferred once the trace was idle for two minutes: it failed if
//! its last call failed and nothing succeeded after it. The injected call's own error is no evidence, and a trace that a
//! session hit is judged by the calls after the first hit alone; without any, its end is unknown and counted nowhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use squall_proto::vocabulary::id::{InjectionId, TraceId};
use squall_proto::vocabulary::time::BootNanos;

use crate::inline::InlineName;
use crate::limits::{HITS_MAX, TRACE_IDLE, TRACES_MAX};
use crate::live::Live;
use crate::lock::{lock, try_lock};
use crate::samples::{Record, What};
use crate::shared::Shared;
use crate::site::{Ended, Rule};

/// How a trace ended, by the host's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Ok,
    /// Well enough: a fallback answered.
    Degraded,
    /// Handed to a person: the agent recovered by asking.
    Escalated,
    /// Badly.
    Failed,
}

/// The traces that are under way.
#[derive(Debug, Default)]
pub(crate) struct Traces(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<TraceId, Open>,
    /// Which trace was touched when, oldest first.
    touched: BTreeMap<u64, TraceId>,
    ticks: u64,
    /// Sessions that run; how a trace ends is counted for each.
    sessions: Vec<Arc<Live>>,
}

#[derive(Debug)]
struct Open {
    tick: u64,
    at: BootNanos,
    /// The last call that is evidence.
    last: Option<bool>,
    hits: Vec<Hit>,
}

/// The first injection of one session into a trace.
#[derive(Debug)]
struct Hit {
    rule: Arc<Rule>,
    injection: InjectionId,
    /// The last call after it that is evidence.
    after: Option<bool>,
}

impl Traces {
    /// Whose counters the ends of traces go to.
    pub(crate) fn follow(&self, sessions: Vec<Arc<Live>>) {
        lock(&self.0).sessions = sessions;
    }

    /// A fault was applied to a call of the trace.
    pub(crate) fn hit(
        &self,
        trace: &TraceId,
        rule: &Arc<Rule>,
        injection: InjectionId,
        shared: &Shared,
    ) {
        let mut inner = lock(&self.0);
        let open = inner.touch(trace, shared.clock.now());
        let known = open.hits.iter().any(|hit| Arc::ptr_eq(&hit.rule.live, &rule.live));
        if !known && open.hits.len() < HITS_MAX {
            open.hits.push(Hit { rule: Arc::clone(rule), injection, after: None });
        }
    }

    /// A call of the trace ended.
    pub(crate) fn ended(&self, trace: &TraceId, ended: Ended, shared: &Shared) {
        let mut inner = lock(&self.0);
        let open = inner.touch(trace, shared.clock.now());
        let ok = match ended {
            Ended::Ok => true,
            Ended::Failed => false,
            Ended::FailedByInjection => return,
        };
        open.last = Some(ok);
        for hit in &mut open.hits {
            hit.after = Some(ok);
        }
        if let (false, Some(hit)) = (ok, open.hits.first()) {
            let (rule, injection) = (Arc::clone(&hit.rule), hit.injection);
            drop(inner);
            let (trace, at) = (InlineName::of(trace.as_str()), shared.clock.wall());
            shared.samples.record(Record { rule, injection, trace, at, what: What::Failed });
        }
    }

    /// The host's word: the trace is over.
    pub(crate) fn outcome(&self, trace: &TraceId, outcome: Outcome) {
        let failed = match outcome {
            Outcome::Ok | Outcome::Degraded | Outcome::Escalated => false,
            Outcome::Failed => true,
        };
        let mut inner = lock(&self.0);
        let hits = inner.remove(trace).map(|open| open.hits).unwrap_or_default();
        for live in &inner.sessions {
            count(live, hits.iter().any(|hit| Arc::ptr_eq(&hit.rule.live, live)), failed);
        }
    }

    /// Judges the traces that were idle for too long.
    pub(crate) fn sweep(&self, now: BootNanos) {
        let mut inner = lock(&self.0);
        while let Some((_, trace)) = inner.touched.first_key_value() {
            let idle = inner.open.get(trace).map_or(TRACE_IDLE, |open| now.since(open.at));
            if idle < TRACE_IDLE {
                break;
            }
            inner.judge_oldest();
        }
    }

    /// Forgets everything; `false` if a fork left the lock held.
    pub(crate) fn clear(&self) -> bool {
        try_lock(&self.0).map(|mut inner| *inner = Inner::default()).is_some()
    }
}

impl Inner {
    fn touch(&mut self, trace: &TraceId, now: BootNanos) -> &mut Open {
        if self.open.len() >= TRACES_MAX && !self.open.contains_key(trace) {
            self.judge_oldest();
        }
        self.ticks += 1;
        let tick = self.ticks;
        let fresh = || Open { tick, at: now, last: None, hits: Vec::new() };
        let open = self.open.entry(trace.clone()).or_insert_with(fresh);
        self.touched.remove(&open.tick);
        self.touched.insert(tick, trace.clone());
        (open.tick, open.at) = (tick, now);
        open
    }

    fn remove(&mut self, trace: &TraceId) -> Option<Open> {
        let open = self.open.remove(trace)?;
        self.touched.remove(&open.tick);
        Some(open)
    }

    fn judge_oldest(&mut self) {
        let Some((_, trace)) = self.touched.pop_first() else { return };
        let Some(open) = self.open.remove(&trace) else { return };
        for live in &self.sessions {
            let hit = open.hits.iter().find(|hit| Arc::ptr_eq(&hit.rule.live, live));
            let evidence = hit.map_or(open.last, |hit| hit.after);
            if let Some(ok) = evidence {
                count(live, hit.is_some(), !ok);
            }
        }
    }
}

fn count(live: &Live, hit: bool, failed: bool) {
    live.count_trace(|counts| match (failed, hit) {
        (true, true) => counts.failed_downstream += 1,
        (true, false) => counts.failed_background += 1,
        (false, _) => counts.succeeded += 1,
    });
}

#[cfg(test)]
mod tests;
