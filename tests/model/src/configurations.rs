//! The configurations: small worlds, each about a part of the protocol, each explored to its end.
//!
//! Small on purpose: what breaks with two shims, two replicas, two grants and one loss is what breaks at all, as far as
//! anybody has seen; what needs more is the simulator's.

mod caps;
mod ledger;
mod life;
mod time;

use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::session::SessionSpec;

use crate::cast::{Seat, key_of};
use crate::fleet::{Clock, Fleet, Limits, Sometimes, State};

/// All of them, in the order in which they are explored.
#[must_use]
pub fn all() -> Vec<Fleet> {
    [ledger::all(), caps::all(), life::all(), time::all()].concat()
}

/// Those that take seconds, for every test run.
pub const SMALL: [&str; 2] = ["single_agent", "tenants"];

/// Longest a fault lasts where time stands still.
const SECOND: Duration = Duration::from_secs(1);
/// Far enough for idle permits to go back and for a late Ask to be given up.
const LONG: Duration = Duration::from_millis(5_500);

/// Two shims and two replicas, and an adversary that does nothing but delay, double, lose and reorder.
fn plain(name: &'static str, about: &'static str, spec: Arc<SessionSpec>) -> Fleet {
    Fleet {
        name,
        about,
        key: key_of(&spec),
        spec,
        draft: false,
        seats: vec![Seat::new("one"), Seat::new("two")],
        replicas: 2,
        journal: false,
        batch: false,
        records: 6,
        requests: 4,
        clock: Clock::Still { jumps: &[] },
        deeds: Vec::new(),
        limits: Limits::default(),
        sometimes: Vec::new(),
        hopes: Vec::new(),
        known: Arc::default(),
    }
}

const USED_UP: Sometimes = ("the whole budget is used", |fleet, state| {
    state.injections.len() == fleet.spec.safety.max_affected_requests as usize
});
const REFUNDED: Sometimes =
    ("permits came back", |_: &Fleet, state: &State| state.log.book.refunded() > 0);
const PROVEN: Sometimes =
    ("the stop is proven", |_: &Fleet, state: &State| state.log.book.proven.is_some());
const INJECTED: Sometimes = ("calls were changed", |_, state| !state.injections.is_empty());
