//! The published JSON schema of session files: what editors complete and check, and where `squall types` finds what the
//! parameters of a kind are.

use std::sync::LazyLock;

use schemars::Schema;
use serde_json::{Map, Value, json};
use squall_proto::vocabulary::blast_radius::{BlastRadius, Strictness};
use squall_proto::vocabulary::fault::{Behavior, Damage, LostPart, TruncationUnit, Unavailability};
use squall_proto::vocabulary::limits::{
    BUDGET_MAX, EXPERIMENTS_MAX, FAULT_DURATION_MS_MAX, FAULT_LIST_MAX, SELECTOR_NAMES_MAX,
    SESSION_DURATION_MAX, SESSION_DURATION_MIN, TENANTS_MAX, TEXT_BYTES_MAX,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::target::PercentageUnit;

use super::Written;

static SCHEMA: LazyLock<Value> = LazyLock::new(generate);

/// The JSON schema (2020-12) of session files, as published in `deploy/session.schema.json`.
#[must_use]
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The definition of a type of the schema by its name: `DelayDraft`.
pub(crate) fn definition(name: &str) -> Option<&'static Map<String, Value>> {
    schema().get("$defs")?.get(name)?.as_object()
}

/// Names of the fields that are allowed at `path`: `experiments[0].fault`. `None` where the fields' names are free.
pub(super) fn fields(path: &str) -> Option<Vec<&'static str>> {
    let mut at = schema();
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let name = step.split('[').next().unwrap_or(step);
        at = resolved(at.get("properties")?.get(name)?)?;
        if step.contains('[') {
            at = resolved(at.get("items")?)?;
        }
    }
    let names = at.get("properties")?.as_object()?.keys().map(String::as_str);
    Some(names.filter(|name| !name.starts_with('$')).collect())
}

/// What a schema refers to.
fn resolved(schema: &'static Value) -> Option<&'static Value> {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(path) => self::schema().pointer(path.strip_prefix('#')?),
        None => Some(schema),
    }
}

fn generate() -> Value {
    let mut schema = schemars::schema_for!(Written);
    strict(&mut schema);
    let mut schema = Value::from(schema);
    for (name, field, bound) in bounds() {
        let property =
            owner(&mut schema, name).and_then(|owner| owner.get_mut("properties")?.get_mut(field));
        if let (Some(Value::Object(property)), Value::Object(bound)) = (property, bound) {
            property.extend(bound);
        }
    }
    for (name, fields) in REQUIRED {
        if let Some(Value::Object(owner)) = owner(&mut schema, name) {
            owner.insert("required".to_owned(), json!(fields));
        }
    }
    if let Some(fault) = owner(&mut schema, "FaultDraft").and_then(Value::as_object_mut) {
        // Exactly one kind.
        fault.extend([
            ("minProperties".to_owned(), json!(1)),
            ("maxProperties".to_owned(), json!(1)),
        ]);
    }
    schema
}

/// A definition of the schema by its name, or, without one, the schema itself.
fn owner<'a>(schema: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    match name {
        "" => Some(schema),
        name => schema.get_mut("$defs")?.get_mut(name),
    }
}

/// An unknown field is refused, so the schema says so, and so is one without a value. What code takes for absent (`null`,
/// an empty list) is no default that a person would write.
fn strict(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut strict, schema);
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("default");
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(mut options)) = object.remove("anyOf") {
        options.retain(|option| option.get("type").is_none_or(|name| name != "null"));
        match options.as_slice() {
            [Value::Object(one)] => object.extend(one.clone()),
            _ => drop(object.insert("anyOf".to_owned(), Value::Array(options))),
        }
    }
    if object.contains_key("properties") {
        object.entry("additionalProperties").or_insert(Value::Bool(false));
    }
}

/// The fields without a default, by their owners.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("", &["experiments", "safety"]),
    ("ExperimentDraft", &["fault"]),
    ("SafetyDraft", &["max_affected_requests"]),
    ("RateDraft", &["permits", "window_s"]),
];

