//! Answers of an agent that doesn't cooperate.

use serde_json::{Value, json};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::Behavior;

use super::leaves::{Document, Step};
use super::model::{self, Texts};
use super::{mcp, text};
use crate::directive::NotApplied;

pub(super) fn output(
    behavior: Behavior,
    refusal: &str,
    keep: f64,
    point: Point,
    shape: Shape,
    body: &str,
) -> Result<String, NotApplied> {
    let partial = |text: &str| text::beginning(text, keep);
    match (behavior, shape) {
        (Behavior::Delay, _) => Err(NotApplied::NothingToDamage),
        (Behavior::Refuse, Shape::Text) => Ok(refusal.to_owned()),
        (Behavior::Partial, Shape::Text) => partial(body).ok_or(NotApplied::NoText),
        (Behavior::WrongFormat, Shape::Text) => in_wrong_format(body).ok_or(NotApplied::NoText),
        (Behavior::Refuse, Shape::Json) => refused(refusal, point, body),
        (Behavior::Partial, Shape::Json) => said(point, body, partial),
        (Behavior::WrongFormat, Shape::Json) => said(point, body, in_wrong_format),
        (Behavior::Refuse, Shape::McpJsonRpc) => refused_by_tool(refusal, body),
        (Behavior::Partial, Shape::McpJsonRpc) => mcp::texts(body, partial),
        (Behavior::WrongFormat, Shape::McpJsonRpc) => {
            let other = |text: &str| in_wrong_format(text).ok_or(NotApplied::NoText);
            mcp::reworded(body, other).map(|answer| answer.to_string())
        }
    }
}

/// What is said in a JSON answer, changed in place.
fn said(
    point: Point,
    body: &str,
    change: impl Fn(&str) -> Option<String>,
) -> Result<String, NotApplied> {
    let document = Document::parse(body)?;
    let texts = Texts::of(&document, point);
    let change = |path: &[Step], text: &str| texts.includes(path).then(|| change(text))?;
    document.with_strings(change).ok_or(NotApplied::NoText)
}

/// A refusal in the place of an answer. Of an answer that isn't known, its longest text becomes the refusal and its
/// other texts are empty: nothing of the real answer is left.
fn refused(refusal: &str, point: Point, body: &str) -> Result<String, NotApplied> {
    let document = Document::parse(body)?;
    let mut answer = document.value.clone();
    if model::answer_only(&mut answer, refusal) {
        return Ok(answer.to_string());
    }
    let texts = Texts::of(&document, point);
    let mut longest: Option<(Vec<Step>, usize)> = None;
    document.visit(|place| {
        let len = place.string.as_ref().filter(|_| texts.includes(place.path)).map(String::len);
        if len.is_some_and(|len| longest.as_ref().is_none_or(|(_, most)| len > *most)) {
            longest = len.map(|len| (place.path.to_vec(), len));
        }
    });
    let (main, _) = longest.ok_or(NotApplied::NoText)?;
    let change = |path: &[Step], _: &str| {
        let new = if path == main { refusal } else { "" };
        texts.includes(path).then(|| new.to_owned())
    };
    document.with_strings(change).ok_or(NotApplied::NoText)
}

/// A tool result whose first text is the refusal: nothing else is left of it.
fn refused_by_tool(refusal: &str, body: &str) -> Result<String, NotApplied> {
    let mut answer = Document::parse(body)?.value;
    let result = mcp::result_mut(&mut answer)?;
    if mcp::text_parts(result).is_empty() {
        return Err(NotApplied::NoText);
    }
    result.insert("content".into(), json!([{"type": "text", "text": refusal}]));
    result.shift_remove("structuredContent");
    Ok(answer.to_string())
}

/// JSON as prose, and everything else as JSON.
fn in_wrong_format(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return None;
    }
    match super::damage::Found::in_text(text) {
        Ok(found) => Some(format!("Here is what I found: {}.", prose(&found.value))),
        Err(_) => Some(json!({"response": text}).to_string()),
    }
}

fn prose(value: &Value) -> String {
    let list = |parts: Vec<String>| match parts.len() {
        0 => String::from("nothing"),
        _ => parts.join(", "),
    };
    match value {
        Value::Null => String::from("nothing"),
        Value::Bool(yes) => String::from(if *yes { "yes" } else { "no" }),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => list(items.iter().map(prose).collect()),
        Value::Object(members) => {
            let is = |(key, member): (&String, &Value)| format!("{key} is {}", prose(member));
            list(members.iter().map(is).collect())
        }
    }
}
