//! A log in memory or a real one, and replicas on it that say what they read of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::BoxStream;
use squall::engine::{Answer, Identity, Losses, Order, OrderError, OrderKind, Query, Stage};
use squall::fleet::bus::Bus;
use squall::journal::contract::Backend;
use squall::journal::jetstream::Address;
use squall::journal::memory::{Copies, Memory};
use squall::journal::{
    Append, AppendError, Appended, Journal, LogFacts, ReadError, SaveError, Snapshot, TailEvent,
};
use squall::replica::{self, Cadence, Handle, HostClock};
use squall_domain::lever::{Lever, Scope};
use squall_domain::session::{ClientCommand, Session};
use squall_proto::subject::{Partition, Subject, TenantSubject};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::{Incarnation, ReplicaId, SessionKey, ShimId};
use squall_proto::vocabulary::message::{CountRow, Evidence, Reply};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft,
};
use squall_proto::wire;
use squall_tests::coordinator::Site;
use squall_tests::speaker::Speaker;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backend::{Real, on_one_server, one_server};

/// Longest wait for anything: above the 20 s after which a shorter log is believed to be one.
const PATIENCE: Duration = Duration::from_secs(60);
const ALWAYS: Cadence = Cadence { records: 1, time: Duration::ZERO };
pub(super) const NEVER: Cadence = Cadence { records: u64::MAX / 2, time: Duration::ZERO };

/// A log, and a NATS beside it for the connections to shims.
pub(super) struct House {
    pub(super) log: Log,
    site: Site,
}

pub(super) enum Log {
    Memory(Memory),
    Real(Real),
}

impl House {
    pub(super) async fn in_memory() -> Self {
        let server = one_server().await;
        let memory = Memory::new("l1".parse().unwrap(), Copies::One);
        let urls = vec![server.account_url(server.take_account())];
        Self { log: Log::Memory(memory), site: Site { urls, monitoring: Vec::new(), copies: 1 } }
    }

    pub(super) async fn real() -> Self {
        let real = on_one_server().await;
        let urls = real.settings().address.servers;
        Self { log: Log::Real(real), site: Site { urls, monitoring: Vec::new(), copies: 1 } }
    }

    pub(super) async fn both() -> [Self; 2] {
        [Self::in_memory().await, Self::real().await]
    }

    pub(super) async fn journal(&self) -> Arc<dyn Journal> {
        match &self.log {
            Log::Memory(memory) => Arc::new(memory.clone()),
            Log::Real(real) => real.journal().await,
        }
    }

    async fn publish(&self, subject: Subject, bytes: Bytes) {
        match &self.log {
            Log::Memory(memory) => memory.publish_evidence(subject, bytes),
            Log::Real(real) => real.publish_evidence(subject, bytes).await,
        }
    }

    pub(super) async fn damage_snapshot(&self) {
        match &self.log {
            Log::Memory(memory) => memory.damage_snapshot(),
            Log::Real(real) => real.damage_snapshot().await,
        }
    }

    pub(super) async fn start(&self, cadence: Cadence) -> Replica {
        Replica::start(self, cadence, Sight::Clear).await
    }

    /// Another replica that is shown no snapshot.
    pub(super) async fn replay(&self) -> Replica {
        Replica::start(self, NEVER, Sight::NoSnapshots).await
    }

    /// Some life: permits, counters, an abort, and levers. Ends when a snapshot holds all of it; where that ends.
    pub(super) async fn live(&self) -> u64 {
        let replica = self.start(ALWAYS).await;
        replica.until_answering().await;
        let shim = Speaker::join(&self.site, "acme", 1).await.unwrap();
        replica.session("main", ClientCommand::Start).await;
        let granted = shim.ask(&key("main"), 1, 4).await.unwrap();
        assert!(matches!(granted, Reply::Grant(_)), "{granted:?}");
        replica.session("other", ClientCommand::Abort { reason: "enough".into() }).await;
        replica.engage("globex").await;
        let (subject, bytes) = evidence(&key("main"), shim.incarnation());
        self.publish(subject, bytes).await;
        let counted = async |replica: &Replica| {
            let state = replica.state().await;
            state.sessions.iter().any(|(_, applied, _)| *applied == 3).then_some(())
        };
        replica.wait("the counters", counted).await;
        // Evidence moves no position of the log: the next record brings it into a snapshot.
        replica.engage("initech").await;
        let state = replica.state().await;
        let last = state.levers.iter().map(|(_, lever)| lever.revision).max().unwrap();
        let kept = replica.wait("a snapshot", async |replica| replica.saved_after(last)).await;
        replica.stop().await;
        kept
    }
}

