//! The way of one chosen call until it is its turn: it waits for a permit, and is held.

use std::sync::Arc;
use std::time::Duration;

use ::rmcp::model::RequestId;
use futures::future::BoxFuture;
use squall_shim_core::{Act, Directive, NotApplied, Verdict};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;

use super::Tx;
use super::seat::Caller;
use crate::Shim;
use crate::hold::LOOK_EVERY;

/// A call whose turn has come. Only the transport's own loop has the inner transport and hands answers to the client, so
/// the call goes there, and what happens to it is decided there, in one go.
pub(super) struct Departure<E> {
    pub(super) id: RequestId,
    pub(super) caller: Caller,
    pub(super) message: Tx,
    /// What is to be done to it besides.
    pub(super) directive: Option<Directive>,
    /// Time for which it was held.
    pub(super) held: Duration,
    pub(super) reply: oneshot::Sender<Leaving<E>>,
}

/// A call on its way to the server.
pub(super) struct Leaving<E> {
    pub(super) sending: BoxFuture<'static, Result<(), E>>,
    /// If it left with changed arguments.
    pub(super) changed: Option<Directive>,
}

/// The way of one call that was chosen.
pub(super) struct Detour<E> {
    pub(super) shim: Shim,
    pub(super) id: RequestId,
    pub(super) caller: Caller,
    pub(super) message: Tx,
    pub(super) departures: mpsc::Sender<Departure<E>>,
}

impl<E> Detour<E> {
    /// Waits, hands the call over, and says how it ended.
    pub(super) async fn run(self, verdict: Verdict, given_up: Arc<Notify>) -> Result<(), E> {
        let Some(mut directive) = self.settled(verdict).await else {
            return self.depart(None, Duration::ZERO).await;
        };
        let held = tokio::select! {
            biased;
            held = self.shim.delay(&mut directive) => held,
            // A directive that is dropped counts for what it did until then.
            () = given_up.notified() => return Ok(()),
        };
        let unfinished = self.unfinished(directive, held);
        self.depart(unfinished, held).await
    }

    /// A directive that has something to do besides the hold. What was nothing else, or was stopped, is over, and need not
    /// wait for its turn.
    fn unfinished(&self, directive: Directive, held: Duration) -> Option<Directive> {
        let is_over = directive.act().map(|act| act == Act::Proceed);
        match is_over {
            Ok(false) => return Some(directive),
            Ok(true) => directive.applied(&self.caller.call(), held),
            Err(why) => directive.missed(&self.caller.call(), why, held),
        }
        None
    }

    /// The directive of a verdict, once a claim has its permit or has waited for it in vain.
    async fn settled(&self, verdict: Verdict) -> Option<Directive> {
        match verdict {
            Verdict::Pass => None,
            Verdict::Inject(directive) => Some(directive),
            Verdict::Claim(claim) => self.shim.claim(claim).await,
        }
    }

    async fn depart(self, directive: Option<Directive>, held: Duration) -> Result<(), E> {
        let Self { shim: _, id, caller, message, departures } = self;
        let (reply, leaving) = oneshot::channel();
        let of_it = caller.clone();
        let departure = Departure { id, caller: of_it, message, directive, held, reply };
        // A transport that is gone sends nothing, and what its queue held is dropped.
        if departures.send(departure).await.is_err() {
            return Ok(());
        }
        // Without an answer it was answered in the server's place, or the host gave it up.
        let Ok(Leaving { mut sending, mut changed }) = leaving.await else { return Ok(()) };
        let sent = loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent,
                // What left can't be taken back, so it counts; a server that stopped reading must not keep a stop waiting.
                () = sleep(LOOK_EVERY), if changed.is_some() => {
                    if let Some(sent) = changed.take_if(|changed| !changed.is_live()) {
                        sent.applied(&caller.call(), held);
                    }
                }
            }
        };
        match (changed, &sent) {
            (Some(directive), Ok(())) => directive.applied(&caller.call(), held),
            (Some(directive), Err(_)) => {
                directive.not_applied(&caller.call(), NotApplied::CallFailed);
            }
            (None, Ok(()) | Err(_)) => {}
        }
        sent
    }
}
