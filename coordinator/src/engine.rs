//! The loop of one replica, without the world: inputs and the time go in, outputs come out.
//!
//! command → decide → append → (the log) → evolve → react → perform. Everything that is decided is decided on the
//! folded log; a request waits until its answer can be read from the fold, and is decided anew after each record. So a
//! repetition, a lost race and a takeover are all the same case: look at the state again.
//!
//! Here is no network, clock or randomness source: [`crate::replica`] pumps inputs and outputs, and a simulator can do the
//! same. Not here either: stored bytes ([`crate::journal`]) and messages' bytes ([`squall_proto::wire`]).

mod barrier;
mod client;
mod desk;
mod effect;
mod evidence;
mod exchange;
mod fleet;
mod listing;
mod members;
mod plan;
mod record;
mod report;
mod request;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use squall_domain::event::Event;
use squall_domain::evidence::Archive;
use squall_domain::local::Ages;
use squall_domain::world::{Applied, Entry, World};
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{AppendId, LogId, ReplicaId, SessionKey};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

pub use self::client::{Answer, Order, OrderError, OrderKind, Query};
pub use self::exchange::{
    AppendFailure, Input, Lane, Now, Output, SessionKeyOrScope, Token, Write,
};
pub use self::members::owner;
pub use self::view::{FleetView, HaltView, Losses, SessionView, ShimView, Stage, Unread};

use self::barrier::Barriers;
use self::desk::{Desk, Place};
use self::effect::Push;
use self::evidence::Early;
use self::fleet::Fleet;
use self::listing::Listing;
use self::members::Members;
use self::report::Reports;
use crate::seldom::Seldom;

/// What a replica is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, new at each start.
    pub replica: ReplicaId,
    /// The log that it folds.
    pub log: LogId,
    /// Whether every server of the log is known to write through to disk. Servers that don't answer at the start may say so
    /// later; whoever asks them sets it then, once.
    pub log_is_synced: Arc<AtomicBool>,
    /// Whether the transport vouches for shims (accounts with credentials of their own). What an unauthenticated sender
    /// claims is never taken for damage of the log.
    pub shims_are_vouched_for: bool,
    /// Seed of its append ids and of new sessions' seeds.
    pub seed: u64,
}

