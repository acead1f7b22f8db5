//! A coordinator with open doors, on a NATS of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use squall::api;
use squall::journal::jetstream::{Address, Settings, Witness};
use squall_proto::wire::v1;
use squall_proto::wire::v1::fleet_service_client::FleetServiceClient;
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use squall_tests::coordinator::{Replica, Site};
use squall_tests::nats::{Options, Server};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Everything, on loopback. Ends when it is dropped.
pub(crate) struct House {
    pub(crate) site: Site,
    pub(crate) replica: Replica,
    pub(crate) address: SocketAddr,
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) fleet: FleetServiceClient<Channel>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<Result<(), tonic::transport::Error>>,
    _nats: Server,
}

impl House {
    pub(crate) async fn open() -> Result<Self> {
        Self::on(Server::start(&Options { sync_always: true, ..Options::default() }).await?).await
    }

    /// On a server that may be set up in another way.
    pub(crate) async fn on(nats: Server) -> Result<Self> {
        let site = Site::on_server(&nats);
        let replica = Replica::start(&site).await?;
        let shutdown = CancellationToken::new();
        let listener = api::listen("127.0.0.1:0".parse()?).await?;
        let address = listener.local_addr()?;
        let coordinator = &replica.coordinator;
        let serving = tokio::spawn(api::serve(
            coordinator.handle.clone(),
            coordinator.journal.clone(),
            api::incoming(listener),
            shutdown.clone(),
        ));
        let channel = Endpoint::new(format!("http://{address}"))?.connect().await?;
        let mut house = Self {
            site,
            replica,
            address,
            sessions: SessionServiceClient::new(channel.clone()),
            fleet: FleetServiceClient::new(channel),
            shutdown,
            serving,
            _nats: nats,
        };
        house.answering().await?;
        Ok(house)
    }

    /// Waits until the doors know that the replica has read the log.
    async fn answering(&mut self) -> Result<()> {
        let mut sessions = self.sessions.clone();
        let ask = async |_: &_| sessions_answer(&mut sessions.clone()).await.then_some(());
        self.replica.wait("doors that answer", ask).await?;
        sessions.list_sessions(list("tenants/-")).await.map(drop).context("no answer")
    }

    pub(crate) async fn create(
        &mut self,
        id: &str,
        spec: v1::SessionSpec,
    ) -> Result<v1::Session, Status> {
        let request = v1::CreateSessionRequest {
            parent: "tenants/acme".to_owned(),
            session_id: id.to_owned(),
            spec: Some(spec),
            request_id: String::new(),
        };
        self.sessions.create_session(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn get(&mut self, name: &str) -> Result<v1::Session, Status> {
        let request = v1::GetSessionRequest { name: name.to_owned() };
        self.sessions.get_session(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn start(&mut self, name: &str) -> Result<v1::Session, Status> {
        let request = v1::StartSessionRequest { name: name.to_owned(), ..Default::default() };
        self.sessions.start_session(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn abort(&mut self, name: &str) -> Result<v1::Session, Status> {
        let request = v1::AbortSessionRequest {
            name: name.to_owned(),
            reason: "enough".to_owned(),
            request_id: String::new(),
        };
        self.sessions.abort_session(request).await.map(tonic::Response::into_inner)
    }
}

async fn sessions_answer(sessions: &mut SessionServiceClient<Channel>) -> bool {
    sessions.list_sessions(list("tenants/-")).await.is_ok()
}

/// The settings of a journal with little room.
pub(crate) fn cramped(site: &Site, log_bytes_max: u64) -> Settings {
    Settings {
        witness: Witness { system: None, monitoring: site.monitoring.clone() },
        replicas: 1,
        log_bytes_max: Some(log_bytes_max),
        ..Settings::new(Address::of(site.urls.clone()))
    }
}

pub(crate) fn list(parent: &str) -> v1::ListSessionsRequest {
    v1::ListSessionsRequest { parent: parent.to_owned(), ..Default::default() }
}

/// The shortest specification: latency, on everything.
pub(crate) fn spec(budget: u32) -> v1::SessionSpec {
    let fault = v1::FaultSpec {
        latency: Some(v1::DelaySpec { fixed_ms: Some(5), ..Default::default() }),
        ..Default::default()
    };
    v1::SessionSpec {
        experiments: vec![v1::ExperimentSpec { fault: Some(fault), ..Default::default() }],
        safety: Some(v1::SafetySpec { max_affected_requests: Some(budget), ..Default::default() }),
        ..Default::default()
    }
}

/// A refusal with what programs read of it.
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
}

impl Refusal {
    /// The paths of all wrong fields.
    pub(crate) fn fields(&self) -> Vec<String> {
        self.violations().into_iter().map(|(field, _)| field).collect()
    }

    /// Path and problem of each wrong field.
    pub(crate) fn violations(&self) -> Vec<(String, String)> {
        let wrong = self.details.bad_request().map(|bad| bad.field_violations.clone());
        let wrong = wrong.unwrap_or_default().into_iter();
        wrong.map(|violation| (violation.field, violation.description)).collect()
    }

    /// The subjects and descriptions of all conditions that do not hold.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let failed = self.details.precondition_failure().map(|failed| failed.violations.as_slice());
        let shown = failed.unwrap_or_default().iter();
        shown.map(|failed| format!("{}: {}", failed.subject, failed.description)).collect()
    }
}

/// What was refused, and why.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    let status = answer.expect_err("was accepted");
    let details = status.get_error_details();
    let info = details.error_info().expect("a refusal has a reason");
    assert_eq!(info.domain, "squall");
    Refusal {
        code: status.code(),
        reason: info.reason.clone(),
        message: status.message().to_owned(),
        details,
    }
}
