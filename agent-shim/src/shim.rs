//! The handle that a host holds, and what it can do with it.

mod answer;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::id::{
    AgentName, ExperimentName, Incarnation, SessionKey, ShimId, TenantId, ToolName, TraceId,
};
use squall_proto::vocabulary::limits::CLAIM_WAIT;
use squall_proto::vocabulary::message::Close;
use squall_proto::vocabulary::seam::Seam;
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::time::BootNanos;
use squall_shim_core::link::{self, Identity, Link};
use squall_shim_core::{
    Call, Claim, Clock, Directive, Local, NotApplied, Outcome, Policy, Registry, Site, Verdict,
};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::bell::Bell;
use crate::clock::HostClock;
use crate::config::{Builder, Config, Error, Way, from_env};
use crate::fork;
use crate::journal::Journal;
use crate::mask::Masked;
use crate::nats::Nats;
use crate::timers::{Timers, Wait};
use crate::worker::{Desk, End, Failures, Nobody, Tools, Worker};

/// How long a wait goes on before it looks by itself whether it may: a tenth of what a stop may take
/// ([`CANCEL_GRACE`](squall_proto::vocabulary::limits::CANCEL_GRACE)). Nearly always it is told first.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The shim of a process without a coordinator: nobody hears its name.
const NOBODY: &str = "local";

/// Squall in this process. Cheap to clone; the last handle that goes gives every permit back.
///
/// Nothing in it fails the host: whatever goes wrong inside means that calls pass unchanged, and is counted
/// ([`Status`]). Nothing waits for a coordinator: without one there is no chaos.
#[derive(Clone)]
pub struct Shim(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    bell: Arc<Bell>,
    failures: Arc<Failures>,
    local: Option<Local>,
    config: Option<Config>,
    /// Of the copy of the process that the thread runs in.
    epoch: AtomicU32,
    desk: RwLock<Option<Arc<Desk>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How the shim is doing, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the owner opted in.
    pub enabled: bool,
    /// What the link knows; `None` if there is none: off, local, gone, or in a forked child.
    pub link: Option<link::Status>,
    /// Panics that were caught inside the shim.
    pub panics: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Messages that could not be sent.
    pub unsent: u64,
    /// Sites that were asked for beyond the bound; calls there pass.
    pub sites_refused: u64,
}

