//! Judges a drill from what it left behind: the log as it is stored, what agents wrote down about themselves, what clients
//! asked and were told, and when which fault was in force.
//!
//! Nothing of Squall is linked here: records are read by the `.proto` files as they stand, the fold is written anew from
//! docs/protocol.md, and the numbers of the protocol are written down once more in [`constant`]. So an error of the
//! coordinator is not repeated by its judge.
//!
//! A violation is only what is certain. A call began before whatever was done to it and ended after it, so that a time is
//! held against a call only where both of its ends are on the wrong side. What may or may not have happened (a process was
//! killed within a call, a command was not answered) counts as possible, and never as certain.

mod answers;
mod bounds;
pub mod constant;
pub mod files;
mod fold;
mod ledger;
mod linear;
pub mod log;
mod observed;
mod reports;
mod schema;
mod times;
mod verdict;

pub use log::{Record, read};
pub use schema::Schema;
pub use verdict::{Figures, Rule, Verdict, Violation};

use files::Evidence;
use fold::Book;
use observed::Observed;
use verdict::Violations;

/// Judges a whole run.
#[must_use]
pub fn check(records: &[Record], evidence: &Evidence) -> Verdict {
    let mut violations = Violations::default();
    let book = Book::fold(records, &mut violations);
    let observed = Observed::of(&book, evidence, &mut violations);
    bounds::check(&book, &observed, &mut violations);
    times::check(&book, &observed, evidence, &mut violations);
    answers::check(&book, evidence, &mut violations);
    linear::check(&book, evidence, &mut violations);
    reports::check(&book, &observed, evidence, &mut violations);
    let figures = Figures::of(records, &book, &observed, evidence);
    Verdict { figures, violations: violations.into_vec() }
}
