//! Where calls are made, and whether an experiment can be applied there.
//!
//! The coordinator asks before a start, of what shims announced, and the shim asks again when it arms its sites: the same
//! functions, so that neither accepts what the other leaves out.

use super::blast_radius::BlastRadius;
use super::fault::{Fault, FaultKind};
use super::id::{AgentName, Environment, ToolName};
use super::named::Named;
use super::seam::{Seam, Unsupported};
use super::session::{Experiment, SessionSpec};
use super::target::{PercentageUnit, Probability, Target};

/// One agent calling one tool through one seam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Site<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// The tool or model.
    pub tool: &'a ToolName,
    /// The seam.
    pub seam: &'a Seam,
}

/// What a process's owner lets happen in it, as far as that leaves out whole experiments. (A cap on injections does not.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance<'a> {
    /// Where the process runs.
    pub environment: &'a Environment,
    /// Kinds of faults that are allowed.
    pub kinds: &'a [FaultKind],
    /// Longest time that a fault may hold a call, in milliseconds.
    pub max_delay_ms: u64,
}

/// Why an experiment can't be applied in a process, or at one of its sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The session does not take part in the process's environment.
    #[error("the target leaves this environment out")]
    Environment,
    /// The owner doesn't allow this kind of fault.
    #[error("the owner does not allow {}", .0.name())]
    Kind(FaultKind),
    /// The fault may hold a call longer than the owner allows.
    #[error("the fault may take {needed_ms} ms, the owner allows {max_ms} ms")]
    Delay {
        /// What the fault may take.
        needed_ms: u64,
        /// What the owner allows.
        max_ms: u64,
    },
    /// The target names other agents.
    #[error("the target does not match the agent")]
    Agent,
    /// The target names other tools.
    #[error("the target does not match the tool")]
    Tool,
    /// The seam can't apply the fault.
    #[error(transparent)]
    Seam(Unsupported),
    /// The session is bound or drawn by trace, and is never approximated.
    #[error("the session needs the trace of each call, which the seam doesn't know")]
    NoTrace,
}

impl Allowance<'_> {
    /// Whether a session may take part in the process at all.
    ///
    /// # Errors
    /// [`Obstacle::Environment`].
    pub fn admits(&self, target: &Target) -> Result<(), Obstacle> {
        require(target.allows(self.environment), Obstacle::Environment)
    }

    /// Whether the owner lets a fault happen.
    ///
    /// # Errors
    /// [`Obstacle::Kind`] or [`Obstacle::Delay`].
    pub fn lets(&self, fault: &Fault) -> Result<(), Obstacle> {
        let (needed_ms, max_ms) = (fault.longest_ms(), self.max_delay_ms);
        require(self.kinds.contains(&fault.kind()), Obstacle::Kind(fault.kind()))?;
        require(needed_ms <= max_ms, Obstacle::Delay { needed_ms, max_ms })
    }
}

impl Site<'_> {
    /// Whether an experiment of a session can be applied here.
    ///
    /// # Errors
    /// [`Obstacle::Agent`], [`Obstacle::Tool`], [`Obstacle::Seam`] or [`Obstacle::NoTrace`], the first of them.
    pub fn fits(&self, session: &SessionSpec, experiment: &Experiment) -> Result<(), Obstacle> {
        for selector in [&session.target.selector, &experiment.selector] {
            require(selector.matches_agent(self.agent), Obstacle::Agent)?;
        }
        for selector in [&session.target.selector, &experiment.selector] {
            require(selector.matches_tool(self.tool), Obstacle::Tool)?;
        }
        self.seam.supports(&experiment.fault).map_err(Obstacle::Seam)?;
        require(self.seam.capabilities.knows_trace || !needs_trace(session), Obstacle::NoTrace)
    }
}

fn require(fits: bool, obstacle: Obstacle) -> Result<(), Obstacle> {
    if fits { Ok(()) } else { Err(obstacle) }
}

/// Whether a session can't do without the trace of each call.
fn needs_trace(session: &SessionSpec) -> bool {
    let SessionSpec { target, safety, .. } = session;
    safety.blast_radius == BlastRadius::SingleTrace
        || safety.max_per_trace.is_some()
        || (target.percentage_unit == PercentageUnit::Trace && target.percentage < Probability::ONE)
}

#[cfg(test)]
mod tests;
