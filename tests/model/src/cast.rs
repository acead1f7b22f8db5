//! Who takes part, and under which bounds.
//!
//! Not here: which of it a configuration uses.

use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{
    AgentName, AppendId, Environment, Holder, Incarnation, LogId, SessionId, SessionKey, ShimId,
    TenantId, TraceId,
};
use squall_proto::vocabulary::message::ScopeKeys;
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec,
};
use squall_shim_core::link::Identity;

/// The tenant that most configurations are about.
pub const ACME: &str = "acme";
/// Another one.
pub const GLOBEX: &str = "globex";

/// A call that is chosen: its agent and its trace. Its place in the list of its seat makes its request.
pub type Wish = (&'static str, Option<&'static str>);

/// Where processes of one shim live, one after the other or forked from each other.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Whose.
    pub tenant: &'static str,
    /// Its name.
    pub shim: &'static str,
    /// The calls that are chosen in it.
    pub wishes: &'static [Wish],
    /// How often a chosen call finds no permit and wants some, in each process.
    pub asks: u8,
    /// How many processes there are in all.
    pub lives: u8,
    /// Whether processes die, also where no other life follows.
    pub mortal: bool,
}

impl Seat {
    /// A seat of one process whose one agent asks once.
    #[must_use]
    pub fn new(shim: &'static str) -> Self {
        Self { tenant: ACME, shim, wishes: &[("planner", None)], asks: 1, lives: 1, mortal: false }
    }

    /// Whoever holds permits in its `life`th process, counted from 1.
    #[must_use]
    pub fn holder(&self, life: u8) -> Holder {
        let shim = ShimId::new(self.shim).expect("names of the cast are tokens");
        Holder { tenant: tenant(self.tenant), shim, incarnation: self.incarnation(life) }
    }

    /// The name of that life: its number, and what no other shim's has.
    #[must_use]
    pub fn incarnation(&self, life: u8) -> Incarnation {
        let mut bytes = [self.shim.as_bytes()[0]; 16];
        bytes[0] = life;
        Incarnation(bytes)
    }

    /// What the link of that process says of itself.
    #[must_use]
    pub fn identity(&self, life: u8) -> Identity {
        Identity {
            incarnation: self.incarnation(life),
            version: "model".to_owned(),
            environment: Environment::new("staging").expect("names of the cast are tokens"),
            allowed: vec![FaultKind::Latency],
            max_delay_ms: 60_000,
            agents: Vec::new(),
        }
    }

    /// The keys of one of its chosen calls.
    #[must_use]
    pub fn keys(&self, wish: usize) -> ScopeKeys {
        let (agent, trace) = self.wishes[wish];
        ScopeKeys {
            agent: AgentName::new(agent).expect("names of the cast are names"),
            trace: trace.map(|name| TraceId::new(name).expect("names of the cast are names")),
            request: wish as u64 + 1,
        }
    }
}

/// A session of latency faults that last `longest` each, with this budget, over these tenants if any are named.
#[must_use]
pub fn spec(
    budget: u32,
    tenants: &[&str],
    longest: Duration,
    change: impl FnOnce(&mut SafetyDraft),
) -> Arc<SessionSpec> {
    let fixed_ms = u64::try_from(longest.as_millis()).ok();
    let latency = LatencyDraft { fixed_ms, ..LatencyDraft::default() };
    let fault = FaultDraft { latency: Some(latency), ..FaultDraft::default() };
    let mut draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        ..SessionDraft::default()
    };
    draft.safety.max_affected_requests = Some(budget);
    draft.safety.max_outstanding = Some(budget);
    draft.safety.max_duration_s = Some(100_000);
    if !tenants.is_empty() {
        draft.safety.blast_radius = Some("multi_tenant".to_owned());
        draft.target.tenants = tenants.iter().map(ToString::to_string).collect();
    }
    change(&mut draft.safety);
    Arc::new(draft.validate().expect("the cast keeps to what is allowed"))
}

/// Where the session lives.
#[must_use]
pub fn key_of(spec: &SessionSpec) -> SessionKey {
    let tenant = if spec.target.tenants.is_empty() { tenant(ACME) } else { TenantId::fleet() };
    SessionKey { tenant, session: SessionId::new("s").expect("names of the cast are tokens") }
}

/// A tenant of the cast.
#[must_use]
pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("names of the cast are tokens")
}

/// The log that everything is about.
#[must_use]
pub fn log_id() -> LogId {
    LogId::new("log").expect("names of the cast are tokens")
}

/// An append's id. Random in the world; here what is appended makes it, so that equal states are equal.
#[must_use]
pub fn append_id(number: u64) -> AppendId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    AppendId(bytes)
}
