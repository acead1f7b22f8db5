//! The doors: gRPC `squall.v1` over one replica, with health and reflection on one port.
//!
//! A door reads a request whole, names everything that is wrong with it, gives one order or asks one question, and shows
//! what came of it. Nothing is decided here and nothing is kept but who watches what. [`errors`] is the one place where
//! what went wrong becomes a status.
//!
//! Deliberately not here yet: identities. So the doors open on loopback only ([`listen`]).

mod caller;
mod convert;
pub mod errors;
mod events;
mod filter;
mod fleet;
mod health;
mod incoming;
mod name;
mod page;
mod sessions;
mod state;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use squall_proto::wire::FILE_DESCRIPTOR_SET;
#[cfg(feature = "doors")]
use squall_proto::wire::v1::fleet_service_server::FleetService;
use squall_proto::wire::v1::fleet_service_server::FleetServiceServer;
#[cfg(feature = "doors")]
use squall_proto::wire::v1::session_service_server::SessionService;
use squall_proto::wire::v1::session_service_server::SessionServiceServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Response, Status};

pub use self::caller::ACTOR_METADATA;
pub(crate) use self::convert::kind::kinds as experiment_types;
pub use self::incoming::{Peer, allow_many_files, incoming};

use self::errors::Error;
use self::fleet::Fleet;
use self::health::Ready;
use self::sessions::Sessions;
use self::watch::{Until, Watches};
use crate::journal::Journal;
use crate::replica::Handle;

/// Largest request, in bytes: a specification of 128 KiB with its names around it.
const REQUEST_BYTES_MAX: usize = 192 * 1024;
/// Largest answer, in bytes: a page of sessions with large specifications. Clients of gRPC take 4 MiB by default.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most calls at a time on one connection; further ones are told to come back.
const CALLS_MAX: usize = 128;
/// Most streams at a time on one connection, HTTP/2's own limit.
const STREAMS_MAX: u32 = 256;
/// Most watchers, over all connections.
const WATCHERS_MAX: usize = 1024;
/// Most readers of logs, over all connections: each is a consumer of the log, of which a stream takes about a thousand.
const READERS_MAX: usize = 64;
/// Longest call that is no stream: the longest wait for shims, and some.
const CALL_MAX: Duration = Duration::from_secs(330);
/// A silent peer is pinged after this time, and dropped if it doesn't answer.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for calls under way when the server ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Why the doors can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address that others can reach.
    #[error(
        "listen on {0}: others can reach it, and this version has neither TLS nor keys; listen on loopback (127.0.0.1:7070 \
         or [::1]:7070) and reach it through SSH or a proxy that knows its callers"
    )]
    NotLoopback(SocketAddr),
    /// The system refuses.
    #[error("listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Listens on a loopback address. Port 0 takes a free one.
///
/// # Errors
/// [`ListenError`]; also for any address that is not loopback.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let is_loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if !is_loopback {
        return Err(ListenError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| ListenError::Bind { address, source })
}

/// What every call needs.
#[derive(Clone)]
struct Doors {
    handle: Handle,
    journal: Arc<dyn Journal>,
    watches: Watches,
    ready: Ready,
    draining: CancellationToken,
    watchers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
}

impl Doors {
    fn new(
        handle: Handle,
        journal: Arc<dyn Journal>,
        ready: Ready,
        draining: CancellationToken,
    ) -> Self {
        Self {
            watches: Watches::new(handle.clone()),
            handle,
            journal,
            ready,
            draining,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        }
    }

    /// A place for one more watcher, and when it has to leave.
    fn watcher(&self, metadata: &MetadataMap) -> Result<Until, Error> {
        self.until(metadata, place(&self.watchers, "watchers", WATCHERS_MAX)?)
    }

    /// A place for one more reader of a log, and when it has to leave.
    fn reader(&self, metadata: &MetadataMap) -> Result<Until, Error> {
        self.until(metadata, place(&self.readers, "readers of logs", READERS_MAX)?)
    }

    fn until(&self, metadata: &MetadataMap, place: OwnedSemaphorePermit) -> Result<Until, Error> {
        let deadline = caller::deadline(metadata)?;
        Ok(Until { deadline, draining: self.draining.clone(), _place: place })
    }
}

fn place(
    places: &Arc<Semaphore>,
    what: &'static str,
    max: usize,
) -> Result<OwnedSemaphorePermit, Error> {
    Arc::clone(places).try_acquire_owned().map_err(|_| Error::TooMany { what, max })
}

/// An answer in pieces.
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn streamed<T, S>(stream: S) -> Response<Streamed<T>>
where
    S: Stream<Item = Result<T, Error>> + Send + 'static,
{
    Response::new(Box::pin(stream.map(|item| item.map_err(Status::from))))
}

/// Serves until `shutdown`, then lets calls under way end, streams at once, and returns.
///
/// # Errors
/// The transport's, when serving itself fails; a connection that fails is its own affair.
pub async fn serve<I, IO, E>(
    handle: Handle,
    journal: Arc<dyn Journal>,
    incoming: I,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (reporter, health) = tonic_health::server::health_reporter();
    let ready = health::report(handle.clone(), journal.clone(), reporter, shutdown.clone());
    let doors = Doors::new(handle, journal, ready, shutdown.clone());
    let sessions = SessionServiceServer::new(Sessions(doors.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let fleet = FleetServiceServer::new(Fleet(doors))
        .max_decoding_message_size(REQUEST_BYTES_MAX)
        .max_encoding_message_size(ANSWER_BYTES_MAX);
    let serving = Server::builder()
        .concurrency_limit_per_connection(CALLS_MAX)
        .load_shed(true)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(PING_AFTER))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .timeout(CALL_MAX)
        .add_service(health)
        .add_service(reflection().build_v1().expect("our own descriptors are whole"))
        .add_service(reflection().build_v1alpha().expect("our own descriptors are whole"))
        .add_service(sessions)
        .add_service(fleet)
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    tokio::select! {
        served = serving => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN_MAX).await } => {
            tracing::warn!(after = ?DRAIN_MAX, "calls were cut off: they did not end in time");
            Ok(())
        }
    }
}

/// See [`crate::doors::services`].
#[cfg(feature = "doors")]
pub(crate) fn over_nothing(journal: Arc<dyn Journal>) -> (impl SessionService, impl FleetService) {
    let doors = Doors::new(Handle::gone(), journal, Ready::at_once(), CancellationToken::new());
    (Sessions(doors.clone()), Fleet(doors))
}

/// What a client that knows nothing finds: our messages, and those in the details of our errors.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_doors_open_on_loopback_only() {
        for public in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let refused = listen(public.parse().unwrap()).await.expect_err("was opened");
            assert!(matches!(refused, ListenError::NotLoopback(_)), "{refused}");
            assert!(refused.to_string().contains("TLS"), "{refused}");
        }
        listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    }

    #[test]
    fn reflection_finds_every_message() {
        assert!(reflection().build_v1().is_ok() && reflection().build_v1alpha().is_ok());
    }
}
