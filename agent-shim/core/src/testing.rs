//! What this crate's tests are built from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::fault::{Delay, Fault, Latency};
use squall_proto::vocabulary::id::{
    AgentName, Environment, ExperimentName, Incarnation, SessionId, SessionKey, TenantId, ToolName,
    TraceId,
};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::{Experiment, SessionSpec};
use squall_proto::vocabulary::target::{Probability, Selector};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use crate::clock::Clock;
use crate::draw::RequestKey;
use crate::live::Live;
use crate::plan::ActiveSession;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::site::{Call, Site};

pub(crate) const NEVER: BootNanos = BootNanos(u64::MAX);

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct StillClock(AtomicU64);

impl StillClock {
    pub(crate) fn forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> BootNanos {
        BootNanos(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst) / 1_000_000)
    }
}

/// A process with a registry, a lease that never ends, and a clock that stands still.
pub(crate) struct Process {
    pub(crate) clock: Arc<StillClock>,
    pub(crate) registry: Arc<Registry>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self::with(Policy::all(Environment::new("test").unwrap()))
    }

    pub(crate) fn with(policy: Policy) -> Self {
        let clock = Arc::new(StillClock::default());
        clock.forward(Duration::from_secs(1));
        let registry =
            Registry::new(Arc::clone(&clock) as Arc<dyn Clock>, policy, Incarnation([7; 16]));
        registry.lease().extend(NEVER);
        Self { clock, registry }
    }

    pub(crate) fn site(&self, agent: &str, tool: &str) -> Arc<Site> {
        self.registry.site(&self::agent(agent), &self::tool(tool), &seam(Point::Tool, Shape::Json))
    }

    pub(crate) fn counts(&self, session: &str, experiment: &str) -> Counts {
        let rows = self.registry.counts().into_iter();
        rows.filter(|r| {
            r.session.session.as_str() == session && r.experiment.as_str() == experiment
        })
        .fold(Counts::default(), |sum, row| sum.plus(row.counts))
    }

    pub(crate) fn live(&self, session: &str) -> Arc<Live> {
        self.registry.session(&key(session)).unwrap()
    }
}

/// Puts permits for anything, for ever, into a session's wallet.
pub(crate) fn grant(live: &Live, req_no: u64, permits: u32) {
    live.wallet().install(req_no, permits, GrantScope::default(), NEVER, NEVER).unwrap();
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub(crate) fn tool(name: &str) -> ToolName {
    ToolName::new(name).unwrap()
}

pub(crate) fn trace(name: &str) -> TraceId {
    TraceId::new(name).unwrap()
}

pub(crate) fn key(session: &str) -> SessionKey {
    let (tenant, session) = (TenantId::new("acme").unwrap(), SessionId::new(session).unwrap());
    SessionKey { tenant, session }
}

pub(crate) fn call(request: &str) -> Call<'static> {
    Call { request: RequestKey::of(request), trace: None }
}

pub(crate) fn seam(point: Point, shape: Shape) -> Seam {
    Seam { name: String::from("test"), point, shape, capabilities: Capabilities::ALL }
}

pub(crate) fn latency(ms: u64) -> Fault {
    Fault::Latency(Latency { delay: Delay::Fixed { ms } })
}

pub(crate) fn experiment(name: &str, fault: Fault, probability: f64) -> Experiment {
    Experiment {
        name: ExperimentName::new(name).unwrap(),
        fault,
        probability: Probability::new(probability).unwrap(),
        selector: Selector::default(),
    }
}

/// A session for every environment but production.
pub(crate) fn spec(experiments: Vec<Experiment>) -> SessionSpec {
    let mut spec = crate::local::spec(experiments, 1_000, &Environment::production());
    spec.target.environments.clear();
    spec
}

pub(crate) fn session(name: &str, spec: SessionSpec) -> ActiveSession {
    ActiveSession { key: key(name), spec: Arc::new(spec), seed: 1, running: true }
}
