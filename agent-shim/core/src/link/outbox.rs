//! Evidence on its way out: counters that changed, cumulative, in batches; samples beside them.
//!
//! Nothing is answered, so nothing relies on a single message: values only grow, the last ones are said three times, and
//! all of them again after contact was lost.

use std::collections::{BTreeMap, BTreeSet};

use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{AgentName, ExperimentName, SessionKey};
use squall_proto::vocabulary::limits::{EVIDENCE_ROWS_MAX, SAMPLES_MAX};
use squall_proto::vocabulary::message::{CountRow, Evidence, TraceRow};
use squall_proto::vocabulary::time::BootNanos;

use super::pace::{EVIDENCE_AGAIN, EVIDENCE_EVERY, EVIDENCE_LOOK};
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
    /// What is to be said again, after each of the times in [`EVIDENCE_AGAIN`].
    again: [Again; EVIDENCE_AGAIN.len()],
}

/// Sessions with something to say once more, and when.
#[derive(Clone, Debug, Default)]
struct Again {
    sessions: BTreeSet<SessionKey>,
    at: BootNanos,
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
        self.again.iter_mut().for_each(|again| _ = again.sessions.remove(session));
    }

    /// Takes the sessions whose values are to be said again by now.
    fn take_again(&mut self, now: BootNanos) -> BTreeSet<SessionKey> {
        let due = self.again.iter_mut().filter(|again| again.at <= now);
        due.flat_map(|again| std::mem::take(&mut again.sessions)).collect()
    }

    /// These sessions have new values, which will be said again.
    fn say_again(&mut self, sessions: &BTreeSet<SessionKey>, now: BootNanos) {
        if sessions.is_empty() {
            return;
        }
        for (again, after) in self.again.iter_mut().zip(EVIDENCE_AGAIN) {
            again.sessions.extend(sessions.iter().cloned());
            again.at = now.plus(after);
        }
    }

    /// The rows to send now, in the order of their sessions. Adds those that have new values to `changed`.
    fn changed_rows(
        &mut self,
        rows: Vec<CountRow>,
        again: &BTreeSet<SessionKey>,
        changed: &mut BTreeSet<SessionKey>,
    ) -> Vec<CountRow> {
        let fresh = |row: &CountRow| {
            let key = (row.session.clone(), row.experiment.clone(), row.agent.clone());
            let is_new = self.rows.insert(key, row.counts).unwrap_or_default() != row.counts;
            if is_new {
                changed.insert(row.session.clone());
            }
            is_new || again.contains(&row.session)
        };
        let mut rows: Vec<CountRow> = rows.into_iter().filter(fresh).collect();
        rows.sort_by(|a, b| a.session.cmp(&b.session));
        rows
    }

    fn changed_traces(
        &mut self,
        rows: Vec<TraceRow>,
        again: &BTreeSet<SessionKey>,
        changed: &mut BTreeSet<SessionKey>,
    ) -> Vec<TraceRow> {
        let fresh = |row: &TraceRow| {
            let old = self.traces.insert(row.session.clone(), row.counts).unwrap_or_default();
            if old != row.counts {
                changed.insert(row.session.clone());
            }
            old != row.counts || again.contains(&row.session)
        };
        rows.into_iter().filter(fresh).collect()
    }
}

impl Link {
    pub(super) fn evidence_due(&mut self, plane: &mut impl Plane) {
        if self.evidence_wake().is_none_or(|due| due > self.now) {
            return;
        }
        let again = self.outbox.take_again(self.now);
        let mut changed = BTreeSet::new();
        let rows = self.outbox.changed_rows(plane.counts(), &again, &mut changed);
        let traces = self.outbox.changed_traces(plane.trace_counts(), &again, &mut changed);
        self.outbox.say_again(&changed, self.now);
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
        let again = self.outbox.again.iter().filter(|again| !again.sessions.is_empty());
        let look = (!self.sessions.is_empty()).then_some(self.outbox.next);
        again.map(|again| again.at).chain(look).min().filter(|_| self.contact.welcomed)
    }
}
