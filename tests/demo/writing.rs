//! Writing down what passes: how a message becomes an entry of a record.

use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::Path;

use rmcp::RoleClient;
use rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use serde::Serialize;
use serde_json::Value;

use crate::record::{Digest, What};

/// Characters of a message that are kept for people.
const HEAD_CHARS: usize = 160;

impl Digest {
    /// The digest of a JSON value.
    pub(crate) fn of(value: &Value) -> Self {
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
