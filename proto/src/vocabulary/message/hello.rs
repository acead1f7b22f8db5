//! What a process announces: who is in it, where faults can be applied, and what its owner lets happen.

use super::StickyAbort;
use crate::vocabulary::fault::FaultKind;
use crate::vocabulary::id::{AgentName, Environment, Incarnation, ToolName};
use crate::vocabulary::seam::Seam;
use crate::vocabulary::site::{Allowance, Site};

/// The first word of an incarnation, repeated after every loss of contact, on a new log id, and every
/// [`HELLO_EVERY`](crate::vocabulary::limits::HELLO_EVERY): it tells every replica that this process is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The life of this shim.
    pub incarnation: Incarnation,
    /// Version of the shim's code, for people.
    pub version: String,
    /// Where the process runs.
    pub environment: Environment,
    /// Agents in the process, as far as known.
    pub agents: Vec<AgentName>,
    /// Tools and models that they call, as far as known.
    pub tools: Vec<ToolName>,
    /// Seams with their capabilities.
    pub seams: Vec<Seam>,
    /// Which agent calls which tool through which seam, as far as known: where faults can be applied, and nowhere else.
    pub sites: Vec<SiteRef>,
    /// Kinds of faults that the process's owner allows.
    pub allowed: Vec<FaultKind>,
    /// Longest time that the process's owner lets a fault hold a call, in milliseconds.
    pub max_delay_ms: u64,
    /// Aborts that the shim keeps.
    pub sticky_aborts: Vec<StickyAbort>,
}

/// One agent calling one tool through one seam, by their places in the lists of the same [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SiteRef {
    /// Place in [`Hello::agents`].
    pub agent: u16,
    /// Place in [`Hello::tools`].
    pub tool: u16,
    /// Place in [`Hello::seams`].
    pub seam: u16,
}

impl Hello {
    /// Where faults can be applied in the process.
    pub fn sites(&self) -> impl Iterator<Item = Site<'_>> {
        // A place outside its list is refused when a message is read.
        self.sites.iter().filter_map(|&SiteRef { agent, tool, seam }| {
            Some(Site {
                agent: self.agents.get(usize::from(agent))?,
                tool: self.tools.get(usize::from(tool))?,
                seam: self.seams.get(usize::from(seam))?,
            })
        })
    }

    /// What the process's owner lets happen in it.
    #[must_use]
    pub fn allowance(&self) -> Allowance<'_> {
        let Self { environment, allowed, max_delay_ms, .. } = self;
        Allowance { environment, kinds: allowed, max_delay_ms: *max_delay_ms }
    }
}
