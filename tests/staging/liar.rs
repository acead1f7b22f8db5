//! A coordinator that lies: it passes every call on to a real one, and tells more affected calls than there were.

use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::Result;
use futures::Stream;
use squall_proto::wire::v1::fleet_service_client::FleetServiceClient;
use squall_proto::wire::v1::fleet_service_server::{FleetService, FleetServiceServer};
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use squall_proto::wire::v1::session_service_server::{SessionService, SessionServiceServer};
use squall_proto::wire::v1::{self, Session};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::codegen::tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// More than any budget of these tests.
const MANY: u64 = 1_000_000;

#[derive(Clone)]
struct Liar {
    sessions: SessionServiceClient<Channel>,
    fleet: FleetServiceClient<Channel>,
}

/// Serves lies about the coordinator at `real`; where.
pub(crate) async fn serve(real: &str) -> Result<(SocketAddr, JoinHandle<()>)> {
    let sessions = SessionServiceClient::connect(format!("http://{real}")).await?;
    let fleet = FleetServiceClient::connect(format!("http://{real}")).await?;
    let liar = Liar { sessions, fleet };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = Server::builder()
        .add_service(SessionServiceServer::new(liar.clone()))
        .add_service(FleetServiceServer::new(liar))
        .serve_with_incoming(TcpListenerStream::new(listener));
    Ok((
        address,
        tokio::spawn(async move { serving.await.expect("it serves until it is dropped") }),
    ))
}

/// The lie: only of sessions that gave permits, so that it is one about faults.
fn lie(mut session: Session) -> Session {
    if session.budget.is_some_and(|budget| budget.issued > 0) {
        session.counts.get_or_insert_default().applied = MANY;
    }
    session
}

type Pieces<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Calls that are passed on as they are, written out: the attribute doesn't look into macros.
macro_rules! passed_on {
    ($door:ident: $($call:ident($request:ident) -> $answer:ty),+ $(,)?) => {
        $(fn $call<'a, 'b>(
            &'a self,
            request: Request<v1::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$answer>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            let mut real = self.$door.clone();
            Box::pin(async move { real.$call(request).await })
        })+
    };
}

#[tonic::async_trait]
impl SessionService for Liar {
    type WatchSessionStream = Pieces<Session>;
    type ListEventsStream = Pieces<v1::LogEvent>;

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<Session>, Status> {
        Ok(self.sessions.clone().get_session(request).await?.map(lie))
    }

    passed_on!(sessions:
        create_session(CreateSessionRequest) -> Session,
        list_sessions(ListSessionsRequest) -> v1::ListSessionsResponse,
        start_session(StartSessionRequest) -> Session,
        pause_session(PauseSessionRequest) -> Session,
        resume_session(ResumeSessionRequest) -> Session,
        stop_session(StopSessionRequest) -> Session,
        abort_session(AbortSessionRequest) -> Session,
        get_report(GetReportRequest) -> v1::Report,
        list_experiment_types(ListExperimentTypesRequest) -> v1::ListExperimentTypesResponse,
    );

    async fn watch_session(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        let pieces = self.sessions.clone().watch_session(request).await?;
        Ok(pieces.map(|pieces| Box::pin(pieces) as Pieces<_>))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<Self::ListEventsStream>, Status> {
        let pieces = self.sessions.clone().list_events(request).await?;
        Ok(pieces.map(|pieces| Box::pin(pieces) as Pieces<_>))
    }
}

#[tonic::async_trait]
impl FleetService for Liar {
    type WatchFleetStream = Pieces<v1::FleetSnapshot>;

    passed_on!(fleet:
        list_shims(ListShimsRequest) -> v1::ListShimsResponse,
        engage_halt(EngageHaltRequest) -> v1::Halt,
        release_halt(ReleaseHaltRequest) -> v1::Halt,
        get_halt(GetHaltRequest) -> v1::Halt,
    );

    async fn watch_fleet(
        &self,
        request: Request<v1::WatchFleetRequest>,
    ) -> Result<Response<Self::WatchFleetStream>, Status> {
        let pieces = self.fleet.clone().watch_fleet(request).await?;
        Ok(pieces.map(|pieces| Box::pin(pieces) as Pieces<_>))
    }
}
