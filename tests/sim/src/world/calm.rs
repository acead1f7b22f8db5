//! The end of a run: everything heals, and what was promised must come true (L1 to L4, and that all states and sums agree).
//!
//! Two stages: first agents go on to call, until stops are proven and budgets are used up; then they are quiet, until all that
//! was held is back and everybody agrees. Each has its deadline, far above what it takes.

use std::collections::BTreeSet;
use std::time::Duration;

use squall::replica::{snapshot, translation};
use squall_domain::session::Phase;
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::id::{Holder, SessionKey};

use super::{Event, World};
use crate::book::Account;
use crate::clock::Moment;
use crate::scenario::What;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A stop is proven by time after TTL + D, some 10 s; leases, permits' lives and waits after a `Dry` take about 10 s each, and a
/// host that stood still when the calm began may do so for 12 s more.
const PROVEN_WITHIN: Duration = Duration::from_secs(60);
/// A session with demand that burns nothing for so long while permits are left is stalled: what dead shims hold counts as
/// outstanding for V + D, 15 s at most here, and who was refused or told `Dry` comes back within 10 s.
const STALLED_AFTER: Duration = Duration::from_secs(40);
/// Longest first stage: a large budget under a small cap takes its time, and going on is what was promised.
const DEMAND_FOR: Duration = Duration::from_secs(60);
/// Shims end a session after its longest duration by their own clocks, its owner by a wall clock that may have been set: a session
/// that ends within a run says nothing of demand.
const OUTLIVES_A_RUN: Duration = Duration::from_secs(300);
/// Everything agrees after the last Close and the last evidence.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Things go wrong.
    Trouble,
    /// Everything is well, since then, and agents are busy.
    Calm(Since),
    /// Agents are quiet.
    Quiet,
    /// Over.
    Over,
}

/// When a stage began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(Moment);

