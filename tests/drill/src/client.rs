//! One client of the coordinators: attempts at commands, each written down with when it was sent and what came back.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use squall_drill_checker::files::{Answer, ClientCall, Report, Shown};
use squall_proto::wire::v1;
use squall_proto::wire::v1::fleet_service_client::FleetServiceClient;
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt as _;

use crate::now::now_ns;

/// Longest wait for one answer: a coordinator gives up after 8 s, and a client that waits less learns less.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A coordinator that can't be reached is left for another one after this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two attempts at the same command.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Where attempts are written down.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Mutex<File>>);

impl History {
    /// A new file.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Ok(Self(Arc::new(Mutex::new(File::create_new(path)?))))
    }

    fn note(&self, call: &ClientCall) {
        let mut line = serde_json::to_vec(call).expect("names and numbers are JSON");
        line.push(b'\n');
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).expect("without its history a drill is worth nothing");
    }
}

/// A command.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A new session.
    Create(Box<v1::SessionSpec>),
    /// Start it.
    Start,
    /// Pause it.
    Pause,
    /// Resume it.
    Resume,
    /// End it gracefully.
    Stop,
    /// End it for good.
    Abort,
    /// Halt a scope.
    Engage,
    /// Release a scope.
    Release,
    /// Look at a session.
    Get,
}

impl Op {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::Abort => "abort",
            Self::Engage => "engage",
            Self::Release => "release",
            Self::Get => "get",
        }
    }
}

/// One client.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    number: usize,
    channels: Vec<Channel>,
    history: History,
}

impl Client {
    /// A client with these ways to the coordinators.
    ///
    /// # Errors
    /// When a port makes no address.
    pub(crate) fn new(number: usize, doors: &[u16], history: &History) -> Result<Self> {
        let channel = |port: &u16| {
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?;
            anyhow::Ok(
                endpoint.connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN).connect_lazy(),
            )
        };
        let channels = doors.iter().map(channel).collect::<Result<_>>()?;
        Ok(Self { number, channels, history: history.clone() })
    }

    /// A coordinator by chance.
    pub(crate) fn any(&self) -> usize {
        rand::random_range(0..self.channels.len())
    }

    /// Asks for a command until an answer is certain, each time by another coordinator.
    pub(crate) async fn insist(
        &self,
        subject: &str,
        op: &Op,
        request: &str,
        tries: usize,
    ) -> Answer {
        let first = self.any();
        let mut last = Answer::Unknown("never tried".to_owned());
        for attempt in 0..tries {
            let coordinator = (first + attempt) % self.channels.len();
            last = self.attempt(coordinator, subject, op, request).await;
            match last {
                Answer::Done(_) | Answer::Refused(_) => break,
                Answer::NothingStored(_) | Answer::Unknown(_) => {
                    sleep(AGAIN_AFTER.mul_f64(rand::rng().random_range(0.5..2.0))).await;
                }
            }
        }
        last
    }

    /// Asks one coordinator once.
    pub(crate) async fn attempt(
        &self,
        coordinator: usize,
        subject: &str,
        op: &Op,
        request: &str,
    ) -> Answer {
        let invoke_ns = now_ns();
        let answer = match self.call(coordinator, subject, op, request).await {
            Ok(shown) => Answer::Done(shown),
            Err(status) => failed(&status),
        };
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.history.note(&ClientCall {
            client: number(self.number),
            coordinator: number(coordinator),
            subject: subject.to_owned(),
            op: op.name().to_owned(),
            request: request.to_owned(),
            invoke_ns,
            return_ns: now_ns(),
            answer: answer.clone(),
        });
        answer
    }

    async fn call(
        &self,
        coordinator: usize,
        subject: &str,
        op: &Op,
        request: &str,
    ) -> Result<Option<Shown>, Status> {
        let mut sessions = SessionServiceClient::new(self.channels[coordinator].clone());
        let mut fleet = FleetServiceClient::new(self.channels[coordinator].clone());
        let (name, request_id) = (resource(subject), request.to_owned());
        let reason = "the drill says so".to_owned();
        let scope = Some(scope(subject));
        let session = match op {
            Op::Create(spec) => {
                let (tenant, session) = subject.split_once('/').unwrap_or_default();
                let request = v1::CreateSessionRequest {
                    parent: format!("tenants/{tenant}"),
                    session_id: session.to_owned(),
                    spec: Some((**spec).clone()),
                    request_id,
                };
                sessions.create_session(request).await?
            }
            Op::Start => {
                let wait_for_shims = None;
                let request = v1::StartSessionRequest { name, request_id, wait_for_shims };
                sessions.start_session(request).await?
            }
            Op::Pause => {
                sessions.pause_session(v1::PauseSessionRequest { name, request_id }).await?
            }
            Op::Resume => {
                sessions.resume_session(v1::ResumeSessionRequest { name, request_id }).await?
            }
            Op::Stop => sessions.stop_session(v1::StopSessionRequest { name, request_id }).await?,
            Op::Abort => {
                let request = v1::AbortSessionRequest { name, request_id, reason };
                sessions.abort_session(request).await?
            }
            Op::Get => sessions.get_session(v1::GetSessionRequest { name }).await?,
            Op::Engage => {
                fleet.engage_halt(v1::EngageHaltRequest { scope, reason, request_id }).await?;
                return Ok(None);
            }
            Op::Release => {
                fleet.release_halt(v1::ReleaseHaltRequest { scope, reason, request_id }).await?;
                return Ok(None);
            }
        };
        Ok(Some(shown(&session.into_inner())))
    }

    /// What a coordinator reports of a session.
    ///
    /// # Errors
    /// As it answers.
    pub(crate) async fn report(&self, coordinator: usize, session: &str) -> Result<Report, Status> {
        let mut sessions = SessionServiceClient::new(self.channels[coordinator].clone());
        let request = v1::GetReportRequest { name: resource(session) };
        let report = sessions.get_report(request).await?.into_inner();
        let applied = |agent: v1::AgentCounts| {
            let applied = agent.counts.map_or(0, |counts| counts.applied);
            (agent.tenant, agent.agent, applied)
        };
        Ok(Report {
            session: session.to_owned(),
            coordinator: u32::try_from(coordinator).unwrap_or(u32::MAX),
            applied: report.applied,
            overshoot: report.overshoot,
            agents: report.agents.into_iter().map(applied).collect(),
        })
    }

    /// How many shims a coordinator hears.
    ///
    /// # Errors
    /// As it answers.
    pub(crate) async fn shims(&self, coordinator: usize) -> Result<usize, Status> {
        let mut fleet = FleetServiceClient::new(self.channels[coordinator].clone());
        let (parent, page_size, page_token) = ("tenants/-".to_owned(), 1000, String::new());
        let request = v1::ListShimsRequest { parent, page_size, page_token };
        Ok(fleet.list_shims(request).await?.into_inner().shims.len())
    }
}

