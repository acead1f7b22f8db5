//! Reports of more injections than the log issued permits for.
//!
//! One may only be early: this replica has not folded the grant yet. So they are looked at again with each grant. What remains
//! is a process that broke the bound, or one that reports what is not so: it never enters the sums, and never goes unseen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::{AgentName, ExperimentName, Holder};

use super::SessionEvidence;
use crate::session::Session;

/// Rows kept for one session. One is enough to see that something is wrong, and as many to see with whom.
const CLAIMS_MAX: usize = 64;

/// Counters of one experiment at one agent in one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) holder: Holder,
    pub(super) experiment: ExperimentName,
    pub(super) agent: AgentName,
    pub(super) counts: Counts,
}

/// The claims of one session.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Claims(BTreeMap<(Holder, ExperimentName, AgentName), Counts>);

impl Claims {
    /// Keeps a claim, if there is room for it.
    pub(super) fn note(&mut self, row: Row) -> bool {
        let Row { holder, experiment, agent, counts } = row;
        let key = (holder, experiment, agent);
        let has_room = self.0.len() < CLAIMS_MAX || self.0.contains_key(&key);
        if has_room {
            let claim = self.0.entry(key).or_default();
            *claim = claim.newest(counts);
        }
        has_room
    }

    fn rows(self) -> impl Iterator<Item = Row> {
        self.0.into_iter().map(|((holder, experiment, agent), counts)| Row {
            holder,
            experiment,
            agent,
            counts,
        })
    }
}

/// What a process reported beyond its permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Who.
    pub holder: Holder,
    /// Injections that it reported, those that the sums hold included.
    pub reported: u64,
    /// Permits that the log issued to it, less those that it gave back.
    pub permits: u64,
}

impl SessionEvidence {
    /// A grant was folded: what was early enters the sums.
    pub(super) fn reconsider(&mut self, session: &Session, has_room: bool) {
        for row in std::mem::take(&mut self.claims).rows() {
            self.merge(session, row, has_room);
        }
    }

    /// Whether anything waits for a grant.
    pub(super) fn has_claims(&self) -> bool {
        !self.claims.0.is_empty()
    }

    /// Who reported more injections than it had permits for, up to 64 of them.
    #[must_use]
    pub fn excess(&self, session: &Session) -> Vec<Excess> {
        let mut more: BTreeMap<&Holder, u64> = BTreeMap::new();
        for ((holder, name, agent), counts) in &self.claims.0 {
            let (experiment, agent) = (name.clone(), agent.clone());
            let row = Row { holder: holder.clone(), experiment, agent, counts: *counts };
            let place = session.experiment(name).and_then(|index| self.place(index, &row));
            let before = place.and_then(|place| self.rows.get(&place)).copied().unwrap_or_default();
            let sum = more.entry(holder).or_default();
            *sum = sum.saturating_add(counts.since(before).applied);
        }
        let excess = more.into_iter().map(|(holder, more)| Excess {
            holder: holder.clone(),
            reported: self.applied_by(holder).saturating_add(more),
            permits: session.permits_of(holder).unwrap_or_default(),
        });
        excess.filter(|excess| excess.reported > excess.permits).collect()
    }
}
