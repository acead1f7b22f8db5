//! What shims reported, merged and added up. Cumulative counters: the larger value wins, so that loss, repeats and
//! reordering are harmless, and every replica that reads the same evidence has the same sums.
//!
//! A report is a claim. Only what fits the session that it names is taken ([`claim`] holds what contradicts the ledger), and
//! however much is reported, it takes bounded room here and in an answer.

mod archive;
mod claim;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{AgentName, ExperimentName, Holder, TenantId};
use squall_proto::vocabulary::message::Sample;

use self::claim::{Claims, Row};
use crate::session::Session;

pub use self::archive::Archive;
pub use self::claim::Excess;

/// Samples kept for one session's timeline; the counters keep counting.
const SAMPLES_MAX: usize = 1000;
/// Rows kept for one session: each of 100,000 shims counts for an agent or two, whether it injects or not.
const ROWS_MAX: usize = 200_000;
/// Agents that have a sum of their own; the rest has one together. A screen of them is more than anybody reads, and they
/// stand in every answer.
const AGENTS_MAX: usize = 256;

/// Evidence of one session.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionEvidence {
    /// Rows name processes and agents by number, so that a name is kept once.
    processes: BTreeMap<Holder, Process>,
    agents: BTreeMap<(TenantId, AgentName), u32>,
    rows: BTreeMap<Place, Counts>,
    traces: BTreeMap<u32, TraceCounts>,
    sums: Sums,
    claims: Claims,
    rows_refused: u64,
    #[serde(skip)]
    samples: VecDeque<(Holder, Sample)>,
}

/// One process that reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Process {
    number: u32,
    applied: u64,
}

/// Whose row it is: the numbers of process and agent, and the experiment's in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    process: u32,
    experiment: u16,
    agent: u32,
}

/// Sums of one session.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// All experiments, agents and tenants.
    pub total: Counts,
    /// By experiment.
    pub experiments: BTreeMap<ExperimentName, Counts>,
    /// By tenant.
    pub tenants: BTreeMap<TenantId, Counts>,
    /// By agent: the first 256 that reported.
    pub agents: BTreeMap<(TenantId, AgentName), Counts>,
    /// All agents beyond those.
    pub other_agents: Counts,
    /// How many those are.
    pub other_agents_count: u64,
    /// How traces ended.
    pub traces: TraceCounts,
}

impl Sums {
    /// The same without those of single agents: what a list shows.
    #[must_use]
    pub fn without_agents(&self) -> Self {
        let Self { total, experiments, tenants, agents: _, .. } = self;
        let Self { other_agents: _, other_agents_count: _, traces, .. } = self;
        let (experiments, tenants) = (experiments.clone(), tenants.clone());
        Self { total: *total, experiments, tenants, traces: *traces, ..Self::default() }
    }
}

impl SessionEvidence {
    /// Merges one experiment's counters of one agent in one process, if they fit the session. `has_room` says whether the
    /// archive has room for a further row.
    fn merge(&mut self, session: &Session, row: Row, has_room: bool) {
        let Some(experiment) = session.experiment(&row.experiment) else {
            self.rows_refused += 1;
            return;
        };
        let before = self.counts(experiment, &row);
        let after = before.newest(row.counts);
        let more = after.since(before);
        let applied = self.applied_by(&row.holder).saturating_add(more.applied);
        if session.permits_of(&row.holder).is_some_and(|permits| applied > permits) {
            self.rows_refused += u64::from(!self.claims.note(row));
            return;
        }
        let is_new = self.place(experiment, &row).is_none_or(|at| !self.rows.contains_key(&at));
        if is_new && !(has_room && self.rows.len() < ROWS_MAX) {
            self.rows_refused += 1;
            return;
        }
        self.take(experiment, row, more, after);
    }

    fn take(&mut self, experiment: u16, row: Row, more: Counts, whole: Counts) {
        let Row { holder, experiment: name, agent, counts: _ } = row;
        let tenant = holder.tenant.clone();
        let process = self.process(holder);
        process.applied = process.applied.saturating_add(more.applied);
        let process = process.number;
        let agent = self.count_agent((tenant.clone(), agent), more);
        self.rows.insert(Place { process, experiment, agent }, whole);
        self.sums.total = self.sums.total.plus(more);
        add(&mut self.sums.experiments, name, more);
        add(&mut self.sums.tenants, tenant, more);
    }

    /// Counts for the agent, and gives its number.
    fn count_agent(&mut self, key: (TenantId, AgentName), more: Counts) -> u32 {
        let next = number(self.agents.len());
        let agent = *self.agents.entry(key.clone()).or_insert(next);
        if (agent as usize) < AGENTS_MAX {
            add(&mut self.sums.agents, key, more);
        } else {
            self.sums.other_agents = self.sums.other_agents.plus(more);
            self.sums.other_agents_count = (self.agents.len() - AGENTS_MAX) as u64;
        }
        agent
    }

    fn process(&mut self, holder: Holder) -> &mut Process {
        let next = number(self.processes.len());
        self.processes.entry(holder).or_insert(Process { number: next, applied: 0 })
    }

    fn place(&self, experiment: u16, row: &Row) -> Option<Place> {
        let process = self.processes.get(&row.holder)?.number;
        let agent = *self.agents.get(&(row.holder.tenant.clone(), row.agent.clone()))?;
        Some(Place { process, experiment, agent })
    }

    fn counts(&self, experiment: u16, row: &Row) -> Counts {
        let place = self.place(experiment, row);
        place.and_then(|place| self.rows.get(&place)).copied().unwrap_or_default()
    }

    fn applied_by(&self, holder: &Holder) -> u64 {
        self.processes.get(holder).map_or(0, |process| process.applied)
    }

    /// Merges one process's trace counters.
    fn merge_traces(&mut self, holder: &Holder, counts: TraceCounts, has_room: bool) {
        let known = self.processes.get(holder).and_then(|known| self.traces.get(&known.number));
        if known.is_none() && !(has_room && self.traces.len() < ROWS_MAX) {
            self.rows_refused += 1;
            return;
        }
        let before = known.copied().unwrap_or_default();
        let after = before.newest(counts);
        let process = self.process(holder.clone()).number;
        self.traces.insert(process, after);
        self.sums.traces = self.sums.traces.plus(after.since(before));
    }

    /// Keeps a sample; the oldest gives way.
    fn sample(&mut self, holder: Holder, sample: Sample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((holder, sample));
    }

    /// The samples kept, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &(Holder, Sample)> {
        self.samples.iter()
    }

    /// Everything added up.
    #[must_use]
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Rows that were refused, since there was no room for them or nothing of the session fits them: not 0 means that sums
    /// may be too low.
    #[must_use]
    pub const fn rows_refused(&self) -> u64 {
        self.rows_refused
    }

    /// Rows kept, of counters and of traces.
    fn len(&self) -> usize {
        self.rows.len() + self.traces.len()
    }
}

/// A number for the next of `kept`, of which there are [`ROWS_MAX`] twice at most.
fn number(kept: usize) -> u32 {
    u32::try_from(kept).expect("twice ROWS_MAX fits")
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Counts>, key: K, counts: Counts) {
    let sum = sums.entry(key).or_default();
    *sum = sum.plus(counts);
}

#[cfg(test)]
mod tests;
