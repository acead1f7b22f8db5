//! The connection to a coordinator.

use std::time::Duration;

use squall_proto::vocabulary::id::Actor;
use squall_proto::wire::v1::fleet_service_client::FleetServiceClient;
use squall_proto::wire::v1::session_service_client::SessionServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::failure::{Exit, Failure};
use crate::api::ACTOR_METADATA;

/// Longest wait for a connection: a coordinator is near, or not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: an election of the log's leader takes up to 9 s, and a command may meet one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A silent coordinator is pinged after this time, so that a stream from a dead machine ends.
const PING_AFTER: Duration = Duration::from_secs(10);
/// Largest answer: a page of sessions, each with a specification of up to 128 KiB and what its defaults add.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A channel that says who calls.
type Line = InterceptedService<Channel, Caller>;

/// Reaches a coordinator. Connects with the first call.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Sessions.
    pub(super) sessions: SessionServiceClient<Line>,
    /// The fleet and its lever.
    pub(super) fleet: FleetServiceClient<Line>,
}

impl Client {
    /// A client of the coordinator at `server`.
    ///
    /// # Errors
    /// When `server` is no address.
    pub(super) fn new(server: &str) -> Result<Self, Failure> {
        Self::named("--server", server)
    }

    /// The same for one that another option names.
    ///
    /// # Errors
    /// When `server` is no address.
    pub(super) fn named(option: &str, server: &str) -> Result<Self, Failure> {
        let channel = endpoint(option, server)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_AFTER)
            .connect_lazy();
        let line = InterceptedService::new(channel, Caller { actor: actor() });
        let sessions = SessionServiceClient::new(line.clone());
        Ok(Self {
            sessions: sessions.max_decoding_message_size(ANSWER_BYTES_MAX),
            fleet: FleetServiceClient::new(line).max_decoding_message_size(ANSWER_BYTES_MAX),
        })
    }
}

/// A request that is answered soon.
pub(super) fn request<T>(message: T) -> Request<T> {
    request_within(message, Duration::ZERO)
}

/// A request that is answered soon after `wait`.
pub(super) fn request_within<T>(message: T, wait: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT.saturating_add(wait));
    request
}

/// Without a scheme it is plain HTTP/2.
fn endpoint(option: &str, server: &str) -> Result<Endpoint, Failure> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let wrong = |problem: String| {
        Failure::argument(option, format!("is {server:?}, {problem}; allowed is http://HOST:PORT"))
    };
    let endpoint = Endpoint::from_shared(url)
        .map_err(|error| wrong(format!("which is no address ({error})")))?;
    match (endpoint.uri().scheme_str(), endpoint.uri().host()) {
        (Some("http"), Some(_)) => Ok(endpoint),
        (Some("https"), _) => Err(wrong("but this version has no TLS".to_owned())),
        _ => Err(wrong("which is no address".to_owned())),
    }
}

/// Says who calls, for the log.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    actor: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(actor) = &self.actor {
            request.metadata_mut().insert(ACTOR_METADATA, actor.clone());
        }
        Ok(request)
    }
}

/// The user who runs the command, if that makes a name; else the coordinator takes the address.
fn actor() -> Option<MetadataValue<Ascii>> {
    let user = std::env::var("USER").ok()?;
    Actor::new(user).ok()?.as_str().parse().ok()
}

/// How long a coordinator may be out of reach for a command that waits for something.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a failure may pass by itself.
pub(super) fn may_pass(failure: &Failure) -> bool {
    failure.exit() == Exit::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_no_scheme_but_must_be_an_address() {
        for good in
            ["http://127.0.0.1:7070", "127.0.0.1:7070", "localhost:7070", "http://[::1]:7070"]
        {
            assert!(endpoint("--server", good).is_ok(), "{good:?} was refused");
        }
        for bad in ["", "https://a:1", "ftp://a:1", "http://", "a b"] {
            assert_eq!(
                endpoint("--server", bad).unwrap_err().exit(),
                Exit::BadInput,
                "{bad:?} was accepted"
            );
        }
    }
}
