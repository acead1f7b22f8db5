//! The kinds of experiments. Names, types and descriptions of their parameters come from the drafts that session files
//! are read into, defaults from checking an empty draft, seams from what decides at a start: nothing is written down twice.

mod seams;

use serde_json::{Map, Value, json};
use squall_proto::vocabulary::fault::{Fault, FaultKind};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::{ExperimentDraft, FaultDraft, SafetyDraft, SessionDraft};
use squall_proto::wire::v1;

use super::fleet::kind_number;
use crate::session_file::definition;

/// Every kind, in the order in which they are documented.
pub(crate) fn kinds() -> Vec<v1::ExperimentType> {
    FaultKind::ALL.iter().map(|kind| self::kind(*kind)).collect()
}

fn kind(kind: FaultKind) -> v1::ExperimentType {
    v1::ExperimentType {
        kind: kind_number(kind),
        name: kind.name().to_owned(),
        summary: kind.summary().to_owned(),
        stands_for: kind.stands_for().to_owned(),
        parameters: parameters(kind).unwrap_or_default(),
        seams: seams::seams(kind),
    }
}

fn parameters(kind: FaultKind) -> Option<Vec<v1::ExperimentParameter>> {
    let draft = draft(kind)?;
    let defaults = defaults(kind);
    let default = |name: &str| defaults.as_ref().and_then(|defaults| defaults.get(name));
    let parameter = |(name, property): (&String, &Value)| v1::ExperimentParameter {
        name: name.clone(),
        r#type: type_name(property),
        description: description(property),
        default_value: default(name).map(written).unwrap_or_default(),
    };
    Some(draft.iter().map(parameter).collect())
}

/// The parameters of the kind, as the schema of session files has them.
fn draft(kind: FaultKind) -> Option<&'static Map<String, Value>> {
    let property = definition("FaultDraft")?.get("properties")?.get(kind.name())?;
    definition(referred(property)?)?.get("properties")?.as_object()
}

/// The name of the definition that a property refers to, alone or as "this or null".
fn referred(property: &Value) -> Option<&str> {
    let options = property.get("anyOf").and_then(Value::as_array);
    let mut candidates = options.into_iter().flatten().chain([property]);
    candidates.find_map(|option| option.get("$ref")?.as_str()?.strip_prefix("#/$defs/"))
}

fn type_name(property: &Value) -> String {
    if let Some(name) = referred(property) {
        return name.strip_suffix("Draft").unwrap_or(name).to_lowercase();
    }
    let one = |value: &Value| -> Option<String> {
        let types = value.get("type")?;
        let listed = types.as_array().and_then(|types| types.iter().find(|name| *name != "null"));
        Some(listed.unwrap_or(types).as_str()?.to_owned())
    };
    let item = |value: &Value| {
        let named = value.get("enum").map(|_| "string".to_owned());
        one(value).or(named).unwrap_or_else(|| "value".to_owned())
    };
    match property.get("items") {
        Some(items) => format!("list of {}", item(items)),
        None => item(property),
    }
}

/// What the parameter means, and what validation allows where the words don't say it.
fn description(property: &Value) -> String {
    let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_said = |range: &String| range.split([' ', ',']).all(|part| words.contains(part));
    match range(property).filter(|range| !is_said(range)) {
        Some(range) => format!("{words} Allowed: {range}."),
        None => words,
    }
}

fn range(property: &Value) -> Option<String> {
    if let Some(items) = property.get("items") {
        let most = property.get("maxItems").map(|most| format!("up to {most}"));
        let each = range(items).map(|range| format!("each {range}"));
        let parts: Vec<_> = most.into_iter().chain(each).collect();
        return (!parts.is_empty()).then(|| parts.join(", "));
    }
    if let Some(names) = property.get("enum").and_then(Value::as_array) {
        let names: Vec<_> = names.iter().filter_map(Value::as_str).collect();
        return Some(names.join(", "));
    }
    let most = property.get("maximum")?;
    match (property.get("minimum"), property.get("exclusiveMinimum")) {
        (Some(least), _) => Some(format!("{least} to {most}")),
        (None, Some(least)) => Some(format!("above {least}, up to {most}")),
        (None, None) => Some(format!("up to {most}")),
    }
}

