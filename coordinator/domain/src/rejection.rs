//! Why a command is refused: the caller's fault, or the state's. Never our own error.

use squall_proto::vocabulary::id::{RequestId, SessionKey};

use crate::event::CommandKind;
use crate::session::Phase;

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No such session.
    #[error("there is no session {0}")]
    NoSession(SessionKey),
    /// The id is taken.
    #[error("session {0} exists already")]
    SessionExists(SessionKey),
    /// The log holds records under the id that belong to no session: unreadable ones, or the end of one that it has forgotten.
    #[error(
        "the log holds records under {0} that belong to no session (unreadable ones, or the end of an expired one), so that none can be created there until they expire, 30 days after the newest; choose another id"
    )]
    NameHasStrays(SessionKey),
    /// The state doesn't allow it.
    #[error("the session is {}; {} needs {needs}", .phase.name(), .command.name())]
    WrongPhase {
        /// The command.
        command: CommandKind,
        /// The state.
        phase: Phase,
        /// What it would have to be, as a fragment: "draft".
        needs: &'static str,
    },
    /// The request id was used before, for something else.
    #[error("request id {request} was used before, for {}; a new command needs a new id", .before.name())]
    RequestReused {
        /// The id.
        request: RequestId,
        /// What it was used for.
        before: CommandKind,
    },
    /// A reason is missing or too long.
    #[error("reason {problem}")]
    Reason {
        /// What is wrong, as a fragment: "is empty; an abort needs one of 1 to 1024 bytes".
        problem: String,
    },
    /// What a start needs and lacks, all of it; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unmet(Vec<Unmet>),
    /// Nothing to release.
    #[error("no halt is engaged for {scope}")]
    NotEngaged {
        /// Whose lever.
        scope: String,
    },
    /// As many sessions as there may be.
    #[error("there are {0} sessions already, as many as there may be")]
    TooManySessions(usize),
}

impl Rejection {
    /// Whether the log may say otherwise by now: whoever folds it late must catch up before it refuses for this reason.
    /// What was said once (an id is taken or used) stays so, and the rest isn't the log's to say.
    #[must_use]
    pub fn may_be_stale(&self) -> bool {
        match self {
            Self::NoSession(_) | Self::WrongPhase { .. } | Self::NotEngaged { .. } => true,
            Self::Unmet(unmet) => unmet.iter().any(|unmet| matches!(unmet, Unmet::Halted { .. })),
            Self::SessionExists(_)
            | Self::NameHasStrays(_)
            | Self::RequestReused { .. }
            | Self::Reason { .. }
            | Self::TooManySessions(_) => false,
        }
    }
}

/// One thing that a start needs and lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// A lever is engaged.
    #[error("a halt is engaged for {scope}: {reason}; release it first (`squall halt release`)")]
    Halted {
        /// Whose lever.
        scope: String,
        /// Why it was engaged.
        reason: String,
    },
    /// The log isn't written through to disk.
    #[error(
        "the log's servers don't run with sync_interval: always, so that an acknowledged permit could be lost; set it, or accept the risk with safety.accept_lazy_log"
    )]
    LazyLog,
    /// An experiment that no connected shim can apply.
    #[error(transparent)]
    Inapplicable(Inapplicable),
}

/// An experiment that no connected shim can apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("experiment {experiment:?}: {why}")]
pub struct Inapplicable {
    /// The experiment's name.
    pub experiment: String,
    /// Why, with each seam that was looked at.
    pub why: String,
}
