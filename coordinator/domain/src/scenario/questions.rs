//! What is asked of a session: commands, Asks, Closes, confirmations, and what it does by itself.

use std::time::Duration;

use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::id::{Holder, RequestId};
use squall_proto::vocabulary::message::{Ask, Close, GrantRef, Inert, ScopeKeys};
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use super::values::{agent, holder, trace};
use super::{Answer, Question};
use crate::local::Usage;
use crate::session::{
    AskDecision, ClientCommand, CloseDecision, Due, InertDecision, Outlook, Session,
};

/// A client's command with its request id; the world is well unless a test says otherwise.
pub(crate) struct Commanding {
    request: RequestId,
    command: ClientCommand,
    outlook: Outlook,
}

pub(crate) fn command(request: &str, command: ClientCommand) -> Commanding {
    let outlook = Outlook { shims: 3, log_is_synced: true, ..Outlook::default() };
    Commanding { request: RequestId::new(request).unwrap(), command, outlook }
}

pub(crate) fn abort_command(reason: &str) -> ClientCommand {
    ClientCommand::Abort { reason: reason.to_owned() }
}

impl Commanding {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Outlook)) -> Self {
        change(&mut self.outlook);
        self
    }
}

impl Question for Commanding {
    fn put(&self, session: &Session) -> Answer {
        match session.decide(&self.request, &self.command, &self.outlook) {
            Ok(events) => Answer::Append(events),
            Err(rejection) => Answer::Rejected(rejection),
        }
    }
}

// Asks.

/// An Ask as a shim sends it, and what the owner measures meanwhile.
#[derive(Clone)]
pub(crate) struct Asking {
    holder: Holder,
    req_no: u64,
    want: u32,
    scope: ScopeKeys,
    usage: Usage,
}

pub(crate) fn ask(shim: &str, req_no: u64, want: u32) -> Asking {
    let scope = ScopeKeys { agent: agent("planner"), trace: None, request: 7 };
    Asking { holder: holder(shim), req_no, want, scope, usage: Usage::default() }
}

impl Asking {
    pub(crate) fn by(mut self, holder: Holder) -> Self {
        self.holder = holder;
        self
    }

    pub(crate) fn agent(mut self, name: &str) -> Self {
        self.scope.agent = agent(name);
        self
    }

    pub(crate) fn trace(mut self, name: &str) -> Self {
        self.scope.trace = Some(trace(name));
        self
    }

    pub(crate) fn request(mut self, request: u64) -> Self {
        self.scope.request = request;
        self
    }

    pub(crate) fn while_used(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }
}

impl Question for Asking {
    fn put(&self, session: &Session) -> Answer {
        let ask = Ask {
            incarnation: self.holder.incarnation,
            session: session.key.clone(),
            req_no: self.req_no,
            want: self.want,
            scope: self.scope.clone(),
            sent: BootNanos(0),
        };
        match session.ask(&self.holder, &ask, &self.usage) {
            AskDecision::Granted(open) => {
                Answer::Granted { req_no: open.req_no, permits: open.permits }
            }
            AskDecision::Issue(events) => Answer::Append(events),
            AskDecision::Refuse(why) => Answer::Refused(why),
        }
    }
}

// Closes.

/// A Close as a shim sends it.
pub(crate) struct Closing {
    holder: Holder,
    req_no: u64,
    used: u32,
    caught_up: bool,
    authenticated: bool,
}

pub(crate) fn close(shim: &str, req_no: u64, used: u32) -> Closing {
    Closing { holder: holder(shim), req_no, used, caught_up: false, authenticated: true }
}

impl Closing {
    pub(crate) fn by(mut self, holder: Holder) -> Self {
        self.holder = holder;
        self
    }

    /// A barrier sent after it has been applied.
    pub(crate) fn caught_up(mut self) -> Self {
        self.caught_up = true;
        self
    }

    pub(crate) fn unauthenticated(mut self) -> Self {
        self.authenticated = false;
        self
    }
}

impl Question for Closing {
    fn put(&self, session: &Session) -> Answer {
        let grant = GrantRef { session: session.key.clone(), req_no: self.req_no };
        let close = Close { incarnation: self.holder.incarnation, grant, used: self.used };
        let decision = session.close(&self.holder, &close, self.caught_up);
        match if self.authenticated { decision } else { decision.of_unauthenticated() } {
            CloseDecision::Record(event) => Answer::Append(vec![event]),
            CloseDecision::Acknowledge => Answer::Acknowledged,
            CloseDecision::CatchUp => Answer::CatchUp,
            CloseDecision::Refuse(_) => Answer::Denied,
        }
    }
}

// Confirmations.

/// An Inert as a shim sends it.
pub(crate) struct Confirming(Holder, AbortEpoch);

pub(crate) fn inert(shim: &str, epoch: AbortEpoch) -> Confirming {
    Confirming(holder(shim), epoch)
}

impl Confirming {
    pub(crate) fn by(mut self, holder: Holder) -> Self {
        self.0 = holder;
        self
    }
}

impl Question for Confirming {
    fn put(&self, session: &Session) -> Answer {
        let inert = Inert {
            incarnation: self.0.incarnation,
            session: session.key.clone(),
            epoch: self.1,
            used: 2,
            last_injection_ago: Some(Duration::from_millis(5)),
        };
        match session.inert(&self.0, &inert) {
            InertDecision::Record(event) => Answer::Append(vec![event]),
            InertDecision::Note => Answer::Noted,
            InertDecision::Wait => Answer::Wait,
        }
    }
}

/// What the session does by itself.
pub(crate) enum Look {
    /// At the guard, with so many failing traces downstream.
    Guard(u64),
    /// At so many injections that were reported.
    Reported(u64),
    /// At the clock: milliseconds of wall time, and permits outstanding.
    Clock(u64, u64),
    /// At its stop; whether every lease is over.
    Stop { leases_are_over: bool },
}

impl Question for Look {
    fn put(&self, session: &Session) -> Answer {
        Answer::Append(match self {
            Self::Guard(failed_downstream) => session
                .guard(TraceCounts { failed_downstream: *failed_downstream, ..Default::default() }),
            Self::Reported(applied) => session
                .reached(Counts { applied: *applied, ..Default::default() })
                .into_iter()
                .collect(),
            Self::Clock(now, outstanding) => match session.due(UnixMillis(*now), *outstanding) {
                Due::Nothing => Vec::new(),
                Due::Append(event) => vec![event],
            },
            Self::Stop { leases_are_over } => session.prove(*leases_are_over).into_iter().collect(),
        })
    }
}
