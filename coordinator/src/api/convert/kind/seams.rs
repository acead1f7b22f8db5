//! Which seams can carry a kind. Found by asking the code that decides ([`Seam::supports`]) about every seam that there
//! could be, with all capabilities and then without each: nothing is written down twice, and a start says the same.

use serde_json::{Map, Value, json};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Fault, FaultKind};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::wire::v1;

use super::{draft, fault};

/// A parameter with a closed set of values, and one of them.
#[derive(Clone, Debug, PartialEq)]
struct Form {
    parameter: String,
    value: String,
}

/// Every seam that can carry the kind in some form, with what it needs for that.
pub(super) fn seams(kind: FaultKind) -> Vec<v1::ExperimentSeam> {
    let forms = forms(kind);
    Point::ALL
        .iter()
        .flat_map(|point| Shape::ALL.iter().map(|shape| (*point, *shape)))
        .flat_map(|(point, shape)| at(kind, &forms, point, shape))
        .collect()
}

/// The kind at seams of one point and shape: a row for each set of capabilities that some forms need.
fn at(kind: FaultKind, all: &[Form], point: Point, shape: Shape) -> Vec<v1::ExperimentSeam> {
    let mut rows: Vec<(Vec<String>, Vec<Form>)> = Vec::new();
    let plain = fault(kind, &json!({})).map(|fault| (None, fault));
    let formed = all.iter().filter_map(|form| Some((Some(form), form.fault(kind)?)));
    for (form, fault) in plain.into_iter().chain(formed) {
        let Some(needs) = needs(&fault, point, shape) else { continue };
        let row = rows.iter().position(|(known, _)| *known == needs).unwrap_or_else(|| {
            rows.push((needs, Vec::new()));
            rows.len() - 1
        });
        rows[row].1.extend(form.cloned());
    }
    rows.into_iter()
        .map(|(needs, forms)| v1::ExperimentSeam {
            point: v1::Point::from(point).into(),
            shape: v1::Shape::from(shape).into(),
            forms: distinctive(all, &forms),
            needs,
        })
        .collect()
}

/// The forms that tell a row from others: of a parameter whose every value is there, none does.
fn distinctive(all: &[Form], here: &[Form]) -> Vec<String> {
    let is_whole = |parameter: &str| {
        let mut values = all.iter().filter(|form| form.parameter == parameter);
        values.all(|form| here.contains(form))
    };
    here.iter()
        .filter(|form| !is_whole(&form.parameter))
        .map(|Form { parameter, value }| format!("{parameter}: {value}"))
        .collect()
}

/// The capabilities without which the fault can't be applied there; `None` where all of them don't help.
fn needs(fault: &Fault, point: Point, shape: Shape) -> Option<Vec<String>> {
    let supports = |capabilities| {
        let seam = Seam { name: String::new(), point, shape, capabilities };
        seam.supports(fault).is_ok()
    };
    supports(Capabilities::ALL).then(|| {
        lacking_one()
            .filter(|(_, lacking)| !supports(*lacking))
            .map(|(capability, _)| capability)
            .collect()
    })
}

/// All capabilities but one, for each one, with its name: that of its field.
fn lacking_one() -> impl Iterator<Item = (String, Capabilities)> {
    let fields = serde_json::to_value(Capabilities::ALL).and_then(serde_json::from_value);
    let fields: Map<String, Value> = fields.expect("capabilities are a struct of plain fields");
    let names: Vec<String> = fields.keys().cloned().collect();
    names.into_iter().map(move |name| {
        let mut fields = fields.clone();
        let none = match fields.get(&name) {
            Some(Value::Bool(_)) => Value::from(false),
            Some(_) | None => Value::from(0),
        };
        fields.insert(name.clone(), none);
        let lacking = serde_json::from_value(Value::Object(fields));
        (name, lacking.expect("each field is a flag or a number"))
    })
}

/// Every value of every parameter that has a closed set of them, as session files name them.
fn forms(kind: FaultKind) -> Vec<Form> {
    let parameters = draft(kind).into_iter().flatten();
    parameters
        .flat_map(|(parameter, property)| {
            let values = property.get("enum").or_else(|| property.get("items")?.get("enum"));
            let values = values.and_then(Value::as_array).into_iter().flatten();
            values
                .filter_map(Value::as_str)
                .map(|value| Form { parameter: parameter.clone(), value: value.to_owned() })
        })
        .collect()
}

impl Form {
    /// The kind in this form, else with its defaults.
    fn fault(&self, kind: FaultKind) -> Option<Fault> {
        let Self { parameter, value } = self;
        let one = fault(kind, &json!({parameter: value}));
        one.or_else(|| fault(kind, &json!({parameter: [value]})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line for each row: the point and shape, the forms, what is needed.
    fn lines(kind: FaultKind) -> Vec<String> {
        let line = |row: v1::ExperimentSeam| {
            let point = row.point().as_str_name().trim_start_matches("POINT_").to_lowercase();
            let shape = row.shape().as_str_name().trim_start_matches("SHAPE_").to_lowercase();
            format!("{point} {shape} [{}] {}", row.forms.join(", "), row.needs.join("+"))
        };
        seams(kind).into_iter().map(line).collect()
    }

    #[test]
    fn every_kind_and_every_form_of_it_has_a_seam() {
        for kind in FaultKind::ALL.iter().copied() {
            assert!(!seams(kind).is_empty(), "{} has no seam", kind.name());
            for form in forms(kind) {
                let fault = form.fault(kind).unwrap_or_else(|| panic!("{form:?} is no fault"));
                let carried = Point::ALL.iter().any(|point| {
                    Shape::ALL.iter().any(|shape| needs(&fault, *point, *shape).is_some())
                });
                assert!(carried, "{form:?} has no seam");
            }
        }
    }

    #[test]
    fn a_seam_that_has_what_is_needed_can_and_one_that_lacks_any_of_it_can_not() {
        assert_eq!(
            lines(FaultKind::ToolUnavailable)[..3],
            [
                "tool text [mode: error, mode: not_found] block",
                "tool text [mode: timeout] block+max_delay_ms",
                "tool text [mode: disconnect] disconnect",
            ]
        );
        let truncation = lines(FaultKind::ContextTruncation);
        assert!(truncation.contains(&"model json [] rewrite_in".to_owned()), "{truncation:?}");
        let tool = "tool json [unit: characters] rewrite_in".to_owned();
        assert!(truncation.contains(&tool), "{truncation:?}");
        assert!(
            lines(FaultKind::Latency).contains(&"tool mcp_json_rpc [] max_delay_ms".to_owned())
        );
    }
}
