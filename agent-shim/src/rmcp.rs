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
//! | its input is changed | only `arguments` change; id, name and `_meta` stay | when the changed request was sent |
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

mod seat;
mod underway;

use std::sync::Arc;
use std::time::Duration;

use ::rmcp::RoleClient;
use ::rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId, ServerResult};
use ::rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use ::rmcp::transport::Transport;
use futures::future::{BoxFuture, Either};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, TraceId};
use squall_shim_core::rewrite::{self, InputRewrite, OutputRewrite};
use squall_shim_core::{Act, Directive, Ended, FailureKind, NotApplied, Registry, Verdict, render};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::hold::{LOOK_EVERY, hold, settled};
use seat::{Caller, Seat};
use underway::{State, Underway};

/// Messages that wait at either door of a transport. They wait for the client's loop only, which takes each at once.
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
    arrivals: Door<Arrival>,
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

/// A request that goes out later than it was handed over. Only the transport's own loop has the inner transport, so the
/// request goes there, and the future that sends it comes back.
struct Departure<E> {
    message: Tx,
    reply: oneshot::Sender<BoxFuture<'static, Result<(), E>>>,
}

/// An answer that the server did not give; without a message the connection breaks.
struct Arrival {
    message: Option<Rx>,
    directive: Directive,
    caller: Caller,
    held: Duration,
}

impl<T: Transport<RoleClient>> std::fmt::Debug for ChaosTransport<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChaosTransport").field("seat", &self.seat).finish_non_exhaustive()
    }
}