/// What a replica shows of its log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    /// Each session, what its shims applied, and how far its stop is.
    pub(super) sessions: Vec<(Session, u64, Stage)>,
    /// Each lever.
    pub(super) levers: Vec<(Scope, Lever)>,
    pub(super) losses: Losses,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    Clear,
    NoSnapshots,
}

/// A journal that remembers what was asked of it.
struct Watched {
    inner: Arc<dyn Journal>,
    sight: Sight,
    tails: Mutex<Vec<u64>>,
    saved: Mutex<Vec<u64>>,
}

impl Journal for Watched {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.inner.append(append)
    }

    fn tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        self.tails.lock().unwrap().push(after);
        self.inner.tail(after)
    }

    fn facts(&self) -> BoxFuture<'_, Result<LogFacts, ReadError>> {
        self.inner.facts()
    }

    fn evidence_tail(&self, after: u64) -> BoxStream<'static, TailEvent> {
        self.inner.evidence_tail(after)
    }

    fn last_sequence(&self) -> BoxFuture<'_, Result<u64, ReadError>> {
        self.inner.last_sequence()
    }

    fn save_snapshot(&self, snapshot: Snapshot) -> BoxFuture<'_, Result<(), SaveError>> {
        async move {
            let sequence = snapshot.sequence;
            self.inner.save_snapshot(snapshot).await?;
            self.saved.lock().unwrap().push(sequence);
            Ok(())
        }
        .boxed()
    }

    fn load_snapshot(&self) -> BoxFuture<'_, Result<Option<Snapshot>, ReadError>> {
        match self.sight {
            Sight::Clear => self.inner.load_snapshot(),
            Sight::NoSnapshots => std::future::ready(Ok(None)).boxed(),
        }
    }
}

pub(super) struct Replica {
    journal: Arc<Watched>,
    handle: Handle,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    async fn start(house: &House, snapshots: Cadence, sight: Sight) -> Self {
        let journal = Arc::new(Watched {
            inner: house.journal().await,
            sight,
            tails: Mutex::default(),
            saved: Mutex::default(),
        });
        let facts = journal.facts().await.unwrap();
        let replica = ReplicaId::new(format!("r-{:x}", rand::random::<u64>())).unwrap();
        let address = Address::of(house.site.urls.clone());
        let (bus, received) = Bus::open(&address, replica.clone()).await.unwrap();
        let identity = Identity {
            replica,
            log: facts.log_id,
            log_is_synced: Arc::new(facts.sync_always.into()),
            shims_are_vouched_for: false,
            // Append ids of replicas over one log have to differ.
            seed: rand::random(),
        };
        let (shutdown, clock) = (CancellationToken::new(), Arc::new(HostClock));
        let watched: Arc<dyn Journal> = Arc::clone(&journal) as _;
        let settings =
            replica::Settings { identity, journal: watched, bus, received, clock, snapshots };
        let (handle, task) = replica::run(settings, shutdown.clone());
        Self { journal, handle, shutdown, task }
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }

    /// Where its tails began.
    pub(super) fn tails(&self) -> Vec<u64> {
        self.journal.tails.lock().unwrap().clone()
    }

    fn saved_after(&self, sequence: u64) -> Option<u64> {
        self.journal.saved.lock().unwrap().iter().copied().find(|saved| *saved >= sequence)
    }

