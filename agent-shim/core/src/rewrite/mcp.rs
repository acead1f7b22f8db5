//! Tool calls and results of the Model Context Protocol (JSON-RPC 2.0).
//!
//! A result says the same twice where the tool has an output schema: as text and as `structuredContent`. Clients read
//! either, so a fault that reached one of them only would be half a fault: both are changed, and stay consistent. Damage
//! that leaves no JSON (`json_break`, `empty`) leaves no `structuredContent` either, as from a server that could not
//! read its backend's answer.

use serde_json::{Map, Value};
use squall_proto::vocabulary::fault::Damage;

use super::damage::{Found, Hit};
use super::leaves::{Document, Step};
use crate::directive::NotApplied;

/// A `tools/call` request with the strings of its arguments changed. Name and id stay.
pub(super) fn arguments(
    body: &str,
    change: impl Fn(&str) -> Option<String>,
) -> Result<String, NotApplied> {
    let document = Document::parse(body)?;
    if document.value.get("method").and_then(Value::as_str) != Some("tools/call") {
        return Err(NotApplied::Unexpected);
    }
    let inside = |path: &[Step], text: &str| match path {
        [first, second, ..] if first.is("params") && second.is("arguments") => change(text),
        _ => None,
    };
    document.with_strings(inside).ok_or(NotApplied::NoText)
}

/// A result with its contents damaged.
pub(super) fn damaged(hit: Hit<'_>, body: &str) -> Result<String, NotApplied> {
    match hit.fault.mode {
        Damage::Truncate | Damage::Encoding => texts(body, |text| hit.string(text)),
        Damage::JsonBreak | Damage::Empty => {
            reworded(body, |text| hit.text(text)).map(|answer| answer.to_string())
        }
        Damage::FieldsRemoved | Damage::WrongType => values(hit, body),
    }
}

/// A result with its strings changed in place: text parts and `structuredContent` alike. A text that repeats the
/// structure as JSON is changed inside.
pub(super) fn texts(
    body: &str,
    change: impl Fn(&str) -> Option<String>,
) -> Result<String, NotApplied> {
    let document = Document::parse(body)?;
    let structured = result(&document.value)?.get("structuredContent");
    let inside = |path: &[Step], text: &str| match path {
        [first, second, ..] if first.is("result") && second.is("structuredContent") => change(text),
        _ if is_text_part(path) => match Document::parse(text) {
            Ok(inner) if structured == Some(&inner.value) => {
                inner.with_strings(|_, text| change(text))
            }
            _ => change(text),
        },
        _ => None,
    };
    document.with_strings(inside).ok_or(NotApplied::NoText)
}

fn is_text_part(path: &[Step]) -> bool {
    let [first, second, Step::Index(_), third] = path else { return false };
    first.is("result") && second.is("content") && third.is("text")
}

/// A result with its text parts changed one by one, and without `structuredContent`.
pub(super) fn reworded(
    body: &str,
    change: impl Fn(&str) -> Result<String, NotApplied>,
) -> Result<Value, NotApplied> {
    let mut answer = Document::parse(body)?.value;
    let result = result_mut(&mut answer)?;
    let mut changed = false;
    let mut why = NotApplied::NoText;
    for text in text_parts(result) {
        match change(text) {
            Ok(new) => (*text, changed) = (new, true),
            Err(reason) => why = reason,
        }
    }
    if !changed {
        return Err(why);
    }
    result.shift_remove("structuredContent");
    Ok(answer)
}

/// A result with values changed: the structure, and each text that is JSON.
fn values(hit: Hit<'_>, body: &str) -> Result<String, NotApplied> {
    let mut answer = Document::parse(body)?.value;
    let result = result_mut(&mut answer)?;
    let before = result.get("structuredContent").cloned();
    let mut why = NotApplied::NotJson;
    let mut after = None;
    let mut changed = false;
    for text in text_parts(result) {
        let Ok(found) = Found::in_text(text) else { continue };
        why = NotApplied::NothingToDamage;
        let Some(new) = hit.value(&found.value) else { continue };
        match &before {
            Some(whole) if *whole == found.value => after = Some(new.clone()),
            // A tool whose output is no object has it wrapped as its `result`.
            Some(Value::Object(wrapped)) if is_wrapped(wrapped, &found.value) => {
                after = Some(serde_json::json!({"result": new.clone()}));
            }
            _ => {}
        }
        let new_text = found.replaced(&new);
        (*text, changed) = (new_text, true);
    }
    if let Some(after) = after.or_else(|| before.as_ref().and_then(|before| hit.value(before))) {
        result.insert("structuredContent".into(), after);
        changed = true;
    }
    if changed { Ok(answer.to_string()) } else { Err(why) }
}

fn is_wrapped(structure: &Map<String, Value>, value: &Value) -> bool {
    structure.len() == 1 && structure.get("result") == Some(value)
}

/// The texts of a result's text parts.
pub(super) fn text_parts(result: &mut Map<String, Value>) -> Vec<&mut String> {
    let parts = result.get_mut("content").and_then(Value::as_array_mut);
    parts
        .into_iter()
        .flatten()
        .filter_map(|part| match part.get_mut("text") {
            Some(Value::String(text)) => Some(text),
            Some(
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_),
            )
            | None => None,
        })
        .collect()
}

/// The result of an answer that is one.
fn result(answer: &Value) -> Result<&Map<String, Value>, NotApplied> {
    if answer.get("error").is_some() {
        return Err(NotApplied::CallFailed);
    }
    answer.get("result").and_then(Value::as_object).ok_or(NotApplied::Unexpected)
}

/// See [`result`].
pub(super) fn result_mut(answer: &mut Value) -> Result<&mut Map<String, Value>, NotApplied> {
    result(answer)?;
    answer.get_mut("result").and_then(Value::as_object_mut).ok_or(NotApplied::Unexpected)
}
