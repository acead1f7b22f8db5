//! `SessionService`: reads a request whole, names everything that is wrong with it, gives the order, shows the session.

mod create;
mod start;

use futures::{Stream, StreamExt};
use squall_domain::rejection::Rejection;
use squall_domain::session::{ClientCommand, check_reason};
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::violation::Check;
use squall_proto::wire::v1;
use squall_proto::wire::v1::session_service_server::SessionService;
use tonic::{Request, Response, Status};

use super::errors::Error;
use super::filter::States;
use super::page::{self, List};
use super::{Doors, Streamed, caller, convert, events, name, state, watch};
use crate::engine::{Order, OrderKind};

/// The service over one replica.
#[derive(Clone)]
pub(super) struct Sessions(pub(super) Doors);

impl Sessions {
    /// Reads what every command has, and `more`; then gives the order.
    async fn command<T>(
        &self,
        request: &Request<T>,
        fields: Fields<'_>,
        command: ClientCommand,
    ) -> Result<Response<v1::Session>, Error> {
        self.0.ready.check()?;
        let order = read(request, &fields, command)?;
        let OrderKind::Session { key, .. } = &order.kind else {
            return Err(Error::Internal("a command became another order"));
        };
        let key = key.clone();
        state::order(&self.0.handle, order).await?;
        self.show(&key).await
    }

    async fn show(&self, key: &SessionKey) -> Result<Response<v1::Session>, Error> {
        let view = state::session(&self.0.handle, key).await?;
        Ok(Response::new(convert::session::session(&view)))
    }

    async fn get(&self, request: v1::GetSessionRequest) -> Result<Response<v1::Session>, Error> {
        self.0.ready.check()?;
        self.show(&one(&request.name)?).await
    }

    async fn list(
        &self,
        request: v1::ListSessionsRequest,
    ) -> Result<v1::ListSessionsResponse, Error> {
        self.0.ready.check()?;
        let v1::ListSessionsRequest { parent, page_size, page_token, filter } = request;
        let list = List { kind: "sessions", parent: &parent, filter: &filter };
        let mut check = Check::new();
        let of = name::parent(&mut check, &parent);
        let size = page::size(&mut check, page_size);
        let states = States::read(&mut check, &filter);
        let cursor = list.cursor(&mut check, &page_token);
        let read = of.zip(size).zip(states).zip(cursor);
        let (((of, size), states), cursor) = check.finish(read)?;
        let before = cursor.and_then(|cursor| cursor.parse().ok());
        let page = state::newest(&self.0.handle, of.tenant(), &states, before, size).await?;
        Ok(v1::ListSessionsResponse {
            sessions: page.sessions.iter().map(convert::session::session).collect(),
            next_page_token: page
                .next
                .map(|next| list.token(&next.to_string()))
                .unwrap_or_default(),
        })
    }

    async fn report(&self, request: v1::GetReportRequest) -> Result<v1::Report, Error> {
        self.0.ready.check()?;
        let view = state::session(&self.0.handle, &one(&request.name)?).await?;
        Ok(convert::report::report(&view))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<impl Stream<Item = Result<v1::Session, Error>> + use<>, Error> {
        self.0.ready.check()?;
        let until = self.0.watcher(request.metadata())?;
        let first = state::session(&self.0.handle, &one(&request.get_ref().name)?).await?;
        let seen = watch::session(&self.0.watches, first, until);
        Ok(seen.map(|view| view.map(|view| convert::session::session(&view))))
    }

    async fn events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<impl Stream<Item = Result<v1::LogEvent, Error>> + use<>, Error> {
        self.0.ready.check()?;
        let until = self.0.reader(request.metadata())?;
        let v1::ListEventsRequest { name, from_sequence: from, follow } = request.into_inner();
        let view = state::session(&self.0.handle, &one(&name)?).await?;
        let wanted = events::Wanted { from, follow };
        Ok(events::session(&self.0.handle, &self.0.journal, &view, wanted, until))
    }
}

/// What every command has.
struct Fields<'a> {
    name: &'a str,
    request_id: &'a str,
}

fn read<T>(
    request: &Request<T>,
    fields: &Fields<'_>,
    command: ClientCommand,
) -> Result<Order, Error> {
    let mut check = Check::new();
    let key = name::session(&mut check, fields.name);
    let id = caller::request_id(&mut check, fields.request_id);
    if let ClientCommand::Abort { reason } = &command {
        self::reason(&mut check, reason);
    }
    let actor = caller::actor(request, &mut check);
    let ((key, request), actor) = check.finish(key.zip(id).zip(actor))?;
    Ok(Order { request, actor, kind: OrderKind::Session { key, command } })
}

/// Notes what is wrong with the field `reason`, together with what is wrong elsewhere.
pub(super) fn reason(check: &mut Check, reason: &str) {
    if let Err(Rejection::Reason { problem }) = check_reason(reason) {
        check.field("reason", |check| check.wrong(problem));
    }
}

fn one(name: &str) -> Result<SessionKey, Error> {
    let mut check = Check::new();
    let key = name::session(&mut check, name);
    Ok(check.finish(key)?)
}

#[tonic::async_trait]
impl SessionService for Sessions {
    type WatchSessionStream = Streamed<v1::Session>;
    type ListEventsStream = Streamed<v1::LogEvent>;

    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        Ok(self.create(request).await?)
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        Ok(self.get(request.into_inner()).await?)
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn start_session(
        &self,
        request: Request<v1::StartSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        Ok(self.start(request).await?)
    }

    async fn pause_session(
        &self,
        request: Request<v1::PauseSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let v1::PauseSessionRequest { name, request_id } = request.get_ref();
        let fields = Fields { name, request_id };
        Ok(self.command(&request, fields, ClientCommand::Pause).await?)
    }

    async fn resume_session(
        &self,
        request: Request<v1::ResumeSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let v1::ResumeSessionRequest { name, request_id } = request.get_ref();
        let fields = Fields { name, request_id };
        Ok(self.command(&request, fields, ClientCommand::Resume).await?)
    }

    async fn stop_session(
        &self,
        request: Request<v1::StopSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let v1::StopSessionRequest { name, request_id } = request.get_ref();
        let fields = Fields { name, request_id };
        Ok(self.command(&request, fields, ClientCommand::Stop).await?)
    }

    async fn abort_session(
        &self,
        request: Request<v1::AbortSessionRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let v1::AbortSessionRequest { name, request_id, reason } = request.get_ref();
        let fields = Fields { name, request_id };
        let command = ClientCommand::Abort { reason: reason.clone() };
        Ok(self.command(&request, fields, command).await?)
    }

    async fn watch_session(
        &self,
        request: Request<v1::WatchSessionRequest>,
    ) -> Result<Response<Self::WatchSessionStream>, Status> {
        Ok(super::streamed(self.watch(request).await?))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<Self::ListEventsStream>, Status> {
        Ok(super::streamed(self.events(request).await?))
    }

    async fn get_report(
        &self,
        request: Request<v1::GetReportRequest>,
    ) -> Result<Response<v1::Report>, Status> {
        Ok(Response::new(self.report(request.into_inner()).await?))
    }

    async fn list_experiment_types(
        &self,
        _: Request<v1::ListExperimentTypesRequest>,
    ) -> Result<Response<v1::ListExperimentTypesResponse>, Status> {
        Ok(Response::new(v1::ListExperimentTypesResponse { types: convert::kind::kinds() }))
    }
}
