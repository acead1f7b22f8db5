//! What clients ask of a session.

use std::sync::Arc;

use squall_proto::vocabulary::id::RequestId;
use squall_proto::vocabulary::session::SessionSpec;

use super::{Phase, Session, check_reason};
use crate::event::{AbortCause, CommandKind, DrainReason, Event, Hash};
use crate::rejection::{Inapplicable, Rejection, Unmet};

/// A client's command for a session that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCommand {
    /// Begin to inject.
    Start,
    /// Inject nothing for now.
    Pause,
    /// Inject again.
    Resume,
    /// End gracefully.
    Stop,
    /// Stop for good, now.
    Abort {
        /// Why: 1 to 1024 bytes, one line.
        reason: String,
    },
}

/// What a start needs to know of the world beyond the session.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Outlook {
    /// Connected shims that can apply at least one experiment.
    pub shims: u32,
    /// Experiments that no connected shim can apply.
    pub inapplicable: Vec<Inapplicable>,
    /// Whether every server of the log writes through to disk.
    pub log_is_synced: bool,
    /// Scope and reason of an engaged lever that covers the session.
    pub engaged: Option<(String, String)>,
}

impl ClientCommand {
    /// The command's kind.
    #[must_use]
    pub const fn kind(&self) -> CommandKind {
        match self {
            Self::Start => CommandKind::Start,
            Self::Pause => CommandKind::Pause,
            Self::Resume => CommandKind::Resume,
            Self::Stop => CommandKind::Stop,
            Self::Abort { .. } => CommandKind::Abort,
        }
    }
}

impl Session {
    /// The first event of a new session.
    #[must_use]
    pub fn created(spec: Arc<SessionSpec>, seed: u64, digest: Hash) -> Event {
        Event::Created { spec, seed, digest }
    }

    /// What a client's command appends; nothing when it is in the log already.
    ///
    /// # Errors
    /// [`Rejection`] says why the command can't be done now.
    pub fn decide(
        &self,
        request: &RequestId,
        command: &ClientCommand,
        outlook: &Outlook,
    ) -> Result<Vec<Event>, Rejection> {
        if self.commands.done(request, command.kind())? {
            return Ok(Vec::new());
        }
        match (command, self.phase) {
            (ClientCommand::Start, Phase::Draft) => self.start(outlook),
            (ClientCommand::Pause, Phase::Running) => Ok(vec![Event::Paused]),
            (ClientCommand::Resume, Phase::Paused) => Ok(vec![Event::Resumed]),
            (ClientCommand::Stop, Phase::Running | Phase::Paused) => {
                Ok(vec![Event::DrainBegan { why: DrainReason::Operator }])
            }
            (ClientCommand::Abort { reason }, phase) if !phase.is_terminal() => {
                check_reason(reason)?;
                Ok(vec![Event::Aborted { reason: reason.clone(), cause: AbortCause::Operator }])
            }
            // Whoever aborts twice wants it stopped for good, which it is: its stop says why, and how far it is.
            (ClientCommand::Abort { reason }, Phase::Aborted | Phase::LogDamaged) => {
                check_reason(reason)?;
                Ok(Vec::new())
            }
            (
                ClientCommand::Start
                | ClientCommand::Pause
                | ClientCommand::Resume
                | ClientCommand::Stop
                | ClientCommand::Abort { .. },
                phase,
            ) => Err(Rejection::WrongPhase {
                command: command.kind(),
                phase,
                needs: command.kind().needs(),
            }),
        }
    }

    /// Everything that is lacking is named at once.
    fn start(&self, outlook: &Outlook) -> Result<Vec<Event>, Rejection> {
        let halted = outlook.engaged.clone().map(|(scope, reason)| Unmet::Halted { scope, reason });
        let needs_sync = self.has_permits() && !self.spec.safety.accept_lazy_log;
        let lazy = (needs_sync && !outlook.log_is_synced).then_some(Unmet::LazyLog);
        let inapplicable = outlook.inapplicable.iter().cloned().map(Unmet::Inapplicable);
        let unmet: Vec<Unmet> = halted.into_iter().chain(lazy).chain(inapplicable).collect();
        if !unmet.is_empty() {
            return Err(Rejection::Unmet(unmet));
        }
        Ok(vec![Event::Started { shims: outlook.shims }])
    }
}
