//! One session as it lives in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::counts::TraceCounts;
use squall_proto::vocabulary::id::{AgentName, Incarnation, SessionKey};
use squall_proto::vocabulary::message::TraceRow;
use squall_proto::vocabulary::session::{Experiment, SessionSpec};

use crate::counts::Tally;
use crate::demand::Demand;
use crate::lock::lock;
use crate::plan::ActiveSession;
use crate::shared::Shared;
use crate::wallet::Wallet;

/// A session that this process takes part in: the specification, its permits, its demand.
#[derive(Debug)]
pub struct Live {
    key: SessionKey,
    spec: Arc<SessionSpec>,
    seed: u64,
    /// Unlike that of any other session that this process ever had.
    number: u32,
    incarnation: Incarnation,
    wallet: Wallet,
    demand: Demand,
    tallies: Mutex<Tallies>,
    traces: Mutex<TraceCounts>,
    pub(crate) shared: Arc<Shared>,
}

/// By index of the experiment, then agent.
type Tallies = BTreeMap<(usize, AgentName), Arc<Tally>>;

impl Live {
    pub(crate) fn new(session: &ActiveSession, shared: &Arc<Shared>) -> Arc<Self> {
        let lease = Arc::clone(&shared.lease);
        let wallet = match session.spec.safety.strictness {
            Strictness::Strict | Strictness::StrictClaim => Wallet::new(&shared.guard, lease),
            Strictness::Eventual => Wallet::eventual(&shared.guard, lease),
        };
        Arc::new(Self {
            key: session.key.clone(),
            spec: Arc::clone(&session.spec),
            seed: session.seed,
            number: shared.next_session(),
            incarnation: shared.incarnation(),
            wallet,
            demand: Demand::default(),
            tallies: Mutex::default(),
            traces: Mutex::default(),
            shared: Arc::clone(shared),
        })
    }

    /// The session.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// What it does.
    #[must_use]
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// Its permits.
    #[must_use]
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// What its chosen requests wanted and did not have.
    #[must_use]
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn experiment(&self, index: usize) -> &Experiment {
        &self.spec.experiments[index]
    }

    /// Whether `session` is what this already is, running or not.
    pub(crate) fn is(&self, session: &ActiveSession) -> bool {
        self.key == session.key && self.seed == session.seed && self.spec == session.spec
    }

    pub(crate) fn tally(&self, experiment: usize, agent: &AgentName) -> Arc<Tally> {
        let mut tallies = lock(&self.tallies);
        Arc::clone(tallies.entry((experiment, agent.clone())).or_default())
    }

    pub(crate) fn tallies(&self) -> Vec<((usize, AgentName), Arc<Tally>)> {
        let tallies = lock(&self.tallies);
        tallies.iter().map(|(key, tally)| (key.clone(), Arc::clone(tally))).collect()
    }

    pub(crate) fn count_trace(&self, count: impl FnOnce(&mut TraceCounts)) {
        count(&mut lock(&self.traces));
    }

    pub(crate) fn trace_row(&self) -> TraceRow {
        TraceRow { session: self.key.clone(), counts: *lock(&self.traces) }
    }
}
