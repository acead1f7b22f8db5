//! What an agent of the drill has to know.

use serde::{Deserialize, Serialize};

/// What an agent of the drill has to know: the argument of `drill-agent`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// Its tenant.
    pub(crate) tenant: String,
    /// Its name, which is its shim's too.
    pub(crate) agent: String,
    /// URLs of the NATS servers.
    pub(crate) nats: Vec<String>,
    /// Its tools.
    pub(crate) tools: Vec<String>,
    /// Where it writes.
    pub(crate) folder: String,
    /// Its shim's journal, if it has one.
    pub(crate) journal: Option<String>,
    /// Whether it forks now and then.
    pub(crate) forks: bool,
    /// Its pause between two calls, in milliseconds.
    pub(crate) pause_ms: u64,
}
