//! Damage to JSON: text that no longer parses, fields that are gone, values of another type.

use std::ops::Range;

use serde_json::{Map, Value};

use crate::directive::NotApplied;
use crate::draw::lowbias32;
use crate::rewrite::text::share_of;

/// JSON inside a text: all of it, in a code fence, or from the first bracket to the last.
pub(in crate::rewrite) struct Found<'t> {
    text: &'t str,
    range: Range<usize>,
    pub(in crate::rewrite) value: Value,
}

impl<'t> Found<'t> {
    pub(in crate::rewrite) fn whole(text: &'t str) -> Result<Self, NotApplied> {
        Self::at(text, 0..text.len()).ok_or(NotApplied::NotJson)
    }

    pub(in crate::rewrite) fn in_text(text: &'t str) -> Result<Self, NotApplied> {
        let found = [Some(0..text.len()), fenced(text), bracketed(text)];
        let found = found.into_iter().flatten().find_map(|range| Self::at(text, range));
        found.ok_or(NotApplied::NotJson)
    }

    fn at(text: &'t str, range: Range<usize>) -> Option<Self> {
        let inner = text.get(range.clone())?;
        let value = serde_json::from_str(inner).ok()?;
        let start = range.start + inner.len() - inner.trim_start().len();
        Some(Self { text, range: start..start + inner.trim().len(), value })
    }

    fn json(&self) -> &'t str {
        self.text.get(self.range.clone()).unwrap_or_default()
    }

    fn around(&self, json: &str) -> String {
        let before = self.text.get(..self.range.start).unwrap_or_default();
        let after = self.text.get(self.range.end..).unwrap_or_default();
        [before, json, after].concat()
    }

    /// The text with another value in the place of the JSON, pretty if that was.
    pub(in crate::rewrite) fn replaced(&self, value: &Value) -> String {
        let pretty = self.json().contains('\n');
        self.around(&if pretty { format!("{value:#}") } else { value.to_string() })
    }

    /// The text with JSON that doesn't parse: its end is missing, or there is a comma too many, or its first quote is
    /// of the wrong kind.
    pub(in crate::rewrite) fn broken(&self, salt: u32) -> Result<String, NotApplied> {
        let json = self.json();
        let head = json.char_indices().next_back().map_or("", |(last, _)| &json[..last]);
        let ways = [
            head.to_owned(),
            format!("{head},{}", &json[head.len()..]),
            json.replacen('"', "'", 1),
            format!("{json},"),
        ];
        let first = (lowbias32(salt) % 3) as usize;
        let mut ways = ways.iter().skip(first).chain(&ways);
        let broken = ways.find(|way| serde_json::from_str::<Value>(way).is_err());
        broken.map(|json| self.around(json)).ok_or(NotApplied::NothingToDamage)
    }
}

/// Inside the first code fence.
fn fenced(text: &str) -> Option<Range<usize>> {
    let open = text.find("```")?;
    let start = open + text.get(open..)?.find('\n')?;
    let len = text.get(start..)?.find("```")?;
    Some(start..start + len)
}

/// From the first opening bracket to the last that closes it.
fn bracketed(text: &str) -> Option<Range<usize>> {
    let start = text.find(['{', '['])?;
    let close = if text[start..].starts_with('{') { '}' } else { ']' };
    Some(start..text.rfind(close)? + 1)
}

/// Without a share of its fields, at least one; `None` if it has none.
pub(super) fn without_fields(value: &Value, keep: f64, salt: u32) -> Option<Value> {
    let fields = fields(value);
    if fields == 0 {
        return None;
    }
    let lost = share_of(fields, 1.0 - keep).max(1);
    // The fields with the smallest hashes are lost: as many as wanted, in no order.
    let hash = |field: usize| lowbias32(salt ^ u32::try_from(field).unwrap_or(u32::MAX));
    let mut order: Vec<usize> = (0..fields).collect();
    order.sort_by_key(|field| (hash(*field), *field));
    let mut gone = vec![false; fields];
    order.iter().take(lost).for_each(|field| gone[*field] = true);
    Some(keeping(value, &mut gone.into_iter()))
}

