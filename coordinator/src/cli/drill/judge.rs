//! Judges a drill by what was seen of it from outside: answers of coordinators, the sessions' logs and reports. It shares no
//! code with the coordinator's ledger or fold.
//!
//! Pure: what is seen and when are arguments. A violation is what the protocol rules out (docs/protocol.md), however messages
//! are delayed; what may be late or lost is said as a remark. Not here: asking ([`super::watch`]), words and tables
//! ([`super::verdict`]).

mod account;
mod log;
mod reached;
mod settle;
mod snapshot;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use squall_proto::wire::v1::{LogEvent, Report, Session};

/// Most signs of disturbance that are kept in words; all are counted.
const SIGNS_KEPT: usize = 50;

/// Time since the drill began, by the clock of who drills.
pub(super) type At = Duration;

/// What Squall promises, as far as it shows from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Promise {
    /// The budget is a hard bound.
    Bound,
    /// Stop means stop, and is proven.
    Stop,
    /// A counted fault reached the agent.
    Reached,
    /// What was acknowledged is in the log, once, and every replica tells the same.
    Log,
}

impl Promise {
    /// All of them, in the order in which they are told.
    pub(super) const ALL: [Self; 4] = [Self::Bound, Self::Stop, Self::Reached, Self::Log];
}

/// What was seen to break a promise: the first time, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// What was seen first, with its numbers.
    pub(super) first: String,
    /// How often.
    pub(super) times: u64,
}

/// What shows that something was disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sign {
    /// A coordinator that answered doesn't any more.
    CoordinatorLost,
    /// Another replica, or a new life of one, answers at an address.
    ReplicaChanged,
    /// Another replica owns a session.
    Takeover,
    /// A command got no answer, and was repeated.
    CommandRepeated,
    /// A shim ended, or fell silent.
    ShimLost,
    /// Evidence can't be read.
    EvidenceOutage,
}

/// What a command does, by the kind of its event in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Creates the session.
    Create,
    /// Starts it.
    Start,
    /// Pauses it.
    Pause,
    /// Resumes it.
    Resume,
    /// Aborts it.
    Abort,
}

impl Kind {
    /// Its event in the log.
    pub(super) const fn event(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Start => "started",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Abort => "aborted",
        }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nobody answered: it may be done or not.
    Unanswered,
    /// It is done: when that was known, and the session's revision then.
    Done {
        /// When the answer came.
        at: At,
        /// The revision that the answer shows.
        revision: u64,
    },
    /// It was refused.
    Refused(String),
}

/// A command that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// The session's number in the drill.
    pub(super) round: usize,
    /// What it does.
    pub(super) kind: Kind,
    /// Its request id.
    pub(super) request_id: String,
    /// When it was sent first.
    pub(super) sent: At,
    /// What became of it.
    pub(super) outcome: Outcome,
}

/// What is known of one session of the drill.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The session's name.
    pub(super) name: String,
    /// Its newest snapshot.
    pub(super) newest: Option<Session>,
    /// When its stop was first seen proven, and with how many permits issued.
    pub(super) proven: Option<(At, u64)>,
    /// The halt that was engaged over it, by its sequence.
    pub(super) halt: Option<u64>,
    /// When that was sent, and answered.
    pub(super) halted: Option<(At, At)>,
    /// Replicas that were named as its owner.
    pub(super) owners: BTreeSet<String>,
    /// Signs of disturbance from its beginning until its stop was proven.
    pub(super) signs: u64,
    /// Its log, once it was read.
    pub(super) log: Vec<LogEvent>,
    /// Its newest report, once it was read.
    pub(super) report: Option<Report>,
    /// What each replica showed last, and when that was answered.
    shown: BTreeMap<String, (At, Session)>,
    ledgers: BTreeMap<u64, snapshot::Ledger>,
    /// Whether its evidence could not be read at some time.
    is_out: bool,
}

/// Sees a drill, and judges it.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// The budget of each session.
    pub(super) budget: u64,
    /// Sessions, in their order.
    pub(super) rounds: Vec<Round>,
    /// Commands, in their order.
    pub(super) commands: Vec<Command>,
    /// What broke a promise, by what it is.
    pub(super) violations: BTreeMap<(Promise, &'static str), Violation>,
    /// What was not tested, and what to do about it.
    pub(super) untested: BTreeSet<(Promise, String)>,
    /// What is worth knowing and breaks nothing.
    pub(super) remarks: BTreeSet<String>,
    /// How many signs of disturbance there were.
    pub(super) signs: BTreeMap<Sign, u64>,
    /// The first of them.
    pub(super) told: Vec<(At, Sign, String)>,
    /// How the given command ended, each time.
    pub(super) disturbed: Vec<(At, String)>,
    /// Shims that were connected at the same time, at most.
    pub(super) shims_most: usize,
    /// Lives of shims, and whether each was heard last time.
    lives: BTreeMap<String, bool>,
    answering: BTreeMap<String, Answering>,
}

