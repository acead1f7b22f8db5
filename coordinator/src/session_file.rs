//! Session files: YAML or JSON, as a person writes them.
//!
//! Everything that is wrong is named at once, each with the path of its field: fields that don't exist, values of the
//! wrong type, and what [`SessionDraft::validate`] refuses. A field that is ignored in silence would be chaos that is
//! not what its author wrote.
//!
//! Not here: what makes a specification valid ([`SessionDraft`]), and reading files from disk.

mod schema;
mod spelling;
mod tree;

use serde::Deserialize;
use serde_json::{Value, json};
use serde_path_to_error::Segment;
use squall_proto::vocabulary::id::{SessionId, TenantId};
use squall_proto::vocabulary::limits::SPEC_BYTES_MAX;
use squall_proto::vocabulary::session::{
    ExperimentDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft,
};
use squall_proto::vocabulary::violation::{Check, Violation, Violations};

pub(crate) use schema::definition;
pub use schema::schema;

/// Most violations of one kind that are looked for; a file with more of them is no session file.
const VIOLATIONS_MAX: usize = 100;

/// A checked session file.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionFile {
    /// Whose session it is; where it is absent, the caller has to know.
    pub tenant: Option<TenantId>,
    /// The session's id; where it is absent, a new one.
    pub session_id: Option<SessionId>,
    /// What was written.
    pub draft: SessionDraft,
    /// What it means, with every default filled in.
    pub spec: SessionSpec,
}

/// The fields of a session file. Those of [`SessionDraft`] stand here again, since a flattened struct hides unknown fields.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[schemars(
    title = "Squall session",
    description = "A chaos session: what it does, whom it may hit, and how much."
)]
#[serde(default)]
struct Written {
    /// Where this schema is, for editors; without effect.
    #[serde(rename = "$schema")]
    schema: Option<String>,
    /// Whose agents: a token [A-Za-z0-9_-]{1,64}. For a multi_tenant session any of its tenants, or `_fleet`. The
    /// command line's --tenant stands in where it is absent.
    tenant: Option<String>,
    /// Id of the session, a token [A-Za-z0-9_-]{1,64}. Default: a new one.
    session_id: Option<String>,
    /// Title for people, up to 1024 bytes.
    title: String,
    /// 1 to 100 experiments with different names. A call that several choose gets the first of them.
    experiments: Vec<ExperimentDraft>,
    /// Whom the session may hit; default: every agent and tool of its tenant outside production.
    target: TargetDraft,
    /// The bounds.
    safety: SafetyDraft,
}

impl SessionFile {
    /// Reads and checks the text of a session file.
    ///
    /// # Errors
    /// [`Violations`] holds everything that is wrong with it, by the path of its field; text that is neither YAML nor
    /// JSON, or over 128 KiB, is one violation without a path.
    pub fn parse(text: &str) -> Result<Self, Violations> {
        if text.len() > SPEC_BYTES_MAX {
            let problem =
                format!("the file has more than the {SPEC_BYTES_MAX} bytes that are allowed");
            return Err(Violations::one("", problem));
        }
        let tree = tree::read(text)?;
        if !tree.is_object() {
            let found = tree::kind(&tree);
            let problem = format!(
                "the file holds {found}; a session has fields, `experiments` and `safety` at least"
            );
            return Err(Violations::one("", problem));
        }
        let Typed { written, mut wrong, dropped } = typed(tree);
        match written.checked() {
            Ok(file) if wrong.is_empty() => Ok(file),
            Ok(_) => Err(Violations(wrong)),
            Err(Violations(found)) => {
                let hidden = |path: &str| dropped.iter().any(|dropped| is_under(path, dropped));
                wrong.extend(found.into_iter().filter(|violation| !hidden(&violation.field)));
                Err(Violations(wrong))
            }
        }
    }
}

impl Written {
    fn checked(self) -> Result<SessionFile, Violations> {
        let Self { schema: _, tenant, session_id, title, experiments, target, safety } = self;
        let draft = SessionDraft { title, experiments, target, safety };
        let mut check = Check::new();
        let tenant = check.field("tenant", |check| {
            tenant.map(|tenant| check.value(tenant.parse())).unwrap_or_default()
        });
        let session_id = check.field("session_id", |check| {
            session_id.map(|id| check.value(id.parse())).unwrap_or_default()
        });
        let ids = check.finish(Some((tenant, session_id)));
        match (ids, draft.validate()) {
            (Ok((tenant, session_id)), Ok(spec)) => {
                Ok(SessionFile { tenant, session_id, draft, spec })
            }
            (ids, spec) => {
                let of = |violations: Violations| violations.0;
                let ids = ids.err().map(of).unwrap_or_default();
                Err(Violations(
                    ids.into_iter().chain(spec.err().map(of).unwrap_or_default()).collect(),
                ))
            }
        }
    }
}

/// A file with values of the right types.
struct Typed {
    written: Written,
    /// Unknown fields and values of the wrong type.
    wrong: Vec<Violation>,
    /// Paths of values that were taken out for their type: what is missing there is not missing in the file.
    dropped: Vec<String>,
}

