//! What will happen, in the order of time, and of arrival where times are equal.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::clock::Moment;

#[derive(Debug)]
struct Due<E> {
    at: Moment,
    number: u64,
    event: E,
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Due<E> {}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The queue. Bounded by what is under way: each event stands for a timer, a message or a call.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    due: BinaryHeap<Reverse<Due<E>>>,
    number: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { due: BinaryHeap::new(), number: 0 }
    }
}

impl<E> Queue<E> {
    /// `event` happens at `at`, behind everything that was to happen then.
    pub(crate) fn add(&mut self, at: Moment, event: E) {
        self.number += 1;
        self.due.push(Reverse(Due { at, number: self.number, event }));
    }

    /// What happens next.
    pub(crate) fn next(&mut self) -> Option<(Moment, E)> {
        self.due.pop().map(|Reverse(due)| (due.at, due.event))
    }
}
