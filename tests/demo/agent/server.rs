//! A connection to one MCP server, made anew when it broke, and recorded on the agent's side of the shim.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use rmcp::model::{
    CallToolRequestParams, ClientRequest, JsonObject, RequestMetaObject, ServerResult,
};
use rmcp::service::{
    PeerRequestOptions, RunningService, RxJsonRpcMessage, ServiceError, TxJsonRpcMessage,
};
use rmcp::transport::{TokioChildProcess, Transport};
use rmcp::{RoleClient, ServiceExt};
use squall_shim::Shim;
use squall_shim::rmcp::{ChaosTransport, Counterpart};
use squall_shim::vocabulary::id::AgentName;
use tokio::process::Command;

use crate::assignment::Assignment;
use crate::record::What;
use crate::writing::{Passage, Record, incoming, outgoing};

/// Why a call gave nothing to work with.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The tool ran and said no.
    #[error("the tool failed: {0}")]
    Tool(String),
    /// The server did not take the call.
    #[error("the server refused: {0}")]
    Protocol(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The answer is not what was asked for.
    #[error("the answer makes no sense: {0}")]
    Nonsense(String),
}

/// A tool call, the same over its retries.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The tool.
    pub(crate) tool: &'static str,
    /// Its arguments.
    pub(crate) arguments: JsonObject,
    /// W3C trace context of the task.
    pub(crate) traceparent: String,
}

/// Whose servers they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home<'a> {
    /// The agent's assignment.
    pub(crate) assignment: &'a Assignment,
    /// The agent's name.
    pub(crate) agent: &'a AgentName,
    /// Squall in this process.
    pub(crate) shim: &'a Shim,
}

/// One server of an agent.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    counterpart: Counterpart,
    command: Vec<String>,
    recorder: PathBuf,
    records: PathBuf,
    shim: Shim,
    agent: AgentName,
    connections: u32,
    client: Option<RunningService<RoleClient, ()>>,
}

impl Server {
    /// A server of tools that is started with its first call.
    pub(crate) fn of_tools(command: &[String], home: &Home<'_>) -> Self {
        Self::new("tools", Counterpart::Tools, command, home)
    }

    /// A peer agent that is started with its first call.
    pub(crate) fn of_peer(command: &[String], home: &Home<'_>) -> Self {
        Self::new("peer", Counterpart::Agent, command, home)
    }

    fn new(
        name: &'static str,
        counterpart: Counterpart,
        command: &[String],
        home: &Home<'_>,
    ) -> Self {
        Self {
            name,
            counterpart,
            command: command.to_vec(),
            recorder: home.assignment.recorder.clone(),
            records: home.assignment.records.clone(),
            shim: home.shim.clone(),
            agent: home.agent.clone(),
            connections: 0,
            client: None,
        }
    }

    /// Starts the server unless it runs.
    ///
    /// # Errors
    /// When it can't be started or does not introduce itself.
    pub(crate) async fn connect(&mut self) -> Result<&RunningService<RoleClient, ()>> {
        if self.client.as_ref().is_none_or(|client| client.peer().is_transport_closed()) {
            self.client = Some(self.connection().await?);
        }
        self.client.as_ref().context("a server that was just started is gone")
    }

    async fn connection(&mut self) -> Result<RunningService<RoleClient, ()>> {
        let stem = format!("{}.{}.{}", self.agent, self.name, self.connections);
        self.connections += 1;
        let mut command = Command::new(&self.recorder);
        command.arg(self.records.join(format!("{stem}.server.jsonl"))).args(&self.command);
        let record = Record::open(&self.records.join(format!("{stem}.agent.jsonl")))?;
        let server = TokioChildProcess::new(command)?;
        let chaos = ChaosTransport::new(server, &self.shim, self.agent.clone(), self.counterpart);
        let noted = Noted { inner: chaos.traced(), record: Arc::new(record.into()) };
        let client = ().serve(noted).await.with_context(|| format!("start {}", self.name))?;
        // What the server can do is known before it is asked for anything.
        client
            .list_all_tools()
            .await
            .with_context(|| format!("list the tools of {}", self.name))?;
        Ok(client)
    }

    /// Makes one call, once.
    pub(crate) async fn call(
        &mut self,
        call: &Call,
        limit: Option<Duration>,
    ) -> Result<String, Failure> {
        let client = self.connect().await.map_err(|_| Failure::Broken)?;
        let mut meta = RequestMetaObject::new();
        meta.set_traceparent(call.traceparent.clone());
        let mut params = CallToolRequestParams::new(Cow::Borrowed(call.tool));
        params.arguments = Some(call.arguments.clone());
        params.meta = Some(meta);
        let mut options = PeerRequestOptions::no_options();
        options.timeout = limit;
        let request = ClientRequest::CallToolRequest(rmcp::model::CallToolRequest::new(params));
        let sent = client.send_request_with_option(request, options).await.map_err(failure)?;
        text_of(sent.await_response().await.map_err(failure)?)
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(&mut self) {
        if let Some(mut client) = self.client.take() {
            client.close().await.ok();
        }
    }
}

fn failure(error: ServiceError) -> Failure {
    match error {
        ServiceError::McpError(error) => Failure::Protocol(error.message.to_string()),
        ServiceError::Timeout { timeout } => Failure::TimedOut(timeout),
        ServiceError::UnexpectedResponse => Failure::Nonsense("another kind of message".into()),
        ServiceError::TransportSend(_)
        | ServiceError::TransportClosed
        | ServiceError::SubscriptionLagged { .. }
        | ServiceError::Cancelled { .. }
        | ServiceError::InputRequiredRoundsExceeded { .. }
        | _ => Failure::Broken,
    }
}

fn text_of(result: ServerResult) -> Result<String, Failure> {
    let ServerResult::CallToolResult(result) = result else {
        return Err(Failure::Nonsense("not the result of a tool".into()));
    };
    let texts: Vec<_> =
        result.content.iter().filter_map(|block| Some(block.as_text()?.text.as_str())).collect();
    let text = texts.join("\n");
    if result.is_error == Some(true) { Err(Failure::Tool(text)) } else { Ok(text) }
}

/// A transport that writes down what the agent sends and gets. It stands outside of the shim's.
struct Noted<T> {
    inner: T,
    record: Arc<Mutex<Record>>,
}

impl<T> Noted<T> {
    fn note(&self, what: Option<What>) {
        let Some(what) = what else { return };
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = record.add(&Passage::now().of(what)) {
            eprintln!("demo-agent: record: {error}");
        }
    }
}

impl<T> Transport<RoleClient> for Noted<T>
where
    T: Transport<RoleClient, Error = io::Error>,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.note(outgoing(&message));
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await;
        self.note(message.as_ref().map_or(Some(What::Closed), incoming));
        message
    }

    fn close(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        self.inner.close()
    }
}
