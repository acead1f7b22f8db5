//! A client transport of the Model Context Protocol into which faults can be injected.
//!
//! [`ChaosTransport`] stands between an [`::rmcp`] client and any of its transports. It looks at `tools/call` requests
//! and at the answers to them, and hands everything else on. While no session concerns the tool that is called, a call
//! costs one load beside the look-up of its name, and no message is read or copied.
//!
//! | What happens to a call | How it is done here | When it counts as applied |
//! |---|---|---|
//! | it is held | the send waits in the host's runtime; other messages overtake it | once it was held |
//! | it fails | the failure is handed to the client as the server's answer; the server never sees the call | when the client takes it |
//! | the connection breaks | the client's stream ends, as if the server had gone; the server never sees the call | when the client sees the end |
//! | its input is changed | only `arguments` change; id, name and `_meta` stay | once the changed request left, unless it could not be sent |
//! | its output is changed | the server's answer is changed, its id stays | when the client takes it |
//!
//! A call that the host gives up is not sent any more if it is still held. A session that stops lets every held call
//! go on at once, and no answer is changed afterwards.
//!
//! **Who is calling.** The agent is told by the host ([`ChaosTransport::new`]). The request id, the same over retries,
//! is `_meta["squall/requestId"]`, else `_meta["claudecode/toolUseId"]`; a call with neither is a logical request of its
//! own, since a retry has another JSON-RPC id: then nothing sticks over retries. The trace is the one of
//! `_meta.traceparent`, else the one that the host gave for the connection ([`ChaosTransport::in_trace`]). A session
//! that needs the trace of each call is armed only where the host says that each call has one
//! ([`ChaosTransport::traced`]).

mod change;
mod detour;
mod seat;
mod underway;

use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;

use ::rmcp::RoleClient;
use ::rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId, ServerResult};
use ::rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use ::rmcp::transport::Transport;
use futures::future::{BoxFuture, Either};
use squall_proto::vocabulary::call::Point;
use squall_proto::vocabulary::id::{AgentName, TraceId};
use squall_shim_core::{Directive, Ended, Verdict};
use tokio::sync::{mpsc, oneshot};

use crate::Shim;
use crate::hold::LOOK_EVERY;
use change::{Turn, change_output, turn};
use detour::{Departure, Detour, Leaving};
use seat::{Caller, Seat};
use underway::{State, Underway};

/// Calls whose turn has come. They wait for the client's loop only, which takes each at once.
const DOOR: usize = 64;

type Rx = RxJsonRpcMessage<RoleClient>;
type Tx = TxJsonRpcMessage<RoleClient>;

/// What stands at the other end of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counterpart {
    /// A server of tools: its calls are tool calls.
    Tools,
    /// A peer agent that is asked through a tool of its own: its answers can be uncooperative.
    Agent,
}

impl Counterpart {
    const fn point(self) -> Point {
        match self {
            Self::Tools => Point::Tool,
            Self::Agent => Point::Agent,
        }
    }
}

/// A client transport into which faults can be injected. See the [module](self).
pub struct ChaosTransport<T: Transport<RoleClient>> {
    inner: T,
    seat: Seat,
    underway: Arc<Underway>,
    departures: Door<Departure<T::Error>>,
    broken: bool,
}

struct Door<M> {
    outside: mpsc::Sender<M>,
    inside: mpsc::Receiver<M>,
}

impl<M> Door<M> {
    fn new() -> Self {
        let (outside, inside) = mpsc::channel(DOOR);
        Self { outside, inside }
    }
}

impl<T: Transport<RoleClient>> std::fmt::Debug for ChaosTransport<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChaosTransport").field("seat", &self.seat).finish_non_exhaustive()
    }
}

impl<T: Transport<RoleClient>> ChaosTransport<T> {
    /// Wraps `inner`, the connection of `agent` to `counterpart`.
    pub fn new(inner: T, shim: &Shim, agent: AgentName, counterpart: Counterpart) -> Self {
        Self {
            inner,
            seat: Seat::new(shim.clone(), agent, counterpart.point()),
            underway: Arc::default(),
            departures: Door::new(),
            broken: false,
        }
    }

    /// The trace of calls that carry none.
    #[must_use]
    pub fn in_trace(mut self, trace: TraceId) -> Self {
        self.seat.in_trace(trace);
        self
    }

