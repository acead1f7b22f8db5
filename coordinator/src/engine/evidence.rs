//! Evidence on its way into the archive: only what the sessions of the log may hold, in whatever order the two arrive.

use squall_domain::event::Event;
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::Evidence;

use super::desk::Place;
use super::{Engine, Now};

/// Most messages of evidence that wait for the start of their session: a replica lags behind the others by moments only.
const EARLY_MAX: usize = 256;
/// Most rows and samples in them: a dozen full messages.
const EARLY_ROWS_MAX: usize = 16_384;

/// Evidence of sessions whose start the log did not bring yet.
#[derive(Debug)]
pub(super) struct Early {
    tenant: TenantId,
    shim: ShimId,
    evidence: Evidence,
}

impl Engine {
    pub(super) fn evidence(
        &mut self,
        now: Now,
        sequence: u64,
        tenant: TenantId,
        shim: ShimId,
        evidence: Evidence,
    ) {
        let holder = Holder {
            tenant: tenant.clone(),
            shim: shim.clone(),
            incarnation: evidence.incarnation,
        };
        self.fleet.heard(&holder, now.boot);
        self.archive.sequence = self.archive.sequence.max(sequence);
        self.take_in(now, Early { tenant, shim, evidence });
    }

    fn take_in(&mut self, now: Now, Early { tenant, shim, mut evidence }: Early) {
        let early = not_started(&self.world, &tenant, &mut evidence);
        if len(&early) > 0 {
            self.keep_early(Early { tenant: tenant.clone(), shim: shim.clone(), evidence: early });
        }
        let world = &self.world;
        let changed = self.archive.intake(&tenant, &shim, evidence, |key| {
            world
                .session(key)
                .filter(|session| session.started.is_some() && session.covers(&tenant))
        });
        for key in &changed {
            let place = Place::Session(key.clone());
            if self.owns(&place) {
                self.work(now, &place);
            }
        }
        self.changed.extend(changed);
    }

    /// The oldest give way.
    fn keep_early(&mut self, early: Early) {
        self.early.push_back(early);
        let rows = |early: &std::collections::VecDeque<Early>| {
            early.iter().map(|early| len(&early.evidence)).sum::<usize>()
        };
        while self.early.len() > EARLY_MAX || rows(&self.early) > EARLY_ROWS_MAX {
            self.early.pop_front();
        }
    }

    /// A session was started, or granted something: evidence may have come before it.
    pub(super) fn late_evidence(&mut self, now: Now, entry: &Entry) {
        let Entry::Session(key, record) = entry else { return };
        let happened = |is: fn(&Event) -> bool| record.events.iter().any(|one| is(&one.event));
        if happened(|event| matches!(event, Event::Started { .. })) {
            let (due, rest) = std::mem::take(&mut self.early)
                .into_iter()
                .partition(|early| mentions(&early.evidence, key));
            self.early = rest;
            for early in Vec::from(due) {
                self.take_in(now, early);
            }
        }
        if happened(|event| matches!(event, Event::GrantIssued { .. }))
            && let Some(session) = self.world.session(key)
        {
            self.archive.reconsider(session);
        }
    }
}

/// Takes out of a message what is about sessions of the tenant, or of all, that may be started any moment.
fn not_started(world: &World, tenant: &TenantId, evidence: &mut Evidence) -> Evidence {
    let is_early = |key: &SessionKey| match world.session(key) {
        Some(session) => session.started.is_none() && session.covers(tenant),
        None => key.tenant == *tenant || key.tenant.is_fleet(),
    };
    Evidence {
        incarnation: evidence.incarnation,
        rows: evidence.rows.extract_if(.., |row| is_early(&row.session)).collect(),
        traces: evidence.traces.extract_if(.., |row| is_early(&row.session)).collect(),
        samples: evidence.samples.extract_if(.., |sample| is_early(&sample.session)).collect(),
        samples_lost: 0,
    }
}

fn mentions(evidence: &Evidence, key: &SessionKey) -> bool {
    let Evidence { rows, traces, samples, .. } = evidence;
    rows.iter().any(|row| row.session == *key)
        || traces.iter().any(|row| row.session == *key)
        || samples.iter().any(|sample| sample.session == *key)
}

fn len(evidence: &Evidence) -> usize {
    evidence.rows.len() + evidence.traces.len() + evidence.samples.len()
}
