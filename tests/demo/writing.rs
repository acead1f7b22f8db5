//! Writing down what passes: how a message becomes an entry of a record.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use rmcp::RoleClient;
use rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde::Serialize;
use serde_json::Value;

use crate::record::{Digest, Entry, What, now_ns};

/// The moment in which a message passed a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    at_ns: u64,
    starved_ns: u64,
}

impl Passage {
    /// Now, on this thread.
    pub(crate) fn now() -> Self {
        Self { at_ns: now_ns(), starved_ns: starved_ns() }
    }

    /// What passed, as an entry.
    pub(crate) fn of(self, what: What) -> Entry {
        let Self { at_ns, starved_ns } = self;
        Entry { at_ns, starved_ns, what }
    }
}

/// The second number of `schedstat` (Linux, Documentation/scheduler/sched-stats.rst): time spent waiting on a runqueue.
fn starved_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_ascii_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

/// What a message towards the server is to the referee; `None` for what it does not compare.
pub(crate) fn outgoing(message: &TxJsonRpcMessage<RoleClient>) -> Option<What> {
    if let JsonRpcMessage::Request(call) = message
        && let ClientRequest::CallToolRequest(request) = &call.request
    {
        let message = Digest::of(&serde_json::to_value(&request.params).ok()?);
        return Some(What::Call {
            id: id_text(&call.id),
            tool: request.params.name.to_string(),
            message,
        });
    }
    if let JsonRpcMessage::Notification(notification) = message
        && let ClientNotification::CancelledNotification(cancelled) = &notification.notification
    {
        return Some(What::Cancel { id: id_text(cancelled.params.request_id.as_ref()?) });
    }
    None
}

/// What a message from the server is to the referee.
pub(crate) fn incoming(message: &RxJsonRpcMessage<RoleClient>) -> Option<What> {
    match message {
        JsonRpcMessage::Response(answer) => {
            let value = serde_json::to_value(&answer.result).ok()?;
            let error = value["isError"] == Value::Bool(true);
            Some(What::Answer { id: id_text(&answer.id), error, message: Digest::of(&value) })
        }
        JsonRpcMessage::Error(answer) => {
            let message = Digest::of(&serde_json::to_value(&answer.error).ok()?);
            Some(What::Answer { id: id_text(answer.id.as_ref()?), error: true, message })
        }
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}

fn id_text(id: &RequestId) -> String {
    id.to_string()
}

/// A file of entries, one JSON text a line. Each line is one write, so that a killed process loses none.
#[derive(Debug)]
pub(crate) struct Record(File);

impl Record {
    /// Opens or continues the record at `path`.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Adds an entry that happened at `at_ns`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn add<T: Serialize>(&mut self, entry: &T) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}