impl Shim {
    /// No chaos, ever.
    #[must_use]
    pub fn off() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(HostClock);
        let registry = Registry::new(Arc::clone(&clock), Policy::off(), Incarnation([0; 16]));
        Self(Arc::new(Inner::new(registry, clock, None, None)))
    }

    /// Sets a shim up in code. `shim` names this place for good: the same over restarts of the process.
    #[must_use]
    pub fn builder(tenant: TenantId, shim: ShimId) -> Builder {
        Builder::new(tenant, shim)
    }

    /// Sets a shim up by the environment. Without an opt-in this is [`Shim::off`].
    ///
    /// | Variable | Meaning | Default |
    /// |---|---|---|
    /// | `SQUALL_ENABLED` | `true` opts in, `false` does not, whatever the next one says | off |
    /// | `FEATURE_CHAOS_ENGINEERING` | `true` opts in too | off |
    /// | `SQUALL_ENVIRONMENT` | where the process runs | `production` |
    /// | `SQUALL_ALLOW` | allowed kinds and caps: `latency,error,max_injections=100,max_delay_ms=2000` | all kinds |
    /// | `SQUALL_TENANT` | who owns the agents; required once opted in | |
    /// | `SQUALL_SHIM` | name of this place, the same over restarts; see below | the machine's name |
    /// | `SQUALL_AGENTS` | agents that the process will have, with commas | those that are seen |
    /// | `SQUALL_NATS_URL` | servers, with commas; the first user and password in them count | `nats://127.0.0.1:4222` |
    /// | `SQUALL_NATS_CREDS` | credentials file | none |
    /// | `SQUALL_NATS_CA` | certificates of the servers' authority; demands TLS | the system's |
    /// | `SQUALL_SHARED_ACCOUNT` | `true`: one NATS account for all tenants, as in `squall dev` | if there are no credentials |
    /// | `SQUALL_JOURNAL` | file that remembers burned permits over a crash; one for each process | none |
    ///
    /// Processes may share a name, as those of one machine do by default. Every bound holds all the same, since each start of
    /// a process has a random life of its own, by which the coordinator tells them apart; people see only that life. Give
    /// each a `SQUALL_SHIM` to tell which is which. A process with a journal keeps its name over restarts: what its former
    /// life held is given back under that name. As long as a forked child outlives it, nobody can take the journal over.
    ///
    /// # Errors
    /// [`Error`] if a variable can't be understood. Chaos has to be off then:
    ///
    /// ```
    /// use squall_shim::Shim;
    ///
    /// let shim = Shim::from_env().unwrap_or_else(|error| {
    ///     eprintln!("chaos is off: {error}");
    ///     Shim::off()
    /// });
    /// assert!(!shim.status().enabled);
    /// ```
    pub fn from_env() -> Result<Self, Error> {
        from_env()?.map_or_else(|| Ok(Self::off()), Builder::start)
    }

    /// Chaos without any server, for tests: the first `max_affected` calls that the experiments choose. The same seed and
    /// request ids give the same choices. The bound reads "this process only": a forked child injects nothing.
    ///
    /// # Errors
    /// [`Error`] if the thread that ends delays can't be started, or forks can't be watched for.
    pub fn local(
        experiments: Vec<Experiment>,
        max_affected: u32,
        seed: u64,
    ) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(HostClock);
        let local = Local::new(Arc::clone(&clock), experiments, max_affected, seed);
        let registry = Arc::clone(local.registry());
        let shim = Self(Arc::new(Inner::new(registry, clock, Some(local), None)));
        fork::watch(shim.registry().guard()).map_err(|_| Error::Forks)?;
        shim.0.start_thread(Vec::new())?;
        Ok(shim)
    }

    pub(crate) fn start(config: Config) -> Result<Self, Error> {
        if !config.policy.enabled {
            return Ok(Self::off());
        }
        let clock: Arc<dyn Clock> = Arc::new(HostClock);
        let registry = Registry::new(Arc::clone(&clock), config.policy.clone(), new_life()?);
        let owed = match config.journal.clone() {
            Some(path) => {
                let opened = Journal::open(&path, registry.incarnation());
                let (journal, owed) = opened.map_err(|source| Error::Journal { path, source })?;
                registry.keep_journal(journal);
                owed
            }
            None => Vec::new(),
        };
        let shim = Self(Arc::new(Inner::new(registry, clock, None, Some(config))));
        fork::watch(shim.registry().guard()).map_err(|_| Error::Forks)?;
        shim.0.start_thread(owed)?;
        Ok(shim)
    }

    /// Where adapters get their sites.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.registry
    }

    /// The site of `agent` calling `tool` through `seam`. Keep it: looking it up takes a lock.
    #[must_use]
    pub fn site(&self, agent: &AgentName, tool: &ToolName, seam: &Seam) -> Arc<Site> {
        self.registry().site(agent, tool, seam)
    }

    /// What to do with a call, once a claim among the possible verdicts was waited for: 20 ms at most.
    pub async fn decide(&self, site: &Site, call: &Call<'_>) -> Option<Directive> {
        match self.caught(|| site.decide(call))? {
            Verdict::Pass => None,
            Verdict::Inject(directive) => Some(directive),
            Verdict::Claim(claim) => self.claim(claim).await,
        }
    }

    /// [`Shim::decide`] for a host without a runtime.
    pub fn decide_blocking(&self, site: &Site, call: &Call<'_>) -> Option<Directive> {
        match self.caught(|| site.decide(call))? {
            Verdict::Pass => None,
            Verdict::Inject(directive) => Some(directive),
            Verdict::Claim(claim) => self.claim_blocking(claim),
        }
    }

    /// Waits for a request's own permit, [`CLAIM_WAIT`] at most, and not at all while no coordinator answers. On any runtime.
    pub async fn claim(&self, claim: Claim) -> Option<Directive> {
        let until = self.0.clock.now().plus(CLAIM_WAIT);
        while !claim.is_ready() && self.0.clock.now() < until {
            let session = claim.live().key().clone();
            match self.0.wait(until, Some(session)) {
                Some(wait) => wait.signal.given().await,
                None => break,
            }
        }
        settled(self.caught(|| claim.settle()))
    }

    /// [`Shim::claim`] for a host without a runtime.
    pub fn claim_blocking(&self, claim: Claim) -> Option<Directive> {
        let until = self.0.clock.now().plus(CLAIM_WAIT);
        while !claim.is_ready() && self.0.clock.now() < until {
            let session = claim.live().key().clone();
            match self.0.wait(until, Some(session)) {
                Some(wait) => wait.signal.wait(until.since(self.0.clock.now())),
                None => break,
            }
        }
        settled(self.caught(|| claim.settle()))
    }

    /// Holds a call for as long as its directive says, on any runtime; ends early when the session is stopped, the lease
    /// ends, or the process was copied. Returns how long it was held: what [`Directive::applied`] wants to know.
    pub async fn delay(&self, directive: &mut Directive) -> Duration {
        let Some(mut hold) = Hold::begin(&self.0, directive) else { return Duration::ZERO };
        while let Some(wait) = hold.next(directive) {
            wait.signal.given().await;
        }
        hold.time()
    }

    /// [`Shim::delay`] for a host without a runtime: blocks the thread.
    pub fn delay_blocking(&self, directive: &mut Directive) -> Duration {
        let Some(mut hold) = Hold::begin(&self.0, directive) else { return Duration::ZERO };
        while let Some(wait) = hold.next(directive) {
            wait.signal.wait(LOOK_EVERY);
        }
        hold.time()
    }

    /// The host's word on how a trace ended. Without it the outcome is inferred from the trace's calls.
    pub fn outcome(&self, trace: &TraceId, outcome: Outcome) {
        self.caught(|| self.registry().outcome(trace, outcome));
    }

    /// The owner's kill switch: no more chaos in this process, for good.
    pub fn kill(&self) {
        self.caught(|| self.registry().kill());
        if let Some(desk) = self.0.desk() {
            desk.timers.wake_held();
        }
    }

    /// Starts again in a forked child: another incarnation, no permits, a thread and a connection of its own. Call it in
    /// the child, before its first threads; until then the child is without chaos.
    ///
    /// # Errors
    /// [`Error::ForkedMidway`] if another thread was changing the shim when the process forked: then the child stays
    /// without chaos. [`Error::Thread`] or [`Error::Random`] likewise.
    pub fn after_fork(&self) -> Result<(), Error> {
        self.0.after_fork()
    }

    /// A local shim starts again: all permits, counters at zero, the same choices. Others are left as they are, and so is
    /// one in a forked child before [`Shim::after_fork`].
    pub fn reset(&self) {
        if let Some(local) = self.0.local.as_ref().filter(|_| self.0.is_ours()) {
            self.caught(|| local.reset());
        }
    }

    /// The counters of a local shim's experiments; empty for others.
    #[must_use]
    pub fn counts(&self) -> Vec<(ExperimentName, Counts)> {
        self.0.local.as_ref().map(Local::counts).unwrap_or_default()
    }

    /// How the shim is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let link = self
            .0
            .desk()
            .and_then(|desk| desk.status.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let failures = &self.0.failures;
        Status {
            enabled: self.registry().policy().enabled,
            link,
            panics: failures.panics.load(Ordering::Relaxed),
            unreadable: failures.unreadable.load(Ordering::Relaxed),
            unsent: failures.unsent.load(Ordering::Relaxed),
            sites_refused: self.registry().sites_refused(),
        }
    }

    /// Gives every permit back, waits half a second at most for that to be acknowledged, and ends chaos in this process.
    /// Blocks; dropping the last handle does the same without waiting.
    pub fn shut_down(&self) {
        // In a forked child there is no thread, and whoever held a lock is not there either.
        if !self.0.is_ours() {
            return;
        }
        self.0.bell.leave();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that panicked has ended all the same.
            let _ = thread.join();
        }
    }

    /// Does a piece of a fault's work. A panic in it is a fault of the shim, and none of the host's business.
    #[cfg(any(feature = "rmcp", feature = "tower"))]
    pub(crate) fn unharmed<T>(
        &self,
        work: impl FnOnce() -> Result<T, NotApplied>,
    ) -> Result<T, NotApplied> {
        self.caught(work).unwrap_or(Err(NotApplied::Adapter))
    }

    /// A panic of ours is counted, and means that nothing is done.
    fn caught<T>(&self, what: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(what));
        if result.is_err() {
            self.0.failures.panics.fetch_add(1, Ordering::Relaxed);
        }
        result.ok()
    }
}