impl<T: Transport<RoleClient>> ChaosTransport<T> {
    /// Wraps `inner`, the connection of `agent` to `counterpart`.
    pub fn new(
        inner: T,
        registry: &Arc<Registry>,
        agent: AgentName,
        counterpart: Counterpart,
    ) -> Self {
        Self {
            inner,
            seat: Seat::new(Arc::clone(registry), agent, counterpart.point()),
            underway: Arc::default(),
            departures: Door::new(),
            arrivals: Door::new(),
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
        match caller.site.decide(&caller.call()) {
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
            id,
            caller,
            message,
            underway: Arc::clone(&self.underway),
            departures: self.departures.outside.clone(),
            arrivals: self.arrivals.outside.clone(),
        }
    }

    /// Hands the client an answer that the server did not give.
    fn deliver(&mut self, arrival: Arrival) -> Option<Rx> {
        let Arrival { message, directive, caller, held } = arrival;
        self.broken = message.is_none();
        caller.site.ended(&caller.call(), Ended::FailedByInjection);
        directive.applied(&caller.call(), held);
        message
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
            State::Expected(directive) => change_output(directive, &caller, message),
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
                Some(arrival) = self.arrivals.inside.recv() => return self.deliver(arrival),
                Some(Departure { message, reply }) = self.departures.inside.recv() => {
                    reply.send(Box::pin(self.inner.send(message))).ok();
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

/// The way of one call that was chosen.
struct Detour<E> {
    id: RequestId,
    caller: Caller,
    message: Tx,
    underway: Arc<Underway>,
    departures: mpsc::Sender<Departure<E>>,
    arrivals: mpsc::Sender<Arrival>,
}

/// What an act makes of a call.
enum Turn {
    Proceed,
    Answer(Rx),
    Break,
    Request(Tx),
    ExpectOutput,
    Impossible(NotApplied),
}

impl<E> Detour<E> {
    async fn run(self, verdict: Verdict, given_up: Arc<Notify>) -> Result<(), E> {
        let Some(mut directive) = settled(verdict).await else {
            return self.go(State::Untouched).await;
        };
        let held = tokio::select! {
            biased;
            held = hold(&mut directive) => held,
            // A directive that is dropped counts for what it did until then.
            () = given_up.notified() => return Ok(()),
        };
        if !held.complete {
            directive.applied(&self.caller.call(), held.time);
            return self.go(State::Untouched).await;
        }
        match self.turn(&directive) {
            Turn::Proceed => {
                directive.applied(&self.caller.call(), held.time);
                self.go(State::Untouched).await
            }
            Turn::Answer(answer) => self.arrive(Some(answer), directive, held.time).await,
            Turn::Break => self.arrive(None, directive, held.time).await,
            Turn::Request(changed) => self.go_changed(changed, directive, held.time).await,
            Turn::ExpectOutput => self.go(State::Expected(directive)).await,
            Turn::Impossible(why) => {
                directive.not_applied(&self.caller.call(), why);
                self.go(State::Untouched).await
            }
        }
    }

    fn turn(&self, directive: &Directive) -> Turn {
        match directive.effect().act {
            Act::Proceed => Turn::Proceed,
            Act::Fail(failure) if failure.kind == FailureKind::Disconnect => Turn::Break,
            Act::Fail(failure) => {
                let request = serde_json::to_vec(&self.message).unwrap_or_default();
                let tool = self.caller.site.tool().as_str();
                let answer = render::failure(&failure, Shape::McpJsonRpc, tool, &request);
                match serde_json::from_slice(&answer.body) {
                    Ok(answer) => Turn::Answer(answer),
                    Err(_) => Turn::Impossible(NotApplied::Adapter),
                }
            }
            Act::RewriteInput(cut) => match changed_input(&cut, self.point(), &self.message) {
                Ok(changed) => Turn::Request(changed),
                Err(why) => Turn::Impossible(why),
            },
            Act::RewriteOutput(_) => Turn::ExpectOutput,
        }
    }

    fn point(&self) -> Point {
        self.caller.site.seam().point
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

/// The request with changed arguments: only they are taken from the rewritten message.
fn changed_input(cut: &InputRewrite<'_>, point: Point, message: &Tx) -> Result<Tx, NotApplied> {
    let body = serde_json::to_vec(message).map_err(|_| NotApplied::Adapter)?;
    let rewritten = rewrite::input(cut, point, Shape::McpJsonRpc, &body)?;
    let mut rewritten: serde_json::Value =
        serde_json::from_slice(&rewritten).map_err(|_| NotApplied::Adapter)?;
    let mut changed = message.clone();
    if let JsonRpcMessage::Request(request) = &mut changed
        && let ClientRequest::CallToolRequest(call) = &mut request.request
        && let serde_json::Value::Object(arguments) = rewritten["params"]["arguments"].take()
    {
        call.params.arguments = Some(arguments);
        return Ok(changed);
    }
    Err(NotApplied::Unexpected)
}

/// The answer as its directive wants it; as the server gave it where that can't be, or where the session has stopped.
fn change_output(directive: Directive, caller: &Caller, message: Rx) -> Rx {
    if !directive.is_live() {
        directive.not_applied(&caller.call(), NotApplied::Dropped);
        return message;
    }
    let changed = match directive.effect().act {
        Act::RewriteOutput(rewrite) => changed_output(&rewrite, caller.site.seam().point, &message),
        Act::Proceed | Act::Fail(_) | Act::RewriteInput(_) => Err(NotApplied::Adapter),
    };
    match changed {
        Ok(changed) => {
            directive.applied(&caller.call(), Duration::ZERO);
            changed
        }
        Err(why) => {
            directive.not_applied(&caller.call(), why);
            message
        }
    }
}

fn changed_output(
    rewrite: &OutputRewrite<'_>,
    point: Point,
    message: &Rx,
) -> Result<Rx, NotApplied> {
    let body = serde_json::to_vec(message).map_err(|_| NotApplied::Adapter)?;
    let changed = rewrite::output(rewrite, point, Shape::McpJsonRpc, &body)?;
    let changed: Rx = serde_json::from_slice(&changed).map_err(|_| NotApplied::Adapter)?;
    // What the client's types can't tell apart would reach nobody.
    let reaches = serde_json::to_vec(&changed).is_ok_and(|changed| changed != body);
    if reaches { Ok(changed) } else { Err(NotApplied::NothingToDamage) }
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
