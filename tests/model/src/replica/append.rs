//! Appends, which expect the newest record of their subject as the writer knew it.

use std::sync::Arc;

use squall_domain::event::{Event, Hash, LeverEvent, Record, Recorded, Totals};
use squall_domain::lever::Scope;
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::id::{AppendId, SessionKey};

use super::{Replica, WALL};
use crate::cast::append_id;
use crate::print::Print;

/// An append on its way.
#[derive(Clone, Debug)]
pub struct Append {
    /// Who wrote it.
    pub by: usize,
    /// The newest record of its subject when it was written.
    pub expected: u64,
    /// What it carries.
    pub entry: Arc<Entry>,
    /// Its id.
    pub id: AppendId,
    /// Tells it from every other one.
    pub print: u64,
}

impl Replica {
    /// The append that carries these events of the session, decided on the view.
    #[must_use]
    pub fn append(&self, by: usize, key: &SessionKey, events: Vec<Recorded<Event>>) -> Append {
        let session = self.session(key);
        let expected = session.map_or(0, |session| session.revision);
        let previous = session.map_or(Hash::default(), |session| session.head);
        let id = append_id(Print::of(&(by, expected, &events)));
        let mut record =
            Record { append: id, at: WALL, previous, totals: Totals::default(), events };
        if let Some(mut after) = session.cloned() {
            after.preview(&record);
            record.totals = after.ledger.totals();
        }
        Append::new(by, expected, Entry::Session(key.clone(), record), id)
    }

    /// The append that moves a lever.
    #[must_use]
    pub fn pull(&self, by: usize, scope: &Scope, event: Recorded<LeverEvent>) -> Append {
        let lever = self.view.world.lever(scope).cloned().unwrap_or_default();
        let (expected, previous) = (lever.revision, lever.head);
        let events = vec![event];
        let id = append_id(Print::of(&(by, expected, &events)));
        let record = Record { append: id, at: WALL, previous, totals: Totals::default(), events };
        Append::new(by, expected, Entry::Lever(scope.clone(), record), id)
    }
}

impl Append {
    fn new(by: usize, expected: u64, entry: Entry, id: AppendId) -> Self {
        let print = Print::of(&(by, expected, &entry));
        Self { by, expected, entry: Arc::new(entry), id, print }
    }

    /// The newest record of its subject, which compare-and-swap compares.
    #[must_use]
    pub fn revision(&self, log: &World) -> u64 {
        match &*self.entry {
            Entry::Session(key, _) => log.session(key).map_or(0, |session| session.revision),
            Entry::Lever(scope, _) => log.lever(scope).map_or(0, |lever| lever.revision),
            Entry::Unreadable(..) | Entry::Other => 0,
        }
    }
}
