//! `squall types`: the kinds of experiments, without a coordinator.

use comfy_table::Cell;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::named::Named;
use squall_proto::wire::v1::{ExperimentType, ListExperimentTypesResponse};

use super::Global;
use super::failure::Failure;
use super::screen::Look;
use super::table::{lines, table};
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
    let mut table = table(look, &["kind", "what it does", "stands for", "parameters"]);
    for kind in types {
        let names: Vec<_> =
            kind.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        table.add_row(
            [&kind.name, &kind.summary, &kind.stands_for, &names.join(", ")].map(Cell::new),
        );
    }
    lines(&table)
}

fn parameters(kind: &ExperimentType, look: Look) -> String {
    let ExperimentType { name, summary, stands_for, parameters, .. } = kind;
    let mut table = table(look, &["parameter", "type", "default", "meaning"]);
    for parameter in parameters {
        table.add_row(
            [&parameter.name, &parameter.r#type, &parameter.default_value, &parameter.description]
                .map(Cell::new),
        );
    }
    format!("{}: {summary}; stands for {stands_for}\n\n{}", look.paint.strong(name), lines(&table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_shown_with_what_it_stands_for() {
        insta::assert_snapshot!(kinds(&experiment_types(), Look::PLAIN));
    }

    #[test]
    fn every_parameter_has_a_meaning() {
        let latency = experiment_types().into_iter().next().unwrap();
        assert_eq!(latency.name, "latency");
        insta::assert_snapshot!(parameters(&latency, Look::PLAIN));
    }
}
