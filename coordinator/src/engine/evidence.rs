//! Evidence on its way into the archive: only what the sessions of the log may hold, in whatever order the two arrive.

use std::time::Duration;

use squall_domain::event::Event;
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::id::{Holder, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::Evidence;
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use super::desk::Place;
use super::{Engine, Now, Unread};

/// Evidence waits this long for the start of its session: a replica lags behind the others by moments only.
const EARLY_AGE: Duration = Duration::from_secs(10);
/// Most that waits of all tenants: two dozen full messages, 10 MB.
const EARLY_OF_ALL: Room = Room { messages: 1024, rows: 32_768 };
/// Most that waits of one tenant, so that none takes the room of all others.
const EARLY_OF_ONE: Room = Room { messages: 128, rows: 4096 };

/// Evidence of sessions whose start the log did not bring yet.
#[derive(Debug)]
pub(super) struct Early {
    since: BootNanos,
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
        // Smaller than before when the stream was made anew.
        self.archive.sequence = sequence;
        self.take_in(now, Early { since: now.boot, tenant, shim, evidence });
    }

    /// Evidence can't be read: counts stand still, and who is bounded by them alone gets nothing more.
    pub(super) fn unreadable(&mut self, now: Now, why: String, silent: Duration) {
        if self.unread.is_some() {
            return;
        }
        tracing::error!(
            %why,
            "evidence can't be read: counts stand still, guarded sessions get no permits, those without permits pause"
        );
        let silent = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        let since = UnixMillis(now.wall.0.saturating_sub(silent));
        self.unread = Some(Unread { since, why });
        self.show_live();
    }

    /// Evidence was read to its end: what is older than that lifts nothing.
    pub(super) fn readable(&mut self) {
        if self.unread.take().is_some() {
            tracing::info!("evidence can be read again");
            self.show_live();
        }
    }

    fn show_live(&mut self) {
        let live = self.world.sessions().filter(|session| session.phase.is_live());
        self.changed.extend(live.map(|session| session.key.clone()));
    }

    fn take_in(&mut self, now: Now, Early { since, tenant, shim, mut evidence }: Early) {
        let early = not_started(&self.world, &tenant, &mut evidence);
        if len(&early) > 0 {
            let (tenant, shim) = (tenant.clone(), shim.clone());
            self.keep_early(Early { since, tenant, shim, evidence: early });
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

    /// The oldest give way: first of the same tenant.
    fn keep_early(&mut self, early: Early) {
        let tenant = early.tenant.clone();
        self.early.push_back(early);
        while !EARLY_OF_ONE.holds(self.early.iter().filter(|early| early.tenant == tenant)) {
            let oldest = self.early.iter().position(|early| early.tenant == tenant);
            oldest.map(|oldest| self.early.remove(oldest));
        }
        while !EARLY_OF_ALL.holds(self.early.iter()) {
            self.early.pop_front();
        }
    }

    /// What waited too long is left alone: its session never came.
    pub(super) fn forget_early(&mut self, now: Now) {
        self.early.retain(|early| now.boot.since(early.since) < EARLY_AGE);
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

/// Room for what is early.
struct Room {
    messages: usize,
    rows: usize,
}

impl Room {
    fn holds<'a>(&self, early: impl Iterator<Item = &'a Early>) -> bool {
        let (messages, rows) = early
            .fold((0, 0), |(messages, rows), early| (messages + 1, rows + len(&early.evidence)));
        messages <= self.messages && rows <= self.rows
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