/// One replica.
#[derive(Debug)]
pub struct Engine {
    identity: Identity,
    random: StdRng,
    world: World,
    archive: Archive,
    listing: Listing,
    /// Since when the log is applied live; nothing is answered before.
    live_since: Option<BootNanos>,
    log_damage: Option<String>,
    ages: BTreeMap<SessionKey, Ages>,
    desks: BTreeMap<Place, Desk>,
    /// Which place an append in flight belongs to.
    flights: BTreeMap<AppendId, Place>,
    barriers: Barriers,
    members: Members,
    fleet: Fleet,
    reports: Reports,
    /// Closes that were refused.
    refused_closes: Seldom,
    /// Evidence of sessions whose start the log did not bring yet.
    early: VecDeque<Early>,
    /// Since when evidence can't be read, while it can't.
    unread: Option<Unread>,
    pushed: BTreeMap<SessionKey, (AppendId, UnixMillis)>,
    pushes: Vec<Push>,
    /// Sessions that ended their stop without proof yet: the barrier that their clock waits for, and when it was passed.
    proofs: BTreeMap<SessionKey, effect::ProofClock>,
    dry: BTreeSet<SessionKey>,
    /// Sessions that were taken over, whose grants may never have left.
    taken_over: BTreeSet<SessionKey>,
    changed: BTreeSet<SessionKey>,
    alive_at: BootNanos,
    beat_at: BootNanos,
    looked_at: BootNanos,
    /// When levers were looked at that the log may forget; `None` before the first time.
    renewed_at: Option<BootNanos>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// A replica that starts from a snapshot of world and evidence, or from nothing.
    #[must_use]
    pub fn new(identity: Identity, world: World, archive: Archive) -> Self {
        Self {
            random: StdRng::seed_from_u64(identity.seed),
            members: Members::new(identity.replica.clone()),
            identity,
            listing: Listing::of(&world),
            world,
            archive,
            live_since: None,
            log_damage: None,
            ages: BTreeMap::new(),
            desks: BTreeMap::new(),
            flights: BTreeMap::new(),
            barriers: Barriers::default(),
            fleet: Fleet::default(),
            reports: Reports::default(),
            refused_closes: Seldom::default(),
            early: VecDeque::new(),
            unread: None,
            pushed: BTreeMap::new(),
            pushes: Vec::new(),
            proofs: BTreeMap::new(),
            dry: BTreeSet::new(),
            taken_over: BTreeSet::new(),
            changed: BTreeSet::new(),
            alive_at: BootNanos::default(),
            beat_at: BootNanos::default(),
            looked_at: BootNanos::default(),
            renewed_at: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. Outputs follow from [`Self::poll`].
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Logged { sequence, time, append, entry, hash } => {
                let applied = self.world.apply(sequence, time, &entry, hash);
                self.listing.applied(sequence, &entry, &applied, &self.world);
                self.logged(now, sequence, append, &entry, applied)
            }
            Input::CaughtUp => self.caught_up(now),
            Input::LogDamaged(why) => self.log_is_damaged(now, why),
            Input::Appended { id, result } => self.appended(now, id, result),
            Input::Request { token, tenant, shim, request } => {
                self.request(now, token, tenant, shim, *request)
            }
            Input::Overheard { tenant, shim, hello } => {
                self.fleet.hello(tenant, shim, *hello, now.boot)
            }
            Input::Evidence { sequence, tenant, shim, evidence } => {
                self.evidence(now, sequence, tenant, shim, *evidence);
            }
            Input::EvidenceUnreadable { why, silent } => self.unreadable(now, why, silent),
            Input::EvidenceReadable => self.readable(),
            Input::Order { token, order } => self.order(now, token, *order),
            Input::Query { token, query } => self.query(now, token, query),
            Input::Alive(replica) => self.members.heard(replica, now.boot),
            Input::Tick => self.tick(now),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        if self.outputs.is_empty() && !self.changed.is_empty() {
            let changed = std::mem::take(&mut self.changed).into_iter().collect();
            return Some(Output::Changed(changed));
        }
        self.outputs.pop_front()
    }

    /// What the log says, for a snapshot.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What shims reported, for a snapshot.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Whether the log was read to its end once, so that requests are answered.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.live_since.is_some() && self.log_damage.is_none()
    }

    /// What was folded so far leads nowhere, since what follows it has expired: folds the log anew. Only before the first
    /// answer: `false` when this replica was live and may have missed a stop.
    pub(crate) fn start_over(&mut self) -> bool {
        if self.live_since.is_some() {
            return false;
        }
        self.world = World::default();
        self.archive = Archive::default();
        self.listing = Listing::default();
        self.ages.clear();
        true
    }

