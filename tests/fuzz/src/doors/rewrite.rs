//! Contents of calls, where a fault changes them or answers in their place.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, LostPart, MalformedOutput, TruncationUnit,
};
use squall_proto::vocabulary::named::Named;
use squall_shim::core::render;
use squall_shim::core::rewrite::{self, InputRewrite, OutputRewrite};
use squall_shim::core::{Failure, FailureKind, NotApplied};

use super::cast::Script;

/// Some bytes say what the fault is, the others are the contents.
pub(super) fn contents(bytes: &[u8]) {
    let mut script = Script(bytes);
    let (point, shape) = (*script.pick(Point::ALL), *script.pick(Shape::ALL));
    let share = f64::from(script.byte()) / 255.0;
    let (which, salt) = (script.byte(), u32::from(script.byte()));
    if script.is_yes() {
        let truncation = ContextTruncation {
            fraction: share.max(0.01),
            from: *script.pick(LostPart::ALL),
            unit: *script.pick(TruncationUnit::ALL),
        };
        let rewrite = InputRewrite { truncation: &truncation };
        let changed = rewrite::input(&rewrite, point, shape, script.0);
        judge(script.0, &changed, shape, &["id", "method", "jsonrpc"]);
    } else {
        let fault = MalformedOutput {
            mode: Damage::ALL[usize::from(which) % Damage::ALL.len()],
            keep: share,
        };
        let rewrite = if script.is_yes() {
            OutputRewrite::Damage { fault: &fault, salt }
        } else {
            let behavior = Behavior::ALL[usize::from(which) % Behavior::ALL.len()];
            OutputRewrite::Uncooperative { behavior, text: rewrite::REFUSALS[0], keep: share }
        };
        let changed = rewrite::output(&rewrite, point, shape, script.0);
        judge(script.0, &changed, shape, &["id", "jsonrpc"]);
        if let (Ok(changed), OutputRewrite::Damage { fault, .. }, Shape::Json) =
            (&changed, &rewrite, shape)
            && fault.mode == Damage::JsonBreak
        {
            assert!(serde_json::from_slice::<Value>(changed).is_err(), "it still parses");
        }
    }
}

/// A change is one, is text, and leaves a message of a protocol that message: nothing around the contents changes.
fn judge(before: &[u8], changed: &Result<Vec<u8>, NotApplied>, shape: Shape, kept: &[&str]) {
    let Ok(after) = changed else { return };
    assert_ne!(before, after.as_slice(), "nothing changed, though it says so");
    assert!(std::str::from_utf8(after).is_ok(), "no text any more");
    if shape != Shape::McpJsonRpc {
        return;
    }
    let parsed = |bytes| -> Value { serde_json::from_slice(bytes).expect("a message is JSON") };
    let (before, after) = (parsed(before), parsed(after));
    for field in kept {
        assert_eq!(before.get(field), after.get(field), "{field} of a message changed");
    }
    let name = |message: &Value| message.pointer("/params/name").cloned();
    assert_eq!(name(&before), name(&after), "another tool is called");
}

/// A failure as the answer to a request.
pub(super) fn answers(bytes: &[u8]) {
    let mut script = Script(bytes);
    let kinds = [
        FailureKind::Status,
        FailureKind::Unavailable,
        FailureKind::Timeout,
        FailureKind::NotFound,
        FailureKind::Disconnect,
    ];
    let failure = Failure {
        kind: *script.pick(&kinds),
        http_status: 400 + u16::from(script.below(200)),
        message: Cow::Borrowed("temporarily unavailable"),
        retry_after: script.is_yes().then_some(Duration::from_secs(1)),
    };
    let shape = *script.pick(Shape::ALL);
    let rendered = render::failure(&failure, shape, "search", script.0);
    assert!((200..600).contains(&rendered.status));
    if shape == Shape::Text {
        return;
    }
    let answer: Value = serde_json::from_slice(&rendered.body).expect("an answer in JSON");
    if shape == Shape::McpJsonRpc {
        let request: Value = serde_json::from_slice(script.0).unwrap_or_default();
        let id = request.get("id").cloned().unwrap_or_default();
        assert_eq!(answer.get("id"), Some(&id), "the answer to another request");
    }
}
