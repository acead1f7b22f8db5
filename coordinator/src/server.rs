//! A whole coordinator, put together: the log, the connections, the replica.
//!
//! Everything is opened and checked here, before any door opens; the doors are the caller's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use squall_proto::vocabulary::id::ReplicaId;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine::Identity;
use crate::fleet::bus::{self, Bus};
use crate::journal::jetstream::{JetStream, OpenError, Settings};
use crate::journal::{Journal, LogFacts, ReadError};
use crate::replica::{self, Cadence, Handle, HostClock};

/// How often the log's servers are asked how they sync: one that is lazy says so at once, one that is busy takes up to 2 s.
const ASKS: usize = 3;
/// First and longest wait before they are asked again after that, one question at a time: soon for one that was away for a
/// moment, and seldom for one that is lazy and stays so.
const ASK_AGAIN_FIRST: Duration = Duration::from_secs(1);
const ASK_AGAIN_LONGEST: Duration = Duration::from_secs(60);

/// Why a coordinator could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log can't be opened.
    #[error("opening the log: {0}")]
    Journal(#[from] OpenError),
    /// The log's servers don't say what they are.
    #[error("asking the log what it is: {0}")]
    Facts(#[from] ReadError),
    /// The connections to the fleet can't be opened.
    #[error("opening the fleet's connections: {0}")]
    Bus(#[from] bus::Error),
}

/// A coordinator that runs.
pub struct Coordinator {
    /// Reaches its replica.
    pub handle: Handle,
    /// Its log.
    pub journal: Arc<dyn Journal>,
    /// What its log is, and how durable, when it was opened.
    pub facts: LogFacts,
    /// Its name among the replicas.
    pub replica: ReplicaId,
    /// Ends when it has stopped.
    pub task: JoinHandle<()>,
}

/// Opens the log, connects to the fleet, and starts a replica that runs until `shutdown`.
///
/// # Errors
/// [`Error`] says what could not be opened. Nothing runs then.
pub async fn start(settings: Settings, shutdown: CancellationToken) -> Result<Coordinator, Error> {
    let address = settings.address.clone();
    let journal: Arc<dyn Journal> = Arc::new(JetStream::open(settings).await?);
    let facts = facts(&*journal).await?;
    let replica = replica_id();
    let (bus, received) = Bus::open(&address, replica.clone()).await?;
    let log_is_synced = Arc::new(AtomicBool::new(facts.sync_always));
    let identity = Identity {
        replica: replica.clone(),
        log: facts.log_id.clone(),
        log_is_synced: Arc::clone(&log_is_synced),
        // All shims share one account so far: a subject says who speaks, but nothing keeps another one from using it.
        shims_are_vouched_for: false,
        seed: rand::random(),
    };
    let settings = replica::Settings {
        identity,
        journal: Arc::clone(&journal),
        bus,
        received,
        clock: Arc::new(HostClock),
        snapshots: Cadence::default(),
    };
    if !facts.sync_always {
        let known = ask_again(Arc::clone(&journal), log_is_synced);
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(known));
    }
    let (handle, task) = replica::run(settings, shutdown);
    Ok(Coordinator { handle, journal, facts, replica, task })
}

/// What the log is. Asked again while nobody says that it is written through: a server that was too busy to answer once
/// must not have every strict session refused for as long as this process lives.
async fn facts(journal: &dyn Journal) -> Result<LogFacts, ReadError> {
    let mut facts = journal.facts().await?;
    for _ in 1..ASKS {
        if facts.sync_always {
            break;
        }
        facts = journal.facts().await?;
    }
    Ok(facts)
}

/// Asks until every server that holds the log says that it writes through: one that is down now, or comes to the stream later,
/// must not have strict sessions refused for ever.
async fn ask_again(journal: Arc<dyn Journal>, log_is_synced: Arc<AtomicBool>) {
    let mut pause = ASK_AGAIN_FIRST;
    loop {
        sleep(pause).await;
        match journal.facts().await {
            Ok(facts) if facts.sync_always => break,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the log doesn't say what it is"),
        }
        pause = (pause * 2).min(ASK_AGAIN_LONGEST);
    }
    log_is_synced.store(true, Ordering::Relaxed);
    tracing::info!("every server of the log writes through: strict sessions may start");
}

/// New at each start, and sorted by it: what an old life of this process said is never taken for this one's.
fn replica_id() -> ReplicaId {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let unique = Uuid::new_v4().simple().to_string();
    ReplicaId::new(format!("{started:x}-{}", &unique[..12]))
        .expect("hexadecimal digits and a dash make a token")
}
