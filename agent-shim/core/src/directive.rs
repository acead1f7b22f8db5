//! A chosen call whose permit is burned: what to do with it, and how it ended.

mod effect;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::id::{ExperimentName, InjectionId, SessionKey, ToolName, TraceId};
use squall_proto::vocabulary::time::BootNanos;

use crate::draw::RequestKey;
use crate::inline::InlineName;
use crate::outlined::Outlined;
use crate::pocket::Pocket;
use crate::rewrite::{InputRewrite, OutputRewrite};
use crate::samples::{Record, What};
use crate::shared::Shared;
use crate::site::{Call, Rule};
use crate::wallet::Burn;

/// A call that must be changed now.
///
/// Obey it in this order: wait for [`Directive::hold`] (after [`Directive::engage`], as long as [`Directive::is_live`]),
/// perform [`Directive::act`], then say how it ended. One that is dropped without a word (the host cancelled the call) ends
/// as [`NotApplied::Dropped`] if it wasn't engaged, and as applied if it was.
///
/// A stop is proven once nothing runs any more, and a fault may be waited for anywhere. So the act is had only from
/// [`Directive::act`], which looks whether it may still happen: take it anew after whatever was awaited, and await nothing
/// between it and the moment that hands its result over.
#[derive(Debug)]
#[must_use = "the permit is burned: say how it ended"]
pub struct Directive(Outlined<Running>);

/// A fault whose permit is burned, until its end was said.
#[derive(Debug)]
struct Running {
    rule: Arc<Rule>,
    request: RequestKey,
    /// Present until the end was said.
    burn: Option<Burn>,
    engaged: Option<BootNanos>,
    /// Where the trace is kept, for the case that the host drops the directive.
    trace: Pocket,
}

impl Directive {
    #[inline(always)]
    pub(crate) fn new(rule: Arc<Rule>, burn: Burn, request: RequestKey, trace: Pocket) -> Self {
        Self(Outlined::new(Running { rule, request, burn: Some(burn), engaged: None, trace }))
    }

    /// Goes to events, spans and error attributes, never into text that a model sees.
    ///
    /// The first 6 bytes of the incarnation, the number of the session in this process (4 bytes), and the number of the
    /// burn in that session (6 bytes): unique without any randomness but the incarnation's.
    #[must_use]
    pub fn injection(&self) -> InjectionId {
        self.0.injection()
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionKey {
        self.0.rule.live.key()
    }

    /// The experiment.
    #[must_use]
    pub fn experiment(&self) -> &ExperimentName {
        &self.0.rule.experiment().name
    }

    /// The tool or model that is called.
    #[must_use]
    pub fn tool(&self) -> &ToolName {
        &self.0.rule.tool
    }

    /// How long to hold the call before the act; zero for most faults. Drawn from the request: the same for every attempt.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.effect().hold
    }

    /// What to do now. Drawn from the request: the same for every attempt of it.
    ///
    /// # Errors
    /// [`NotApplied::Dropped`] if the fault may not happen any more: see [`Directive::is_live`].
    pub fn act(&self) -> Result<Act<'_>, NotApplied> {
        if self.is_live() { Ok(self.effect().act) } else { Err(NotApplied::Dropped) }
    }

    pub(crate) fn effect(&self) -> Effect<'_> {
        effect::of(&self.0.rule, self.0.request)
    }

    /// Says that the fault reaches the host from now on (its delay begins).
    pub fn engage(&mut self) {
        self.0.engaged = Some(self.0.shared().clock.now());
        self.0.hit(self.0.kept_trace().as_ref(), self.0.injection());
    }

    /// Whether the fault may go on: `false` after an abort, a fork, the end of the lease, or once its permit's life and the
    /// fault's longest duration are over. Then end it at once; it counts as applied for the time that it held.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let shared = self.0.shared();
        let longest = Duration::from_millis(self.0.rule.experiment().fault.longest_ms());
        self.0.rule.live.wallet().is_live(shared.clock.now(), &shared.guard, longest)
    }

    /// The fault reached the agent and held its call for `held`. Only this counts as affected.
    pub fn applied(mut self, call: &Call<'_>, held: Duration) {
        self.0.finish(call.trace, What::Applied { held });
    }

    /// The fault could not be applied. The permit stays burned.
    pub fn not_applied(mut self, call: &Call<'_>, why: NotApplied) {
        self.0.finish(call.trace, What::NotApplied(why));
    }

    /// The act did not happen. If its call was held before, that reached the agent, and counts.
    pub fn missed(self, call: &Call<'_>, why: NotApplied, held: Duration) {
        if held.is_zero() { self.not_applied(call, why) } else { self.applied(call, held) }
    }
}

impl Running {
    fn shared(&self) -> &Shared {
        &self.rule.live.shared
    }

    fn injection(&self) -> InjectionId {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&self.rule.live.incarnation().0[..6]);
        id[6..10].copy_from_slice(&self.rule.live.number().to_be_bytes());
        let number = self.burn.as_ref().map_or(0, Burn::number);
        id[10..].copy_from_slice(&number.to_be_bytes()[2..]);
        InjectionId(id)
    }

    fn finish(&mut self, trace: Option<&TraceId>, what: What) {
        let injection = self.injection();
        let Some(burn) = self.burn.take() else { return };
        let pocket = std::mem::replace(&mut self.trace, Pocket::NONE);
        let shared = self.shared();
        shared.pockets.free(pocket);
        match what {
            What::Applied { .. } => {
                self.rule.tally.applied();
                self.hit(trace, injection);
            }
            What::NotApplied(_) | What::Failed => self.rule.tally.not_applicable(),
        }
        shared.samples.record(Record {
            rule: Arc::clone(&self.rule),
            injection,
            trace: InlineName::of(trace.map_or("", TraceId::as_str)),
            at: shared.clock.wall(),
            what,
        });
        self.rule.live.wallet().finished(burn, shared.clock.now());
        shared.stir();
    }

    fn hit(&self, trace: Option<&TraceId>, injection: InjectionId) {
        let shared = self.shared();
        if let Some(trace) = trace.filter(|_| shared.is_ours()) {
            shared.traces.hit(trace, &self.rule, injection, shared);
        }
    }

    fn kept_trace(&self) -> Option<TraceId> {
        self.shared().pockets.look(&self.trace)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.burn.is_some() {
            let trace = self.kept_trace();
            let what = match self.engaged {
                None => What::NotApplied(NotApplied::Dropped),
                Some(at) => What::Applied { held: self.shared().clock.now().since(at) },
            };
            self.finish(trace.as_ref(), what);
        }
    }
}

/// What a directive does to the call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Effect<'a> {
    pub(crate) hold: Duration,
    pub(crate) act: Act<'a>,
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
    /// What people and models read; [`render`](crate::render) adds the tool's name where a server would.
    pub message: Cow<'a, str>,
    /// When the backend asks to come back: one second with 429 and 503, as servers do; otherwise never.
    pub retry_after: Option<Duration>,
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
    /// The host gave the call up, or the session stopped, before the fault reached the call.
    #[error("the call was given up or the session stopped first")]
    Dropped,
    /// The adapter could not do what it promised; a fault of the shim.
    #[error("the adapter could not apply it")]
    Adapter,
}

#[cfg(test)]
mod tests;
