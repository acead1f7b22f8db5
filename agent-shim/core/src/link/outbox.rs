//! Evidence on its way out: counters that changed, cumulative, in batches; samples beside them.
//!
//! Nothing is answered, so nothing relies on a single message: values only grow, the last ones of each session are said again
//! and again, ever more seldom, and all of them after contact was lost. The stream that takes them may be without a leader for
//! longer than contact needs to be lost.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{AgentName, ExperimentName, SessionKey};
use squall_proto::vocabulary::limits::{EVIDENCE_ROWS_MAX, SAMPLES_MAX};
use squall_proto::vocabulary::message::{CountRow, Evidence, TraceRow};
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{EVIDENCE_EVERY, EVIDENCE_LOOK, EVIDENCE_REPEATS, EVIDENCE_REPEATS_AT_LEAST};
use super::port::Plane;
use super::{Link, Output};

/// Most rows in one message: half of what is allowed, so that samples fit beside them.
const ROWS_MAX: usize = EVIDENCE_ROWS_MAX / 2;

type RowKey = (SessionKey, ExperimentName, AgentName);

/// See the module. Its size is bounded by that of the data plane's counters.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    rows: BTreeMap<RowKey, Counts>,
    traces: BTreeMap<SessionKey, TraceCounts>,
    next: BootNanos,
    last: BootNanos,
    /// When a session's last values are said again: each by itself, or one that is busy would keep the others silent.
    repeat: BTreeMap<SessionKey, Repeat>,
}

#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: BootNanos,
    pause: Duration,
}

impl Repeat {
    /// Something new was said.
    fn of_new(now: BootNanos) -> Self {
        Self { at: now.plus(EVIDENCE_REPEATS), pause: EVIDENCE_REPEATS }
    }

    fn is_due(&self, now: BootNanos) -> bool {
        self.at <= now
    }

    /// It was said once more.
    fn again(&self, now: BootNanos) -> Self {
        let pause = (self.pause * 2).min(EVIDENCE_REPEATS_AT_LEAST);
        Self { at: now.plus(pause), pause }
    }
}

impl Outbox {
    /// Something was applied: at once, unless evidence just went out.
    pub(super) fn stirred(&mut self, now: BootNanos) {
        self.next = self.next.min(now.max(self.last.plus(EVIDENCE_EVERY)));
    }

    /// Whatever was counted is said at once.
    pub(super) fn say_now(&mut self, now: BootNanos) {
        self.next = now;
    }

    /// Nobody may have heard what was said: everything counts as changed.
    pub(super) fn say_all_again(&mut self, now: BootNanos) {
        *self = Self { next: now, last: self.last, ..Self::default() };
    }

    /// The session is forgotten.
    pub(super) fn forget(&mut self, session: &SessionKey) {
        self.rows.retain(|(key, _, _), _| key != session);
        self.traces.remove(session);
        self.repeat.remove(session);
    }

    /// The rows to send now, in the order of their sessions.
    fn changed_rows(&mut self, rows: Vec<CountRow>, now: BootNanos) -> Vec<CountRow> {
        let fresh = |row: &CountRow| {
            let key = (row.session.clone(), row.experiment.clone(), row.agent.clone());
            let changed = self.rows.insert(key, row.counts).unwrap_or_default() != row.counts;
            changed || self.repeats(&row.session, now)
        };
        let mut rows: Vec<CountRow> = rows.into_iter().filter(fresh).collect();
        rows.sort_by(|a, b| a.session.cmp(&b.session));
        rows
    }

    fn changed_traces(&mut self, rows: Vec<TraceRow>, now: BootNanos) -> Vec<TraceRow> {
        let fresh = |row: &TraceRow| {
            let old = self.traces.insert(row.session.clone(), row.counts).unwrap_or_default();
            old != row.counts || self.repeats(&row.session, now)
        };
        rows.into_iter().filter(fresh).collect()
    }

    fn repeats(&self, session: &SessionKey, now: BootNanos) -> bool {
        self.repeat.get(session).is_some_and(|repeat| repeat.is_due(now))
    }

    /// Of these sessions something was said, and of those that were due it was the same again.
    fn said<'a>(&mut self, sessions: impl Iterator<Item = &'a SessionKey>, now: BootNanos) {
        for session in sessions {
            let due = self.repeat.get(session).filter(|repeat| repeat.is_due(now));
            let next = due.map_or_else(|| Repeat::of_new(now), |repeat| repeat.again(now));
            self.repeat.insert(session.clone(), next);
        }
        // One that is due and has nothing to say left the data plane.
        self.repeat.retain(|_, repeat| !repeat.is_due(now));
    }
}

impl Link {
    pub(super) fn evidence_due(&mut self, plane: &mut impl Plane) {
        if self.evidence_wake().is_none_or(|due| due > self.now) {
            return;
        }
        let rows = self.outbox.changed_rows(plane.counts(), self.now);
        let traces = self.outbox.changed_traces(plane.trace_counts(), self.now);
        let samples = plane.drain_samples(SAMPLES_MAX);
        let more = samples.len() == SAMPLES_MAX;
        let mut said: BTreeMap<SessionKey, Vec<Evidence>> = BTreeMap::new();
        let empty = Evidence {
            incarnation: self.identity.incarnation,
            rows: vec![],
            traces: vec![],
            samples: vec![],
            samples_lost: plane.samples_lost(),
        };
        for row in rows {
            let messages = said.entry(row.session.clone()).or_default();
            if messages.last().is_none_or(|message| message.rows.len() >= ROWS_MAX) {
                messages.push(empty.clone());
            }
            messages.last_mut().into_iter().for_each(|message| message.rows.push(row.clone()));
        }
        let mut first = |session: &SessionKey, add: &mut dyn FnMut(&mut Evidence)| {
            let messages = said.entry(session.clone()).or_insert_with(|| vec![empty.clone()]);
            messages.first_mut().into_iter().for_each(add);
        };
        for row in traces {
            first(&row.session, &mut |message| message.traces.push(row.clone()));
        }
        for sample in samples {
            first(&sample.session, &mut |message| message.samples.push(sample.clone()));
        }
        self.outbox.said(said.keys(), self.now);
        let pause = if more { EVIDENCE_EVERY } else { EVIDENCE_LOOK };
        self.outbox.next = self.now.plus(pause);
        if !said.is_empty() {
            self.outbox.last = self.now;
        }
        for (session, messages) in said {
            for evidence in messages {
                self.outputs.push_back(Output::Publish { session: session.clone(), evidence });
            }
        }
    }

    pub(super) fn evidence_wake(&self) -> Option<BootNanos> {
        let repeat = self.outbox.repeat.values().map(|repeat| repeat.at).min();
        let look = (!self.sessions.is_empty()).then_some(self.outbox.next);
        repeat.into_iter().chain(look).min().filter(|_| self.contact.welcomed)
    }
}