/// What is missing, by the promise that says it must come.
type Missing = Option<(&'static str, String)>;

impl World {
    pub(crate) fn look(&mut self) {
        let now = self.now;
        match self.stage {
            Stage::Trouble => {
                self.trace.line(now, format_args!("calm"));
                self.heal_all();
                self.stage = Stage::Calm(Since(now));
            }
            Stage::Calm(Since(since)) => self.look_for_progress(since),
            Stage::Quiet => {
                let missing = self.disagreement();
                match missing {
                    None => self.stage = Stage::Over,
                    Some((promise, what)) if now > self.quiet_since.plus(QUIET_WITHIN) => {
                        self.book.violated(promise, format!("after the calm: {what}"));
                    }
                    Some(_) => {}
                }
            }
            Stage::Over => {}
        }
        self.after(LOOK_EVERY, Event::Look);
    }

    fn look_for_progress(&mut self, since: Moment) {
        let calm_for = self.now.since(since);
        let unproven = self.unproven();
        if let Some((promise, what)) = unproven.clone().filter(|_| calm_for > PROVEN_WITHIN) {
            return self.book.violated(promise, what);
        }
        let wanting = self.wanting(since);
        if let Some((key, stalled)) = &wanting
            && *stalled > STALLED_AFTER
        {
            let what = format!("{key} has permits and demand, and burned nothing for {stalled:?}");
            return self.book.violated("L1", what);
        }
        let enough = wanting.is_none() || calm_for > DEMAND_FOR;
        if unproven.is_none() && enough {
            self.trace.line(self.now, format_args!("quiet"));
            self.stage = Stage::Quiet;
            self.quiet_since = self.now;
        }
    }

    /// A stop that isn't proven (L3).
    fn unproven(&self) -> Missing {
        self.book.accounts().find_map(|(key, account)| {
            let stopped = account.stopped.filter(|stopped| stopped.proven.is_none())?;
            Some(("L3", format!("{key} was stopped at {:?} and that is not proven", stopped.at)))
        })
    }

    /// A session that has permits left although there is demand for them, and for how long nothing was burned (L1, L4).
    fn wanting(&self, since: Moment) -> Option<(SessionKey, Duration)> {
        let living = self.living();
        self.book.accounts().find_map(|(key, account)| {
            let running = self
                .book
                .reference()
                .session(key)
                .is_some_and(|session| session.phase == Phase::Running);
            let served = self.seats.iter().any(|seat| covers(account, key, &seat.tenant()));
            if !running
                || !served
                || !is_plain(account)
                || self.is_behind_claims(key)
                || unused(account, &living) == 0
            {
                return None;
            }
            Some((key.clone(), self.now.since(account.burned_at.max(since))))
        })
    }

    fn is_over(&self, key: &SessionKey) -> bool {
        self.book.reference().session(key).is_some_and(|session| session.phase.is_terminal())
    }

    /// Whether a session that runs beside this one lets each request that it chooses wait for a permit: the first one that
    /// chooses a request has it, so that there may be no demand for another.
    fn is_behind_claims(&self, key: &SessionKey) -> bool {
        self.book.reference().sessions().any(|other| {
            let claims = match other.spec.safety.strictness {
                Strictness::StrictClaim => true,
                Strictness::Strict | Strictness::Eventual => false,
            };
            other.key != *key && claims && other.phase == Phase::Running
        })
    }

    /// Processes that live.
    fn living(&self) -> BTreeSet<Holder> {
        let processes = self.seats.iter().filter_map(|seat| seat.process.as_ref());
        processes.map(|process| process.holder.clone()).collect()
    }

    /// What is still to come before everybody agrees.
    fn disagreement(&self) -> Missing {
        self.open_grants()
            .or_else(|| self.states_differ())
            .or_else(|| self.residue())
            .or_else(|| self.sums_differ())
            .or_else(|| self.undrained())
    }

    /// Grants of living processes are closed once nobody wants permits (L2). Not those that their holder never heard of, since
    /// they were stored, or answered, after it gave up asking: its next Ask finds them. And those of a session that is over keep
    /// nobody from anything.
    fn open_grants(&self) -> Missing {
        let living = self.living();
        self.book.accounts().filter(|(key, _)| !self.is_over(key)).find_map(|(key, account)| {
            let mut open = account.grants.iter().filter(|(_, grant)| grant.closed.is_none());
            let heard = open.find(|((holder, _), grant)| grant.heard && living.contains(holder));
            let ((holder, req_no), _) = heard?;
            Some(("L2", format!("{key}: grant {req_no} of {holder:?} is open")))
        })
    }

    /// Every replica has folded the whole log, to the same state; so does whoever starts from the snapshot (I12).
    fn states_differ(&self) -> Missing {
        let reference = self.book.reference();
        for (at, replica) in self.replicas.iter().enumerate() {
            let engine = replica.engine.as_ref()?;
            if engine.world().applied != reference.applied {
                return Some(("I12", format!("replica{at} did not read the log to its end")));
            }
            if engine.world() != reference {
                return Some(("I12", format!("replica{at} has another state than the log")));
            }
        }
        let kept = self.log.snapshot.as_ref().and_then(|kept| snapshot::read(kept).ok());
        let (mut world, _) = kept?;
        let from = usize::try_from(world.applied).unwrap_or(usize::MAX);
        for record in self.log.records().get(from..)? {
            if let squall::engine::Input::Logged { sequence, time, entry, hash, .. } =
                translation::logged(record)
            {
                world.apply(sequence, time, &entry, hash);
            }
        }
        (world != *reference)
            .then(|| ("I12", "the snapshot leads to another state than the log".to_owned()))
    }

    /// Nothing is left of a session that is over: no permit, no fault, nothing armed (I13).
    fn residue(&self) -> Missing {
        let over = |key: &SessionKey| self.is_over(key);
        for (at, seat) in self.seats.iter().enumerate() {
            let process = seat.process.as_ref()?;
            let status = process.link.status();
            if let Some(key) = status.sessions.iter().find(|key| over(key)) {
                return Some(("I13", format!("shim{at} takes part in {key}, which is over")));
            }
            let known = process.registry.sessions();
            let left = known.iter().find(|live| {
                over(live.key()) && (live.wallet().left() > 0 || live.wallet().running() > 0)
            });
            if let Some(live) = left {
                return Some((
                    "I13",
                    format!("shim{at} holds something of {}, which is over", live.key()),
                ));
            }
            let version = self.book.reference().plan_version(&seat.tenant());
            let found = status.plan.as_ref().map_or(0, |plan| plan.sequence);
            if found != version {
                let what = format!("shim{at} has plan {found}, the log says {version}; {status:?}");
                return Some(("I13", what));
            }
            if status.sessions.is_empty() && process.sites.iter().any(|site| site.is_armed()) {
                return Some(("I13", format!("a site of shim{at} is armed for nothing")));
            }
        }
        let running = self.book.running().next();
        running.map(|running| {
            ("I13", format!("a fault of {} runs in {}", running.session, running.who))
        })
    }

    /// Whether a message may have been lost more than once: what is said three times in 12 s may then never be heard.
    fn loses_for_long(&self) -> bool {
        let spells = self.scenario.happenings.iter();
        let spells = spells.filter(|one| matches!(one.what, What::Weather(..))).count();
        self.scenario.network.lost > 0 || spells > 1
    }

    /// What replicas count is what really reached agents: all of it of those that live, and no more than all of it.
    fn sums_differ(&self) -> Missing {
        let living = if self.loses_for_long() { BTreeSet::new() } else { self.living() };
        for (at, replica) in self.replicas.iter().enumerate() {
            let engine = replica.engine.as_ref()?;
            for (key, account) in self.book.accounts() {
                let evidence = engine.archive().of(key);
                let counted = evidence.map_or(0, |evidence| evidence.sums().total.applied);
                let of_living =
                    account.reached.iter().filter(|(holder, _)| living.contains(*holder));
                let least: u64 = of_living.map(|(_, count)| count).sum();
                let most = account.reached();
                if counted < least || counted > most {
                    let what = format!(
                        "replica{at} counts {counted} faults of {key}; {least} to {most} reached agents"
                    );
                    return Some(("EVIDENCE", what));
                }
                let session = self.book.reference().session(key)?;
                if evidence.is_some_and(|evidence| !evidence.excess(session).is_empty()) {
                    return Some((
                        "EVIDENCE",
                        format!("replica{at} says that somebody injected too much of {key}"),
                    ));
                }
            }
        }
        None
    }

    /// A session that drains ends. Its deadline is on wall clocks: where those are set, nobody knows when.
    fn undrained(&self) -> Missing {
        if self.scenario.happenings.iter().any(|one| matches!(one.what, What::SetWall(..))) {
            return None;
        }
        let drains = |phase| phase == Phase::Draining;
        let session = self.book.reference().sessions().find(|session| drains(session.phase))?;
        Some(("L4", format!("{} drains and doesn't end", session.key)))
    }
}

fn covers(
    account: &Account,
    key: &SessionKey,
    tenant: &squall_proto::vocabulary::id::TenantId,
) -> bool {
    key.tenant == *tenant || account.spec.target.tenants.contains(tenant)
}

/// Whether nothing but its budget and what is outstanding keeps a session from using permits, all through a run.
fn is_plain(account: &Account) -> bool {
    let safety = &account.spec.safety;
    let radius = match safety.blast_radius {
        BlastRadius::SingleTenant | BlastRadius::MultiTenant => true,
        BlastRadius::SingleRequest | BlastRadius::SingleAgent | BlastRadius::SingleTrace => false,
    };
    radius
        && account.is_strict()
        && safety.max_duration >= OUTLIVES_A_RUN
        && safety.max_per_tenant.is_empty()
        && safety.max_per_agent.is_none()
        && safety.max_per_trace.is_none()
        && safety.max_rate.is_none()
        && safety.max_concurrent.is_none()
}

/// Permits that could still be used: not those that were, nor those that the dead hold.
fn unused(account: &Account, living: &BTreeSet<Holder>) -> u64 {
    let taken = account.grants.iter().map(|((holder, _), grant)| match grant.closed {
        Some(used) => u64::from(used),
        None if living.contains(holder) => u64::from(grant.burned),
        None => u64::from(grant.permits),
    });
    account.budget().saturating_sub(taken.sum())
}
