//! Evidence of all sessions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{CountRow, Evidence};

use super::SessionEvidence;
use super::claim::Row;
use crate::session::Session;

/// Rows kept over all sessions: five times what 100,000 shims make of one, and 100 MB, since a row takes about 100 bytes and
/// a process twice that.
const ROWS_MAX: usize = 500_000;
/// Rows that every session has room for, whatever was reported on others: more than most have, and 100 kB.
const ROWS_OF_EACH: usize = 1000;
/// Processes whose lost samples are counted; over all sessions, and mostly there are none.
const LOSERS_MAX: usize = 65_536;

/// Evidence of all sessions.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Archive {
    sessions: BTreeMap<SessionKey, SessionEvidence>,
    /// Rows of all sessions.
    rows: usize,
    /// Samples that each process lost; only of those that lost some.
    samples_lost: BTreeMap<Holder, u64>,
    /// Newest sequence of the evidence stream that was merged.
    pub sequence: u64,
}

impl Archive {
    /// Merges a message. `of` finds the sessions that the sender may report on; the keys of those that changed come back.
    pub fn intake<'a>(
        &mut self,
        tenant: &TenantId,
        shim: &ShimId,
        evidence: Evidence,
        of: impl Fn(&SessionKey) -> Option<&'a Session>,
    ) -> Vec<SessionKey> {
        let Evidence { incarnation, rows, traces, samples, samples_lost } = evidence;
        let holder = Holder { tenant: tenant.clone(), shim: shim.clone(), incarnation };
        self.lost(&holder, samples_lost);
        let mut changed = Vec::new();
        for row in rows {
            let Some(session) = of(&row.session) else { continue };
            let CountRow { session: key, experiment, agent, counts } = row;
            changed.push(key);
            let row = Row { holder: holder.clone(), experiment, agent, counts };
            self.change(session, |kept, has_room| kept.merge(session, row, has_room));
        }
        for row in traces {
            let Some(session) = of(&row.session) else { continue };
            changed.push(row.session);
            self.change(session, |kept, has_room| kept.merge_traces(&holder, row.counts, has_room));
        }
        for sample in samples {
            let Some(session) = of(&sample.session) else { continue };
            if session.experiment(&sample.experiment).is_some() {
                self.change(session, |kept, _| kept.sample(holder.clone(), sample));
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// A grant of the session was folded: what was reported before it can be judged now.
    pub fn reconsider(&mut self, session: &Session) {
        if self.of(&session.key).is_some_and(SessionEvidence::has_claims) {
            self.change(session, |kept, has_room| kept.reconsider(session, has_room));
        }
    }

    fn change(&mut self, session: &Session, change: impl FnOnce(&mut SessionEvidence, bool)) {
        let kept = self.sessions.entry(session.key.clone()).or_default();
        let before = kept.len();
        change(kept, self.rows < ROWS_MAX || before < ROWS_OF_EACH);
        self.rows += kept.len() - before;
    }

    /// Drops what is known of a session that the log has forgotten.
    pub fn forget(&mut self, key: &SessionKey) {
        if let Some(forgotten) = self.sessions.remove(key) {
            self.rows -= forgotten.len();
        }
    }

    fn lost(&mut self, holder: &Holder, samples: u64) {
        let has_room =
            self.samples_lost.len() < LOSERS_MAX || self.samples_lost.contains_key(holder);
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

    /// Rows that were refused, over all sessions. See [`SessionEvidence::rows_refused`].
    #[must_use]
    pub fn rows_refused(&self) -> u64 {
        self.sessions.values().fold(0, |sum, session| sum.saturating_add(session.rows_refused()))
    }

    /// One session's evidence.
    #[must_use]
    pub fn of(&self, key: &SessionKey) -> Option<&SessionEvidence> {
        self.sessions.get(key)
    }
}

#[cfg(test)]
mod tests {
    use squall_proto::vocabulary::counts::TraceCounts;
    use squall_proto::vocabulary::id::Incarnation;
    use squall_proto::vocabulary::message::TraceRow;

    use super::*;
    use crate::scenario::{ACME, given, started, strict, tenant};

    #[test]
    fn every_session_has_some_room_whatever_was_reported_on_others() {
        let session = given(strict(50), [started()]);
        let mut archive = Archive { rows: ROWS_MAX, ..Archive::default() };
        let shim = ShimId::new("a").unwrap();
        for life in 0..=ROWS_OF_EACH as u128 {
            let counts = TraceCounts { succeeded: 1, ..TraceCounts::default() };
            let evidence = Evidence {
                incarnation: Incarnation(life.to_le_bytes()),
                rows: vec![],
                traces: vec![TraceRow { session: session.key.clone(), counts }],
                samples: vec![],
                samples_lost: 0,
            };
            archive.intake(&tenant(ACME), &shim, evidence, |_| Some(session.session()));
        }
        let kept = archive.of(&session.key).unwrap();
        assert_eq!(kept.sums().traces.succeeded, ROWS_OF_EACH as u64);
        assert_eq!(kept.rows_refused(), 1);
    }
}
