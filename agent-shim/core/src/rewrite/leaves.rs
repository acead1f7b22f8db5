//! Finds values in a JSON text and replaces some, so that every other byte stays as it was: numbers keep their digits,
//! objects their order, and what is pretty stays pretty.

use std::ops::Range;

use serde_json::Value;

use crate::directive::NotApplied;

/// One step from the root of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    pub(super) fn is(&self, key: &str) -> bool {
        matches!(self, Self::Key(found) if found == key)
    }
}

/// A document that is known to be JSON.
pub(super) struct Document<'j> {
    text: &'j str,
    pub(super) value: Value,
}

/// A value in the text of a document.
pub(super) struct Place<'p> {
    pub(super) path: &'p [Step],
    pub(super) range: Range<usize>,
    /// Its text, if it is a string.
    pub(super) string: Option<String>,
}

impl<'j> Document<'j> {
    /// Parses `text`. Nesting beyond 128 levels counts as no JSON.
    pub(super) fn parse(text: &'j str) -> Result<Self, NotApplied> {
        let value = serde_json::from_str(text).map_err(|_| NotApplied::NotJson)?;
        Ok(Self { text, value })
    }

    /// Visits every value, inner ones before the one that holds them.
    pub(super) fn visit(&self, mut visit: impl FnMut(Place<'_>)) {
        let mut walk = Walk { text: self.text, at: 0, path: Vec::new(), visit: &mut visit };
        walk.value();
    }

    /// The document with some of its strings changed; `None` if none was.
    pub(super) fn with_strings(
        &self,
        mut change: impl FnMut(&[Step], &str) -> Option<String>,
    ) -> Option<String> {
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        self.visit(|place| {
            let Some(before) = place.string else { return };
            if let Some(after) = change(place.path, &before).filter(|after| *after != before) {
                edits.push((place.range, quoted(&after)));
            }
        });
        (!edits.is_empty()).then(|| self.with(edits))
    }

    /// The document with ranges of its text replaced, in order and without overlap.
    pub(super) fn with(&self, edits: Vec<(Range<usize>, String)>) -> String {
        let mut text = String::with_capacity(self.text.len());
        let mut at = 0;
        for (range, new) in edits {
            text.push_str(self.text.get(at..range.start).unwrap_or_default());
            text.push_str(&new);
            at = range.end;
        }
        text.push_str(self.text.get(at..).unwrap_or_default());
        text
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &'j str {
        self.text.get(range).unwrap_or_default()
    }
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Goes through a text that was parsed before. On anything that can't be (it was parsed), it stops where it is.
struct Walk<'w> {
    text: &'w str,
    at: usize,
    path: Vec<Step>,
    visit: &'w mut dyn FnMut(Place<'_>),
}

impl Walk<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let skipped = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += skipped;
        rest.get(skipped).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) {
        let Some(first) = self.peek() else { return };
        let start = self.at;
        let mut string = None;
        match first {
            b'{' => self.members(b'}', |walk, _| {
                let key = walk.string();
                walk.take(b':');
                Step::Key(key)
            }),
            b'[' => self.members(b']', |_, index| Step::Index(index)),
            b'"' => string = Some(self.string()),
            _ => self.scalar(),
        }
        let range = start..self.at;
        (self.visit)(Place { path: &self.path, range, string });
    }

    fn members(&mut self, end: u8, mut step: impl FnMut(&mut Self, usize) -> Step) {
        self.at += 1;
        let mut index = 0;
        while !self.take(end) && self.at < self.text.len() {
            let before = self.at;
            let step = step(self, index);
            self.path.push(step);
            self.value();
            self.path.pop();
            self.take(b',');
            index += 1;
            if self.at == before {
                break;
            }
        }
    }

    fn string(&mut self) -> String {
        let Some(b'"') = self.peek() else { return String::new() };
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        for byte in self.text.as_bytes()[self.at..].iter().copied() {
            self.at += 1;
            match byte {
                b'"' if !escaped => break,
                b'\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(raw).unwrap_or_default()
    }

    fn scalar(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace();
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}

/// Any JSON, with the words that rewriting looks for.
#[cfg(test)]
pub(super) fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;

    let keys = prop::sample::select(vec![
        "content",
        "text",
        "messages",
        "role",
        "result",
        "params",
        "arguments",
        "method",
        "structuredContent",
        "choices",
        "message",
        "type",
        "input",
        "k",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("tools/call")),
        Just(Value::from("message")),
        Just(Value::from("text")),
        Just(Value::from("{\"a\": [1, \"b\"]}")),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_changed_strings_change() {
        let text =
            "{ \"a\" : [1.50, 1e400000, \"x\\\"\\\\\", {\"b\\u0041\":\"y\"}],\n\t\"c\":\"\" }";
        let text = text.replace("1e400000", "12345678901234567890123");
        let document = Document::parse(&text).unwrap();
        let mut paths = Vec::new();
        let changed = document.with_strings(|path, string| {
            paths.push((path.to_vec(), string.to_owned()));
            (string == "y").then(|| String::from("\"ü\n"))
        });
        assert_eq!(changed.unwrap(), text.replace("\"y\"", "\"\\\"ü\\n\""));
        let key = |key: &str| Step::Key(key.to_owned());
        assert_eq!(
            paths,
            [
                (vec![key("a"), Step::Index(2)], String::from("x\"\\")),
                (vec![key("a"), Step::Index(3), key("bA")], String::from("y")),
                (vec![key("c")], String::new()),
            ]
        );
    }

    #[test]
    fn a_document_in_which_nothing_changes_is_none() {
        let document = Document::parse(r#"["a", 1]"#).unwrap();
        assert_eq!(document.with_strings(|_, string| Some(string.to_owned())), None);
    }

    proptest! {
        #[test]
        fn a_walk_meets_every_string_of_any_document(value in any_json(), pretty: bool) {
            fn strings(value: &Value, found: &mut Vec<String>) {
                match value {
                    Value::String(string) => found.push(string.clone()),
                    Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
                    Value::Object(members) => members.values().for_each(|v| strings(v, found)),
                    Value::Null | Value::Bool(_) | Value::Number(_) => {}
                }
            }
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let document = Document::parse(&text).unwrap();
            let (mut expected, mut met) = (Vec::new(), Vec::new());
            strings(&value, &mut expected);
            let upper = document.with_strings(|_, string| {
                met.push(string.to_owned());
                Some(format!("{string}!"))
            });
            prop_assert_eq!(&met, &expected);
            if let Some(upper) = upper {
                let mut changed = Vec::new();
                strings(&serde_json::from_str(&upper).unwrap(), &mut changed);
                let expected: Vec<_> = expected.iter().map(|s| format!("{s}!")).collect();
                prop_assert_eq!(changed, expected);
            }
        }
    }
}
