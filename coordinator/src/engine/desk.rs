//! One desk for each subject of the log: what waits there, and the one append that is in flight.
//!
//! Only one append may be in flight on a subject, so it carries all events that are due (group commit). Each request is
//! first looked up in the folded state; what the state answers is answered. The rest is decided one after the other, each
//! on the state that the one before it leaves. After the record is folded, everything is looked at again.

use std::collections::VecDeque;
use std::time::Duration;

use squall_domain::event::{CommandRef, LeverEvent, RECORD_EVENTS_MAX, Recorded};
use squall_domain::lever::{Lever, Scope};
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{AppendId, Holder, SessionId, SessionKey};
use squall_proto::vocabulary::message::{Ask, Close, Inert};
use squall_proto::vocabulary::time::BootNanos;

use super::barrier::Need;
use super::client::{Order, OrderError};
use super::{AppendFailure, Engine, Now, Output, SessionKeyOrScope, Token};

/// Most requests that wait at one desk, stops aside: two group commits' worth; more are told to come back.
const JOBS_MAX: usize = 2 * RECORD_EVENTS_MAX;
/// Most stops that wait at one desk, whatever else does: a group commit's worth. Whoever comes after so many finds the same
/// stop on its way, and is told to ask again.
const STOPS_MAX: usize = RECORD_EVENTS_MAX;
/// A request that could not be answered for this long is told to come back; shims repeat theirs long before.
const PATIENCE: Duration = Duration::from_secs(8);
/// Who waited in vain is told of a silence of the log that is longer than one append takes, 3 s.
const SILENT_TOLD: Duration = Duration::from_secs(4);
/// Rest after an append that got no position twice in a row, doubled each further time: a tick. The first one is decided again
/// at once, since another replica may have won by chance.
const REST_MIN: Duration = Duration::from_millis(50);
/// Longest rest: whatever the cause, a try and its barrier a second cost the log nothing, and who waits still sees several.
const REST_MAX: Duration = Duration::from_secs(1);

/// A subject of the log that is written by compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Session(SessionKey),
    Lever(Scope),
}

impl Place {
    /// The partition whose owner works here.
    pub(super) fn partition(&self) -> Partition {
        match self {
            Self::Session(key) => Partition::of_session(key),
            Self::Lever(scope) => Partition::of_session(&lever_key(scope)),
        }
    }
}

/// Levers are spread over partitions by the same hash as sessions, under a session name that no session can shadow a lever by.
fn lever_key(scope: &Scope) -> SessionKey {
    SessionKey {
        tenant: scope.log_tenant(),
        session: SessionId::new("_lever").expect("_lever is a token"),
    }
}

/// What waits for an answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) token: Token,
    pub(super) since: BootNanos,
    pub(super) work: Work,
    /// Whoever sent it was told already that no answer came in time; it is a stop, and waits to be recorded all the same.
    pub(super) told: bool,
}

#[derive(Debug)]
pub(super) enum Work {
    Ask(Holder, Ask),
    /// With the barrier that it waits for, where the fold lacks its grant.
    Close(Holder, Close, Option<Need>),
    Inert(Holder, Inert),
    /// With the append id that an abort was pushed under, and with the barrier behind which it may be refused.
    Order(Box<Order>, AppendId, Option<Need>),
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    jobs: VecDeque<Job>,
    flight: Option<Flight>,
    /// Appends in a row that got no position.
    lost: u32,
    /// What was said of the last one instead of an answer.
    unclear: Option<String>,
    /// A shim keeps an abort that the log lacks.
    pub(super) reported: bool,
    /// The lever here is to be appended once more, before the log forgets it.
    renewing: bool,
}

impl Desk {
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.flight.is_none() && !self.reported && !self.renewing
    }

    /// What waits, in the order in which it came.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    /// An append left.
    pub(super) fn sent(&mut self) {
        self.flight = Some(Flight::Sent);
    }

    /// The append got no position.
    fn lose(&mut self, now: Now, after: Need, why: Option<String>) {
        self.unclear = why;
        self.lost = self.lost.saturating_add(1);
        self.flight = Some(Flight::Unclear { after, until: now.boot.plus(rest(self.lost)) });
    }

    /// What renews the lever here, if it still has to be.
    pub(super) fn renewal(&mut self, lever: &Lever, now: Now) -> Option<Recorded<LeverEvent>> {
        let renewal = lever.renewal(now.wall).filter(|_| self.renewing).map(own);
        self.renewing = renewal.is_some();
        renewal
    }

    /// Stops have room of their own, so that nothing else that waits turns one away.
    fn has_room_for(&self, job: &Job) -> bool {
        let stops = self.jobs.iter().filter(|job| job.pushed_append().is_some()).count();
        match job.pushed_append() {
            Some(_) => stops < STOPS_MAX,
            None => self.jobs.len() - stops < JOBS_MAX,
        }
    }
}

