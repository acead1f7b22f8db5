//! Records in the making: what is due becomes one append, which expects the state that it was decided on.
//!
//! A stop is never left behind: it goes before everything else that a session's record carries, and what the owner has to
//! append by itself (the record of a halt, a guard that tripped, the end) has its room kept.

use squall_domain::event::{
    AbortCause, Event, Hash, LeverEvent, RECORD_EVENTS_MAX, Record, Recorded, Totals,
};
use squall_domain::lever::Scope;
use squall_domain::session::Session;
use squall_proto::vocabulary::id::{AppendId, SessionKey};

use super::desk::{Job, Place, own};
use super::{Engine, Now, Output, Write};

/// Most events that the owner appends by itself at once: a guard that trips, and its abort.
const OWN_EVENTS_MAX: usize = 2;

/// The events of one record, with the totals after it.
enum Events {
    Session(Vec<Recorded<Event>>, Totals),
    Lever(Vec<Recorded<LeverEvent>>),
}

/// What is due, and the append id under which a stop among it was pushed. The id stands for a record that carries this very
/// stop, and for no other: once a record has it, the log takes no second one.
type Due = (Events, Option<AppendId>);

impl Engine {
    /// Appends what is due at this place, if anything is.
    pub(super) fn append_due(&mut self, now: Now, place: &Place) {
        let due = match place {
            Place::Session(key) => self.session_events(now, key),
            Place::Lever(scope) => self.lever_events(now, scope),
        };
        let Some((events, pushed)) = due else { return };
        let append = pushed.unwrap_or_else(|| self.append_id());
        if let Some(desk) = self.desks.get_mut(place) {
            desk.sent();
        }
        self.write(now, place.clone(), append, events);
    }

    /// All events that are due on a session's subject: stops, other requests in order, then the owner's own.
    fn session_events(&mut self, now: Now, key: &SessionKey) -> Option<Due> {
        let place = Place::Session(key.clone());
        let owned = self.owns(&place);
        let desk = self.desks.remove(&place)?;
        let mut batch = Batch::new(self.world.session(key).cloned(), now);
        let mut pushed = None;
        let (stops, others): (Vec<&Job>, Vec<&Job>) =
            desk.jobs().partition(|job| job.pushed_append().is_some());
        for job in stops {
            let decided = self.decide(now, key, &batch, job);
            if batch.add(key, decided) {
                pushed = pushed.or(job.pushed_append());
            }
        }
        if desk.reported && batch.session.as_ref().is_some_and(is_stoppable) {
            let reason = "a shim holds an abort that was pushed before it was durable".to_owned();
            batch.add(key, vec![own(Event::Aborted { reason, cause: AbortCause::Reported })]);
        }
        for job in others {
            let decided = self.decide(now, key, &batch, job);
            if decided.len() + OWN_EVENTS_MAX > batch.room() {
                // This and the rest are decided anew once the record is folded.
                break;
            }
            batch.add(key, decided);
        }
        if owned {
            let due =
                batch.session.as_ref().map(|session| self.due(now, session)).unwrap_or_default();
            batch.add(key, due);
        }
        self.desks.insert(place, desk);
        batch.events().map(|events| (events, pushed))
    }

    /// Commands for a lever keep their order, whatever they are: a release must not undo a halt that came after it. Each is
    /// one event, so that those that find no room go into the next record.
    fn lever_events(&mut self, now: Now, scope: &Scope) -> Option<Due> {
        let desk = self.desks.get_mut(&Place::Lever(scope.clone()))?;
        let lever = self.world.lever(scope).cloned().unwrap_or_default();
        let renewal = desk.renewal(&lever, now);
        let mut pushed = None;
        let mut orders: Vec<Recorded<LeverEvent>> = Vec::new();
        for job in desk.jobs() {
            let Some(order) = job.order() else { continue };
            let decided = order.decide_lever(scope, &lever).unwrap_or_default();
            if orders.len() + decided.len() > RECORD_EVENTS_MAX {
                break;
            }
            if !decided.is_empty() {
                pushed = pushed.or(job.pushed_append());
            }
            orders.extend(decided);
        }
        // Any record will do: it is as young as the renewal would be.
        let events = if orders.is_empty() { renewal.into_iter().collect() } else { orders };
        (!events.is_empty()).then_some((Events::Lever(events), pushed))
    }

    /// Writes `events` as one record, and remembers where it belongs.
    fn write(&mut self, now: Now, place: Place, append: AppendId, events: Events) {
        let Some(write) = self.record(now, &place, append, events) else { return };
        self.barriers.sent(append, now.boot);
        self.flights.insert(append, place);
        self.out(Output::Append(append, write));
    }

    fn record(&self, now: Now, place: &Place, append: AppendId, events: Events) -> Option<Write> {
        match (place, events) {
            (Place::Session(key), Events::Session(events, totals)) => {
                let (expected, previous) = self
                    .world
                    .session(key)
                    .map_or((0, Hash::default()), |session| (session.revision, session.head));
                let record = Record { append, at: now.wall, previous, totals, events };
                Some(Write::Session(key.clone(), expected, record))
            }
            (Place::Lever(scope), Events::Lever(events)) => {
                let (expected, previous) =
                    self.world.lever(scope).map_or((0, Hash::default()), |lever| {
                        (lever.expected(self.world.time()), lever.head)
                    });
                let record =
                    Record { append, at: now.wall, previous, totals: Totals::default(), events };
                Some(Write::Lever(scope.clone(), expected, record))
            }
            (Place::Session(_), Events::Lever(_)) | (Place::Lever(_), Events::Session(..)) => None,
        }
    }
}

fn is_stoppable(session: &Session) -> bool {
    !session.phase.is_terminal()
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

    /// Events that the record can still take.
    fn room(&self) -> usize {
        RECORD_EVENTS_MAX - self.events.len()
    }

    /// The next request is decided on the state that these events leave. Tells whether the record carries them: there may be
    /// none, or no room for them.
    fn add(&mut self, key: &SessionKey, events: Vec<Recorded<Event>>) -> bool {
        if events.is_empty() || events.len() > self.room() {
            return false;
        }
        let (revision, head) = self
            .session
            .as_ref()
            .map_or((1, Default::default()), |session| (session.revision, session.head));
        let record = Record {
            append: AppendId([0; 16]),
            at: self.now.wall,
            previous: head,
            totals: Totals::default(),
            events: events.clone(),
        };
        match &mut self.session {
            Some(session) => session.preview(&record),
            None => self.session = Session::create(key.clone(), revision, &record, head),
        }
        self.events.extend(events);
        true
    }

    fn events(self) -> Option<Events> {
        let totals =
            self.session.as_ref().map(|session| session.ledger.totals()).unwrap_or_default();
        (!self.events.is_empty()).then_some(Events::Session(self.events, totals))
    }
}