impl fmt::Debug for Shim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shim").field("status", &self.status()).finish_non_exhaustive()
    }
}

fn settled(verdict: Option<Verdict>) -> Option<Directive> {
    match verdict {
        Some(Verdict::Inject(directive)) => Some(directive),
        Some(Verdict::Pass | Verdict::Claim(_)) | None => None,
    }
}

/// One hold of one call.
struct Hold<'a> {
    inner: &'a Arc<Inner>,
    start: BootNanos,
    until: BootNanos,
}

impl<'a> Hold<'a> {
    fn begin(inner: &'a Arc<Inner>, directive: &mut Directive) -> Option<Self> {
        let time = directive.hold();
        if time.is_zero() {
            return None;
        }
        directive.engage();
        let start = inner.clock.now();
        Some(Self { inner, start, until: start.plus(time) })
    }

    /// What to wait for next; `None` when the hold is over.
    fn next(&mut self, directive: &Directive) -> Option<Wait> {
        let now = self.inner.clock.now();
        if now >= self.until || !directive.is_live() {
            return None;
        }
        self.inner.wait(self.until.min(now.plus(LOOK_EVERY)), None)
    }

    fn time(&self) -> Duration {
        self.inner.clock.now().since(self.start)
    }
}

/// The work of the shim's thread.
fn run(runtime: Runtime, worker: impl Future<Output = ()>) {
    runtime.block_on(worker);
    // The look-up of a server's name can't be given up, and takes a minute where nobody answers: it is left behind.
    runtime.shutdown_background();
}