/// Reads the tree as a session file. A value of the wrong type is noted, taken out, and the rest is read again, so that
/// all of them are found.
fn typed(mut tree: Value) -> Typed {
    let mut wrong = empty_faults(&tree);
    wrong.extend(empty_values(&mut tree));
    let mut dropped: Vec<String> = wrong.iter().map(|violation| violation.field.clone()).collect();
    // Each value may take a few tries.
    for _ in 0..VIOLATIONS_MAX * 4 {
        let mut unknown = Vec::new();
        match attempt(&tree, &mut unknown) {
            Ok(written) => {
                wrong.extend(unknown);
                return Typed { written, wrong, dropped };
            }
            Err(error) => {
                let (path, segments) = (shown(error.path().iter()), owned(error.path().iter()));
                let tries = dropped.iter().filter(|dropped| **dropped == path).count();
                if tries == 0 {
                    let problem = tree::for_people(&error.into_inner().to_string());
                    wrong.push(Violation { field: path, problem });
                }
                match take_out(&mut tree, &segments, tries) {
                    Some(path) if wrong.len() < VIOLATIONS_MAX => dropped.push(path),
                    Some(_) | None => break,
                }
            }
        }
    }
    Typed { written: Written::default(), wrong, dropped: vec![String::new()] }
}

/// `latency:` without a value is the same as leaving it out, which nobody means.
fn empty_faults(tree: &Value) -> Vec<Violation> {
    let experiments = tree.get("experiments").and_then(Value::as_array);
    let faults = experiments.into_iter().flatten().enumerate().filter_map(|(index, experiment)| {
        let fault = experiment.get("fault")?.as_object()?;
        let kind = fault.iter().next().filter(|_| fault.values().all(Value::is_null))?.0;
        Some(Violation {
            field: format!("experiments[{index}].fault"),
            problem: format!("is empty; write `{kind}: {{}}` to take its defaults"),
        })
    });
    faults.collect()
}

/// `probability:` without a value is not the default: whoever wrote it meant a number. Takes such fields out.
fn empty_values(tree: &mut Value) -> Vec<Violation> {
    let mut found = Vec::new();
    take_empty(tree, String::new(), &mut found);
    let fields = found.into_iter().take(VIOLATIONS_MAX);
    let problem = "has no value; write one, or leave the field out";
    fields.map(|field| Violation { field, problem: problem.to_owned() }).collect()
}

/// As deep as the reader of the tree allows.
fn take_empty(value: &mut Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                take_empty(item, format!("{path}[{index}]"), found);
            }
        }
        Value::Object(fields) => {
            // A fault without any value has a sentence of its own.
            let is_fault = path.ends_with("].fault") && fields.values().all(Value::is_null);
            for (key, value) in fields.iter_mut() {
                take_empty(value, joined(path.clone(), key), found);
            }
            fields.retain(|key, value| {
                let is_empty = value.is_null() && !is_fault;
                if is_empty {
                    found.push(joined(path.clone(), key));
                }
                !is_empty
            });
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn attempt(
    tree: &Value,
    unknown: &mut Vec<Violation>,
) -> Result<Written, serde_path_to_error::Error<serde_json::Error>> {
    let mut note = |path: serde_ignored::Path<'_>| {
        if unknown.len() < VIOLATIONS_MAX {
            unknown.push(not_known(&path));
        }
    };
    serde_path_to_error::deserialize(serde_ignored::Deserializer::new(tree, &mut note))
}

fn not_known(path: &serde_ignored::Path<'_>) -> Violation {
    let field = ignored(path);
    let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
    let written = field.rsplit('.').next().unwrap_or(&field);
    let allowed = schema::fields(parent).map(|fields| match spelling::meant(written, &fields) {
        Some(meant) => format!("; did you mean {meant}? Allowed are {}", fields.join(", ")),
        None => format!("; allowed are {}", fields.join(", ")),
    });
    Violation {
        problem: format!("is not a field of a session{}", allowed.unwrap_or_default()),
        field,
    }
}

/// The path of an ignored field, in the form that violations have: `experiments[2].fault`.
fn ignored(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", ignored(parent)),
        Path::Map { parent, key } => joined(ignored(parent), key),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => ignored(parent),
    }
}

fn shown<'a>(segments: impl Iterator<Item = &'a Segment>) -> String {
    segments.fold(String::new(), |path, segment| match segment {
        Segment::Seq { index } => format!("{path}[{index}]"),
        Segment::Map { key } => joined(path, key),
        Segment::Enum { variant } => joined(path, variant),
        Segment::Unknown => path,
    })
}

fn joined(path: String, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A step into the tree.
#[derive(Clone, Debug)]
enum Step {
    Index(usize),
    Key(String),
}

fn owned<'a>(segments: impl Iterator<Item = &'a Segment>) -> Vec<Step> {
    segments
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Takes the value at `path` out and says which path is gone. An item of a list gets a stand-in, so that the items after
/// it keep their places: fields, a number or a text, whichever the list takes by the number of `tries`; else the list goes.
fn take_out(tree: &mut Value, path: &[Step], tries: usize) -> Option<String> {
    let stand_ins = [json!({}), json!(0), json!("x")];
    let (path, stand_in) = match (path.split_last()?, stand_ins.get(tries)) {
        ((Step::Index(_), parents), None) => (parents, None),
        (_, stand_in) => (path, stand_in),
    };
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(tree, |value, step| match step {
        Step::Index(index) => value.get_mut(*index),
        Step::Key(key) => value.get_mut(key),
    })?;
    match last {
        Step::Index(index) => *parent.get_mut(*index)? = stand_in?.clone(),
        Step::Key(key) => drop(parent.as_object_mut()?.shift_remove(key)?),
    }
    Some(path.iter().fold(String::new(), |path, step| match step {
        Step::Index(index) => format!("{path}[{index}]"),
        Step::Key(key) => joined(path, key),
    }))
}

/// Whether `path` is `parent` or lies below it.
fn is_under(path: &str, parent: &str) -> bool {
    parent.is_empty()
        || path
            .strip_prefix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests;
