//! A failure in the form in which the agent would meet it.
//!
//! | [`FailureKind`] | text | JSON over HTTP | MCP `tools/call` | other MCP methods |
//! |---|---|---|---|---|
//! | `Status` | `503 Service Unavailable` | that status, error body | result, `isError`: `503 Service Unavailable` | -32603 |
//! | `Unavailable` | `x is temporarily unavailable` | 503, error body | result, `isError`: `x is temporarily unavailable` | -32603 |
//! | `Timeout` | `Request timed out` | 504, error body | -32001 `Request timed out` | -32001 |
//! | `NotFound` | `Unknown tool: x` | 404, error body | -32602 `Unknown tool: x` | -32602 |
//! | `Disconnect` | `Connection closed` | 502, error body | -32000 `Connection closed` | -32000 |
//!
//! Why so in MCP: a tool whose backend fails reports that in its result, where the model reads it (specification of
//! 2025-06-18, "Tools", "Error Handling"); an unknown tool is a protocol error there. Time-outs and closed connections are
//! errors that the client makes up, with the codes of the TypeScript SDK. The error body is what both the Anthropic and
//! the OpenAI clients read: `{"type": "error", "error": {"type", "message", "param", "code"}}`.
//!
//! The injection's id is in none of them: a model may read any.

use serde_json::{Value, json};
use squall_proto::vocabulary::call::Shape;

use crate::directive::{Failure, FailureKind};

/// A finished answer in the native form of a seam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The HTTP status, for seams that have one. JSON-RPC answers are 200: their error is inside.
    pub status: u16,
    /// Headers beside the content type, lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// `failure` as the answer to `request` (the call's input in `shape`; of a JSON-RPC request its id and method are read).
#[must_use]
pub fn failure(failure: &Failure<'_>, shape: Shape, tool: &str, request: &[u8]) -> Rendered {
    match shape {
        Shape::Text => Rendered {
            status: failure.http_status,
            headers: headers(failure),
            content_type: "text/plain; charset=utf-8",
            body: sentence(failure, tool).into_bytes(),
        },
        Shape::Json => Rendered {
            status: failure.http_status,
            headers: headers(failure),
            content_type: "application/json",
            body: error_body(failure, tool).to_string().into_bytes(),
        },
        Shape::McpJsonRpc => Rendered {
            status: 200,
            headers: Vec::new(),
            content_type: "application/json",
            body: mcp(failure, tool, request).to_string().into_bytes(),
        },
    }
}

fn headers(failure: &Failure<'_>) -> Vec<(&'static str, String)> {
    let retry_after = failure.retry_after.map(|after| ("retry-after", after.as_secs().to_string()));
    retry_after.into_iter().collect()
}

/// The failure as one line for people and models.
fn sentence(failure: &Failure<'_>, tool: &str) -> String {
    let Failure { kind, http_status, message, .. } = failure;
    match kind {
        FailureKind::Status => {
            let reason = reason(*http_status);
            if message == reason {
                format!("{http_status} {reason}")
            } else {
                format!("{http_status} {reason}: {message}")
            }
        }
        FailureKind::Unavailable => format!("{tool} is {message}"),
        FailureKind::NotFound => format!("{message}: {tool}"),
        FailureKind::Timeout | FailureKind::Disconnect => message.to_string(),
    }
}

fn error_body(failure: &Failure<'_>, tool: &str) -> Value {
    let message = match failure.kind {
        FailureKind::Status => failure.message.to_string(),
        FailureKind::Unavailable
        | FailureKind::NotFound
        | FailureKind::Timeout
        | FailureKind::Disconnect => sentence(failure, tool),
    };
    let kind = error_type(failure.http_status);
    json!({"type": "error", "error": {"type": kind, "message": message, "param": null, "code": failure.http_status}})
}

/// What model providers call the status in their bodies.
const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        other if other < 500 => "invalid_request_error",
        _ => "api_error",
    }
}

fn mcp(failure: &Failure<'_>, tool: &str, request: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(request).unwrap_or_default();
    let id = request.get("id").cloned().unwrap_or_default();
    let calls_tool = request.get("method").and_then(Value::as_str) == Some("tools/call");
    let text = sentence(failure, tool);
    let code = match failure.kind {
        FailureKind::Status | FailureKind::Unavailable if calls_tool => {
            let result = json!({"content": [{"type": "text", "text": text}], "isError": true});
            return json!({"jsonrpc": "2.0", "id": id, "result": result});
        }
        FailureKind::Status | FailureKind::Unavailable => -32603,
        FailureKind::NotFound => -32602,
        FailureKind::Timeout => -32001,
        FailureKind::Disconnect => -32000,
    };
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})
}

