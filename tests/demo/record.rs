//! What agents and servers write down themselves, each on its own side of the shim: the referee's only input.
//!
//! Nothing here knows of Squall. A message is kept as a digest of its meaning (not of its bytes, which two JSON
//! writers spell differently) and the first characters for people.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::Path;

use rmcp::RoleClient;
use rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Characters of a message that are kept for people.
const HEAD_CHARS: usize = 160;

/// One line of a record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds of `CLOCK_BOOTTIME`, the same clock for every process of the host.
    pub at_ns: u64,
    /// What happened.
    pub what: What,
}

/// What a recorder saw pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
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
pub struct Digest {
    /// Hash of the meaning: keys sorted, metadata of the transport left out.
    pub hash: String,
    /// Its length as JSON, in bytes.
    pub bytes: u64,
    /// Its first characters.
    pub head: String,
}

impl Digest {
    /// The digest of a JSON value.
    pub fn of(value: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        hash_value(value, &mut hasher);
        let text = value.to_string();
        Self {
            hash: format!("{:016x}", hasher.finish()),
            bytes: text.len() as u64,
            head: text.chars().take(HEAD_CHARS).collect(),
        }
    }
}

fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().filter(|(key, _)| *key != "_meta").collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            ("object", sorted.len()).hash(hasher);
            for (key, value) in sorted {
                key.hash(hasher);
                hash_value(value, hasher);
            }
        }
        Value::Array(items) => {
            ("array", items.len()).hash(hasher);
            items.iter().for_each(|item| hash_value(item, hasher));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.to_string().hash(hasher);
        }
    }
}

/// What a message towards the server is to the referee; `None` for what it does not compare.
pub fn outgoing(message: &TxJsonRpcMessage<RoleClient>) -> Option<What> {
    match message {
        JsonRpcMessage::Request(call) => match &call.request {
            ClientRequest::CallToolRequest(request) => Some(What::Call {
                id: id_text(&call.id),
                tool: request.params.name.to_string(),
                message: Digest::of(&serde_json::to_value(&request.params).ok()?),
            }),
            _ => None,
        },
        JsonRpcMessage::Notification(notification) => match &notification.notification {
            ClientNotification::CancelledNotification(cancelled) => {
                let id = cancelled.params.request_id.as_ref()?;
                Some(What::Cancel { id: id_text(id) })
            }
            _ => None,
        },
        JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => None,
    }
}

/// What a message from the server is to the referee.
pub fn incoming(message: &RxJsonRpcMessage<RoleClient>) -> Option<What> {
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
pub struct Record(File);

impl Record {
    /// Opens or continues the record at `path`.
    ///
    /// # Errors
    /// When the file can't be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Adds an entry that happened at `at_ns`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn add<T: Serialize>(&mut self, entry: &T) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        self.0.write_all(line.as_bytes())
    }
}

/// Now, in nanoseconds of `CLOCK_BOOTTIME`.
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)).unwrap_or(0)
}
