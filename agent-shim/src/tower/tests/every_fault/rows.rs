//! What each fault makes of a call.

use crate::testing::Row;

pub(super) const TOOL_REQUEST: &str =
    r#"{"query": "0123456789", "limit": 10, "tags": ["ab", "cd"]}"#;
pub(super) const TOOL_ANSWER: &str = r#"{"city": "Zürich", "days": [1, 2], "open": true}"#;
pub(super) const TOOL_CLEAN: &str = r#"200 {"city": "Zürich", "days": [1, 2], "open": true}"#;
pub(super) const TOOL: &[Row] = &[
    ("latency", Some(TOOL_REQUEST), TOOL_CLEAN),
    (
        "error",
        None,
        r#"503 {"type":"error","error":{"type":"api_error","message":"upstream is down","param":null,"code":503}}"#,
    ),
    (
        "tool_unavailable error",
        None,
        r#"503 {"type":"error","error":{"type":"api_error","message":"search is temporarily unavailable","param":null,"code":503}}"#,
    ),
    (
        "tool_unavailable timeout",
        None,
        r#"504 {"type":"error","error":{"type":"timeout_error","message":"Request timed out","param":null,"code":504}}"#,
    ),
    (
        "tool_unavailable not_found",
        None,
        r#"404 {"type":"error","error":{"type":"not_found_error","message":"Unknown tool: search","param":null,"code":404}}"#,
    ),
    ("tool_unavailable disconnect", None, "ConnectionReset"),
    (
        "context_truncation characters start",
        Some(r#"{"query": "56789", "limit": 10, "tags": ["b", "d"]}"#),
        TOOL_CLEAN,
    ),
    (
        "context_truncation characters middle",
        Some(r#"{"query": "01789", "limit": 10, "tags": ["b", "d"]}"#),
        TOOL_CLEAN,
    ),
    (
        "context_truncation characters end",
        Some(r#"{"query": "01234", "limit": 10, "tags": ["a", "c"]}"#),
        TOOL_CLEAN,
    ),
    (
        "malformed_output truncate",
        Some(TOOL_REQUEST),
        r#"200 {"city": "Zür", "days": [1, 2], "open": true}"#,
    ),
    (
        "malformed_output json_break",
        Some(TOOL_REQUEST),
        r#"200 {"city": "Zürich", "days": [1, 2], "open": true"#,
    ),
    (
        "malformed_output encoding",
        Some(TOOL_REQUEST),
        r#"200 {"city": "ZÃ¼rich", "days": [1, 2], "open": true}"#,
    ),
    ("malformed_output empty", Some(TOOL_REQUEST), "200 "),
    ("malformed_output fields_removed", Some(TOOL_REQUEST), r#"200 {"days":[1,2]}"#),
    (
        "malformed_output wrong_type",
        Some(TOOL_REQUEST),
        r#"200 {"city":"Zürich","days":{"0":"1","1":"2"},"open":"true"}"#,
    ),
];

pub(super) const TEXT_REQUEST: &str = "0123456789";
pub(super) const TEXT_ANSWER: &str = r#"So: {"city": "Zürich", "open": true}"#;
pub(super) const TEXT_CLEAN: &str = r#"200 So: {"city": "Zürich", "open": true}"#;
pub(super) const TEXT_TOOL: &[Row] = &[
    ("latency", Some(TEXT_REQUEST), TEXT_CLEAN),
    (
        "error",
        None,
        r#"503 {"type":"error","error":{"type":"api_error","message":"upstream is down","param":null,"code":503}}"#,
    ),
    (
        "tool_unavailable error",
        None,
        r#"503 {"type":"error","error":{"type":"api_error","message":"search is temporarily unavailable","param":null,"code":503}}"#,
    ),
    (
        "tool_unavailable timeout",
        None,
        r#"504 {"type":"error","error":{"type":"timeout_error","message":"Request timed out","param":null,"code":504}}"#,
    ),
    (
        "tool_unavailable not_found",
        None,
        r#"404 {"type":"error","error":{"type":"not_found_error","message":"Unknown tool: search","param":null,"code":404}}"#,
    ),
    ("tool_unavailable disconnect", None, "ConnectionReset"),
    ("context_truncation characters start", Some("56789"), TEXT_CLEAN),
    ("context_truncation characters middle", Some("01789"), TEXT_CLEAN),
    ("context_truncation characters end", Some("01234"), TEXT_CLEAN),
    ("malformed_output truncate", Some(TEXT_REQUEST), r#"200 So: {"city": "Züri"#),
    (
        "malformed_output json_break",
        Some(TEXT_REQUEST),
        r#"200 So: {"city": "Zürich", "open": true"#,
    ),
    (
        "malformed_output encoding",
        Some(TEXT_REQUEST),
        r#"200 So: {"city": "ZÃ¼rich", "open": true}"#,
    ),
    ("malformed_output empty", Some(TEXT_REQUEST), "200 "),
    ("malformed_output fields_removed", Some(TEXT_REQUEST), r#"200 So: {"open":true}"#),
    (
        "malformed_output wrong_type",
        Some(TEXT_REQUEST),
        r#"200 So: {"city":"Zürich","open":"true"}"#,
    ),
];
pub(super) const TEXT_AGENT: &[Row] = &[
    ("uncooperative_agent refuse", Some(TEXT_REQUEST), "200 I would rather not."),
    ("uncooperative_agent partial", Some(TEXT_REQUEST), r#"200 So: {"city": "Züri"#),
    ("uncooperative_agent delay", Some(TEXT_REQUEST), TEXT_CLEAN),
    (
        "uncooperative_agent wrong_format",
        Some(TEXT_REQUEST),
        "200 Here is what I found: city is Zürich, open is yes.",
    ),
];

pub(super) const MODEL_REQUEST: &str = r#"{"model": "m-1", "messages": [{"role": "system", "content": "Be."}, {"role": "user", "content": "0123"}, {"role": "assistant", "content": "4567"}, {"role": "user", "content": "89ab"}, {"role": "assistant", "content": "cdef"}]}"#;
pub(super) const MODEL_ANSWER: &str = r#"{"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "Zürich it is"}, "finish_reason": "length"}]}"#;
pub(super) const MODEL_CLEAN: &str = r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "Zürich it is"}, "finish_reason": "length"}]}"#;
pub(super) const MODEL: &[Row] = &[
    ("latency", Some(MODEL_REQUEST), MODEL_CLEAN),
    (
        "error",
        None,
        r#"503 {"type":"error","error":{"type":"api_error","message":"upstream is down","param":null,"code":503}}"#,
    ),
    (
        "uncooperative_agent refuse",
        Some(MODEL_REQUEST),
        r#"200 {"model":"m-1","choices":[{"message":{"role":"assistant","content":"I would rather not."},"finish_reason":"stop"}]}"#,
    ),
    (
        "uncooperative_agent partial",
        Some(MODEL_REQUEST),
        r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "Zürich"}, "finish_reason": "length"}]}"#,
    ),
    ("uncooperative_agent delay", Some(MODEL_REQUEST), MODEL_CLEAN),
    (
        "uncooperative_agent wrong_format",
        Some(MODEL_REQUEST),
        r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "{\"response\":\"Zürich it is\"}"}, "finish_reason": "length"}]}"#,
    ),
    (
        "context_truncation characters start",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "."}, {"role": "user", "content": "23"}, {"role": "assistant", "content": "67"}, {"role": "user", "content": "ab"}, {"role": "assistant", "content": "ef"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "context_truncation characters middle",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "."}, {"role": "user", "content": "03"}, {"role": "assistant", "content": "47"}, {"role": "user", "content": "8b"}, {"role": "assistant", "content": "cf"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "context_truncation characters end",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "B"}, {"role": "user", "content": "01"}, {"role": "assistant", "content": "45"}, {"role": "user", "content": "89"}, {"role": "assistant", "content": "cd"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "context_truncation messages start",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "Be."},{"role": "user", "content": "89ab"},{"role": "assistant", "content": "cdef"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "context_truncation messages middle",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "Be."},{"role": "user", "content": "0123"},{"role": "assistant", "content": "cdef"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "context_truncation messages end",
        Some(
            r#"{"model": "m-1", "messages": [{"role": "system", "content": "Be."},{"role": "user", "content": "0123"},{"role": "assistant", "content": "4567"}]}"#,
        ),
        MODEL_CLEAN,
    ),
    (
        "malformed_output truncate",
        Some(MODEL_REQUEST),
        r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "Zürich"}, "finish_reason": "length"}]}"#,
    ),
    (
        "malformed_output json_break",
        Some(MODEL_REQUEST),
        r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "Zürich it is"}, "finish_reason": "length"}]"#,
    ),
    (
        "malformed_output encoding",
        Some(MODEL_REQUEST),
        r#"200 {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": "ZÃ¼rich it is"}, "finish_reason": "length"}]}"#,
    ),
    ("malformed_output empty", Some(MODEL_REQUEST), "200 "),
    (
        "malformed_output fields_removed",
        Some(MODEL_REQUEST),
        r#"200 {"choices":[{"message":{},"finish_reason":"length"}]}"#,
    ),
    (
        "malformed_output wrong_type",
        Some(MODEL_REQUEST),
        r#"200 {"model":"m-1","choices":{"0":{"message":{"role":"assistant","content":"Zürich it is"},"finish_reason":"length"}}}"#,
    ),
];

pub(super) const AGENT_REQUEST: &str = r#"{"task": "count"}"#;
pub(super) const AGENT_ANSWER: &str = r#"{"summary": "All is well.", "rows": [["a", 1]]}"#;
pub(super) const AGENT_CLEAN: &str = r#"200 {"summary": "All is well.", "rows": [["a", 1]]}"#;
pub(super) const AGENT: &[Row] = &[
    (
        "uncooperative_agent refuse",
        Some(AGENT_REQUEST),
        r#"200 {"summary": "I would rather not.", "rows": [["", 1]]}"#,
    ),
    (
        "uncooperative_agent partial",
        Some(AGENT_REQUEST),
        r#"200 {"summary": "All is", "rows": [["", 1]]}"#,
    ),
    ("uncooperative_agent delay", Some(AGENT_REQUEST), AGENT_CLEAN),
    (
        "uncooperative_agent wrong_format",
        Some(AGENT_REQUEST),
        r#"200 {"summary": "{\"response\":\"All is well.\"}", "rows": [["{\"response\":\"a\"}", 1]]}"#,
    ),
];
