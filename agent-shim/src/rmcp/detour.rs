//! The way of one chosen call: held, answered in the server's place, cut, or sent on.

use std::sync::Arc;
use std::time::Duration;

use ::rmcp::model::RequestId;
use futures::future::BoxFuture;
use squall_shim_core::{Act, Directive, FailureKind, NotApplied, Verdict};
use tokio::sync::{Notify, mpsc, oneshot};

use super::change::{changed_input, failed};
use super::seat::Caller;
use super::underway::{State, Underway};
use super::{Rx, Tx};
use crate::Shim;
use crate::hold::{hold, unharmed};

/// A request that goes out later than it was handed over. Only the transport's own loop has the inner transport, so the
/// request goes there, and the future that sends it comes back.
pub(super) struct Departure<E> {
    pub(super) message: Tx,
    pub(super) reply: oneshot::Sender<BoxFuture<'static, Result<(), E>>>,
}

/// An answer that the server did not give; without a message the connection breaks.
pub(super) struct Arrival {
    pub(super) message: Option<Rx>,
    pub(super) directive: Directive,
    pub(super) caller: Caller,
    pub(super) held: Duration,
}

/// The way of one call that was chosen.
pub(super) struct Detour<E> {
    pub(super) shim: Shim,
    pub(super) id: RequestId,
    pub(super) caller: Caller,
    pub(super) message: Tx,
    pub(super) underway: Arc<Underway>,
    pub(super) departures: mpsc::Sender<Departure<E>>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
}

/// What an act makes of a call.
enum Turn {
    Proceed,
    Answer(Box<Rx>),
    Break,
    Request(Box<Tx>),
    ExpectOutput,
}

impl<E> Detour<E> {
    /// Waits, acts, and says how it ended.
    pub(super) async fn run(self, verdict: Verdict, given_up: Arc<Notify>) -> Result<(), E> {
        let Some(mut directive) = self.settled(verdict).await else {
            return self.go(State::Untouched).await;
        };
        let held = tokio::select! {
            biased;
            held = hold(&self.shim, &mut directive) => held,
            // A directive that is dropped counts for what it did until then.
            () = given_up.notified() => return Ok(()),
        };
        // What is cut short does nothing but end.
        let turn = if held.complete { self.turn(&directive) } else { Ok(Turn::Proceed) };
        self.take(turn, directive, held.time).await
    }

    /// The directive of a verdict, once a claim has its permit or has waited for it in vain.
    async fn settled(&self, verdict: Verdict) -> Option<Directive> {
        match verdict {
            Verdict::Pass => None,
            Verdict::Inject(directive) => Some(directive),
            Verdict::Claim(claim) => self.shim.claim(claim).await,
        }
    }

    async fn take(
        self,
        turn: Result<Turn, NotApplied>,
        directive: Directive,
        held: Duration,
    ) -> Result<(), E> {
        match turn {
            Ok(Turn::Proceed) => {
                directive.applied(&self.caller.call(), held);
                self.go(State::Untouched).await
            }
            Ok(Turn::Answer(answer)) => self.arrive(Some(*answer), directive, held).await,
            Ok(Turn::Break) => self.arrive(None, directive, held).await,
            Ok(Turn::Request(changed)) => self.go_changed(*changed, directive, held).await,
            Ok(Turn::ExpectOutput) => self.go(State::Expected(directive)).await,
            Err(why) => {
                directive.not_applied(&self.caller.call(), why);
                self.go(State::Untouched).await
            }
        }
    }

    fn turn(&self, directive: &Directive) -> Result<Turn, NotApplied> {
        match directive.effect().act {
            Act::Proceed => Ok(Turn::Proceed),
            Act::Fail(failure) if failure.kind == FailureKind::Disconnect => Ok(Turn::Break),
            Act::Fail(failure) => {
                let answer = unharmed(|| failed(&failure, &self.caller, &self.message))?;
                Ok(Turn::Answer(Box::new(answer)))
            }
            Act::RewriteInput(cut) => {
                let changed = unharmed(|| changed_input(&cut, &self.caller, &self.message))?;
                Ok(Turn::Request(Box::new(changed)))
            }
            Act::RewriteOutput(_) => Ok(Turn::ExpectOutput),
        }
    }

    /// Sends the call as it is, unless the host gave it up.
    async fn go(self, state: State) -> Result<(), E> {
        if !self.underway.resume(&self.id, state) {
            return Ok(());
        }
        depart(&self.departures, self.message).await.unwrap_or(Ok(()))
    }

    async fn go_changed(self, changed: Tx, directive: Directive, held: Duration) -> Result<(), E> {
        if !self.underway.resume(&self.id, State::InputChanged) {
            return Ok(());
        }
        let sent = depart(&self.departures, changed).await;
        match &sent {
            Some(Ok(())) => directive.applied(&self.caller.call(), held),
            Some(Err(_)) => directive.not_applied(&self.caller.call(), NotApplied::CallFailed),
            None => directive.not_applied(&self.caller.call(), NotApplied::Dropped),
        }
        sent.unwrap_or(Ok(()))
    }

    /// Hands over an answer of our own, unless the host gave the call up.
    async fn arrive(
        self,
        message: Option<Rx>,
        directive: Directive,
        held: Duration,
    ) -> Result<(), E> {
        if self.underway.finish(&self.id).is_some() {
            let arrival = Arrival { message, directive, caller: self.caller, held };
            self.arrivals.send(arrival).await.ok();
        }
        Ok(())
    }
}

/// Sends `message` from the transport's own loop. `None`: the transport is gone.
async fn depart<E>(departures: &mpsc::Sender<Departure<E>>, message: Tx) -> Option<Result<(), E>> {
    let (reply, sending) = oneshot::channel();
    departures.send(Departure { message, reply }).await.ok()?;
    Some(sending.await.ok()?.await)
}