/// The standard reason of an HTTP status (RFC 9110 and its registry, and 529 as model providers use it).
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        529 => "Overloaded",
        other if other < 500 => "Client Error",
        _ => "Server Error",
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn of(kind: FailureKind, http_status: u16, message: &str) -> Failure<'_> {
        let retry_after = (http_status == 503).then_some(Duration::from_secs(1));
        let message = Cow::Borrowed(message);
        Failure { kind, http_status, message, retry_after }
    }

    /// Each kind as the experiments make it.
    fn all() -> [Failure<'static>; 5] {
        [
            of(FailureKind::Status, 503, "Service Unavailable"),
            of(FailureKind::Unavailable, 503, "temporarily unavailable"),
            of(FailureKind::Timeout, 504, "Request timed out"),
            of(FailureKind::NotFound, 404, "Unknown tool"),
            of(FailureKind::Disconnect, 502, "Connection closed"),
        ]
    }

    fn body(shape: Shape, request: &str) -> Vec<String> {
        let render = |f: &Failure<'_>| failure(f, shape, "search", request.as_bytes());
        all().iter().map(|f| String::from_utf8(render(f).body).unwrap()).collect()
    }

    #[test]
    fn a_tool_call_over_mcp_fails_as_the_table_says() {
        let request =
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"search"}}"#;
        let error = |text: &str| {
            let result = r#"{"content":[{"type":"text","text":""#;
            format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}{text}"}}],"isError":true}}}}"#)
        };
        let protocol = |code: i32, text: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":{code},"message":"{text}"}}}}"#)
        };
        assert_eq!(
            body(Shape::McpJsonRpc, request),
            [
                error("503 Service Unavailable"),
                error("search is temporarily unavailable"),
                protocol(-32001, "Request timed out"),
                protocol(-32602, "Unknown tool: search"),
                protocol(-32000, "Connection closed"),
            ]
        );
    }

    #[test]
    fn other_mcp_methods_fail_as_protocol_errors_and_keep_text_ids() {
        let request = r#"{"jsonrpc":"2.0","id":"a-1","method":"prompts/get"}"#;
        for (body, code) in
            body(Shape::McpJsonRpc, request).iter().zip([-32603, -32603, -32001, -32602, -32000])
        {
            let answer: Value = serde_json::from_str(body).unwrap();
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("a-1"), &json!(code)));
        }
    }

    #[test]
    fn text_is_one_line() {
        assert_eq!(
            body(Shape::Text, ""),
            [
                "503 Service Unavailable",
                "search is temporarily unavailable",
                "Request timed out",
                "Unknown tool: search",
                "Connection closed",
            ]
        );
    }

    #[test]
    fn http_clients_get_the_status_the_body_and_when_to_come_back() {
        let limited = of(FailureKind::Status, 429, "slow down");
        let limited = Failure { retry_after: Some(Duration::from_secs(1)), ..limited };
        let rendered = failure(&limited, Shape::Json, "gpt", b"");
        assert_eq!((rendered.status, rendered.content_type), (429, "application/json"));
        assert_eq!(rendered.headers, [("retry-after", String::from("1"))]);
        assert_eq!(
            String::from_utf8(rendered.body).unwrap(),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down","param":null,"code":429}}"#
        );
        let text = failure(&limited, Shape::Text, "gpt", b"");
        assert_eq!(text.body, b"429 Too Many Requests: slow down");
    }

    #[test]
    fn every_status_that_an_experiment_may_use_has_a_reason() {
        for status in 400..=599 {
            assert!(!reason(status).is_empty());
        }
    }

    proptest! {
        #[test]
        fn any_request_is_answered(request: Vec<u8>, message: String, tool: String, status: u16) {
            for kind in all().map(|failure| failure.kind) {
                let failed = Failure { http_status: status, ..of(kind, 500, &message) };
                for shape in [Shape::Text, Shape::Json, Shape::McpJsonRpc] {
                    let rendered = failure(&failed, shape, &tool, &request);
                    if shape != Shape::Text {
                        prop_assert!(serde_json::from_slice::<Value>(&rendered.body).is_ok());
                    }
                }
            }
        }
    }
}
