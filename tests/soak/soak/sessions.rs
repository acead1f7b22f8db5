//! Sessions with every kind of fault, one after the other, with idle times between them. The operator is as patient as one
//! with a flaky coordinator has to be.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use rand::rngs::StdRng;
use squall::session_file::SessionFile;
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use squall_proto::wire::v1::{
    AbortSessionRequest, CreateSessionRequest, GetSessionRequest, PauseSessionRequest,
    ResumeSessionRequest, StartSessionRequest, StopSessionRequest,
};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::crew::Notes;

/// A session's life and the idle time after it, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 4_000..25_000;
const IDLE_MS: std::ops::Range<u64> = 1_000..8_000;
/// Longest answer of a coordinator that is there.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long the same thing is tried: longer than anybody is away.
const PATIENCE: Duration = Duration::from_secs(40);
const AGAIN_AFTER: Duration = Duration::from_millis(300);
const WAIT_FOR_SHIMS: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a session ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Stop,
    Abort,
    /// Paused and resumed first.
    AbortAfterPause,
    /// By its longest duration.
    Itself,
}

const ENDS: [End; 4] = [End::Stop, End::Abort, End::AbortAfterPause, End::Itself];
const STRICTNESS: [&str; 3] = ["strict", "strict_claim", "eventual"];
/// Enough for every session here, and so little that it ends one.
const BUDGETS: [u32; 2] = [100_000, 60];

/// The text of a session. Its steady site is hit by nothing longer than a millisecond, and rarely.
fn session(id: &str, strictness: &str, budget: u32, duration: Duration) -> String {
    let duration_s = duration.as_secs().max(1);
    format!(
        r#"tenant: acme
session_id: {id}
experiments:
  - {{name: pinprick, fault: {{latency: {{fixed_ms: 1}}}}, tools: [steady], probability: 0.002}}
  - {{name: slow, fault: {{latency: {{fixed_ms: 60}}}}, tools: [search], probability: 0.1}}
  - {{name: down, fault: {{error: {{codes: [500, 503]}}}}, tools: [search], probability: 0.1}}
  - {{name: gone, fault: {{tool_unavailable: {{mode: not_found}}}}, tools: [search], probability: 0.05}}
  - {{name: stuck, fault: {{tool_unavailable: {{mode: timeout, timeout_ms: 100}}}}, tools: [search], probability: 0.05}}
  - {{name: broken, fault: {{tool_unavailable: {{mode: disconnect}}}}, tools: [search], probability: 0.03}}
  - {{name: cut, fault: {{context_truncation: {{fraction: 0.5}}}}, tools: [search], probability: 0.1}}
  - {{name: sloppy, fault: {{malformed_output: {{mode: truncate, keep: 0.4}}}}, tools: [search], probability: 0.1}}
  - name: unwilling
    fault: {{uncooperative_agent: {{behaviors: [refuse, partial, delay], delay: {{fixed_ms: 50}}}}}}
    probability: 0.3
target: {{environments: [soak]}}
safety: {{strictness: {strictness}, max_affected_requests: {budget}, max_duration_s: {duration_s}}}
"#
    )
}

/// The operator. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Operator {
    sessions: SessionServiceClient<Channel>,
    notes: Notes,
    number: u64,
}

impl Operator {
    /// An operator of the coordinator at `api_url`.
    ///
    /// # Errors
    /// When that is no URL.
    pub(crate) fn new(api_url: &str, notes: &Notes) -> Result<Self> {
        // Connects anew whenever the coordinator comes back.
        let channel = Endpoint::from_shared(api_url.to_owned())?
            .timeout(ANSWER_MAX)
            .connect_timeout(ANSWER_MAX)
            .connect_lazy();
        let sessions = SessionServiceClient::new(channel);
        Ok(Self { sessions, notes: notes.clone(), number: 0 })
    }

    /// Whether there is a coordinator that answers.
    pub(crate) async fn is_answered(&self) -> bool {
        let request = GetSessionRequest { name: "tenants/acme/sessions/none".to_owned() };
        let answer = self.sessions.clone().get_session(request).await;
        answer.is_err_and(|status| status.code() == Code::NotFound)
    }

