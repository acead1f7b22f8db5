//! Whom a session may hit.

use serde::{Deserialize, Serialize};

use super::id::{AgentName, Environment, TenantId, ToolName};
use super::named::names;

/// A number from 0 to 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

/// Why a number is not a probability.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("is {0}; allowed is 0 to 1")]
pub struct InvalidProbability(pub f64);

impl Probability {
    /// Always.
    pub const ONE: Self = Self(1.0);

    /// Checks and keeps `value`; NaN is refused.
    ///
    /// # Errors
    /// [`InvalidProbability`] for anything outside 0 to 1.
    pub fn new(value: f64) -> Result<Self, InvalidProbability> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(InvalidProbability(value)) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Probability {
    type Error = InvalidProbability;
    fn try_from(value: f64) -> Result<Self, InvalidProbability> {
        Self::new(value)
    }
}

impl From<Probability> for f64 {
    fn from(value: Probability) -> Self {
        value.0
    }
}

/// What a percentage is taken of; the choice is the same for the whole unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PercentageUnit {
    /// Single requests.
    Request,
    /// Whole traces.
    Trace,
    /// Whole agents.
    Agent,
}

names!(PercentageUnit { Request => "request", Trace => "trace", Agent => "agent" });

/// Names to match; an empty list matches every name.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Selector {
    /// Agents.
    pub agents: Vec<AgentName>,
    /// Tools and models.
    pub tools: Vec<ToolName>,
}

impl Selector {
    /// Whether both names match.
    #[must_use]
    pub fn matches(&self, agent: &AgentName, tool: &ToolName) -> bool {
        self.matches_agent(agent) && self.matches_tool(tool)
    }

    /// Whether the agent matches.
    #[must_use]
    pub fn matches_agent(&self, agent: &AgentName) -> bool {
        self.agents.is_empty() || self.agents.contains(agent)
    }

    /// Whether the tool matches.
    #[must_use]
    pub fn matches_tool(&self, tool: &ToolName) -> bool {
        self.tools.is_empty() || self.tools.contains(tool)
    }
}

/// Whom a session may hit. Each experiment narrows it further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Agents and tools.
    pub selector: Selector,
    /// Tenants of a `multi_tenant` session; empty otherwise.
    pub tenants: Vec<TenantId>,
    /// Share of units that is exposed at all.
    pub percentage: Probability,
    /// What the share is taken of.
    pub percentage_unit: PercentageUnit,
    /// Environments whose shims may take part; empty means every one but `production`.
    pub environments: Vec<Environment>,
}

impl Target {
    /// Whether shims in `environment` may take part.
    #[must_use]
    pub fn allows(&self, environment: &Environment) -> bool {
        if self.environments.is_empty() {
            *environment != Environment::production()
        } else {
            self.environments.contains(environment)
        }
    }
}
