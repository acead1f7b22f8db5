//! A chosen call whose permit is burned: what to do with it, and how it ended.

use std::borrow::Cow;
use std::time::Duration;

use squall_proto::vocabulary::id::{ExperimentName, InjectionId, SessionKey};

use crate::rewrite::{InputRewrite, OutputRewrite};
use crate::site::Call;

/// A call that must be changed now.
///
/// Obey it in this order: [`Directive::effect`], wait for [`Effect::hold`] (after [`Directive::engage`], as long as
/// [`Directive::is_live`]), perform [`Effect::act`], then say how it ended. One that is dropped without a word (the host
/// cancelled the call) ends as [`NotApplied::Dropped`] if it wasn't engaged, and as applied if it was.
#[derive(Debug)]
#[must_use = "the permit is burned: say how it ended"]
pub struct Directive {}

impl Directive {
    /// Goes to events, spans and error attributes, never into text that a model sees.
    #[must_use]
    pub fn injection(&self) -> InjectionId {
        todo!()
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionKey {
        todo!()
    }

    /// The experiment.
    #[must_use]
    pub fn experiment(&self) -> &ExperimentName {
        todo!()
    }

    /// What to do. Drawn from the request: the same for every attempt of it.
    #[must_use]
    pub fn effect(&self) -> Effect<'_> {
        todo!()
    }

    /// Says that the fault reaches the host from now on (its delay begins).
    pub fn engage(&mut self) {
        todo!()
    }

    /// Whether a hold may go on: `false` after an abort, a fork, or the end of the lease. Then end it at once; the
    /// fault counts as applied for the time that it held.
    #[must_use]
    pub fn is_live(&self) -> bool {
        todo!()
    }

    /// The fault reached the agent and held its call for `held`. Only this counts as affected.
    pub fn applied(self, call: &Call<'_>, held: Duration) {
        let _ = (call, held);
        todo!()
    }

    /// The fault could not be applied. The permit stays burned.
    pub fn not_applied(self, call: &Call<'_>, why: NotApplied) {
        let _ = (call, why);
        todo!()
    }
}

/// What a directive does to the call.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect<'a> {
    /// How long to hold the call before the act; zero for most faults.
    pub hold: Duration,
    /// What happens then.
    pub act: Act<'a>,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Act<'a> {
    /// The call is made as it is: the hold was all.
    Proceed,
    /// The call isn't made; the failure is its answer (see [`render`](crate::render)).
    Fail(Failure<'a>),
    /// The call is made with a changed input (see [`rewrite::input`](crate::rewrite::input)).
    RewriteInput(InputRewrite<'a>),
    /// The call is made and its output changed (see [`rewrite::output`](crate::rewrite::output)).
    RewriteOutput(OutputRewrite<'a>),
}

/// Why a call failed, before it has the form of any protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// What kind.
    pub kind: FailureKind,
    /// The HTTP status that says the same, 400 to 599.
    pub http_status: u16,
    /// What people and models read.
    pub message: Cow<'a, str>,
    /// When the backend asks to come back; only with 429 and 503.
    pub retry_after: Option<Duration>,
    /// Whether trying again may help.
    pub retryable: bool,
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The backend answered with an error status.
    Status,
    /// The tool is there and doesn't work at the moment.
    Unavailable,
    /// No answer came in time.
    Timeout,
    /// The server doesn't know the tool.
    NotFound,
    /// The connection broke. A seam that can break it does; [`render`](crate::render) gives what its client would say.
    Disconnect,
}

/// Why a fault could not be applied. Never text of a prompt or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotApplied {
    /// There is no text to change.
    #[error("there is no text to change")]
    NoText,
    /// The contents aren't JSON.
    #[error("the contents are not JSON")]
    NotJson,
    /// No part of the contents is of the kind that the fault damages.
    #[error("nothing in the contents is of the kind that the fault damages")]
    NothingToDamage,
    /// The contents are not the message that the seam promised.
    #[error("the contents are not the message that the seam promised")]
    Unexpected,
    /// The call failed on its own before the fault could change its output.
    #[error("the call itself failed")]
    CallFailed,
    /// The contents are larger than what is rewritten.
    #[error("the contents are too large to rewrite")]
    TooLarge,
    /// The host gave the call up before the fault reached it.
    #[error("the host gave the call up first")]
    Dropped,
    /// The adapter could not do what it promised; a fault of the shim.
    #[error("the adapter could not apply it")]
    Adapter,
}