    /// Runs sessions until the end.
    ///
    /// # Errors
    /// When a session is not what the coordinator takes.
    pub(crate) async fn work(&mut self, random: &mut StdRng, end: &AtomicBool) -> Result<()> {
        while !end.load(Ordering::Acquire) {
            let life = Duration::from_millis(random.random_range(LIFE_MS));
            let how = ENDS[random.random_range(0..ENDS.len())];
            let duration = match how {
                End::Itself => life,
                End::Stop | End::Abort | End::AbortAfterPause => PATIENCE * 2,
            };
            let strictness = STRICTNESS[self.number as usize % STRICTNESS.len()];
            let budget = BUDGETS[usize::from(random.random_ratio(1, 6))];
            if let Some(name) = self.start(strictness, budget, duration).await? {
                self.notes.lock().sessions += 1;
                rest(life, end).await;
                self.end(&name, how).await;
            }
            rest(Duration::from_millis(random.random_range(IDLE_MS)), end).await;
        }
        Ok(())
    }

    /// Starts the next session; its name, unless there is no coordinator for too long.
    ///
    /// # Errors
    /// When the session is wrong.
    pub(crate) async fn start(
        &mut self,
        strictness: &str,
        budget: u32,
        duration: Duration,
    ) -> Result<Option<String>> {
        self.number += 1;
        let id = format!("soak-{}", self.number);
        let file = SessionFile::parse(&session(&id, strictness, budget, duration));
        let draft = file.context("the session is wrong")?.draft;
        let create = CreateSessionRequest {
            parent: "tenants/acme".to_owned(),
            session_id: id.clone(),
            spec: Some((&draft).try_into().context("the session is wrong")?),
            request_id: format!("create-{id}"),
        };
        let client = self.sessions.clone();
        let created =
            self.patiently("create", async || client.clone().create_session(create.clone()).await);
        let Some(session) = created.await else { return Ok(None) };
        let start = StartSessionRequest {
            name: session.name,
            request_id: format!("start-{id}"),
            wait_for_shims: Some(WAIT_FOR_SHIMS.try_into()?),
        };
        let client = self.sessions.clone();
        let started =
            self.patiently("start", async || client.clone().start_session(start.clone()).await);
        Ok(started.await.map(|session| session.name))
    }

    /// Ends a session; one that ended by itself is left as it is.
    async fn end(&self, name: &str, how: End) {
        let name = name.to_owned();
        let client = || self.sessions.clone();
        let abort = async || {
            let request_id = format!("abort-{}", self.number);
            let reason = "enough".to_owned();
            let request = AbortSessionRequest { name: name.clone(), request_id, reason };
            self.patiently("abort", async || client().abort_session(request.clone()).await).await;
        };
        match how {
            End::Itself => {}
            End::Abort => abort().await,
            End::AbortAfterPause => {
                let request_id = format!("pause-{}", self.number);
                let pause = PauseSessionRequest { name: name.clone(), request_id };
                self.patiently("pause", async || client().pause_session(pause.clone()).await).await;
                let request_id = format!("resume-{}", self.number);
                let resume = ResumeSessionRequest { name: name.clone(), request_id };
                self.patiently("resume", async || client().resume_session(resume.clone()).await)
                    .await;
                abort().await;
            }
            End::Stop => {
                let request_id = format!("stop-{}", self.number);
                let stop = StopSessionRequest { name: name.clone(), request_id };
                self.patiently("stop", async || client().stop_session(stop.clone()).await).await;
            }
        }
    }

    /// Repeats a request while the coordinator is away; `None` if it stays away or says no.
    async fn patiently<T>(
        &self,
        what: &str,
        ask: impl AsyncFn() -> Result<tonic::Response<T>, Status>,
    ) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            match ask().await {
                Ok(answer) => return Some(answer.into_inner()),
                Err(status) if says_no(&status) || Instant::now() >= until => {
                    let why = format!("{what}: {:?}: {}", status.code(), status.message());
                    *self.notes.lock().refusals.entry(why).or_default() += 1;
                    return None;
                }
                Err(_) => sleep(AGAIN_AFTER).await,
            }
        }
    }
}

/// Whether asking again would be answered in the same way.
fn says_no(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::AlreadyExists | Code::NotFound)
        || (status.code() == Code::FailedPrecondition && !status.message().contains("shim"))
}

async fn rest(time: Duration, end: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !end.load(Ordering::Acquire) {
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sessions_hold_every_kind_of_fault_and_are_gentle_with_the_steady_site() {
        for strictness in STRICTNESS {
            let text = session("s", strictness, 60, Duration::from_secs(5));
            let spec = SessionFile::parse(&text).unwrap().spec;
            let kinds: BTreeSet<_> = spec.experiments.iter().map(|it| it.fault.kind()).collect();
            assert_eq!(kinds.len(), 6);
            let steady = spec
                .experiments
                .iter()
                .filter(|it| it.selector.tools.iter().any(|tool| tool.as_str() == "steady"));
            assert!(steady.clone().count() == 1);
            assert!(steady.clone().all(|it| it.fault.longest_ms() == 1));
        }
    }
}
