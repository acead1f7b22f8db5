//! Context truncation: what a tool or model is given, cut short.

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{ContextTruncation, LostPart, TruncationUnit};

use super::leaves::{Document, Step};
use super::model::{self, Texts};
use super::{mcp, text};
use crate::directive::NotApplied;

pub(super) fn input(
    fault: &ContextTruncation,
    point: Point,
    shape: Shape,
    body: &str,
) -> Result<String, NotApplied> {
    let cut = |text: &str| text::without(text, fault.fraction, fault.from);
    match (shape, fault.unit) {
        (Shape::Text, TruncationUnit::Characters) => cut(body).ok_or(NotApplied::NoText),
        (Shape::Json, TruncationUnit::Characters) => {
            let document = Document::parse(body)?;
            let texts = Texts::of(&document, point);
            let cut = |path: &[Step], text: &str| texts.includes(path).then(|| cut(text))?;
            document.with_strings(cut).ok_or(NotApplied::NoText)
        }
        (Shape::McpJsonRpc, TruncationUnit::Characters) => mcp::arguments(body, cut),
        (Shape::Json, TruncationUnit::Messages) => messages(fault, body),
        (Shape::Text | Shape::McpJsonRpc, TruncationUnit::Messages) => Err(NotApplied::Unexpected),
    }
}

/// Without a share of the conversation's messages. What sets the model up stays, and so does one message at least: no
/// model takes an empty conversation.
fn messages(fault: &ContextTruncation, body: &str) -> Result<String, NotApplied> {
    let document = Document::parse(body)?;
    let (list, messages) = model::messages(&document.value).ok_or(NotApplied::Unexpected)?;
    let said: Vec<usize> =
        (0..messages.len()).filter(|at| !model::is_instruction(&messages[*at])).collect();
    let most = said.len().saturating_sub(1);
    let lost = text::share_of(said.len(), fault.fraction).max(1).min(most);
    if lost == 0 {
        return Err(NotApplied::NothingToDamage);
    }
    let first = match fault.from {
        LostPart::Start => 0,
        LostPart::Middle => (said.len() - lost) / 2,
        LostPart::End => said.len() - lost,
    };
    let gone = &said[first..first + lost];
    let mut kept = Vec::new();
    let mut whole = None;
    document.visit(|place| match place.path {
        [key, Step::Index(at)] if key.is(list) && !gone.contains(at) => {
            kept.push(document.slice(place.range));
        }
        [key] if key.is(list) => whole = Some(place.range),
        _ => {}
    });
    let whole = whole.ok_or(NotApplied::Unexpected)?;
    Ok(document.with(vec![(whole, format!("[{}]", kept.join(",")))]))
}