fn resource(subject: &str) -> String {
    let (tenant, session) = subject.split_once('/').unwrap_or_default();
    format!("tenants/{tenant}/sessions/{session}")
}

fn scope(subject: &str) -> v1::HaltScope {
    use v1::halt_scope::Scope;
    let scope = match subject.strip_prefix("lever/").unwrap_or_default() {
        "_fleet" => Scope::All(v1::AllTenants {}),
        tenant => Scope::Tenant(tenant.to_owned()),
    };
    v1::HaltScope { scope: Some(scope) }
}

fn shown(session: &v1::Session) -> Shown {
    let budget = session.budget.unwrap_or_default();
    let state = session.state().as_str_name();
    let proven = |stop: &v1::StopReport| stop.stage() == v1::StopStage::StoppedProven;
    Shown {
        state: state.strip_prefix("SESSION_STATE_").unwrap_or(state).to_owned(),
        revision: session.revision,
        budget: budget.budget,
        issued: budget.issued,
        refunded: budget.refunded,
        available: budget.available,
        proven: session.stop.as_ref().is_some_and(proven),
    }
}

/// What an error says of the command's fate.
fn failed(status: &Status) -> Answer {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let text = format!("{reason} {:?} {}", status.code(), status.message());
    match reason.as_str() {
        "UNAVAILABLE" | "LOG_FULL" => Answer::NothingStored(text),
        // Without a reason it is the connection that failed.
        "" | "OUTCOME_UNKNOWN" | "PUSHED_NOT_DURABLE" | "DEADLINE_EXCEEDED" | "NOT_READY" => {
            Answer::Unknown(text)
        }
        reason => Answer::Refused(reason.to_owned()),
    }
}
