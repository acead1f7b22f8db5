//! The log as a chain of entries, each with what it adds up to: the domain's own fold, and the [`Book`].
//!
//! A fold is a function of the prefix, so that whoever reads the same prefix shares it. That it *is* one, and loses
//! nothing in a snapshot, is checked at each entry (I12).

use std::sync::Arc;

use squall_domain::event::Hash as RecordHash;
use squall_domain::world::{Applied, Entry, World};
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::time::UnixMillis;

use crate::book::Book;
use crate::invariant::{Breach, Invariant, hold};
use crate::print::Print;

/// A prefix of the log.
#[derive(Debug)]
pub struct Node {
    /// How many entries it has.
    pub len: u64,
    /// The fold of it.
    pub world: World,
    /// What changed with the newest entry.
    pub applied: Applied,
    /// The newest entry, and the prefix before it; none at the beginning.
    pub newest: Option<(Arc<Entry>, Arc<Node>)>,
    /// The second reading of it.
    pub book: Book,
    /// What its entries break.
    pub breach: Option<Breach>,
    /// Tells it from every other one.
    pub print: u64,
}

impl Node {
    /// The empty log.
    #[must_use]
    pub fn empty() -> Arc<Self> {
        let applied = Applied {
            sessions: Vec::new(),
            plan_changed: Default::default(),
            lever: None,
            forgotten: Vec::new(),
        };
        Arc::new(Self {
            len: 0,
            world: World::default(),
            applied,
            newest: None,
            book: Book::default(),
            breach: None,
            print: 0,
        })
    }

    /// The log with one entry more.
    #[must_use]
    pub fn append(self: &Arc<Self>, spec: &SessionSpec, entry: &Arc<Entry>) -> Arc<Self> {
        let len = self.len + 1;
        let mut text = Print::default();
        text.add(&self.print);
        text.show(entry);
        let print = text.finish();
        let mut world = self.world.clone();
        let applied = apply(&mut world, len, entry, print);
        let mut book = self.book.clone();
        let read = book.read(spec, entry);
        let breach = read.and_then(|()| self.refold(len, entry, print, &world)).err();
        let breach = self.breach.clone().or(breach);
        let newest = Some((Arc::clone(entry), Arc::clone(self)));
        Arc::new(Self { len, world, applied, newest, book, breach, print })
    }

    /// A replica that goes on from a snapshot of the prefix comes to the same state.
    fn refold(&self, len: u64, entry: &Entry, print: u64, world: &World) -> Result<(), Breach> {
        let bytes = postcard::to_allocvec(&self.world).expect("a world can be stored");
        let mut restored: World = postcard::from_bytes(&bytes).expect("what was stored is read");
        let whole = restored == self.world;
        hold(whole, Invariant::I12, || "a snapshot lost something".to_owned())?;
        apply(&mut restored, len, entry, print);
        let same = restored == *world;
        hold(same, Invariant::I12, || "a snapshot's fold ends elsewhere".to_owned())
    }

    /// The entry behind the first `len`, and the prefix that ends with it, if this is longer.
    #[must_use]
    pub fn behind(self: &Arc<Self>, len: u64) -> Option<&Arc<Self>> {
        let mut node = self;
        while node.len > len + 1 {
            node = &node.newest.as_ref()?.1;
        }
        (node.len == len + 1).then_some(node)
    }

    /// Whether `other` is this log or the beginning of it.
    #[must_use]
    pub fn begins_with(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        if other.len == self.len {
            return other.print == self.print;
        }
        let next = self.behind(other.len).and_then(|node| node.newest.as_ref());
        next.is_some_and(|(_, before)| before.print == other.print)
    }

    /// The newest entry.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.newest.as_ref().map(|(entry, _)| &**entry)
    }
}

fn apply(world: &mut World, sequence: u64, entry: &Entry, print: u64) -> Applied {
    let mut hash = RecordHash::default();
    hash[..8].copy_from_slice(&print.to_le_bytes());
    // A second passes between two records: far from the month after which the log forgets them.
    world.apply(sequence, UnixMillis(1000 * sequence), entry, hash)
}
