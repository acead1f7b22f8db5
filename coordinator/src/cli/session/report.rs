//! `squall session report`: what a session did.

use comfy_table::Cell;
use squall_proto::wire::v1::timeline_sample::What;
use squall_proto::wire::v1::{Counts, GetReportRequest, Report, Session, TimelineSample};

use super::picture::{self, pages};
use super::settled;
use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::counters;
use crate::cli::failure::Failure;
use crate::cli::moment::{length, moment, time_of_day, words};
use crate::cli::name::Named;
use crate::cli::screen::Look;
use crate::cli::stop;
use crate::cli::table::{fields, lines, table};
use crate::cli::words::count;

/// The newest calls that are shown unless all are wanted: a screenful.
const CALLS_SHOWN: usize = 15;

/// Reports what a session did: the bounds that held, affected calls by experiment, tenant and agent, the stop
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session report first
  squall session report first --calls
  squall session report first --output json | jq '{applied, overshoot}'")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
    /// Shows every call that was kept (up to 1000), not only the newest
    #[arg(long)]
    calls: bool,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let message = GetReportRequest { name };
        let report = global.client()?.sessions.get_report(request(message)).await?.into_inner();
        let most = if self.calls { usize::MAX } else { CALLS_SHOWN };
        global.screen().answer(&report, |report, look| draw(report, most, look))
    }
}

fn draw(report: &Report, most: usize, look: Look) -> String {
    let abort = report.abort.as_ref().filter(|stop| stop::is_one(stop));
    let (experiments, agents) = (
        counters::experiments(&report.experiments, look),
        counters::agents(&report.agents, report.other_agents_count, report.other_agents, look),
    );
    let legend = counters::legend(&[&experiments, &agents]);
    pages([
        head(report, look),
        report.bounds.iter().map(|bound| format!("- {bound}\n")).collect(),
        experiments,
        counters::tenants(&report.tenants, look),
        agents,
        legend,
        calls(&report.samples, most, look),
        abort.map(|stop| stop::draw(stop, look)).unwrap_or_default(),
    ])
}

fn head(report: &Report, look: Look) -> String {
    let session = report.session.clone().unwrap_or_default();
    let affected = format!("{} of {}", report.applied, report.budget.unwrap_or_default().budget);
    let overshoot = match report.overshoot {
        0 => look.paint.good("0"),
        over => look.paint.bad(&over.to_string()),
    };
    let facts = fields(
        look,
        &[
            ("title", session.title.clone()),
            ("started", moment(session.start_time.as_ref())),
            ("ended", moment(session.end_time.as_ref())),
            ("affected", affected),
            ("overshoot", overshoot),
            ("evidence", picture::outage(&session)),
            ("permits", counters::permits(report.budget.as_ref())),
            ("calls", picture::totals(&session)),
            ("skipped", skipped(&session)),
            ("in doubt", settled::doubt(&session)),
        ],
    );
    format!(
        "{}\n{facts}{}",
        picture::sentence(&session, look),
        counters::traces(session.traces.as_ref(), look)
    )
}

/// Why fewer calls were affected than the draw chose; empty where none passed for that.
fn skipped(session: &Session) -> String {
    let Counts { chosen, skipped, .. } = session.counts.unwrap_or_default();
    let safety = session.spec.as_ref().and_then(|spec| spec.safety.as_ref());
    match (skipped, safety.and_then(|safety| safety.max_outstanding)) {
        (0, _) => String::new(),
        (_, None) => format!("{skipped} of {chosen} chosen calls passed for want of a permit"),
        (_, Some(most)) => format!(
            "{skipped} of {chosen} chosen calls passed for want of a permit (max_outstanding: {most} at once, in all shims)"
        ),
    }
}

fn calls(samples: &[TimelineSample], most: usize, look: Look) -> String {
    if samples.is_empty() {
        return String::new();
    }
    let hidden = samples.len().saturating_sub(most);
    let mut table = table(look, &["time", "experiment", "agent", "tool", "what"]);
    for sample in &samples[hidden..] {
        table.add_row([
            Cell::new(time_of_day(sample.time.as_ref())),
            Cell::new(&sample.experiment),
            Cell::new(format!("{}/{}", sample.tenant, sample.agent)),
            Cell::new(&sample.tool),
            Cell::new(what(sample)),
        ]);
    }
    let more = if hidden == 0 {
        String::new()
    } else {
        format!("{} before: --calls shows all\n", count(hidden, "call"))
    };
    format!("{}{more}", lines(&table))
}

fn what(sample: &TimelineSample) -> String {
    match &sample.what {
        Some(What::Applied(held)) => match length(Some(held)) {
            Some(held) if !held.is_zero() => format!("applied, held {}", words(held)),
            Some(_) | None => "applied".to_owned(),
        },
        Some(What::NotApplied(why)) => format!("not applicable: {why}"),
        Some(What::Failed(_)) => "the call failed by itself".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::session::picture::tests::aborted;

    #[test]
    fn a_report_says_what_was_promised_and_what_happened() {
        let session = aborted();
        let sample = |what| TimelineSample {
            time: session.start_time,
            tenant: "acme".to_owned(),
            experiment: "slow-search".to_owned(),
            agent: "planner".to_owned(),
            tool: "search".to_owned(),
            what: Some(what),
            ..TimelineSample::default()
        };
        let held = prost_types::Duration { seconds: 0, nanos: 250_000_000 };
        let report = Report {
            budget: session.budget,
            applied: 7,
            experiments: session.experiments.clone(),
            tenants: session.tenants.clone(),
            agents: session.agents.clone(),
            abort: session.stop.clone(),
            samples: vec![
                sample(What::NotApplied("no text to cut".to_owned())),
                sample(What::Applied(held)),
            ],
            bounds: vec![
                "7 of at most 20 requests were affected: the log held every permit".to_owned(),
            ],
            session: Some(session),
            ..Report::default()
        };
        insta::assert_snapshot!(draw(&report, 1, Look::PLAIN));
    }
}