/// What validation allows beyond types, from the same constants.
pub(super) fn bounds() -> Vec<(&'static str, &'static str, Value)> {
    let share = || json!({"minimum": 0, "maximum": 1});
    let count = || json!({"minimum": 1, "maximum": BUDGET_MAX});
    let millis = |min: u64| json!({"minimum": min, "maximum": FAULT_DURATION_MS_MAX});
    let names = |max: usize| json!({"maxItems": max});
    let seconds = json!({
        "minimum": SESSION_DURATION_MIN.as_secs(),
        "maximum": SESSION_DURATION_MAX.as_secs(),
    });
    vec![
        ("", "title", json!({"maxLength": TEXT_BYTES_MAX})),
        ("", "experiments", json!({"minItems": 1, "maxItems": EXPERIMENTS_MAX})),
        ("ExperimentDraft", "probability", share()),
        ("ExperimentDraft", "agents", names(SELECTOR_NAMES_MAX)),
        ("ExperimentDraft", "tools", names(SELECTOR_NAMES_MAX)),
        ("DelayDraft", "distribution", json!({"enum": ["fixed", "uniform", "lognormal"]})),
        ("DelayDraft", "fixed_ms", millis(1)),
        ("DelayDraft", "min_ms", millis(0)),
        ("DelayDraft", "max_ms", millis(1)),
        ("DelayDraft", "median_ms", millis(1)),
        ("DelayDraft", "sigma", json!({"exclusiveMinimum": 0, "maximum": 3})),
        (
            "ErrorCodesDraft",
            "codes",
            json!({
                "minItems": 1,
                "maxItems": FAULT_LIST_MAX,
                "items": {"type": "integer", "minimum": 400, "maximum": 599},
            }),
        ),
        ("ToolUnavailableDraft", "mode", one_of::<Unavailability>()),
        ("ToolUnavailableDraft", "timeout_ms", millis(1)),
        (
            "UncooperativeDraft",
            "behaviors",
            json!({
                "minItems": 1,
                "maxItems": FAULT_LIST_MAX,
                "items": {"enum": names_of::<Behavior>()},
            }),
        ),
        ("UncooperativeDraft", "texts", names(FAULT_LIST_MAX)),
        ("UncooperativeDraft", "keep", share()),
        ("TruncationDraft", "fraction", json!({"exclusiveMinimum": 0, "maximum": 1})),
        ("TruncationDraft", "from", one_of::<LostPart>()),
        ("TruncationDraft", "unit", one_of::<TruncationUnit>()),
        ("MalformedOutputDraft", "mode", one_of::<Damage>()),
        ("MalformedOutputDraft", "keep", share()),
        ("TargetDraft", "agents", names(SELECTOR_NAMES_MAX)),
        ("TargetDraft", "tools", names(SELECTOR_NAMES_MAX)),
        ("TargetDraft", "tenants", names(TENANTS_MAX)),
        ("TargetDraft", "environments", names(SELECTOR_NAMES_MAX)),
        ("TargetDraft", "percentage", share()),
        ("TargetDraft", "percentage_unit", one_of::<PercentageUnit>()),
        ("SafetyDraft", "blast_radius", one_of::<BlastRadius>()),
        ("SafetyDraft", "strictness", one_of::<Strictness>()),
        ("SafetyDraft", "max_affected_requests", count()),
        ("SafetyDraft", "max_per_agent", count()),
        ("SafetyDraft", "max_per_trace", count()),
        ("SafetyDraft", "max_outstanding", count()),
        ("SafetyDraft", "max_concurrent", count()),
        ("SafetyDraft", "cascade_threshold", count()),
        ("SafetyDraft", "max_duration_s", seconds),
        ("RateDraft", "permits", count()),
        ("RateDraft", "window_s", json!({"minimum": 1, "maximum": 3600})),
    ]
}

fn names_of<T: Named>() -> Vec<&'static str> {
    T::ALL.iter().map(|value| value.name()).collect()
}

fn one_of<T: Named>() -> Value {
    json!({"enum": names_of::<T>()})
}
