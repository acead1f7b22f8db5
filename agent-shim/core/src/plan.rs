//! The plan as the core takes it, and what became of it.

use std::sync::Arc;

use squall_proto::vocabulary::id::{ExperimentName, SessionKey};
use squall_proto::vocabulary::plan::PlanSession;
use squall_proto::vocabulary::session::SessionSpec;
use squall_proto::vocabulary::site::Obstacle;

use crate::live::Live;

/// A session to take part in.
#[derive(Clone, Debug, PartialEq)]
pub struct ActiveSession {
    /// The session.
    pub key: SessionKey,
    /// What it does.
    pub spec: Arc<SessionSpec>,
    /// Seed of all draws.
    pub seed: u64,
    /// Whether it injects at the moment; a paused session keeps its counters and arms nothing.
    pub running: bool,
}

impl From<&PlanSession> for ActiveSession {
    fn from(session: &PlanSession) -> Self {
        let PlanSession { key, spec, seed, running, age: _, remaining: _, phi0: _, dry: _ } =
            session;
        Self { key: key.clone(), spec: Arc::clone(spec), seed: *seed, running: *running }
    }
}

/// What [`Registry::install`](crate::Registry::install) did.
#[derive(Debug, Default)]
pub struct Installed {
    /// The sessions of the plan that this process takes part in, in the plan's order.
    pub live: Vec<Arc<Live>>,
    /// What was left out, and why. Nothing is left out in silence.
    pub unarmed: Vec<Unarmed>,
}

/// A part of the plan that stays unarmed in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unarmed {
    /// The session.
    pub session: SessionKey,
    /// The experiment; `None` for all of them.
    pub experiment: Option<ExperimentName>,
    /// The seam; `None` for all of them.
    pub seam: Option<String>,
    /// Why.
    pub why: WhyUnarmed,
}

/// Why something stays unarmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyUnarmed {
    /// The process did not opt in, or its kill switch was used.
    #[error("chaos is off in this process")]
    Off,
    /// What the coordinator could have known before the start.
    #[error(transparent)]
    Obstacle(Obstacle),
    /// More sessions than the shim takes part in at once.
    #[error("more sessions are live than one shim takes part in")]
    Sessions,
    /// More rules than a site holds.
    #[error("more experiments match than one site holds")]
    Rules,
}