/// A life that no other process has: from the operating system, since a forked child shares every generator's state.
fn new_life() -> Result<Incarnation, Error> {
    let mut life = [0; 16];
    SysRng.try_fill_bytes(&mut life).map_err(|_| Error::Random)?;
    Ok(Incarnation(life))
}

impl Inner {
    fn new(
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        local: Option<Local>,
        config: Option<Config>,
    ) -> Self {
        let epoch = AtomicU32::new(registry.guard().epoch());
        let bell = Arc::new(Bell::default());
        registry.wake_with(Arc::clone(&bell) as Arc<dyn squall_shim_core::Wake>);
        Self {
            registry,
            clock,
            bell,
            failures: Arc::default(),
            local,
            config,
            epoch,
            desk: RwLock::default(),
            thread: Mutex::default(),
        }
    }

    /// Whether this is the copy of the process that the thread runs in.
    fn is_ours(&self) -> bool {
        self.registry.guard().epoch() == self.epoch.load(Ordering::Acquire)
    }

    /// `None` also when a fork left the lock held: then nothing in this copy may wait for it.
    fn desk(&self) -> Option<Arc<Desk>> {
        if !self.is_ours() {
            return None;
        }
        self.desk.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wait(&self, until: BootNanos, claim: Option<SessionKey>) -> Option<Wait> {
        self.desk()?.timers.add(until, claim)
    }

    fn after_fork(&self) -> Result<(), Error> {
        if self.is_ours() || (self.local.is_none() && self.config.is_none()) {
            return Ok(());
        }
        let life = new_life()?;
        self.registry.renew(life).map_err(|_| Error::ForkedMidway)?;
        // The parent's thread is not here: its handle is of no use, and must not be joined.
        let mut thread = self.thread.try_lock().map_err(|_| Error::ForkedMidway)?;
        std::mem::forget(thread.take());
        drop(thread);
        if let Some(local) = &self.local {
            local.reset();
        }
        self.start_thread(Vec::new())
    }

    /// Starts the thread, which closes what a dead process before this one owed.
    fn start_thread(&self, owed: Vec<Close>) -> Result<(), Error> {
        let listener = self.bell.listen().ok_or(Error::ForkedMidway)?;
        let desk = Arc::new(Desk {
            bell: Arc::clone(&self.bell),
            timers: Timers::new(Arc::clone(&self.bell)),
            failures: Arc::clone(&self.failures),
            status: Mutex::default(),
        });
        let mut held = self.desk.try_write().map_err(|_| Error::ForkedMidway)?;
        let old = held.replace(Arc::clone(&desk));
        drop(held);
        // Of the parent, with whatever locks it held.
        std::mem::forget(old);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)?;
        let worker = self.worker(desk, listener, owed)?;
        let masked = Masked::begin();
        let thread = thread::Builder::new()
            .name("squall-shim".to_owned())
            .spawn(move || run(runtime, worker))
            .map_err(Error::Thread)?;
        drop(masked);
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        self.epoch.store(self.registry.guard().epoch(), Ordering::Release);
        Ok(())
    }

