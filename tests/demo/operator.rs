//! What the operator does over gRPC, as any client could: create, start, watch, abort, report.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use squall::session_file::SessionFile;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::ToolName;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::wire::v1::fleet_service_client::FleetServiceClient;
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use squall_proto::wire::v1::{
    AbortSessionRequest, CreateSessionRequest, GetReportRequest, GetSessionRequest,
    ListEventsRequest, ListShimsRequest, Report, Session, Shim, StartSessionRequest,
};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

/// The session that the demo runs.
const SESSION_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/demo/session.yaml");
/// How long a start waits until the fleet can apply every experiment.
const WAIT_FOR_SHIMS: Duration = Duration::from_secs(20);
/// Longest answer of a coordinator that runs.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait for anything else.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Most shims in an answer; the demo has 24.
const SHIMS_MAX: i32 = 100;

/// An operator and the session in hand.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    sessions: SessionServiceClient<Channel>,
    fleet: FleetServiceClient<Channel>,
    session: String,
    spec: SessionSpec,
}

impl Operator {
    /// Creates the demo's session.
    ///
    /// # Errors
    /// When the file is wrong or the coordinator refuses it.
    pub(crate) async fn create(api_url: &str) -> Result<Self> {
        let text = std::fs::read_to_string(SESSION_FILE).context("read the session file")?;
        let file = SessionFile::parse(&text).context("the session file is wrong")?;
        let tenant = file.tenant.context("the session file names no tenant")?;
        // Connects anew whenever the coordinator comes back.
        let channel = Endpoint::from_shared(api_url.to_owned())?.timeout(ANSWER_MAX).connect_lazy();
        let mut sessions = SessionServiceClient::new(channel.clone());
        let request = CreateSessionRequest {
            parent: format!("tenants/{tenant}"),
            session_id: file.session_id.map(|id| id.to_string()).unwrap_or_default(),
            spec: Some((&file.draft).try_into().context("the session file is wrong")?),
            request_id: "demo-create".to_owned(),
        };
        let session = sessions.create_session(request).await?.into_inner().name;
        let fleet = FleetServiceClient::new(channel);
        Ok(Self { sessions, fleet, session, spec: file.spec })
    }

    /// The session's resource name.
    pub(crate) fn session_name(&self) -> &str {
        &self.session
    }

    /// What was asked for.
    pub(crate) fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// The kind of each experiment.
    pub(crate) fn kinds(&self) -> BTreeMap<String, FaultKind> {
        let experiments = self.spec.experiments.iter();
        experiments.map(|it| (it.name.to_string(), it.fault.kind())).collect()
    }

    /// Tools whose calls may be delayed.
    pub(crate) fn delayed_tools(&self) -> BTreeSet<&str> {
        let delayed = self.spec.experiments.iter().filter(|it| it.fault.longest_ms() > 0);
        delayed.flat_map(|it| it.selector.tools.iter().map(ToolName::as_str)).collect()
    }

    /// Starts it, once every experiment can be applied somewhere.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn start(&mut self) -> Result<Session> {
        let mut request = tonic::Request::new(StartSessionRequest {
            name: self.session.clone(),
            request_id: "demo-start".to_owned(),
            wait_for_shims: Some(WAIT_FOR_SHIMS.try_into()?),
        });
        request.set_timeout(WAIT_FOR_SHIMS + ANSWER_MAX);
        Ok(self.sessions.start_session(request).await?.into_inner())
    }

    /// The session as it is.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn session(&mut self) -> Result<Session> {
        let request = GetSessionRequest { name: self.session.clone() };
        Ok(self.sessions.get_session(request).await?.into_inner())
    }

    /// The session's log: sequence and kind of each event.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn log(&mut self) -> Result<Vec<(u64, String)>> {
        let request =
            ListEventsRequest { name: self.session.clone(), from_sequence: 0, follow: false };
        let mut events = self.sessions.list_events(request).await?.into_inner();
        let mut log = Vec::new();
        while let Some(event) = events.message().await? {
            log.push((event.sequence, event.kind));
        }
        Ok(log)
    }

    /// The shims that the coordinator knows.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn shims(&mut self) -> Result<Vec<Shim>> {
        let request = ListShimsRequest {
            parent: "tenants/-".to_owned(),
            page_size: SHIMS_MAX,
            page_token: String::new(),
        };
        Ok(self.fleet.list_shims(request).await?.into_inner().shims)
    }

    /// Aborts the session; returns once that is durable.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn abort(&mut self) -> Result<Session> {
        let request = AbortSessionRequest {
            name: self.session.clone(),
            request_id: "demo-abort".to_owned(),
            reason: "the demo has seen enough".to_owned(),
        };
        Ok(self.sessions.abort_session(request).await?.into_inner())
    }

    /// What the session did.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn report(&mut self) -> Result<Report> {
        let request = GetReportRequest { name: self.session.clone() };
        Ok(self.sessions.get_report(request).await?.into_inner())
    }

    /// Waits until the coordinator answers and the session is as wanted; in between it may be dead.
    ///
    /// # Errors
    /// When that takes too long; with what was waited for.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&Session) -> bool,
    ) -> Result<Session> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.session().await {
                Ok(session) if wanted(&session) => return Ok(session),
                Ok(_) | Err(_) if Instant::now() < patience => sleep(LOOK_EVERY).await,
                Ok(_) => bail!("waited in vain for {what}"),
                Err(error) => return Err(error.context(format!("waited in vain for {what}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use squall_proto::vocabulary::blast_radius::BlastRadius;

    use super::*;
    use crate::fleet::TENANTS;

    #[test]
    fn the_demos_session_is_what_the_demo_promises() {
        let file = SessionFile::parse(&std::fs::read_to_string(SESSION_FILE).unwrap()).unwrap();
        let kinds: BTreeSet<_> = file.spec.experiments.iter().map(|it| it.fault.kind()).collect();
        assert_eq!(kinds.len(), 6);
        assert_eq!(file.spec.safety.max_affected_requests, 50);
        assert_eq!(file.spec.safety.blast_radius, BlastRadius::MultiTenant);
        let tenants: Vec<_> =
            file.spec.target.tenants.iter().map(|tenant| tenant.as_str()).collect();
        assert_eq!(tenants, TENANTS);
    }
}
