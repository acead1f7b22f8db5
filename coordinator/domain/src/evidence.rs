//! What shims reported, merged and added up. Cumulative counters: the larger value wins, so that loss, repeats and
//! reordering are harmless, and every replica that reads the same evidence has the same sums.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{AgentName, ExperimentName, Holder, SessionKey, TenantId};
use squall_proto::vocabulary::message::{Evidence, Sample};

/// Samples kept for one session's timeline; the counters keep counting.
const SAMPLES_MAX: usize = 1000;
/// Rows kept for one session: experiments times agents times processes, far over any session that its budget allows to matter.
const ROWS_MAX: usize = 200_000;

/// Evidence of one session.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionEvidence {
    rows: BTreeMap<(ExperimentName, AgentName, Holder), Counts>,
    traces: BTreeMap<Holder, TraceCounts>,
    /// Rows that were refused because there were too many: not 0 means that sums are too low.
    pub rows_refused: u64,
    #[serde(skip)]
    samples: VecDeque<(Holder, Sample)>,
}

/// Sums of one session.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Sums {
    /// All experiments, agents and tenants.
    pub total: Counts,
    /// By experiment.
    pub experiments: BTreeMap<ExperimentName, Counts>,
    /// By tenant.
    pub tenants: BTreeMap<TenantId, Counts>,
    /// By agent.
    pub agents: BTreeMap<(TenantId, AgentName), Counts>,
    /// How traces ended.
    pub traces: TraceCounts,
}

impl SessionEvidence {
    /// Merges one experiment's counters of one agent in one process.
    pub fn merge(
        &mut self,
        holder: &Holder,
        experiment: &ExperimentName,
        agent: &AgentName,
        counts: Counts,
    ) {
        let key = (experiment.clone(), agent.clone(), holder.clone());
        if self.rows.len() >= ROWS_MAX && !self.rows.contains_key(&key) {
            self.rows_refused += 1;
            return;
        }
        let row = self.rows.entry(key).or_default();
        *row = row.newest(counts);
    }

    /// Merges one process's trace counters.
    pub fn merge_traces(&mut self, holder: &Holder, counts: TraceCounts) {
        if self.traces.len() >= ROWS_MAX && !self.traces.contains_key(holder) {
            self.rows_refused += 1;
            return;
        }
        let row = self.traces.entry(holder.clone()).or_default();
        *row = row.newest(counts);
    }

    /// Keeps a sample; the oldest gives way.
    pub fn sample(&mut self, holder: Holder, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((holder, sample));
    }

    /// The samples kept, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &(Holder, Sample)> {
        self.samples.iter()
    }

    /// Adds everything up.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for ((experiment, agent, holder), counts) in &self.rows {
            sums.total = sums.total.plus(*counts);
            add(&mut sums.experiments, experiment.clone(), *counts);
            add(&mut sums.tenants, holder.tenant.clone(), *counts);
            add(&mut sums.agents, (holder.tenant.clone(), agent.clone()), *counts);
        }
        sums.traces = self.trace_counts();
        sums
    }

    /// How traces ended, over all processes.
    #[must_use]
    pub fn trace_counts(&self) -> TraceCounts {
        self.traces.values().fold(TraceCounts::default(), |sum, counts| sum.plus(*counts))
    }
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Counts>, key: K, counts: Counts) {
    let sum = sums.entry(key).or_default();
    *sum = sum.plus(counts);
}

/// Evidence of all sessions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Archive {
    sessions: BTreeMap<SessionKey, SessionEvidence>,
    /// Samples that each process lost; only of those that lost some.
    samples_lost: BTreeMap<Holder, u64>,
    /// Newest sequence of the evidence stream that was merged.
    pub sequence: u64,
}

impl Archive {
    /// Merges a message. `knows` says which sessions the sender may report on; the keys of those that changed come back.
    pub fn intake(
        &mut self,
        tenant: &TenantId,
        shim: &squall_proto::vocabulary::id::ShimId,
        evidence: Evidence,
        mut knows: impl FnMut(&SessionKey) -> bool,
    ) -> Vec<SessionKey> {
        let Evidence { incarnation, rows, traces, samples, samples_lost } = evidence;
        let holder = Holder { tenant: tenant.clone(), shim: shim.clone(), incarnation };
        self.lost(&holder, samples_lost);
        let mut changed = Vec::new();
        for row in rows.into_iter().filter(|row| knows(&row.session)) {
            let session = self.sessions.entry(row.session.clone()).or_default();
            session.merge(&holder, &row.experiment, &row.agent, row.counts);
            changed.push(row.session);
        }
        for row in traces.into_iter().filter(|row| knows(&row.session)) {
            let session = self.sessions.entry(row.session.clone()).or_default();
            session.merge_traces(&holder, row.counts);
            changed.push(row.session);
        }
        for sample in samples.into_iter().filter(|sample| knows(&sample.session)) {
            let session = self.sessions.entry(sample.session.clone()).or_default();
            session.sample(holder.clone(), sample);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Drops what is known of a session that the log has forgotten.
    pub fn forget(&mut self, key: &SessionKey) {
        self.sessions.remove(key);
    }

    fn lost(&mut self, holder: &Holder, samples: u64) {
        let has_room = self.samples_lost.len() < ROWS_MAX || self.samples_lost.contains_key(holder);
        if samples > 0 && has_room {
            let lost = self.samples_lost.entry(holder.clone()).or_default();
            *lost = samples.max(*lost);
        }
    }

    /// Samples that shims lost to full rings, over all processes; at least, if more processes lost some than are kept.
    #[must_use]
    pub fn samples_lost(&self) -> u64 {
        self.samples_lost.values().fold(0, |sum, lost| sum.saturating_add(*lost))
    }

    /// Rows that were refused because there were too many, over all sessions.
    #[must_use]
    pub fn rows_refused(&self) -> u64 {
        self.sessions.values().fold(0, |sum, session| sum.saturating_add(session.rows_refused))
    }

    /// One session's evidence.
    #[must_use]
    pub fn of(&self, key: &SessionKey) -> Option<&SessionEvidence> {
        self.sessions.get(key)
    }
}

#[cfg(test)]
mod tests;
