//! What agents and servers write down themselves, each on its own side of the shim: the referee's only input.
//!
//! Nothing here knows of Squall. A message is kept as a digest of its meaning (not of its bytes, which two JSON
//! writers spell differently) and the first characters for people. How it is written down: `writing.rs`.

use serde::{Deserialize, Serialize};

/// One line of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Nanoseconds of `CLOCK_BOOTTIME`, the same clock for every process of the host.
    pub(crate) at_ns: u64,
    /// Time for which the writing thread was ready and had no core, since it started: on a busy machine a message waits
    /// for that too. 0 where the kernel doesn't count it.
    #[serde(default)]
    pub(crate) starved_ns: u64,
    /// What happened.
    pub(crate) what: What,
}

/// What a recorder saw pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// A tool call went towards the server.
    Call { id: String, tool: String, message: Digest },
    /// The answer to a call came from the server.
    Answer { id: String, error: bool, message: Digest },
    /// The agent no longer waits for a call.
    Cancel { id: String },
    /// The connection is over: on the agent's side it broke, on the server's side the server ended.
    Closed,
    /// The other side hung up first. Only a server's recorder can tell.
    HungUp,
}

/// A message, comparable with what the other side saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// Hash of the meaning: keys sorted, metadata of the transport left out.
    pub(crate) hash: String,
    /// Its length as JSON, in bytes.
    pub(crate) bytes: u64,
    /// Its first characters.
    pub(crate) head: String,
}

/// Now, in nanoseconds of `CLOCK_BOOTTIME`.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).unwrap_or(0)
}
