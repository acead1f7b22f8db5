//! A session's specification: as a person wrote it ([`SessionDraft`]), and as it is once everything was checked ([`SessionSpec`]).

mod as_written;
mod draft;
mod validate;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use draft::{
    DelayDraft, ErrorCodesDraft, ExperimentDraft, FaultDraft, LatencyDraft, MalformedOutputDraft,
    RateDraft, SafetyDraft, SessionDraft, TargetDraft, ToolUnavailableDraft, TruncationDraft,
    UncooperativeDraft,
};

use super::blast_radius::Safety;
use super::fault::Fault;
use super::id::{AgentName, ExperimentName, ToolName};
use super::limits::CANCEL_GRACE;
use super::target::{Probability, Selector, Target};

/// One experiment: a fault, a target, a probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Unique in the session.
    pub name: ExperimentName,
    /// What happens.
    pub fault: Fault,
    /// How often, of the calls that match.
    pub probability: Probability,
    /// Narrows the session's target.
    pub selector: Selector,
}

/// A checked specification. A call that several experiments choose gets the first of them, in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Title for people; may be empty.
    pub title: String,
    /// 1 to 100 experiments with different names.
    pub experiments: Vec<Experiment>,
    /// Whom the session may hit.
    pub target: Target,
    /// The bounds.
    pub safety: Safety,
}

impl SessionSpec {
    /// `D`: the longest time that any fault of the session holds a call, with the time that ending it takes.
    #[must_use]
    pub fn longest_fault(&self) -> Duration {
        let longest_ms = self.experiments.iter().map(|e| e.fault.longest_ms()).max().unwrap_or(0);
        Duration::from_millis(longest_ms) + CANCEL_GRACE
    }

    /// Whether any experiment may hit this agent calling this tool.
    #[must_use]
    pub fn may_hit(&self, agent: &AgentName, tool: &ToolName) -> bool {
        self.target.selector.matches(agent, tool)
            && self.experiments.iter().any(|e| e.selector.matches(agent, tool))
    }
}