/// What answers at one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answering {
    is_lost: bool,
    replica: String,
}

impl Judge {
    /// A judge of sessions with this budget.
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, ..Self::default() }
    }

    /// A session begins: its number. A coordinator that is lost meanwhile disturbs it, too.
    pub(super) fn begin(&mut self, name: String) -> usize {
        let lost = self.answering.values().filter(|answering| answering.is_lost);
        let signs = lost.count() as u64;
        self.rounds.push(Round { name, signs, ..Round::default() });
        self.rounds.len() - 1
    }

    /// A command is about to be sent: its number.
    pub(super) fn send(&mut self, at: At, round: usize, kind: Kind, request_id: String) -> usize {
        let outcome = Outcome::Unanswered;
        self.commands.push(Command { round, kind, request_id, sent: at, outcome });
        self.commands.len() - 1
    }

    /// What became of it.
    pub(super) fn answered(&mut self, command: usize, outcome: Outcome) {
        self.commands[command].outcome = outcome;
    }

    /// The session's command of this kind that was done: when it was sent, and answered.
    pub(super) fn done(&self, round: usize, kind: Kind) -> Option<(At, At)> {
        let of = |command: &&Command| command.round == round && command.kind == kind;
        self.commands.iter().filter(of).find_map(|command| match command.outcome {
            Outcome::Done { at, .. } => Some((command.sent, at)),
            Outcome::Unanswered | Outcome::Refused(_) => None,
        })
    }

    /// The coordinator at `server` answers.
    pub(super) fn here(&mut self, server: &str) -> &mut Answering {
        let answering = self.answering.entry(server.to_owned()).or_default();
        answering.is_lost = false;
        answering
    }

    /// The coordinator at `server` doesn't answer. One that never did isn't lost.
    pub(super) fn lost(&mut self, at: At, server: &str, why: &str) {
        let Some(answering) = self.answering.get_mut(server) else { return };
        if !std::mem::replace(&mut answering.is_lost, true) {
            self.sign(at, Sign::CoordinatorLost, format!("{server} doesn't answer: {why}"));
        }
    }

    /// A replica answers at `server`.
    pub(super) fn heard(&mut self, at: At, server: &str, replica: &str) {
        let before = std::mem::replace(&mut self.here(server).replica, replica.to_owned());
        if !before.is_empty() && before != replica {
            self.sign(at, Sign::ReplicaChanged, format!("{server}: {before}, now {replica}"));
        }
    }

    /// Whether the coordinator at `server` answered last time.
    pub(super) fn answers(&self, server: &str) -> bool {
        self.answering.get(server).is_some_and(|answering| !answering.is_lost)
    }

    /// Whether the coordinator at `server` answers, and shows an older log of this round than another one did.
    pub(super) fn may_catch_up(&self, server: &str, round: usize) -> bool {
        let answering = self.answering.get(server).filter(|answering| !answering.is_lost);
        let replica = answering.map(|answering| answering.replica.as_str());
        let round = &self.rounds[round];
        let shown = replica.and_then(|replica| round.shown.get(replica));
        let newest = round.newest.as_ref().map(|newest| newest.revision);
        answering.is_some() && shown.map(|(_, shown)| shown.revision) < newest
    }

    /// The lives of shims that any coordinator knows, and whether each was heard within the time that a connected one takes.
    /// One that nobody knows is not lost: who has just begun knows none.
    pub(super) fn fleet(&mut self, at: At, shims: &BTreeMap<String, bool>) {
        let here = shims.values().filter(|heard| **heard).count();
        self.shims_most = self.shims_most.max(here);
        for (life, heard) in shims {
            let was_here = self.lives.insert(life.clone(), *heard);
            if was_here == Some(true) && !heard {
                self.sign(at, Sign::ShimLost, format!("shim {life} is silent, or ended"));
            }
        }
    }

    /// How many lives of shims were seen.
    pub(super) fn lives(&self) -> usize {
        self.lives.len()
    }

    /// Something was disturbed.
    pub(super) fn sign(&mut self, at: At, sign: Sign, what: String) {
        *self.signs.entry(sign).or_default() += 1;
        for round in self.rounds.iter_mut().filter(|round| round.proven.is_none()) {
            round.signs += 1;
        }
        if self.told.len() < SIGNS_KEPT {
            self.told.push((at, sign, what));
        }
    }

    /// Something was not tested.
    pub(super) fn untested(&mut self, promise: Promise, why: impl Into<String>) {
        self.untested.insert((promise, why.into()));
    }

    /// Something is worth knowing.
    pub(super) fn remark(&mut self, what: impl Into<String>) {
        self.remarks.insert(what.into());
    }

    fn violated(&mut self, promise: Promise, what: &'static str, first: impl FnOnce() -> String) {
        let violation = self
            .violations
            .entry((promise, what))
            .or_insert_with(|| Violation { first: first(), times: 0 });
        violation.times += 1;
    }
}

pub(super) use reached::Reach;

#[cfg(test)]
mod tests;
