//! What was computed before, by the parts of a state.

use std::sync::Arc;

use crate::chain::Node;
use crate::hands::Slate;
use crate::invariant::Breach;
use crate::mail::Mail;
use crate::memo::Memo;
use crate::process::Process;
use crate::replica::{Append, Replica};

/// A message and its print.
pub type Letter = (u64, Arc<Mail>);

/// What was computed before, by parts.
#[derive(Debug, Default)]
pub struct Known {
    /// What a process does.
    pub acts: Memo<Option<Arc<Act>>>,
    /// What a replica decides.
    pub decisions: Memo<Arc<Decision>>,
    /// What a replica becomes when it folds an entry, and tells.
    pub folds: Memo<Arc<(Arc<Replica>, Vec<Letter>)>>,
    /// The log with an entry more.
    pub logs: Memo<Arc<Node>>,
}

/// What a process does: what it becomes, sends and writes down, and the request whose permit it burned.
#[derive(Debug)]
pub struct Act {
    /// What it becomes.
    pub after: Arc<Process>,
    /// What its link sends.
    pub sent: Vec<Letter>,
    /// What the journal says then.
    pub slate: Slate,
    /// The request that was granted the permit it burned.
    pub burned: Option<u64>,
}

/// What a replica decides.
#[derive(Debug, Default)]
pub struct Decision {
    /// What it appends.
    pub append: Option<Arc<Append>>,
    /// What it answers.
    pub answers: Vec<Letter>,
    /// What it shows.
    pub breach: Option<Breach>,
}