/// How many fields all its objects have together.
fn fields(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(fields).sum(),
        Value::Object(members) => members.len() + members.values().map(fields).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The value without the fields that are `gone`, one answer for each field: the field itself, then those inside it.
fn keeping(value: &Value, gone: &mut impl Iterator<Item = bool>) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| keeping(item, gone)).collect(),
        Value::Object(members) => {
            let mut kept = Map::new();
            for (key, member) in members {
                let lost = gone.next().unwrap_or(false);
                let member = keeping(member, gone);
                if !lost {
                    kept.insert(key.clone(), member);
                }
            }
            Value::Object(kept)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// With values of other types: numbers and booleans become strings, lists objects with their indices as keys. If there is
/// nothing of these, strings become lists of one. `None` if there is nothing of either.
pub(super) fn of_wrong_types(value: &Value) -> Option<Value> {
    let once = retyped(value, &|value| match value {
        Value::Bool(_) | Value::Number(_) => Some(Value::String(value.to_string())),
        Value::Array(items) => Some(
            items.iter().enumerate().map(|(at, item)| (at.to_string(), item.clone())).collect(),
        ),
        Value::Null | Value::String(_) | Value::Object(_) => None,
    });
    let strings = |value: &Value| value.is_string().then(|| Value::from(vec![value.clone()]));
    let changed = if once == *value { retyped(value, &strings) } else { once };
    (changed != *value).then_some(changed)
}

fn retyped(value: &Value, other: &impl Fn(&Value) -> Option<Value>) -> Value {
    let inside = match value {
        Value::Array(items) => items.iter().map(|item| retyped(item, other)).collect(),
        Value::Object(members) => {
            members.iter().map(|(key, member)| (key.clone(), retyped(member, other))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    };
    other(&inside).unwrap_or(inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_found_alone_in_a_fence_and_between_words() {
        for text in
            ["{\"a\":1}", " {\"a\":1}\n", "So:\n```json\n{\"a\":1}\n```\nDone.", "x {\"a\":1} y"]
        {
            let found = Found::in_text(text).unwrap();
            assert_eq!(found.value, json!({"a": 1}), "{text}");
            assert_eq!(found.replaced(&json!(["b"])), text.replace("{\"a\":1}", "[\"b\"]"));
        }
        for text in ["", "no json", "{a: 1}", "```\nnone\n```", "} {"] {
            assert!(Found::in_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn broken_json_never_parses() {
        for text in ["{\"a\":1}", "[1,2]", "42", "\"ü\"", "null", "{}", "[ ]", "-1.5e3", "\"\""] {
            for salt in 0..50 {
                let broken = Found::whole(text).unwrap().broken(salt).unwrap();
                assert!(serde_json::from_str::<Value>(&broken).is_err(), "{text} -> {broken}");
            }
        }
    }

    #[test]
    fn the_kept_share_of_fields_is_what_stays() {
        let value = json!({"a": 1, "b": 2, "c": 3, "d": 4});
        let left = |keep, salt| without_fields(&value, keep, salt).unwrap();
        for salt in 0..20 {
            assert_eq!(fields(&left(0.5, salt)), 2);
            assert_eq!(fields(&left(1.0, salt)), 3, "at least one is lost");
            assert_eq!(left(0.0, salt), json!({}));
        }
        let distinct: std::collections::BTreeSet<_> =
            (0..20).map(|salt| left(0.5, salt).to_string()).collect();
        assert!(distinct.len() > 3, "which fields are lost is drawn");
        assert_eq!(without_fields(&json!([1, "x", null]), 0.5, 1), None);
    }

    #[test]
    fn types_change_and_keys_do_not() {
        assert_eq!(
            of_wrong_types(&json!({"n": 1.5, "b": true, "l": [1, "x"], "s": "t", "z": null}))
                .unwrap(),
            json!({"n": "1.5", "b": "true", "l": {"0": "1", "1": "x"}, "s": "t", "z": null})
        );
        assert_eq!(of_wrong_types(&json!({"s": "t"})).unwrap(), json!({"s": ["t"]}));
        assert_eq!(of_wrong_types(&json!({"z": null})), None);
    }
}
