//! `squall types`: the kinds of experiments, without a coordinator.

use std::collections::BTreeMap;

use comfy_table::Cell;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::named::Named;
use squall_proto::wire::v1::{ExperimentSeam, ExperimentType, ListExperimentTypesResponse};

use super::Global;
use super::failure::Failure;
use super::screen::Look;
use super::table::{lines, table};
use super::words;
use crate::api::experiment_types;

/// Shows the kinds of experiments; with a kind, its parameters
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall types
  squall types latency
  squall types --output json | jq '.types[] | {name, parameters}'")]
pub(super) struct Args {
    /// One kind: latency, error, tool_unavailable, ...
    kind: Option<String>,
}

impl Args {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let mut types = experiment_types();
        if let Some(kind) = &self.kind {
            types.retain(|candidate| candidate.name == *kind);
            if types.is_empty() {
                let allowed = FaultKind::allowed();
                return Err(Failure::argument(
                    "KIND",
                    format!("is {kind:?}; allowed are {allowed}"),
                ));
            }
        }
        let is_one = self.kind.is_some();
        let answer = ListExperimentTypesResponse { types };
        global.screen().answer(&answer, |answer, look| match answer.types.as_slice() {
            [one] if is_one => parameters(one, look),
            all => kinds(all, look),
        })
    }
}

fn kinds(types: &[ExperimentType], look: Look) -> String {
    let mut table =
        table(look, &["kind", "what it does", "stands for", "at calls of", "parameters"]);
    for kind in types {
        let names: Vec<_> =
            kind.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        let mut points: Vec<_> = kind.seams.iter().map(|seam| words::point(seam.point)).collect();
        points.dedup();
        let (names, points) = (names.join(", "), points.join(", "));
        table
            .add_row([&kind.name, &kind.summary, &kind.stands_for, &points, &names].map(Cell::new));
    }
    lines(&table)
}

fn parameters(kind: &ExperimentType, look: Look) -> String {
    let ExperimentType { name, summary, stands_for, parameters, seams, .. } = kind;
    let mut table = table(look, &["parameter", "type", "default", "meaning"]);
    for parameter in parameters {
        table.add_row(
            [&parameter.name, &parameter.r#type, &parameter.default_value, &parameter.description]
                .map(Cell::new),
        );
    }
    let (name, parameters) = (look.paint.strong(name), lines(&table));
    format!("{name}: {summary}; stands for {stands_for}\n\n{parameters}\n{}", places(seams, look))
}

/// A row for all seams that need the same: `squall fleet --output json` shows which of them there are.
fn places(seams: &[ExperimentSeam], look: Look) -> String {
    let mut rows: BTreeMap<[String; 2], Vec<&ExperimentSeam>> = BTreeMap::new();
    for seam in seams {
        rows.entry([seam.forms.join(", "), seam.needs.join(", ")]).or_default().push(seam);
    }
    let mut table = table(look, &["at calls of", "with contents as", "if", "needs of the seam"]);
    for ([forms, needs], seams) in rows {
        for alike in seams.chunk_by(|one, other| one.point == other.point) {
            let shapes: Vec<_> = alike.iter().map(|seam| words::shape(seam.shape)).collect();
            let (point, shapes) = (words::point(alike[0].point), shapes.join(", "));
            table.add_row([&point, &shapes, &forms, &needs].map(Cell::new));
        }
    }
    lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_shown_with_what_it_stands_for() {
        insta::assert_snapshot!(kinds(&experiment_types(), Look::PLAIN));
    }

    #[test]
    fn a_kind_says_which_seams_can_carry_it() {
        let types = experiment_types();
        let kind = types.iter().find(|kind| kind.name == "context_truncation").unwrap();
        insta::assert_snapshot!(places(&kind.seams, Look::PLAIN));
    }

    #[test]
    fn every_parameter_has_a_meaning() {
        let latency = experiment_types().into_iter().next().unwrap();
        assert_eq!(latency.name, "latency");
        insta::assert_snapshot!(parameters(&latency, Look::PLAIN));
    }
}
