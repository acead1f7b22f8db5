//! One desk for each subject of the log: what waits there, and the one append that is in flight.
//!
//! Only one append may be in flight on a subject, so it carries all events that are due (group commit). Each request is
//! first looked up in the folded state; what the state answers is answered. The rest is decided one after the other, each
//! on the state that the one before it leaves. After the record is folded, everything is looked at again.

use std::collections::VecDeque;
use std::time::Duration;

use squall_domain::event::{
    AbortCause, CommandRef, Event, LeverEvent, RECORD_EVENTS_MAX, Record, Recorded,
};
use squall_domain::lever::Scope;
use squall_domain::session::Session;
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{AppendId, Holder, SessionId, SessionKey};
use squall_proto::vocabulary::message::{Ask, Close, Inert, Reply, Unavailable};
use squall_proto::vocabulary::time::BootNanos;

use super::barrier::Need;
use super::client::{Order, OrderError};
use super::record::Events;
use super::{AppendFailure, Engine, Now, Output, Token};

/// Most requests that wait at one desk: two group commits' worth; more are told to come back.
const JOBS_MAX: usize = 2 * RECORD_EVENTS_MAX;
/// A request that could not be answered for this long is told to come back; shims repeat theirs long before.
const PATIENCE: Duration = Duration::from_secs(8);

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
}

#[derive(Debug)]
pub(super) enum Work {
    Ask(Holder, Ask),
    /// With the barrier that it waits for, where the fold lacks its grant.
    Close(Holder, Close, Option<Need>),
    Inert(Holder, Inert),
    /// With the append id that an abort was pushed under.
    Order(Box<Order>, AppendId),
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    jobs: VecDeque<Job>,
    flight: Option<Flight>,
    /// A shim keeps an abort that the log lacks.
    pub(super) reported: bool,
    /// The lever here is to be appended once more, before the log forgets it.
    renewing: bool,
}

impl Desk {
    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.flight.is_none() && !self.reported && !self.renewing
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    /// Sent; it comes back through the log.
    Sent,
    /// No clear answer: after this barrier the fold tells whether it is in the log.
    Unclear(Need),
}

/// What the folded state says to a job.
pub(super) enum Outcome {
    /// Answered; it waits no more.
    Answered,
    /// Its answer needs an append, or something that is not folded yet.
    Waits(Box<Job>),
}

impl Engine {
    /// Puts a request on a desk and works there.
    pub(super) fn enqueue(&mut self, now: Now, place: Place, token: Token, work: Work) {
        let job = Job { token, since: now.boot, work };
        if self.desks.get(&place).is_some_and(|desk| desk.jobs.len() >= JOBS_MAX) {
            self.give_up(job, "too much waits for this session; try again");
            return;
        }
        self.desks.entry(place.clone()).or_default().jobs.push_back(job);
        self.work(now, &place);
    }

    /// A shim keeps an abort of this session that the log lacks: it will be recorded.
    pub(super) fn report_abort(&mut self, now: Now, key: &SessionKey) {
        let place = Place::Session(key.clone());
        let desk = self.desks.entry(place.clone()).or_default();
        if !desk.reported {
            desk.reported = true;
            self.work(now, &place);
        }
    }

    /// The record in flight was folded.
    pub(super) fn landed(&mut self, place: &Place) {
        if let Some(desk) = self.desks.get_mut(place) {
            desk.flight = None;
            desk.renewing = false;
        }
    }

    /// The append in flight got no position.
    pub(super) fn grounded(&mut self, now: Now, place: &Place, failure: AppendFailure) {
        match failure {
            AppendFailure::Conflict | AppendFailure::Unclear => {
                let need = self.barriers.need();
                if let Some(desk) = self.desks.get_mut(place) {
                    desk.flight = Some(Flight::Unclear(need));
                }
                self.send_barrier(now);
            }
            AppendFailure::Full(text) => self.refuse_all(place, &OrderError::LogFull(text)),
            AppendFailure::Refused(text) => self.refuse_all(place, &OrderError::Unavailable(text)),
        }
    }

    /// Nothing can be written here now: nobody waits for what won't happen.
    fn refuse_all(&mut self, place: &Place, error: &OrderError) {
        let Some(desk) = self.desks.get_mut(place) else { return };
        desk.flight = None;
        for job in std::mem::take(&mut desk.jobs) {
            match job.work {
                Work::Order(..) => self.out(Output::Ordered(job.token, Err(error.clone()))),
                Work::Ask(..) | Work::Close(..) | Work::Inert(..) => {
                    self.give_up(job, "the log can't be written")
                }
            }
        }
    }

    pub(super) fn somebody_waits_for_a_barrier(&self) -> bool {
        let unmet = |need: &Need| !self.barriers.met(*need);
        self.proofs.values().any(|clock| clock.passed.is_none())
            || self.desks.values().any(|desk| {
                matches!(&desk.flight, Some(Flight::Unclear(need)) if unmet(need))
                    || desk.jobs.iter().any(
                        |job| matches!(&job.work, Work::Close(_, _, Some(need)) if unmet(need)),
                    )
            })
    }