/// Rest after so many appends in a row that got no position.
fn rest(lost: u32) -> Duration {
    let doublings = lost.checked_sub(2);
    doublings.map_or(Duration::ZERO, |n| REST_MAX.min(REST_MIN * 2_u32.saturating_pow(n)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    /// Sent; it comes back through the log.
    Sent,
    /// No clear answer: after this barrier the fold tells whether it is in the log. Nothing is tried again before `until`.
    Unclear { after: Need, until: BootNanos },
}

/// What the folded state says to a job.
pub(super) enum Outcome {
    /// Answered; it waits no more.
    Answered,
    /// Its answer needs an append, or something that is not folded yet.
    Waits(Box<Job>),
}

impl Engine {
    /// Answers a request, or puts it on a desk and works there. While an append is under way nothing has changed for those
    /// who wait already.
    pub(super) fn enqueue(&mut self, now: Now, place: Place, token: Token, work: Work) {
        let job = match self.look_up(now, &place, Job::new(token, now.boot, work)) {
            Outcome::Answered => return,
            Outcome::Waits(job) => *job,
        };
        let desk = self.desks.entry(place.clone()).or_default();
        if !desk.has_room_for(&job) {
            self.give_up(&job, "too much waits here; try again");
            return;
        }
        desk.jobs.push_back(job);
        if desk.flight.is_none() {
            self.work(now, &place);
        }
    }

    /// A shim keeps an abort of this session that the log lacks: it will be recorded.
    pub(super) fn report_abort(&mut self, now: Now, key: &SessionKey) {
        let place = Place::Session(key.clone());
        let desk = self.desks.entry(place.clone()).or_default();
        // Also if it is known: what was refused is tried again, as often as a shim repeats it.
        if !desk.reported || desk.flight.is_none() {
            desk.reported = true;
            self.work(now, &place);
        }
    }

    /// The record in flight was folded.
    pub(super) fn landed(&mut self, place: &Place) {
        if let Some(desk) = self.desks.get_mut(place) {
            desk.flight = None;
            desk.lost = 0;
            desk.unclear = None;
            desk.renewing = false;
        }
    }

    /// The append in flight got no position.
    pub(super) fn grounded(&mut self, now: Now, place: &Place, failure: AppendFailure) {
        match failure {
            AppendFailure::Conflict => self.lose(now, place, None),
            AppendFailure::Unclear(why) => self.lose(now, place, Some(why)),
            AppendFailure::Full(text) => {
                self.refuse_all(place, &OrderError::LogFull(text.clone()));
                self.keep_trying(now, place, text);
            }
            AppendFailure::Refused(text) => {
                self.refuse_all(place, &OrderError::Unavailable(text.clone()));
                self.keep_trying(now, place, text);
            }
        }
    }

    /// A stop whose client was told that it is recorded as soon as the log answers is tried until it is.
    fn keep_trying(&mut self, now: Now, place: &Place, why: String) {
        if self.desks.get(place).is_some_and(|desk| !desk.jobs.is_empty()) {
            self.lose(now, place, Some(why));
        }
    }

    fn lose(&mut self, now: Now, place: &Place, why: Option<String>) {
        let need = self.barriers.need();
        if let Some(desk) = self.desks.get_mut(place) {
            desk.lose(now, need, why);
        }
        self.send_barrier(now);
    }

    /// Nothing can be written here now: nobody waits for what won't happen. Stops that nobody waits for any more stay.
    fn refuse_all(&mut self, place: &Place, error: &OrderError) {
        let Some(desk) = self.desks.get_mut(place) else { return };
        desk.flight = None;
        let (kept, refused): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut desk.jobs).into_iter().partition(|job| job.told);
        desk.jobs = kept;
        for job in refused {
            match job.work {
                Work::Order(..) => self.ordered(&job, Err(error.clone())),
                Work::Ask(..) | Work::Close(..) | Work::Inert(..) => {
                    self.give_up(&job, "the log can't be written")
                }
            }
        }
    }

    /// Nothing will be written any more: nobody waits for it.
    pub(super) fn refuse_everybody(&mut self, error: &OrderError) {
        let places: Vec<Place> = self.desks.keys().cloned().collect();
        for place in places {
            self.refuse_all(&place, error);
        }
        self.desks.clear();
        self.flights.clear();
    }

    pub(super) fn somebody_waits_for_a_barrier(&self) -> bool {
        let unmet = |need: &Need| !self.barriers.met(*need);
        self.proofs.values().any(|clock| clock.passed.is_none())
            || self.desks.values().any(|desk| {
                matches!(&desk.flight, Some(Flight::Unclear { after, .. }) if unmet(after))
                    || desk.jobs.iter().any(|job| job.need().is_some_and(|need| unmet(&need)))
            })
    }

    /// A barrier may have been passed: what waited for it goes on.
    pub(super) fn after_barriers(&mut self, now: Now) {
        let ready: Vec<Place> = self
            .desks
            .iter_mut()
            .filter_map(|(place, desk)| {
                let passed = matches!(
                    desk.flight,
                    Some(Flight::Unclear { after, until }) if self.barriers.met(after) && now.boot >= until
                );
                if passed {
                    desk.flight = None;
                }
                let met = |job: &Job| job.need().is_some_and(|need| self.barriers.met(need));
                let waits = desk.jobs.iter().any(met);
                (passed || waits).then(|| place.clone())
            })
            .collect();
        for place in ready {
            self.work(now, &place);
        }
        self.proof_clocks(now);
    }

    /// Answers what the state answers, and appends the rest.
    pub(super) fn work(&mut self, now: Now, place: &Place) {
        if !self.is_live() {
            return;
        }
        let jobs = self
            .desks
            .get_mut(place)
            .map(|desk| std::mem::take(&mut desk.jobs))
            .unwrap_or_default();
        let ended = match place {
            Place::Session(key) => {
                self.world.session(key).is_none_or(|session| session.phase.is_terminal())
            }
            Place::Lever(_) => true,
        };
        let mut waiting = VecDeque::with_capacity(jobs.len());
        for job in jobs {
            match self.look_up(now, place, job) {
                Outcome::Answered => {}
                Outcome::Waits(job) => waiting.push_back(*job),
            }
        }
        let busy = {
            let desk = self.desks.entry(place.clone()).or_default();
            desk.jobs = waiting;
            desk.reported &= !ended;
            desk.flight.is_some()
        };
        if !busy {
            self.append_due(now, place);
        }
        if self.desks.get(place).is_some_and(|desk| desk.is_idle()) {
            self.desks.remove(place);
        }
    }

    /// A lever is to be renewed: with whatever else is appended there, or by itself.
    pub(super) fn renew(&mut self, now: Now, scope: &Scope) {
        let place = Place::Lever(scope.clone());
        self.desks.entry(place.clone()).or_default().renewing = true;
        self.work(now, &place);
    }

    /// Tells those who waited too long to come back. Stops wait on, to be recorded: what was pushed holds.
    pub(super) fn expire(&mut self, now: Now) {
        let mut late = Vec::new();
        for desk in self.desks.values_mut() {
            for job in std::mem::take(&mut desk.jobs) {
                let is_late = !job.told && now.boot.since(job.since) >= PATIENCE;
                if !is_late {
                    desk.jobs.push_back(job);
                    continue;
                }
                if let Some(stop) = job.as_told() {
                    desk.jobs.push_back(stop);
                }
                let said = desk.unclear.as_ref().map(|said| format!(": {said}"));
                late.push((job, said.unwrap_or_default()));
            }
        }
        let silence = self.barriers.silence(now.boot, SILENT_TOLD);
        let silence = silence.map(|silence| format!("; {silence}")).unwrap_or_default();
        for (job, said) in late {
            let why = format!("the log did not answer in time{said}{silence}");
            match job.pushed_append() {
                Some(_) => self.ordered(&job, Err(OrderError::Pushed(why))),
                None => self.give_up(&job, &why),
            }
        }
    }

    pub(super) fn give_up(&mut self, job: &Job, why: &str) {
        match job.work {
            Work::Order(..) => self.ordered(job, Err(OrderError::TimedOut(why.to_owned()))),
            Work::Ask(..) | Work::Close(..) | Work::Inert(..) => {
                self.unavailable(job.token, why, 500);
            }
        }
    }

    /// Answers a client, once.
    pub(super) fn ordered(&mut self, job: &Job, answer: Result<SessionKeyOrScope, OrderError>) {
        if !job.told {
            self.out(Output::Ordered(job.token, answer));
        }
    }
}

impl Job {
    pub(super) fn new(token: Token, since: BootNanos, work: Work) -> Self {
        Self { token, since, work, told: false }
    }

    /// The barrier that it waits for.
    fn need(&self) -> Option<Need> {
        match &self.work {
            Work::Close(_, _, need) | Work::Order(_, _, need) => *need,
            Work::Ask(..) | Work::Inert(..) => None,
        }
    }

    /// The stop as it waits on after its client was told that no answer came in time; nothing else does.
    fn as_told(&self) -> Option<Self> {
        let Self { token, since, work, told: _ } = self;
        let work = match work {
            Work::Order(order, append, None) if order.is_stop() => {
                Work::Order(order.clone(), *append, None)
            }
            Work::Order(..) | Work::Ask(..) | Work::Close(..) | Work::Inert(..) => return None,
        };
        Some(Self { token: *token, since: *since, work, told: true })
    }

    /// The append id that it was pushed under, if it is a stop. One that is about to be refused was not.
    pub(super) fn pushed_append(&self) -> Option<AppendId> {
        match &self.work {
            Work::Order(order, append, None) if order.is_stop() => Some(*append),
            Work::Order(..) | Work::Ask(..) | Work::Close(..) | Work::Inert(..) => None,
        }
    }

    pub(super) fn order(&self) -> Option<&Order> {
        match &self.work {
            Work::Order(order, _, _) => Some(order),
            Work::Ask(..) | Work::Close(..) | Work::Inert(..) => None,
        }
    }
}

/// An event that no client's command caused.
pub(super) fn own<E>(event: E) -> Recorded<E> {
    Recorded { command: None, event }
}

/// An event that a client's command caused.
pub(super) fn by<E>(command: CommandRef, event: E) -> Recorded<E> {
    Recorded { command: Some(command), event }
}
