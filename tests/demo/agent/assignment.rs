//! What the orchestrator tells an agent to be: one JSON argument.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An agent's name, temper, craft and tools.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// Name of the agent, and of its records.
    pub(crate) name: String,
    /// How it deals with trouble.
    pub(crate) temper: Temper,
    /// What it works on.
    pub(crate) craft: Craft,
    /// Command of its recorder; the file and the server's command follow.
    pub(crate) recorder: PathBuf,
    /// Command of its MCP server.
    pub(crate) server: Vec<String>,
    /// Command of the peer that it delegates to; without one it does everything itself.
    pub(crate) peer: Option<Vec<String>>,
    /// Folder for its records.
    pub(crate) records: PathBuf,
    /// The repository that it works on.
    pub(crate) repository: PathBuf,
    /// Pause between two calls, in milliseconds.
    pub(crate) pause_ms: u64,
}

/// How an agent deals with trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Temper {
    /// One try, no time-out, no second way: the first trouble ends the task.
    Fragile,
    /// Retries with backoff, time-outs, another tool or an older answer, and a look at each result before it is used.
    Hardened,
}

/// What an agent works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Craft {
    /// Follows a repository, through `mcp-server-git`.
    Git,
    /// Plans meetings across time zones, through `mcp-server-time`.
    Time,
}
