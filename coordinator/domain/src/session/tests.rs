//! Given, when, then: one file for each thing that can be asked of a session.

mod asks;
mod closes;
mod control;
mod damage;
mod deadlines;
mod guard;
mod radius;
mod stops;

use super::Phase;
use crate::event::{Ending, Event};
use crate::scenario::{aborted, damaged, drained, ended, started};

/// A way into each phase from a draft.
fn ways() -> Vec<(Phase, Vec<Event>)> {
    vec![
        (Phase::Draft, vec![]),
        (Phase::Running, vec![started()]),
        (Phase::Paused, vec![started(), Event::Paused]),
        (Phase::Draining, vec![started(), drained()]),
        (Phase::Completed, vec![started(), drained(), ended(Ending::Completed)]),
        (Phase::Exhausted, vec![started(), ended(Ending::Exhausted)]),
        (Phase::Aborted, vec![started(), aborted()]),
        (Phase::LogDamaged, vec![started(), damaged()]),
    ]
}