    /// The host's word that each call carries `_meta.traceparent`, so that sessions may rely on it.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.seat.traced();
        self
    }

    /// The host's word that each call carries a request id that is the same over its retries.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.seat.identified();
        self
    }

    /// What was decided for a request, if it concerns a session at all.
    fn decide(&mut self, message: &Tx) -> Option<(RequestId, Caller, Verdict)> {
        let JsonRpcMessage::Request(request) = message else { return None };
        let ClientRequest::CallToolRequest(call) = &request.request else { return None };
        let caller = self.seat.caller(call)?;
        if self.underway.is_full() {
            return None;
        }
        // A panic of ours lets the call pass.
        let verdict = self.seat.shim().unharmed(|| Ok(caller.site.decide(&caller.call())));
        match verdict.unwrap_or(Verdict::Pass) {
            Verdict::Pass => {
                self.underway.watch(request.id.clone(), caller, State::Untouched);
                None
            }
            verdict @ (Verdict::Inject(_) | Verdict::Claim(_)) => {
                Some((request.id.clone(), caller, verdict))
            }
        }
    }

    fn detour(&self, id: RequestId, caller: Caller, message: Tx) -> Detour<T::Error> {
        Detour {
            shim: self.seat.shim().clone(),
            id,
            caller,
            message,
            departures: self.departures.outside.clone(),
        }
    }

    /// Does what a call's turn is: sends it on, changed or not, or answers in the server's place; then that is returned, and
    /// without a message the connection breaks. A call that the host gave up meanwhile goes nowhere.
    ///
    /// This is the act of most faults: nothing is awaited between the look whether it may happen and its happening.
    async fn depart(&mut self, departure: Departure<T::Error>) -> Option<Option<Rx>> {
        let Departure { id, caller, message, directive, held, reply } = departure;
        let Some(directive) = directive else {
            self.leave(&id, State::Untouched, message, None, reply).await;
            return None;
        };
        let answer = match turn(self.seat.shim(), &directive, &caller, &message) {
            Ok(Turn::Answer(answer)) => Some(*answer),
            Ok(Turn::Break) => None,
            Ok(Turn::Request(changed)) => {
                self.leave(&id, State::InputChanged, *changed, Some(directive), reply).await;
                return None;
            }
            Ok(Turn::ExpectOutput) => {
                self.leave(&id, State::Expected(directive), message, None, reply).await;
                return None;
            }
            Ok(Turn::Proceed) => {
                directive.applied(&caller.call(), held);
                self.leave(&id, State::Untouched, message, None, reply).await;
                return None;
            }
            Err(why) => {
                directive.missed(&caller.call(), why, held);
                self.leave(&id, State::Untouched, message, None, reply).await;
                return None;
            }
        };
        self.underway.finish(&id)?;
        caller.site.ended(&caller.call(), Ended::FailedByInjection);
        directive.applied(&caller.call(), held);
        self.broken = answer.is_none();
        Some(answer)
    }

    /// Sends a call to the server, unless the host gave it up.
    async fn leave(
        &mut self,
        id: &RequestId,
        state: State,
        message: Tx,
        mut changed: Option<Directive>,
        reply: oneshot::Sender<Leaving<T::Error>>,
    ) {
        if !self.underway.resume(id, state) {
            return;
        }
        let mut sending: BoxFuture<'static, _> = Box::pin(self.inner.send(message));
        // Begun here, and not when the host has time for it: a changed call must not wait on its way out.
        let begun = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await;
        // From here on it counts, also if the host drops it before it knows how the sending ended.
        if !matches!(begun, Poll::Ready(Err(_)))
            && let Some(changed) = &mut changed
        {
            changed.engage();
        }
        if let Poll::Ready(sent) = begun {
            sending = Box::pin(ready(sent));
        }
        reply.send(Leaving { sending, changed }).ok();
    }

    /// Hands the client what the server sent, changed if that was decided.
    fn pass_on(&mut self, message: Rx) -> Rx {
        let (id, failed) = match &message {
            JsonRpcMessage::Response(answer) => {
                if let ServerResult::ListToolsResult(list) = &answer.result {
                    self.seat.announce(list.tools.iter().map(|tool| tool.name.as_ref()));
                }
                (Some(&answer.id), is_tool_error(&answer.result))
            }
            JsonRpcMessage::Error(answer) => (answer.id.as_ref(), true),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => (None, false),
        };
        let Some((caller, state)) = id.and_then(|id| self.underway.finish(id)) else {
            return message;
        };
        let ended = match (failed, &state) {
            (false, _) => Ended::Ok,
            (true, State::InputChanged) => Ended::FailedByInjection,
            (true, State::Untouched | State::Held(_) | State::Expected(_)) => Ended::Failed,
        };
        caller.site.ended(&caller.call(), ended);
        match state {
            State::Expected(directive) => {
                change_output(self.seat.shim(), directive, &caller, message)
            }
            State::Untouched | State::Held(_) | State::InputChanged => message,
        }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for ChaosTransport<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: Tx,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let Some(id) = cancelled(&message)
            && self.underway.give_up(id)
        {
            // The server never saw the call, so there is nothing to cancel there.
            return Either::Right(Either::Left(std::future::ready(Ok(()))));
        }
        match self.decide(&message) {
            None => Either::Left(self.inner.send(message)),
            Some((id, caller, verdict)) => {
                let given_up = self.underway.hold(id.clone(), &caller);
                let detour = self.detour(id, caller, message);
                Either::Right(Either::Right(detour.run(verdict, given_up)))
            }
        }
    }

    async fn receive(&mut self) -> Option<Rx> {
        while !self.broken {
            self.underway.release();
            tokio::select! {
                biased;
                Some(departure) = self.departures.inside.recv() => {
                    if let Some(answer) = self.depart(departure).await {
                        return answer;
                    }
                }
                message = self.inner.receive() => {
                    if message.is_none() {
                        self.underway.abandon();
                    }
                    return message.map(|message| self.pass_on(message));
                }
                () = tokio::time::sleep(LOOK_EVERY), if self.underway.expects() => {}
            }
        }
        None
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}

fn cancelled(message: &Tx) -> Option<&RequestId> {
    if let JsonRpcMessage::Notification(notification) = message
        && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
    {
        return cancelled.params.request_id.as_ref();
    }
    None
}

fn is_tool_error(result: &ServerResult) -> bool {
    matches!(result, ServerResult::CallToolResult(result) if result.is_error == Some(true))
}

#[cfg(test)]
mod tests;
