//! Whether the interleavings get anywhere.

use squall_domain::event::{AbortCause, Event};
use squall_domain::world::Entry;

use crate::book::Book;
use crate::machine::Machine;

/// What some run came to.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    injections: usize,
    spent: usize,
    refunds: usize,
    conflicts: u64,
    halted: usize,
    recorded_halts: usize,
    confirmed: usize,
    proofs: usize,
    behind: usize,
    drained: usize,
    stranded: usize,
    guards: usize,
    bound: usize,
}

impl Reached {
    pub(crate) fn add(&mut self, machine: &Machine) {
        let book = Book::read(&machine.spec, &machine.log);
        let events = || {
            machine.log.iter().flat_map(|entry| match entry {
                Entry::Session(_, record) => record.events.iter().map(|r| &r.event).collect(),
                Entry::Lever(..) | Entry::Unreadable(..) | Entry::Other => Vec::new(),
            })
        };
        let has = |wanted: fn(&Event) -> bool| usize::from(events().any(wanted));
        self.injections += machine.injections.len();
        self.spent += usize::from(
            machine.injections.len() == machine.spec.safety.max_affected_requests as usize,
        );
        self.refunds +=
            book.closed.iter().filter(|(grant, used)| *used < &book.issued[*grant]).count();
        self.stranded +=
            machine.shims.iter().filter(|shim| shim.holder().incarnation.0[0] > 1).count();
        self.conflicts += machine.conflicts;
        self.halted += usize::from(book.halted);
        self.recorded_halts +=
            has(|event| matches!(event, Event::Aborted { cause: AbortCause::Lever(_), .. }));
        self.confirmed += has(|event| matches!(event, Event::InertConfirmed { .. }));
        self.proofs += has(|event| matches!(event, Event::StopProven { .. }));
        self.drained += has(|event| matches!(event, Event::Ended { .. }));
        self.guards += has(|event| matches!(event, Event::GuardTripped { .. }));
        self.bound += has(|event| matches!(event, Event::ScopeBound { .. }));
        let lever = machine.log.iter().position(|entry| matches!(entry, Entry::Lever(..)));
        self.behind += usize::from(lever.is_some_and(|at| {
            machine.log[at..].iter().any(|entry| {
                matches!(entry, Entry::Session(_, record) if record.events.iter().any(|recorded| matches!(recorded.event, Event::GrantIssued { .. })))
            })
        }));
    }

    pub(crate) fn check(&self) {
        let Self {
            injections,
            spent,
            refunds,
            conflicts,
            halted,
            recorded_halts,
            confirmed,
            proofs,
            behind,
            drained,
            stranded,
            guards,
            bound,
        } = self;
        let counts = [
            injections,
            spent,
            refunds,
            halted,
            recorded_halts,
            confirmed,
            proofs,
            behind,
            drained,
            stranded,
            guards,
            bound,
        ];
        assert!(counts.iter().all(|count| **count > 0) && *conflicts > 0, "{self:?}");
    }
}
