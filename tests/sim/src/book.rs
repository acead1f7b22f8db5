//! The checker: what really happened at the agents, what the log really holds, and whether the promises of docs/protocol.md
//! ("Invariants") hold between the two.
//!
//! It shares no ledger with what it checks: budgets, grants and stops are added up here from the records of the log, by its
//! own few rules. Not here: liveness ([`crate::world`] waits for it in the calm), and what is done after a violation.

mod account;
mod burn;
mod radius;
mod record;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use squall::journal::Entry;
use squall::replica::{snapshot, translation};
use squall_domain::evidence::Archive;
use squall_domain::lever::Scope;
use squall_domain::world::World;
use squall_proto::vocabulary::id::SessionKey;

pub use self::account::Account;
pub use self::burn::{Began, Running};
use crate::clock::Moment;
use crate::scenario::Clocks;

/// Every how many records the states of replicas are compared: each comparison costs a copy of the state in bytes.
const COMPARED_EVERY: u64 = 16;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which: `I1` to `I13`, `T1`, `T2`, `L1` to `L4` of docs/protocol.md; `PROOF`, `ACK`, `EVIDENCE`, `DAMAGE`, `SPIN`
    /// and `PANIC` for what has no number there.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Book {
    clocks: Clocks,
    accounts: BTreeMap<SessionKey, Account>,
    /// Engaged levers, with the sequence of their record.
    engaged: BTreeMap<Scope, u64>,
    /// Faults under way, by their number.
    running: BTreeMap<u64, Running>,
    next: u64,
    /// The fold of everything that is in the log.
    reference: World,
    /// Hashes of that fold at some sequences.
    states: BTreeMap<u64, [u8; 32]>,
    violation: Option<Violation>,
    /// Faults begun, by kind of what they do.
    pub begun: BTreeMap<&'static str, u64>,
    /// Sessions whose damage was told.
    damaged: BTreeSet<SessionKey>,
}

impl Book {
    /// An empty log, and nobody.
    #[must_use]
    pub fn new(clocks: Clocks) -> Self {
        Self {
            clocks,
            accounts: BTreeMap::new(),
            engaged: BTreeMap::new(),
            running: BTreeMap::new(),
            next: 0,
            reference: World::default(),
            states: BTreeMap::new(),
            violation: None,
            begun: BTreeMap::new(),
            damaged: BTreeSet::new(),
        }
    }

    /// The first promise that was not kept, if one wasn't.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Notes that a promise was not kept. Only the first one counts: what follows may follow from it.
    pub fn violated(&mut self, promise: &'static str, what: impl Into<String>) {
        if self.violation.is_none() {
            self.violation = Some(Violation { promise, what: what.into() });
        }
    }

    /// What the log says, all of it.
    #[must_use]
    pub const fn reference(&self) -> &World {
        &self.reference
    }

    /// One session's account.
    #[must_use]
    pub fn account(&self, key: &SessionKey) -> Option<&Account> {
        self.accounts.get(key)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&SessionKey, &Account)> {
        self.accounts.iter()
    }

    /// Faults under way.
    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.running.values()
    }

    const fn trusts_clocks(&self) -> bool {
        match self.clocks {
            Clocks::Honest => true,
            Clocks::Apart => false,
        }
    }

    /// The log stored a record.
    pub fn stored(&mut self, now: Moment, record: &Entry) {
        use squall::engine::Input;
        let Input::Logged { sequence, time, entry, hash, .. } = translation::logged(record) else {
            return self.violated("DAMAGE", format!("record {} can't be read", record.sequence));
        };
        self.reference.apply(sequence, time, &entry, hash);
        self.take(now, sequence, &entry);
        if sequence % COMPARED_EVERY == 0 {
            let state = state(&self.reference);
            self.states.insert(sequence, state);
        }
    }

    /// A replica folded the log up to where it is: equal prefixes make equal states (I12).
    pub fn folded(&mut self, who: &str, world: &World) {
        let Some(expected) = self.states.get(&world.applied) else { return };
        if *expected != state(world) {
            self.violated("I12", format!("{who} has another state at record {}", world.applied));
        }
    }

    /// A replica said that the log is damaged. No log here ever is.
    pub fn said_damaged(&mut self, who: &str) {
        self.violated("DAMAGE", format!("{who} found damage in a log that is whole"));
    }
}

/// A state in 32 bytes: the bytes of its snapshot, hashed.
fn state(world: &World) -> [u8; 32] {
    let snapshot = snapshot::of(world, &Archive::default()).expect("a state can be written");
    *blake3::hash(&snapshot.bytes).as_bytes()
}