    /// This replica's name.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        &self.identity.replica
    }

    /// Whether this replica owns the partition.
    #[must_use]
    pub fn owns_partition(&self, partition: Partition) -> bool {
        self.members.owns(partition)
    }

    fn logged(
        &mut self,
        now: Now,
        sequence: u64,
        append: Option<AppendId>,
        entry: &Entry,
        applied: Applied,
    ) {
        applied.forgotten.iter().for_each(|key| self.forget(key));
        self.date(now, entry);
        if let Some(place) = append.and_then(|append| self.flights.remove(&append)) {
            self.landed(&place);
        }
        self.barriers.applied(now.boot, sequence);
        if self.live_since.is_some() {
            self.react(now, entry, &applied);
        }
        self.changed.extend(applied.sessions.iter().cloned());
        self.late_evidence(now, entry);
        for key in &applied.sessions {
            self.work(now, &Place::Session(key.clone()));
        }
        if let Some(scope) = applied.lever {
            self.work(now, &Place::Lever(scope));
        }
        self.after_barriers(now);
        self.reported_on(now, &applied.sessions);
        self.reported_on(now, &applied.forgotten);
    }

    /// Ages count from this replica's own apply, also before it owned the session; what it read before it was live is
    /// dated when it became live.
    fn date(&mut self, now: Now, entry: &Entry) {
        let Entry::Session(key, record) = entry else { return };
        let ages = self.ages.entry(key.clone()).or_default();
        for recorded in &record.events {
            match &recorded.event {
                Event::GrantIssued { holder, req_no, permits, .. } => {
                    ages.issued(holder, *req_no, *permits, now.boot)
                }
                Event::GrantClosed { holder, req_no, used } => ages.closed(holder, *req_no, *used),
                Event::Created { .. }
                | Event::Started { .. }
                | Event::Paused
                | Event::Resumed
                | Event::DrainBegan { .. }
                | Event::Ended { .. }
                | Event::ScopeBound { .. }
                | Event::Aborted { .. }
                | Event::InertConfirmed { .. }
                | Event::StopProven { .. }
                | Event::GuardTripped { .. }
                | Event::LogDamaged { .. } => {}
            }
        }
        if self.world.session(key).is_some_and(|session| session.spec.safety.max_rate.is_none()) {
            ages.forget_rates();
        }
        if self.world.session(key).is_some_and(|session| session.phase.is_terminal()) {
            self.ages.remove(key);
        }
    }

    /// The log holds nothing of the session any more.
    fn forget(&mut self, key: &SessionKey) {
        self.archive.forget(key);
        self.ages.remove(key);
        self.pushed.remove(key);
        self.dry.remove(key);
        self.changed.insert(key.clone());
    }

    fn caught_up(&mut self, now: Now) {
        if self.live_since.is_none() {
            self.live_since = Some(now.boot);
            self.redate(now);
            self.take_over(now, &BTreeSet::new());
        }
    }

    /// What stood in the snapshot or was read while catching up counts from now: too old is the safe side.
    fn redate(&mut self, now: Now) {
        self.ages.clear();
        for session in self.world.sessions().filter(|session| session.phase.is_live()) {
            let ages = self.ages.entry(session.key.clone()).or_default();
            if session.ledger.totals().issued > 0 {
                ages.begin_undated();
            }
            for (holder, grant) in session.ledger.open_grants() {
                ages.issued(holder, grant.req_no, grant.permits, now.boot);
            }
        }
    }

    /// Nothing in the log can be trusted: stop everything that it ever started, and answer nothing any more.
    fn log_is_damaged(&mut self, now: Now, why: String) {
        if self.log_damage.is_some() {
            // The first sign says why; what follows from it would hide that.
            return;
        }
        tracing::error!(%why, "the log is damaged; every session is stopped and this replica answers no more");
        self.log_damage = Some(why);
        let live: Vec<SessionKey> = self
            .world
            .sessions()
            .filter(|session| session.phase.is_live())
            .map(|session| session.key.clone())
            .collect();
        for key in live {
            let id = self.append_id();
            self.push_abort(now, &key, squall_proto::vocabulary::plan::AbortEpoch::Pushed(id));
            self.changed.insert(key);
        }
        let why = self.log_damage.clone().unwrap_or_default();
        self.world.damage_all(&why);
        self.refuse_everybody(&OrderError::LogDamaged(why));
        self.refuse_reports("the log is damaged");
        // Another replica may still read a whole log: it gets this one's partitions.
        self.out(Output::Own(BTreeSet::new()));
    }

    fn tick(&mut self, now: Now) {
        self.push_again(now);
        if self.log_damage.is_some() {
            return;
        }
        self.members_tick(now);
        if !self.is_live() {
            return;
        }
        self.beat(now);
        self.expire(now);
        self.forget_early(now);
        self.fleet.forget(now.boot);
        self.own_work(now);
        self.renew_levers(now);
        self.stay_fresh(now);
        self.watch_writes(now);
        self.send_taken_over(now);
        self.after_barriers(now);
        self.answer_reports(now);
    }

    fn append_id(&mut self) -> AppendId {
        AppendId(self.random.random())
    }

    fn out(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn owns(&self, place: &Place) -> bool {
        self.members.owns(place.partition())
    }
}

#[cfg(test)]
mod tests;