    fn worker(
        &self,
        desk: Arc<Desk>,
        listener: Arc<Notify>,
        owed: Vec<Close>,
    ) -> Result<impl Future<Output = ()> + Send + 'static, Error> {
        let mut seed = [0; 8];
        SysRng.try_fill_bytes(&mut seed).map_err(|_| Error::Random)?;
        let policy = self.registry.policy();
        let identity = Identity {
            incarnation: self.registry.incarnation(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            environment: policy.environment.clone(),
            allowed: policy.allowed.clone(),
            max_delay_ms: policy.max_delay_ms,
            agents: self.config.as_ref().map(|config| config.agents.clone()).unwrap_or_default(),
        };
        let mut link = Link::new(identity, u64::from_le_bytes(seed));
        owed.into_iter().for_each(|close| link.owe(close));
        let registry = Arc::clone(&self.registry);
        let life = registry.incarnation();
        let clock = Arc::clone(&self.clock);
        let (tenant, shim, way) = match self.config.clone() {
            Some(config) => (config.tenant, config.shim, Some(config.way)),
            None => (TenantId::fleet(), ShimId::new(NOBODY).expect("`local` is a token"), None),
        };
        Ok(async move {
            let _end = End(Arc::clone(&desk), Arc::clone(&registry));
            let plane = registry;
            let tools = Tools { link, plane, clock, desk, listener, tenant, shim };
            match way {
                None => Worker::run(Nobody, tools).await,
                Some(Way::Pipe(pipe)) => match pipe.take() {
                    Some(wire) => Worker::run(wire, tools).await,
                    None => Worker::run(Nobody, tools).await,
                },
                Some(Way::Nats(address)) => match Nats::connect(&address, life).await {
                    Ok(wire) => Worker::run(wire, tools).await,
                    Err(error) => tracing::error!(%error, "no chaos in this process"),
                },
            }
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.is_ours() {
            self.bell.leave();
            fork::forget(self.registry.guard());
        } else {
            // Of the parent: where its thread was, another one of this process may be.
            let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(thread.take());
        }
    }
}

#[cfg(test)]
mod tests;
