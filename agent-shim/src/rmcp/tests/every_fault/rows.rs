//! What each fault makes of a call.

use crate::testing::Row;

pub(super) const PROSE: &str = "0123456789ü";
pub(super) const MEASURED: &str = r#"{"content":[{"type":"text","text":"{\"words\":[\"one\",\"two\"],\"length\":12,\"text\":\"0123456789ü\"}"}],"structuredContent":{"words":["one","two"],"length":12,"text":"0123456789ü"},"isError":false}"#;
pub(super) const STRUCTURED: &[Row] = &[
    ("latency", Some(PROSE), MEASURED),
    (
        "error",
        None,
        r#"{"content":[{"type":"text","text":"503 Service Unavailable: upstream is down"}],"isError":true}"#,
    ),
    (
        "tool_unavailable error",
        None,
        r#"{"content":[{"type":"text","text":"measure is temporarily unavailable"}],"isError":true}"#,
    ),
    ("tool_unavailable timeout", None, r#"{"code":-32001,"message":"Request timed out"}"#),
    ("tool_unavailable not_found", None, r#"{"code":-32602,"message":"Unknown tool: measure"}"#),
    ("tool_unavailable disconnect", None, "TransportClosed"),
    (
        "context_truncation characters start",
        Some("6789ü"),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"one\",\"two\"],\"length\":6,\"text\":\"6789ü\"}"}],"structuredContent":{"words":["one","two"],"length":6,"text":"6789ü"},"isError":false}"#,
    ),
    (
        "context_truncation characters middle",
        Some("0189ü"),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"one\",\"two\"],\"length\":6,\"text\":\"0189ü\"}"}],"structuredContent":{"words":["one","two"],"length":6,"text":"0189ü"},"isError":false}"#,
    ),
    (
        "context_truncation characters end",
        Some("01234"),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"one\",\"two\"],\"length\":5,\"text\":\"01234\"}"}],"structuredContent":{"words":["one","two"],"length":5,"text":"01234"},"isError":false}"#,
    ),
    (
        "malformed_output truncate",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"on\",\"tw\"],\"length\":12,\"text\":\"012345\"}"}],"structuredContent":{"words":["on","tw"],"length":12,"text":"012345"},"isError":false}"#,
    ),
    (
        "malformed_output json_break",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"one\",\"two\"],\"length\":12,\"text\":\"0123456789ü\""}],"isError":false}"#,
    ),
    (
        "malformed_output encoding",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"�ne\",\"�wo\"],\"length\":12,\"text\":\"0123456789Ã¼\"}"}],"structuredContent":{"words":["�ne","�wo"],"length":12,"text":"0123456789Ã¼"},"isError":false}"#,
    ),
    (
        "malformed_output empty",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":""}],"isError":false}"#,
    ),
    (
        "malformed_output fields_removed",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"length\":12}"}],"structuredContent":{"length":12},"isError":false}"#,
    ),
    (
        "malformed_output wrong_type",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"words\":{\"0\":\"one\",\"1\":\"two\"},\"length\":\"12\",\"text\":\"0123456789ü\"}"}],"structuredContent":{"words":{"0":"one","1":"two"},"length":"12","text":"0123456789ü"},"isError":false}"#,
    ),
];
pub(super) const STRUCTURED_PEER: &[Row] = &[
    (
        "uncooperative_agent refuse",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"I would rather not."}],"isError":false}"#,
    ),
    (
        "uncooperative_agent partial",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"{\"words\":[\"on\",\"tw\"],\"length\":12,\"text\":\"012345\"}"}],"structuredContent":{"words":["on","tw"],"length":12,"text":"012345"},"isError":false}"#,
    ),
    ("uncooperative_agent delay", Some(PROSE), MEASURED),
    (
        "uncooperative_agent wrong_format",
        Some(PROSE),
        r#"{"content":[{"type":"text","text":"Here is what I found: words is one, two, length is 12, text is 0123456789ü."}],"isError":false}"#,
    ),
];

pub(super) const JSON: &str = r#"{"city": "Zürich", "days": [1, 2], "open": true}"#;
pub(super) const ECHOED: &str = r#"{"content":[{"type":"text","text":"{\"city\": \"Zürich\", \"days\": [1, 2], \"open\": true}"}],"isError":false}"#;
pub(super) const TEXT: &[Row] = &[
    ("latency", Some(JSON), ECHOED),
    (
        "error",
        None,
        r#"{"content":[{"type":"text","text":"503 Service Unavailable: upstream is down"}],"isError":true}"#,
    ),
    (
        "tool_unavailable error",
        None,
        r#"{"content":[{"type":"text","text":"echo is temporarily unavailable"}],"isError":true}"#,
    ),
    ("tool_unavailable timeout", None, r#"{"code":-32001,"message":"Request timed out"}"#),
    ("tool_unavailable not_found", None, r#"{"code":-32602,"message":"Unknown tool: echo"}"#),
    ("tool_unavailable disconnect", None, "TransportClosed"),
    (
        "context_truncation characters start",
        Some(r#"": [1, 2], "open": true}"#),
        r#"{"content":[{"type":"text","text":"\": [1, 2], \"open\": true}"}],"isError":false}"#,
    ),
    (
        "context_truncation characters middle",
        Some(r#"{"city": "Züopen": true}"#),
        r#"{"content":[{"type":"text","text":"{\"city\": \"Züopen\": true}"}],"isError":false}"#,
    ),
    (
        "context_truncation characters end",
        Some(r#"{"city": "Zürich", "days"#),
        r#"{"content":[{"type":"text","text":"{\"city\": \"Zürich\", \"days"}],"isError":false}"#,
    ),
    (
        "malformed_output truncate",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"city\": \"Zürich\", \"days"}],"isError":false}"#,
    ),
    (
        "malformed_output json_break",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"city\": \"Zürich\", \"days\": [1, 2], \"open\": true"}],"isError":false}"#,
    ),
    (
        "malformed_output encoding",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"city\": \"ZÃ¼rich\", \"days\": [1, 2], \"open\": true}"}],"isError":false}"#,
    ),
    (
        "malformed_output empty",
        Some(JSON),
        r#"{"content":[{"type":"text","text":""}],"isError":false}"#,
    ),
    (
        "malformed_output fields_removed",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"days\":[1,2]}"}],"isError":false}"#,
    ),
    (
        "malformed_output wrong_type",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"city\":\"Zürich\",\"days\":{\"0\":\"1\",\"1\":\"2\"},\"open\":\"true\"}"}],"isError":false}"#,
    ),
];
pub(super) const PEER: &[Row] = &[
    (
        "uncooperative_agent refuse",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"I would rather not."}],"isError":false}"#,
    ),
    (
        "uncooperative_agent partial",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"{\"city\": \"Zürich\", \"days"}],"isError":false}"#,
    ),
    ("uncooperative_agent delay", Some(JSON), ECHOED),
    (
        "uncooperative_agent wrong_format",
        Some(JSON),
        r#"{"content":[{"type":"text","text":"Here is what I found: city is Zürich, days is 1, 2, open is yes."}],"isError":false}"#,
    ),
];
