//! An agent's desk: its servers, its policy, and what every kind of task needs.

use std::time::Duration;

use serde_json::Value;

use super::analysis::{Finding, Question, find};
use super::policy::Policy;
use super::server::{Call, Failure, Home, Server};

/// A value, and whether it is second best; or why there is none.
pub(crate) type Given<T> = Result<(T, bool), Failure>;

/// Whether anything in a task was second best.
#[derive(Debug, Default)]
pub(crate) struct Degraded(bool);

impl Degraded {
    /// Takes the value, remembers whether it was second best.
    pub(crate) fn note<T>(&mut self, (value, degraded): (T, bool)) -> T {
        self.0 |= degraded;
        value
    }

    /// The task's result.
    pub(crate) fn with<T>(self, value: T) -> (T, bool) {
        (value, self.0)
    }
}

/// An agent at work.
#[derive(Debug)]
pub(crate) struct Desk {
    policy: Policy,
    server: Server,
    peer: Option<Server>,
    pause: Duration,
    trace: String,
    calls: u64,
    round: usize,
}

impl Desk {
    /// A desk as assigned.
    pub(crate) fn new(home: &Home<'_>) -> Self {
        Self {
            policy: Policy::of(home.assignment.temper),
            server: Server::of_tools(&home.assignment.server, home),
            peer: home.assignment.peer.as_ref().map(|peer| Server::of_peer(peer, home)),
            pause: Duration::from_millis(home.assignment.pause_ms),
            trace: String::new(),
            calls: 0,
            round: 0,
        }
    }

    /// Starts the servers.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        self.server.connect().await?;
        if let Some(peer) = &mut self.peer {
            peer.connect().await?;
        }
        Ok(())
    }

    /// Begins the next round of work as a trace of its own.
    pub(crate) fn begin(&mut self, trace: &str) {
        self.trace = trace.to_owned();
        self.round += 1;
    }

    /// Rounds begun, from 1.
    pub(crate) fn round(&self) -> usize {
        self.round
    }

    /// Calls a tool as the policy says.
    pub(crate) async fn call<T>(
        &mut self,
        tool: &'static str,
        arguments: Value,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Failure> {
        tokio::time::sleep(self.pause).await;
        let call = self.prepare(tool, arguments);
        self.policy.call(&mut self.server, &call, read).await
    }

    /// Has the peer answer; without one, or when it fails a hardened agent, the agent works it out itself.
    pub(crate) async fn delegate(&mut self, question: Question, text: &str) -> Given<Finding> {
        tokio::time::sleep(self.pause).await;
        let call = self.prepare("ask", serde_json::json!({ "question": question, "text": text }));
        let Some(peer) = &mut self.peer else { return Ok((find(question, text), false)) };
        let told = self.policy.call(peer, &call, |text| serde_json::from_str(text).ok()).await;
        match self.second_way(told)? {
            Ok(finding) => Ok((finding, false)),
            Err(_) => Ok((find(question, text), true)),
        }
    }

    /// A failure that a second way may mend; one that the policy takes as final goes up.
    pub(crate) fn second_way<T>(
        &self,
        given: Result<T, Failure>,
    ) -> Result<Result<T, Failure>, Failure> {
        match given {
            Err(failure) if !self.policy.has_second_ways() => Err(failure),
            other => Ok(other),
        }
    }

    fn prepare(&mut self, tool: &'static str, arguments: Value) -> Call {
        self.calls += 1;
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let traceparent = format!("00-{}-{:016x}-01", self.trace, self.calls);
        Call { tool, arguments, traceparent }
    }

    /// Ends the connections in good order.
    pub(crate) async fn close(&mut self) {
        self.server.close().await;
        if let Some(peer) = &mut self.peer {
            peer.close().await;
        }
    }
}