/// What an empty draft of the kind means, written out. `None` where a kind has no defaults for all it needs.
fn defaults(kind: FaultKind) -> Option<Map<String, Value>> {
    let written = FaultDraft::from(&fault(kind, &json!({}))?);
    let mut written = serde_json::to_value(written).ok()?;
    written.get_mut(kind.name())?.as_object_mut().map(std::mem::take)
}

/// The fault that these parameters make of the kind; `None` where they don't.
fn fault(kind: FaultKind, parameters: &Value) -> Option<Fault> {
    let draft: FaultDraft = serde_json::from_value(json!({kind.name(): parameters})).ok()?;
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault: draft, ..ExperimentDraft::default() }],
        safety: SafetyDraft { max_affected_requests: Some(1), ..SafetyDraft::default() },
        ..SessionDraft::default()
    };
    draft.validate().ok()?.experiments.pop().map(|experiment| experiment.fault)
}

/// A default as it would be written in a session file; an empty list is the absence of one.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_says_what_it_is() {
        for kind in kinds() {
            assert!(!kind.parameters.is_empty(), "{} has none", kind.name);
            for parameter in kind.parameters {
                assert!(!parameter.description.is_empty(), "{}.{}", kind.name, parameter.name);
                assert_ne!(parameter.r#type, "value", "{}.{}", kind.name, parameter.name);
            }
        }
    }

    #[test]
    fn the_table_of_kinds_reads_like_this() {
        let lines: Vec<String> = kinds()
            .into_iter()
            .flat_map(|kind| {
                let head = format!("{}: {} ({})", kind.name, kind.summary, kind.stands_for);
                let rows = kind.parameters.into_iter().map(|parameter| {
                    let v1::ExperimentParameter { name, r#type, description, default_value } =
                        parameter;
                    format!("  {name} [{type}] = {default_value:?}: {description}")
                });
                std::iter::once(head).chain(rows).collect::<Vec<_>>()
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
latency: delays tool and model calls (a slow backend)
  distribution [string] = "uniform": `fixed`, `uniform` or `lognormal`; default: what the other fields say.
  fixed_ms [integer] = "": Always this, 1 to 60000.
  min_ms [integer] = "100": Shortest of a uniform delay. Default 100. Allowed: 0 to 60000.
  max_ms [integer] = "5000": Longest of a uniform or lognormal delay, 1 to 60000. Default 5000.
  median_ms [integer] = "": Median of a lognormal delay, at least 1. Allowed: 1 to 60000.
  sigma [number] = "": Spread of a lognormal delay, above 0 and up to 3. Default 1.
error: answers tool and model calls with an error code (a backend error)
  codes [list of integer] = "[500,502,503,504]": HTTP status codes to draw from, 400 to 599. Default 500, 502, 503, 504. Allowed: up to 32, each 400 to 599.
  message [string] = "": Text of the error; default: the standard reason of the code.
tool_unavailable: makes a tool fail, time out, vanish or disconnect (an outage or a revoked permission)
  mode [string] = "error": `error`, `timeout`, `not_found` or `disconnect`. Default `error`.
  timeout_ms [integer] = "5000": How long a time-out takes, 1 to 60000. Default 5000.
uncooperative_agent: makes an agent refuse, answer in part, dawdle or answer in the wrong format (a refusal or a lazy peer)
  behaviors [list of string] = "[\"refuse\"]": Of `refuse`, `partial`, `delay`, `wrong_format`. Default `refuse`. Allowed: up to 32, each refuse, partial, delay, wrong_format.
  texts [list of string] = "": Refusals to draw from, up to 32; default: a built-in set.
  keep [number] = "0.5": Share of the answer that `partial` keeps, 0 to 1. Default 0.5.
  delay [delay] = "{\"distribution\":\"uniform\",\"min_ms\":1000,\"max_ms\":1000}": How late `delay` is. Default 1000 ms.
context_truncation: cuts what a tool or model is given (an exhausted context window)
  fraction [number] = "0.5": Share that is lost, above 0 and up to 1. Default 0.5.
  from [string] = "end": `start`, `middle` or `end`. Default `end`.
  unit [string] = "characters": `characters` or `messages`. Default `characters`.
malformed_output: damages what a tool or model returns (a sloppy API)
  mode [string] = "truncate": `truncate`, `json_break`, `encoding`, `empty`, `fields_removed` or `wrong_type`. Default `truncate`.
  keep [number] = "0.5": Share of text or fields that is kept, 0 to 1. Default 0.5.
"#);
    }
}
