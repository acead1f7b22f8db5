//! Records in the making: what is due becomes one append, which expects the state that it was decided on.

use squall_domain::event::{Event, Hash, LeverEvent, Record, Recorded, Totals};
use squall_proto::vocabulary::id::AppendId;

use super::desk::Place;
use super::{Engine, Now, Output, Write};

/// The events of one record, with the totals after it.
pub(super) enum Events {
    Session(Vec<Recorded<Event>>, Totals),
    Lever(Vec<Recorded<LeverEvent>>),
}

impl Engine {
    /// Writes `events` as one record, and remembers where it belongs.
    pub(super) fn write(&mut self, now: Now, place: Place, append: AppendId, events: Events) {
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
