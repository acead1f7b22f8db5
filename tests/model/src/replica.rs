//! One replica between the domain's decisions and the log: append by compare-and-swap, fold, decide, answer.
//!
//! This is a thin and adversarial stand-in for `squall::engine::Engine`, and not the engine itself: an engine's state
//! holds the date of everything, random append ids and ever growing numbers of barriers, so that no two ways lead to one
//! state, and nothing could be explored to its end. The simulator runs the real engine; here every rule is the domain's,
//! and the stand-in may do what an engine can't be trusted not to: decide on any old view, forget its append, answer any
//! message as often as it likes. Both replicas believe that they own the session.
//!
//! Left out: `Dry` and `Refill` (no bound rests on them), evidence, who asked lately (it only makes grants smaller).

mod append;
mod decide;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use squall_domain::event::{CommandRef, Event, Recorded};
use squall_domain::lever::Scope;
use squall_domain::local::{Ages, Usage};
use squall_domain::session::Session;
use squall_domain::world::Entry;
use squall_proto::vocabulary::id::{AppendId, SessionKey, TenantId};
use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::message::{Command, Reply};
use squall_proto::vocabulary::plan::{AbortEpoch, PlanVersion};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis, stretched};

pub use self::append::Append;
use self::plan::deltas;
pub use self::plan::whole_plan;
use crate::cast::log_id;
use crate::chain::Node;
use crate::invariant::Breach;
use crate::print::Print;

/// Wall time of every record: deadlines are not explored.
const WALL: UnixMillis = UnixMillis(1_000_000);

/// A write of its own that shows how fresh the view is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Barrier {
    /// When it was sent first.
    sent: BootNanos,
    /// How long the log was where it landed.
    landed: Option<u64>,
    /// It was sent after the stop was folded.
    after_stop: bool,
}

impl Barrier {
    /// Whether the log has it.
    #[must_use]
    pub const fn has_landed(&self) -> bool {
        self.landed.is_some()
    }
}

/// How long ago every lease was certainly over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Proof {
    /// No stop is folded.
    None,
    /// A barrier has to be passed first.
    Waits,
    /// It was, then.
    Passed(BootNanos),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Replica {
    /// What it has folded.
    pub view: Arc<Node>,
    /// Its append that wasn't answered.
    pub flight: Option<AppendId>,
    /// Its barrier under way.
    pub barrier: Option<Barrier>,
    /// When its view was certainly current; none where it always is.
    pub fresh: Option<BootNanos>,
    proof: Proof,
    ages: Ages,
    /// Tells ages apart.
    aged: u64,
    since: BootNanos,
    /// Tells it from every other one.
    pub print: u64,
}

/// What a message, or the replica itself, leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be appended to the session.
    pub events: Vec<Recorded<Event>>,
    /// The answer.
    pub reply: Option<Reply>,
    /// What it shows.
    pub breach: Option<Breach>,
}

/// What is certain of a replica at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By its clock.
    pub now: BootNanos,
    /// Whether replicas are always fresh.
    pub fresh: bool,
}

impl Replica {
    /// One that has folded this much, live since `now`.
    #[must_use]
    pub fn new(view: Arc<Node>, now: BootNanos) -> Self {
        let (ages, proof) = (Ages::default(), Proof::None);
        Self {
            view,
            flight: None,
            barrier: None,
            fresh: None,
            proof,
            ages,
            aged: 0,
            since: now,
            print: 0,
        }
    }

    /// Notes that it changed.
    pub fn touch(&mut self) {
        let mut print = Print::default();
        print.add(&(self.view.print, self.flight, self.barrier, self.fresh, self.proof));
        print.add(&(self.since, self.aged));
        self.print = print.finish();
    }

    /// The session, once it was created.
    #[must_use]
    pub fn session(&self, key: &SessionKey) -> Option<&Session> {
        self.view.world.session(key)
    }

    /// Folds one entry more, and returns what it tells the shims by it.
    pub fn fold(
        &mut self,
        key: &SessionKey,
        next: &Arc<Node>,
        at: Moment,
    ) -> Vec<(TenantId, Command)> {
        let before = std::mem::replace(&mut self.view, Arc::clone(next));
        let Some(entry) = next.entry() else { return Vec::new() };
        self.date(entry, at.now);
        self.passed(at.now);
        let mut told = deltas(&next.world, &next.applied, &before.world);
        let Some(session) = next.world.session(key) else { return told };
        if let Some(stop) = session.stop.as_ref().filter(|_| self.proof == Proof::None) {
            self.proof = Proof::Waits;
            let epoch = AbortEpoch::Logged(stop.epoch);
            let abort = Command::Abort { session: key.clone(), epoch };
            told.extend(session.tenants().into_iter().map(|tenant| (tenant, abort.clone())));
        }
        if let Entry::Lever(scope, _) = entry {
            let engaged = next.world.lever(scope).and_then(|lever| lever.engaged.as_ref());
            let halt = engaged.map(|it| Command::Halt { epoch: AbortEpoch::Logged(it.sequence) });
            let covered = |of: &TenantId| match scope {
                Scope::Fleet => true,
                Scope::Tenant(tenant) => tenant == of,
            };
            let tenants = session.tenants().into_iter().filter(covered);
            told.extend(tenants.filter_map(|tenant| Some((tenant, halt.clone()?))));
        }
        if let Entry::Session(_, record) = entry {
            let pauses = record.events.iter().any(|r| matches!(r.event, Event::Paused));
            let tenants = session.tenants().into_iter().filter(|_| pauses);
            let pause = |tenant: TenantId| {
                let sequence = next.world.plan_version(&tenant);
                let plan = PlanVersion { log: log_id(), sequence };
                (tenant, Command::Pause { session: key.clone(), plan })
            };
            told.extend(tenants.map(pause));
        }
        told
    }

