//! The meaning of a message, comparable over two JSON writers.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::record::Digest;

/// Characters of a message that are kept for people.
const HEAD_CHARS: usize = 160;

impl Digest {
    /// The digest of a JSON value.
    pub(crate) fn of(value: &Value) -> Self {
        let mut hasher = DefaultHasher::new();
        hash_value(value, &mut hasher);
        let text = value.to_string();
        Self {
            hash: format!("{:016x}", hasher.finish()),
            bytes: text.len() as u64,
            head: text.chars().take(HEAD_CHARS).collect(),
        }
    }
}

fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().filter(|(key, _)| *key != "_meta").collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            ("object", sorted.len()).hash(hasher);
            for (key, value) in sorted {
                key.hash(hasher);
                hash_value(value, hasher);
            }
        }
        Value::Array(items) => {
            ("array", items.len()).hash(hasher);
            items.iter().for_each(|item| hash_value(item, hasher));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            value.to_string().hash(hasher);
        }
    }
}
