//! What clients see of the state.

use std::collections::BTreeMap;
use std::time::Duration;

use squall_domain::evidence::{Excess, SessionEvidence, Sums};
use squall_domain::lever::{Lever, Scope};
use squall_domain::session::Session;
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{Holder, ReplicaId, ShimId, TenantId};
use squall_proto::vocabulary::message::{Hello, Sample};
use squall_proto::vocabulary::time::UnixMillis;

use super::{Engine, Now};

/// How far a stop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody stopped the session for good.
    None,
    /// Shims were told, but it is not durable yet.
    Pushed,
    /// It is in the log.
    Aborted,
    /// Every holder confirmed, or every lease is over for certain.
    Proven,
}

/// A session with everything that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// The fold of its subject.
    pub session: Session,
    /// What its shims counted; in a list without single agents.
    pub sums: Sums,
    /// Who reported more injections than it had permits for. They are not in the sums. Empty in a list.
    pub excess: Vec<Excess>,
    /// The newest samples, oldest first. Empty in a list.
    pub samples: Vec<(Holder, Sample)>,
    /// Permits that may still be in use.
    pub outstanding: u64,
    /// How far its stop is.
    pub stage: Stage,
    /// When its abort was accepted by this replica, where it was.
    pub pushed_at: Option<UnixMillis>,
    /// By when every holder is inert at the latest, once the clock of that runs.
    pub inert_by: Option<UnixMillis>,
    /// When this was true.
    pub at: UnixMillis,
    /// Since when its shims' evidence can't be read, while it can't: sums and samples stand still.
    pub unread: Option<Unread>,
    /// Why the whole log can't be trusted any more: nothing will follow.
    pub log_damage: Option<String>,
    /// The replica that shows it.
    pub replica: ReplicaId,
    /// The replica that owns the session, as far as that one knows.
    pub owner: ReplicaId,
}

/// Evidence that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Since when.
    pub since: UnixMillis,
    /// What came instead.
    pub why: String,
}

/// The connected shims.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetView {
    /// By tenant, name and life.
    pub shims: Vec<ShimView>,
    /// Permits that shims hold, over all sessions, whether they are connected or not.
    pub open_permits: BTreeMap<Holder, u64>,
    /// What could not be taken in, whoever's it was.
    pub losses: Losses,
    /// Why the whole log can't be trusted any more: nothing will follow.
    pub log_damage: Option<String>,
}

/// What the log and the shims said and a replica could not take in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Losses {
    /// Records on subjects of sessions whose first record is gone, or never was one: they belong to no session. Usual on a
    /// log that is older than what it keeps.
    pub orphan_records: u64,
    /// Rows of counters that were refused, for want of room or since nothing of the session fits them: not 0 means that sums
    /// of a session may be too low.
    pub rows_refused: u64,
    /// Samples that shims lost to full rings, over all their processes: timelines have holes, counters don't.
    pub samples_lost: u64,
}

/// One connected shim: a process. Several may have one name.
#[derive(Clone, Debug, PartialEq)]
pub struct ShimView {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub shim: ShimId,
    /// What it said of itself.
    pub hello: Hello,
    /// Time since it was heard last.
    pub heard_ago: Duration,
    /// Sequence of its plan, as of its newest renewal.
    pub plan: Option<u64>,
}

/// One lever.
#[derive(Clone, Debug, PartialEq)]
pub struct HaltView {
    /// Whose.
    pub scope: Scope,
    /// Its state.
    pub lever: Lever,
}

impl Engine {
    /// A session as a line of a list: a page of them holds nothing that grows with the number of agents or calls.
    pub(super) fn line(&mut self, now: Now, session: Session) -> SessionView {
        let evidence = self.archive.of(&session.key);
        let sums = evidence.map(|evidence| evidence.sums().without_agents()).unwrap_or_default();
        self.with(now, session, sums)
    }

    /// A session with everything that is known of it.
    pub(super) fn view(&mut self, now: Now, session: Session) -> SessionView {
        let evidence = self.archive.of(&session.key);
        let sums = evidence.map(SessionEvidence::sums).cloned().unwrap_or_default();
        let excess = evidence.map(|evidence| evidence.excess(&session)).unwrap_or_default();
        let samples =
            evidence.map(|evidence| evidence.samples().cloned().collect()).unwrap_or_default();
        SessionView { excess, samples, ..self.with(now, session, sums) }
    }

    fn with(&mut self, now: Now, session: Session, sums: Sums) -> SessionView {
        let pushed_at = self.pushed.get(&session.key).map(|(_, at)| *at);
        let stage = match &session.stop {
            Some(stop) if stop.proof.is_some() => Stage::Proven,
            Some(_) => Stage::Aborted,
            None if pushed_at.is_some() && !session.phase.is_terminal() => Stage::Pushed,
            None => Stage::None,
        };
        let outstanding = if session.phase.is_live() { self.outstanding(now, &session) } else { 0 };
        let inert_by = self.inert_by(now, &session);
        let owner = self.members.owner(Partition::of_session(&session.key)).clone();
        SessionView {
            sums,
            excess: Vec::new(),
            samples: Vec::new(),
            outstanding,
            stage,
            pushed_at,
            inert_by,
            at: now.wall,
            session,
            unread: self.unread.clone(),
            log_damage: self.log_damage.clone(),
            replica: self.identity.replica.clone(),
            owner,
        }
    }

    pub(super) fn fleet_view(&self, now: Now, tenant: Option<&TenantId>) -> FleetView {
        let mut open_permits: BTreeMap<Holder, u64> = BTreeMap::new();
        for session in self.world.sessions().filter(|session| session.phase.is_live()) {
            for (holder, grant) in session.ledger.open_grants() {
                *open_permits.entry(holder.clone()).or_default() += u64::from(grant.permits);
            }
        }
        FleetView {
            shims: self.fleet.view(now.boot, tenant),
            open_permits,
            losses: self.losses(),
            log_damage: self.log_damage.clone(),
        }
    }

    fn losses(&self) -> Losses {
        Losses {
            orphan_records: self.world.orphans,
            rows_refused: self.archive.rows_refused(),
            samples_lost: self.archive.samples_lost(),
        }
    }

    pub(super) fn halts(&self) -> Vec<HaltView> {
        self.world
            .levers()
            .map(|(scope, lever)| HaltView { scope: scope.clone(), lever: lever.clone() })
            .collect()
    }
}
