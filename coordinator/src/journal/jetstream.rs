//! The journal in NATS JetStream: docs/nats.md's streams, with its pitfalls handled here and nowhere else.
//!
//! One connection carries the log, another the evidence, so that a burst of evidence never stands before an append's
//! answer. Streams are made if they are missing and refused if they are not ours.
//!
//! Not here: what records mean ([`super::codec`]), and connections to shims.

mod append;
mod connect;
mod snapshots;
mod streams;
mod tail;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::{Context, ContextBuilder};
use async_nats::jetstream::stream;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use squall_proto::subject::LOG_STREAM;
use squall_proto::vocabulary::id::LogId;
use tokio::time::{Instant, sleep};

pub(crate) use connect::is_supported;
pub use connect::{Address, ConnectError, Connection};
pub use streams::{Difference, ID_KEY, SCHEMA_KEY};
pub use witness::{Witness, fetch_varz};

use super::{
    Append, AppendError, Appended, Journal, LogFacts, ReadError, SaveError, Snapshot, TailEvent,
};

/// Longest wait for an answer of JetStream's API: far above its usual millisecond, below half of a failover, so that
/// the next try meets the new leader.
const API_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest time for finding or making the streams: two elections.
const ENSURE_WITHIN: Duration = Duration::from_secs(20);
/// Wait before asking again for a stream that nobody answers for.
const ENSURE_AGAIN: Duration = Duration::from_millis(200);

/// What a JetStream journal needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the control plane's account is.
    pub address: Address,
    /// Who can say how the servers sync; without a witness a log is never "always synced".
    pub witness: Witness,
    /// Copies of each stream: 3 in production, 1 in `squall dev`.
    pub replicas: usize,
    /// Longest time for one append, its retries for want of a stream included. Beyond a lease (3 s) its answer is of no use.
    pub append_timeout: Duration,
    /// Room for the log in bytes; `None` leaves it to the account's limits. Full means that appends are refused.
    pub log_bytes_max: Option<u64>,
    /// Room for the evidence in bytes; the oldest goes first.
    pub evidence_bytes_max: u64,
    /// Room for snapshots in bytes: the kept one, the one being written, and what a crash left behind.
    pub snapshots_bytes_max: u64,
}

impl Settings {
    /// What production uses, on the NATS at `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            witness: Witness::default(),
            replicas: 3,
            append_timeout: Duration::from_secs(3),
            log_bytes_max: None,
            evidence_bytes_max: 1 << 30,
            snapshots_bytes_max: 256 << 20,
        }
    }
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server is too old, or cannot take our records.
    #[error("NATS server {version} at {server:?} is of no use: {why}")]
    Server {
        /// Its name.
        server: String,
        /// Its version.
        version: String,
        /// What it lacks.
        why: String,
    },
    /// A stream has our name but is not ours, or breaks a guarantee.
    #[error("stream {stream} exists but is not usable: {}", list(.differences))]
    Foreign {
        /// Its name.
        stream: String,
        /// Everything that is wrong with it.
        differences: Vec<Difference>,
    },
    /// JetStream didn't answer, or lacked servers for it, for the time of two elections.
    #[error("{step} {stream}: {why}")]
    Unanswered {
        /// What was tried.
        step: &'static str,
        /// With which stream.
        stream: String,
        /// What came back.
        why: String,
    },
    /// JetStream refused.
    #[error("{step} {stream}: {why}")]
    Refused {
        /// What was tried.
        step: &'static str,
        /// With which stream.
        stream: String,
        /// What came back.
        why: String,
    },
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The journal in JetStream. Cheap to clone.
#[derive(Clone)]
pub struct JetStream {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    log: Connection,
    log_api: Context,
    log_id: LogId,
    evidence_api: Context,
    evidence_id: LogId,
}

