//! Where in an agent a call is made, and in which shape its contents are.

use serde::{Deserialize, Serialize};

use super::named::names;

/// What kind of call a seam sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// An agent calls a tool.
    Tool,
    /// An agent calls a model.
    Model,
    /// An agent answers: the host's own answer, or that of a peer it delegated to.
    Agent,
}

names!(Point { Tool => "tool", Model => "model", Agent => "agent" });

/// The form in which a seam hands over inputs and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Plain text, UTF-8.
    Text,
    /// One JSON value.
    Json,
    /// A Model Context Protocol message (JSON-RPC 2.0): input is the request, output the response.
    McpJsonRpc,
}

names!(Shape { Text => "text", Json => "json", McpJsonRpc => "mcp_json_rpc" });
