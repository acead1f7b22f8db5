//! Malformed output: what a tool or model returns, damaged.

mod json;

use serde_json::Value;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Damage, MalformedOutput};

use super::leaves::{Document, Step};
use super::model::Texts;
use super::{mcp, text};
use crate::directive::NotApplied;

pub(super) use json::Found;

/// A damage with all that it depends on.
#[derive(Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) fault: &'a MalformedOutput,
    pub(super) salt: u32,
}

pub(super) fn output(
    fault: &MalformedOutput,
    salt: u32,
    point: Point,
    shape: Shape,
    body: &str,
) -> Result<String, NotApplied> {
    let hit = Hit { fault, salt };
    match shape {
        Shape::Text => hit.text(body),
        Shape::Json => hit.body(point, body),
        Shape::McpJsonRpc => mcp::damaged(hit, body),
    }
}

impl Hit<'_> {
    /// Damages a text; JSON inside it where the damage is about JSON.
    pub(super) fn text(self, body: &str) -> Result<String, NotApplied> {
        if body.is_empty() {
            return Err(NotApplied::NoText);
        }
        match self.fault.mode {
            Damage::Truncate | Damage::Encoding => self.string(body).ok_or(NotApplied::NoText),
            Damage::Empty => Ok(String::new()),
            Damage::JsonBreak => Found::in_text(body)?.broken(self.salt),
            Damage::FieldsRemoved | Damage::WrongType => {
                let found = Found::in_text(body)?;
                let changed = self.value(&found.value).ok_or(NotApplied::NothingToDamage)?;
                Ok(found.replaced(&changed))
            }
        }
    }

    /// Damages a JSON body: inside its strings, or as a whole.
    fn body(self, point: Point, body: &str) -> Result<String, NotApplied> {
        match self.fault.mode {
            Damage::Empty if body.is_empty() => Err(NotApplied::NoText),
            Damage::Empty => Ok(String::new()),
            Damage::JsonBreak => {
                Document::parse(body)?;
                Found::whole(body)?.broken(self.salt)
            }
            Damage::FieldsRemoved | Damage::WrongType => {
                let found = Found::whole(body)?;
                let changed = self.value(&found.value).ok_or(NotApplied::NothingToDamage)?;
                Ok(found.replaced(&changed))
            }
            Damage::Truncate | Damage::Encoding => {
                let document = Document::parse(body)?;
                let texts = Texts::of(&document, point);
                let change =
                    |path: &[Step], text: &str| texts.includes(path).then(|| self.string(text))?;
                document.with_strings(change).ok_or(NotApplied::NoText)
            }
        }
    }

    /// Damages one string, for the damages that keep structure.
    pub(super) fn string(self, text: &str) -> Option<String> {
        match self.fault.mode {
            Damage::Truncate => text::beginning(text, self.fault.keep),
            Damage::Encoding => text::mangled(text, self.salt),
            Damage::JsonBreak | Damage::Empty | Damage::FieldsRemoved | Damage::WrongType => None,
        }
    }

    /// Damages one value, for the damages that change structure and leave JSON.
    pub(super) fn value(self, value: &Value) -> Option<Value> {
        match self.fault.mode {
            Damage::FieldsRemoved => json::without_fields(value, self.fault.keep, self.salt),
            Damage::WrongType => json::of_wrong_types(value),
            Damage::Truncate | Damage::JsonBreak | Damage::Encoding | Damage::Empty => None,
        }
    }
}