impl JetStream {
    /// Connects, and makes the streams unless they are there.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing was changed if a stream was refused.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        let log = Connection::open(&settings.address, "squall journal").await?;
        log.check_server()?;
        let evidence = Connection::open(&settings.address, "squall evidence").await?;
        let (log_api, evidence_api) = (api(&log), api(&evidence));
        let (log_id, evidence_id) = ensure(&log_api, &evidence_api, &settings).await?;
        let shared = Shared { settings, log, log_api, log_id, evidence_api, evidence_id };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Identity of the log that was opened.
    #[must_use]
    pub fn log_id(&self) -> &LogId {
        &self.shared.log_id
    }

    async fn read_facts(&self) -> Result<LogFacts, ReadError> {
        let Shared { settings, log, log_api, log_id, .. } = &*self.shared;
        let info = stream_info(log_api, LOG_STREAM).await?;
        let server = log.client().server_info();
        let holders = witness::holders(&info, &server.server_name);
        Ok(LogFacts {
            log_id: streams::id_of(&info.config).unwrap_or_else(|| log_id.clone()),
            server_version: server.version,
            sync_always: settings.witness.all_sync_always(&holders).await,
            replicas: info.config.num_replicas,
            first_sequence: info.state.first_sequence.max(1),
            last_sequence: info.state.last_sequence,
        })
    }
}

/// Finds or makes everything. Asks again as long as nobody answers: while another replica makes a stream, or its leader
/// is elected, there is silence; and a cluster that just started lacks servers.
async fn ensure(
    log_api: &Context,
    evidence_api: &Context,
    settings: &Settings,
) -> Result<(LogId, LogId), OpenError> {
    let until = Instant::now() + ENSURE_WITHIN;
    loop {
        let all = async {
            let log_id = streams::ensure(log_api, streams::log(settings)).await?;
            let evidence_id = streams::ensure(evidence_api, streams::evidence(settings)).await?;
            snapshots::ensure(evidence_api, settings).await?;
            Ok((log_id, evidence_id))
        };
        match all.await {
            Err(OpenError::Unanswered { .. }) if Instant::now() < until => {
                sleep(ENSURE_AGAIN).await
            }
            result => return result,
        }
    }
}

fn api(connection: &Connection) -> Context {
    ContextBuilder::new().timeout(API_TIMEOUT).build(connection.client().clone())
}

async fn stream_info(api: &Context, stream: &'static str) -> Result<stream::Info, ReadError> {
    let failed = |why: String| ReadError { what: stream, why };
    let stream = api.get_stream(stream).await.map_err(|error| failed(chain(&error)))?;
    Ok(stream.cached_info().clone())
}

/// An error with everything that caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // async-nats prints some sources itself.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Journal for JetStream {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let Shared { settings, log, .. } = &*self.shared;
        append::append(log, append, settings.append_timeout).boxed()
    }

    fn tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        let Shared { log_api, log_id, .. } = &*self.shared;
        tail::start(log_api.clone(), tail::Kind::Log, log_id.clone(), after)
    }

    fn facts(&self) -> BoxFuture<'_, Result<LogFacts, ReadError>> {
        self.read_facts().boxed()
    }

    fn evidence_tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        let Shared { settings, evidence_api, evidence_id, .. } = &*self.shared;
        let kind = tail::Kind::Evidence(Box::new(streams::evidence(settings)));
        tail::start(evidence_api.clone(), kind, evidence_id.clone(), after)
    }

    fn last_sequence(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        let info = stream_info(&self.shared.log_api, LOG_STREAM);
        info.map(|info| Ok(info?.state.last_sequence)).boxed()
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SaveError>> {
        let Shared { evidence_api, log_id, .. } = &*self.shared;
        snapshots::save(evidence_api, log_id, snapshot).boxed()
    }

    fn load_snapshot(&self) -> BoxFuture<'_, Result<Option<Snapshot>, ReadError>> {
        let Shared { evidence_api, log_id, .. } = &*self.shared;
        snapshots::load(evidence_api, log_id).boxed()
    }
}