    pub(super) async fn wait<T>(&self, what: &str, look: impl AsyncFn(&Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self).await {
                return found;
            }
            assert!(Instant::now() < until, "waited in vain for {what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn health(&self) -> Result<(), String> {
        let Answer::Health(health) = self.handle.query(Query::Health).await.unwrap() else {
            panic!("no health")
        };
        health
    }

    pub(super) async fn until_answering(&self) {
        self.wait("a replica that answers", async |replica| replica.health().await.ok()).await;
    }

    pub(super) async fn order(&self, request: &str, kind: OrderKind) -> Result<(), OrderError> {
        let (request, actor) = (request.parse().unwrap(), "test".parse().unwrap());
        self.handle.order(Order { request, actor, kind }).await.map(drop)
    }

    pub(super) async fn engage(&self, tenant: &str) {
        let scope = Scope::Tenant(tenant.parse().unwrap());
        let engage = OrderKind::Engage { scope, reason: "drill".into() };
        self.order(&format!("engage-{tenant}"), engage).await.unwrap();
    }

    /// Creates a session and gives it a command.
    async fn session(&self, name: &str, command: ClientCommand) {
        let spec = Arc::new(draft().validate().unwrap());
        let create = OrderKind::Create { key: key(name), spec, digest: [1; 32] };
        self.order(&format!("create-{name}"), create).await.unwrap();
        let order = OrderKind::Session { key: key(name), command };
        self.order(&format!("command-{name}"), order).await.unwrap();
    }

    pub(super) async fn state(&self) -> State {
        // First of all: whoever sees what was lost sees the counters of the same evidence.
        let Answer::Fleet(fleet) = self.handle.query(Query::Fleet(None)).await.unwrap() else {
            panic!()
        };
        let all = Query::Sessions { tenant: None, phases: vec![], before: None, limit: 100 };
        let Answer::Sessions(views) = self.handle.query(all).await.unwrap() else { panic!() };
        let Answer::Halts(halts) = self.handle.query(Query::Halts).await.unwrap() else { panic!() };
        State {
            sessions: views
                .into_iter()
                .map(|view| (view.session, view.sums.total.applied, view.stage))
                .collect(),
            levers: halts.into_iter().map(|halt| (halt.scope, halt.lever)).collect(),
            losses: fleet.losses,
        }
    }

    /// Waits until it shows `wanted`: its owner may go on working while somebody looks.
    pub(super) async fn until_shows(&self, wanted: &State) {
        self.until_answering().await;
        let until = Instant::now() + PATIENCE;
        while self.state().await != *wanted {
            assert!(Instant::now() < until, "{:#?}\nis not\n{wanted:#?}", self.state().await);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn key(session: &str) -> SessionKey {
    SessionKey { tenant: "acme".parse().unwrap(), session: session.parse().unwrap() }
}

fn draft() -> SessionDraft {
    let latency = Some(LatencyDraft { fixed_ms: Some(100), ..Default::default() });
    let fault = FaultDraft { latency, ..Default::default() };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        safety: SafetyDraft {
            max_affected_requests: Some(10),
            max_outstanding: Some(10),
            ..Default::default()
        },
        ..Default::default()
    }
}

/// Three faults were applied, as the shim reports that was granted four permits.
fn evidence(session: &SessionKey, incarnation: Incarnation) -> (Subject, Bytes) {
    let (tenant, shim): (_, ShimId) = (session.tenant.clone(), "shim-1".parse().unwrap());
    let counts = Counts { seen: 9, chosen: 3, applied: 3, ..Counts::default() };
    let (experiment, agent) = ("latency".parse().unwrap(), "planner".parse().unwrap());
    let rows = vec![CountRow { session: session.clone(), experiment, agent, counts }];
    let (traces, samples) = (Vec::new(), Vec::new());
    let evidence = Evidence { incarnation, rows, traces, samples, samples_lost: 2 };
    let partition = Partition::of_session(session);
    let subject = Subject::Tenant { tenant, subject: TenantSubject::Evidence { shim, partition } };
    (subject, wire::encode_evidence(&evidence).into())
}