    /// A barrier may have been passed: what waited for it goes on.
    pub(super) fn after_barriers(&mut self, now: Now) {
        let ready: Vec<Place> = self
            .desks
            .iter_mut()
            .filter_map(|(place, desk)| {
                let passed = matches!(desk.flight, Some(Flight::Unclear(need)) if self.barriers.met(need));
                if passed {
                    desk.flight = None;
                }
                let waits = desk
                    .jobs
                    .iter()
                    .any(|job| matches!(&job.work, Work::Close(_, _, Some(need)) if self.barriers.met(*need)));
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

    fn append_due(&mut self, now: Now, place: &Place) {
        let pushed =
            self.desks.get(place).and_then(|desk| desk.jobs.iter().find_map(Job::pushed_append));
        let append = pushed.unwrap_or_else(|| self.append_id());
        let events = match place {
            Place::Session(key) => self.session_events(now, key),
            Place::Lever(scope) => self.lever_events(now, scope),
        };
        let Some(events) = events else { return };
        if let Some(desk) = self.desks.get_mut(place) {
            desk.flight = Some(Flight::Sent);
        }
        self.write(now, place.clone(), append, events);
    }

    /// All events that are due on a session's subject: requests in order, then the owner's own.
    fn session_events(&mut self, now: Now, key: &SessionKey) -> Option<Events> {
        let owned = self.owns(&Place::Session(key.clone()));
        let desk = self.desks.remove(&Place::Session(key.clone()))?;
        let mut batch = Batch::new(self.world.session(key).cloned(), now);
        for job in &desk.jobs {
            let decided = self.decide(now, key, &batch, job);
            batch.add(key, decided);
        }
        if desk.reported
            && batch.session.as_ref().is_some_and(|session| !session.phase.is_terminal())
        {
            let reason = "a shim holds an abort that was pushed before it was durable".to_owned();
            batch.add(key, vec![own(Event::Aborted { reason, cause: AbortCause::Reported })]);
        }
        if owned {
            let due =
                batch.session.as_ref().map(|session| self.due(now, session)).unwrap_or_default();
            batch.add(key, due);
        }
        self.desks.insert(Place::Session(key.clone()), desk);
        batch.events()
    }

    /// A lever is to be renewed: with whatever else is appended there, or by itself.
    pub(super) fn renew(&mut self, now: Now, scope: &Scope) {
        let place = Place::Lever(scope.clone());
        self.desks.entry(place.clone()).or_default().renewing = true;
        self.work(now, &place);
    }

    fn lever_events(&mut self, now: Now, scope: &Scope) -> Option<Events> {
        let desk = self.desks.get_mut(&Place::Lever(scope.clone()))?;
        let lever = self.world.lever(scope).cloned().unwrap_or_default();
        let renewal = lever.renewal(now.wall).filter(|_| desk.renewing).map(own);
        desk.renewing = renewal.is_some();
        let orders: Vec<Recorded<LeverEvent>> = desk
            .jobs
            .iter()
            .filter_map(Job::order)
            .filter_map(|order| order.decide_lever(scope, &lever).ok())
            .flatten()
            .take(RECORD_EVENTS_MAX)
            .collect();
        // Any record will do: it is as young as the renewal would be.
        let events = if orders.is_empty() { renewal.into_iter().collect() } else { orders };
        (!events.is_empty()).then_some(Events::Lever(events))
    }

    /// Tells those who waited too long to come back.
    pub(super) fn expire(&mut self, now: Now) {
        let mut late = Vec::new();
        for desk in self.desks.values_mut() {
            let (keep, expired) = std::mem::take(&mut desk.jobs)
                .into_iter()
                .partition(|job| now.boot.since(job.since) < PATIENCE);
            desk.jobs = keep;
            late.extend::<VecDeque<Job>>(expired);
        }
        for job in late {
            self.give_up(job, "the log did not answer in time");
        }
    }

    pub(super) fn give_up(&mut self, job: Job, why: &str) {
        match job.work {
            Work::Order(..) => {
                self.out(Output::Ordered(job.token, Err(OrderError::TimedOut(why.to_owned()))))
            }
            Work::Ask(..) | Work::Close(..) | Work::Inert(..) => {
                let unavailable =
                    Unavailable { why: why.to_owned(), backoff: Duration::from_millis(500) };
                self.out(Output::Reply(job.token, Box::new(Reply::Unavailable(unavailable))));
            }
        }
    }
}

impl Job {
    fn pushed_append(&self) -> Option<AppendId> {
        match &self.work {
            Work::Order(order, append) if order.is_stop() => Some(*append),
            Work::Order(..) | Work::Ask(..) | Work::Close(..) | Work::Inert(..) => None,
        }
    }

    fn order(&self) -> Option<&Order> {
        match &self.work {
            Work::Order(order, _) => Some(order),
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

/// A record in the making, and the session as it leaves it.
pub(super) struct Batch {
    pub(super) session: Option<Session>,
    now: Now,
    events: Vec<Recorded<Event>>,
}

impl Batch {
    fn new(session: Option<Session>, now: Now) -> Self {
        Self { session, now, events: Vec::new() }
    }

    /// The next request is decided on the state that these events leave.
    fn add(&mut self, key: &SessionKey, events: Vec<Recorded<Event>>) {
        if events.is_empty() || self.events.len() + events.len() > RECORD_EVENTS_MAX {
            return;
        }
        let (revision, head) = self
            .session
            .as_ref()
            .map_or((1, Default::default()), |session| (session.revision, session.head));
        let record = Record {
            append: AppendId([0; 16]),
            at: self.now.wall,
            previous: head,
            totals: squall_domain::event::Totals::default(),
            events: events.clone(),
        };
        match &mut self.session {
            Some(session) => session.preview(&record),
            None => self.session = Session::create(key.clone(), revision, &record, head),
        }
        self.events.extend(events);
    }

    fn events(self) -> Option<Events> {
        let totals =
            self.session.as_ref().map(|session| session.ledger.totals()).unwrap_or_default();
        (!self.events.is_empty()).then_some(Events::Session(self.events, totals))
    }
}
