//! From text to a tree of values, within bounds: a file of 128 KiB must not become gigabytes by aliases, and a key that
//! is written twice must not lose its first value in silence.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use squall_proto::vocabulary::violation::Violations;

/// Deepest nesting: a session has 5 levels (`experiments[0].fault.uncooperative_agent.delay.fixed_ms`).
const DEPTH_MAX: usize = 16;
/// Most values in one file, aliases followed: 100 experiments with every list full, which 128 KiB can't hold without aliases.
const NODES_MAX: usize = 100_000;
/// Most aliases in one file: a few for each experiment.
const ALIASES_MAX: usize = 1_000;

/// Reads YAML, or JSON where the text begins like an object of JSON: `{` also opens one of YAML, `{tenant: acme}`.
pub(super) fn read(text: &str) -> Result<Value, Violations> {
    let tree = if is_json(text) {
        serde_json::from_str(text).map_err(|error| format!("the file is not JSON: {error}"))
    } else {
        serde_saphyr::from_str_with_options(text, options())
            .map_err(|error| format!("the file is not usable YAML: {}", for_authors(&error)))
    };
    tree.map(|Tree(value)| value).map_err(|problem| Violations::one("", problem))
}

fn is_json(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('{').map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with(['"', '}']))
}

fn for_authors(error: &serde_saphyr::Error) -> String {
    error.render_with_formatter(&serde_saphyr::UserMessageFormatter)
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 4,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_documents: 2,
            max_recorded_anchor_events: NODES_MAX,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

/// A value that refuses what [`Value`] would lose: keys that are written twice.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    /// What is no finite number stays visible as a text, which no field for numbers accepts.
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Tree(value))) = entries.next_entry::<String, _>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("the field {key:?} is written twice")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a single value",
        Value::Array(_) => "a list",
        Value::Object(_) => "fields",
    }
}

/// What serde says about a wrong type, in the words of other violations: "is a string \"x\"; allowed is a number".
pub(super) fn for_people(message: &str) -> String {
    let parts = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let Some((found, expected)) = parts else { return format!("is not usable: {message}") };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number without sign or unit",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "fields",
        other if other.starts_with("struct ") => "fields",
        other => other,
    };
    let found = match found {
        "null" => "nothing".to_owned(),
        "map" => "a set of fields".to_owned(),
        "sequence" => "a list".to_owned(),
        "string \".nan\"" | "string \".inf\"" | "string \"-.inf\"" => "no finite number".to_owned(),
        found => format!("the {}", found.replace('`', "")),
    };
    format!("is {found}; allowed is {expected}")
}