    fn date(&mut self, entry: &Entry, now: BootNanos) {
        if let Entry::Session(_, record) = entry {
            if self.flight == Some(record.append) {
                self.flight = None;
            }
            for recorded in &record.events {
                if let Event::GrantIssued { holder, req_no, permits, .. } = &recorded.event {
                    self.ages.issued(holder, *req_no, *permits, now);
                } else if let Event::GrantClosed { holder, req_no, used } = &recorded.event {
                    self.ages.closed(holder, *req_no, *used);
                }
            }
            self.aged = Print::of(&self.ages);
        }
    }

    /// Starts anew from the log as far as it was read: what it didn't see live is dated now.
    pub fn reborn(&mut self, key: &SessionKey, now: BootNanos) {
        let mut anew = Self::new(Arc::clone(&self.view), now);
        if let Some(session) = self.session(key) {
            if session.ledger.totals().issued > 0 {
                anew.ages.begin_undated();
            }
            for (holder, grant) in session.ledger.open_grants() {
                anew.ages.issued(holder, grant.req_no, grant.permits, now);
            }
            if session.stop.is_some() {
                anew.proof = Proof::Waits;
            }
        }
        anew.aged = Print::of(&anew.ages);
        *self = anew;
    }

    // Freshness (coordinator rules 5 and 6).

    /// Sends a barrier.
    pub fn send_barrier(&mut self, now: BootNanos) {
        let after_stop = self.proof == Proof::Waits;
        self.barrier = Some(Barrier { sent: now, landed: None, after_stop });
    }

    /// Its barrier lands behind `len` entries, and the acknowledgement comes.
    pub fn land_barrier(&mut self, len: u64, now: BootNanos) {
        if let Some(barrier) = &mut self.barrier {
            barrier.landed = Some(len);
        }
        self.passed(now);
    }

    fn passed(&mut self, now: BootNanos) {
        let met = |barrier: &mut Barrier| barrier.landed.is_some_and(|len| self.view.len >= len);
        let Some(Barrier { sent, after_stop, .. }) = self.barrier.take_if(met) else { return };
        self.fresh = self.fresh.max(Some(sent));
        if after_stop && self.proof == Proof::Waits {
            self.proof = Proof::Passed(now);
        }
    }

    /// What is left of a lease that it gives now.
    #[must_use]
    pub fn remaining(&self, at: Moment) -> Option<Duration> {
        if at.fresh {
            return Some(LEASE_TTL);
        }
        let fresh = self.fresh?;
        LEASE_TTL.checked_sub(at.now.since(fresh)).filter(|left| !left.is_zero())
    }

    /// What the caps are compared with, given what the same record issues already.
    pub fn usage(&mut self, batch: &Session, at: Moment) -> Usage {
        let (longest, rate) = (batch.longest_use(), batch.spec.safety.max_rate);
        let folded =
            self.view.world.session(&batch.key).map_or(0, |folded| folded.ledger.totals().issued);
        let new = batch.ledger.totals().issued - folded;
        let mut usage = self.ages.usage(at.now, self.since, longest, rate);
        usage.outstanding += new;
        usage.issued_in_window += new;
        usage
    }

    /// What the owner appends by itself.
    pub fn own_work(&mut self, key: &SessionKey, at: Moment) -> Outcome {
        let Some(session) = self.session(key).cloned() else { return Outcome::default() };
        if let Some(cause) = session.abort_to_record() {
            return own(vec![Event::Aborted { reason: "halted".to_owned(), cause }]);
        }
        let outstanding = self.usage(&session, at).outstanding;
        if let squall_domain::session::Due::Append(event) = session.due(WALL, outstanding) {
            return own(vec![event]);
        }
        own(session.prove(self.leases_are_over(&session, at)).into_iter().collect())
    }

    fn leases_are_over(&self, session: &Session, at: Moment) -> bool {
        let longest = stretched(LEASE_TTL + session.spec.longest_fault());
        matches!(self.proof, Proof::Passed(then) if at.now.since(then) >= longest)
    }
}

fn own(events: Vec<Event>) -> Outcome {
    let recorded = |event| Recorded { command: None, event };
    Outcome { events: events.into_iter().map(recorded).collect(), ..Outcome::default() }
}

/// An event that a client's command caused.
pub fn by<E>(command: &CommandRef, event: E) -> Recorded<E> {
    Recorded { command: Some(command.clone()), event }
}
