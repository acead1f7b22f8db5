//! Evidence on its way into the archive: only what the sessions of the log may hold, in whatever order the two arrive.

use squall_domain::event::Event;
use squall_domain::world::Entry;
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::Evidence;

use super::desk::Place;
use super::{Engine, Now};

/// Most messages of evidence that wait for their session: a replica lags behind the others by moments only.
const EARLY_MAX: usize = 256;

impl Engine {
    pub(super) fn evidence(
        &mut self,
        now: Now,
        sequence: u64,
        tenant: &TenantId,
        shim: &ShimId,
        evidence: Evidence,
    ) {
        let world = &self.world;
        if evidence.rows.iter().any(|row| world.session(&row.session).is_none()) {
            self.early.truncate(EARLY_MAX - 1);
            self.early.push_front((sequence, tenant.clone(), shim.clone(), evidence.clone()));
        }
        let knows =
            |key: &SessionKey| world.session(key).is_some_and(|session| session.covers(tenant));
        let incarnation = evidence.incarnation;
        let changed = self.archive.intake(tenant, shim, evidence, knows);
        self.archive.sequence = self.archive.sequence.max(sequence);
        let holder = Holder { tenant: tenant.clone(), shim: shim.clone(), incarnation };
        self.fleet.heard(&holder, now.boot);
        for key in &changed {
            let place = Place::Session(key.clone());
            if self.owns(&place) {
                self.work(now, &place);
            }
        }
        self.changed.extend(changed);
    }

    /// A session was created: evidence may have come before it.
    pub(super) fn late_evidence(&mut self, now: Now, entry: &Entry) {
        let Entry::Session(_, record) = entry else { return };
        if record.events.iter().any(|recorded| matches!(recorded.event, Event::Created { .. })) {
            for (sequence, tenant, shim, evidence) in std::mem::take(&mut self.early) {
                self.evidence(now, sequence, &tenant, &shim, evidence);
            }
        }
    }
}
