//! A session, drawn: in a sentence, in a line, as a page.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::wire::v1::{Counts, Session, SessionSpec, SessionState};

use crate::cli::counters;
use crate::cli::moment::{moment, read, words};
use crate::cli::screen::Look;
use crate::cli::stop;
use crate::cli::table::{Mark, fields};
use crate::cli::words::{state, state_mark};

/// What became of it: `tenants/acme/sessions/first is running, until ...`.
pub(super) fn sentence(session: &Session, look: Look) -> String {
    let until = match moment(session.deadline.as_ref()) {
        none if none.is_empty() => none,
        at => format!(", until {at} at the latest"),
    };
    format!("{} is {}{until}", session.name, painted_state(session, look))
}

/// Everything that changes, in one line.
pub(super) fn line(session: &Session) -> String {
    let Counts { seen, chosen, applied, skipped, not_applicable } =
        session.counts.unwrap_or_default();
    let seen = counters::seen(seen, session.experiments.len());
    let budget = session.budget.unwrap_or_default();
    let stop = session.stop.as_ref().filter(|stop| stop::is_one(stop));
    let verdict = stop.map(|stop| format!("; {}", stop::verdict(stop))).unwrap_or_default();
    format!(
        "{}: applied {applied} of {}, {seen}, chosen {chosen}, skipped {skipped}, not applicable {not_applicable}, \
         permits in use {}{verdict}",
        state(session.state),
        budget.budget,
        budget.outstanding,
    )
}

/// Counters of calls, in one line.
pub(super) fn totals(session: &Session) -> String {
    counters::totals(session.counts.as_ref(), session.experiments.len())
}

/// That counts stand still, while they do.
pub(super) fn outage(session: &Session) -> String {
    session.evidence_outage.as_ref().map_or_else(String::new, |outage| {
        let since = moment(outage.since.as_ref());
        format!("can't be read since {since}, counts stand still: {}", outage.why)
    })
}

/// What a person watches: state, permits, counters by experiment and tenant, the stop.
pub(super) fn live(session: &Session, now: Timestamp, look: Look) -> String {
    let mut text = format!(
        "{}  {}{}\n",
        look.paint.strong(&session.name),
        painted_state(session, look),
        left(session, now)
    );
    if !session.title.is_empty() {
        text = format!("{text}{}\n", session.title);
    }
    let permits = fields(
        look,
        &[("evidence", outage(session)), ("permits", counters::permits(session.budget.as_ref()))],
    );
    let stop = session.stop.as_ref().filter(|stop| stop::is_one(stop));
    let experiments = counters::experiments(&session.experiments, look);
    let legend = counters::legend(&[&experiments]);
    pages([
        text,
        permits,
        experiments,
        counters::tenants(&session.tenants, look),
        legend,
        stop.map(|stop| stop::draw(stop, look)).unwrap_or_default(),
    ])
}

/// What a person sees once it has been aborted; ends with the verdict.
pub(super) fn ended(session: &Session, look: Look) -> String {
    let stop = session.stop.clone().unwrap_or_default();
    let head = format!("{}  {}\n", look.paint.strong(&session.name), painted_state(session, look));
    let counts = fields(look, &[("calls", totals(session))]);
    pages([format!("{head}{counts}"), stop::draw(&stop, look)])
}

/// Everything there is to know.
pub(super) fn whole(session: &Session, look: Look) -> String {
    let facts = fields(
        look,
        &[
            ("name", session.name.clone()),
            ("title", session.title.clone()),
            ("state", painted_state(session, look)),
            ("damage", session.damage.clone()),
            ("evidence", outage(session)),
            ("created", moment(session.create_time.as_ref())),
            ("started", moment(session.start_time.as_ref())),
            ("ended", moment(session.end_time.as_ref())),
            ("ends by", moment(session.deadline.as_ref())),
            ("permits", counters::permits(session.budget.as_ref())),
            ("calls", totals(session)),
        ],
    );
    let stop = session.stop.as_ref().filter(|stop| stop::is_one(stop));
    let (experiments, agents) = (
        counters::experiments(&session.experiments, look),
        counters::agents(&session.agents, session.other_agents_count, session.other_agents, look),
    );
    let legend = counters::legend(&[&experiments, &agents]);
    pages([
        facts,
        experiments,
        counters::tenants(&session.tenants, look),
        agents,
        legend,
        counters::traces(session.traces.as_ref(), look),
        stop.map(|stop| stop::draw(stop, look)).unwrap_or_default(),
    ])
}

/// The specification, as it could stand in a session file.
pub(super) fn specification(spec: SessionSpec) -> Option<String> {
    let draft = SessionDraft::try_from(spec).ok()?;
    let tree = kept(serde_json::to_value(&draft).ok()?)?;
    serde_saphyr::to_string(&tree).ok()
}

/// The tree without what says nothing: null, and empty texts, lists and objects. Only a fault says something by being
/// there, though all of its parameters are the defaults.
fn kept(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) => {
            let fields =
                fields.into_iter().filter_map(|(name, value)| match (name.as_str(), value) {
                    ("fault", Value::Object(kinds)) => {
                        Some((name, kinds.into_iter().map(whole_fault).collect()))
                    }
                    (_, value) => Some((name, kept(value)?)),
                });
            let fields: Map<String, Value> = fields.collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().filter_map(kept).collect()),
        Value::String(text) if text.is_empty() => None,
        Value::Null => None,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

fn whole_fault((kind, parameters): (String, Value)) -> (String, Value) {
    (kind, kept(parameters).unwrap_or_else(|| Value::Object(Map::new())))
}

/// Parts with a blank line between them.
pub(super) fn pages<const N: usize>(parts: [String; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn painted_state(session: &Session, look: Look) -> String {
    let word = state(session.state);
    match state_mark(session.state) {
        Mark::None => word.to_owned(),
        Mark::Good => look.paint.good(word),
        Mark::Pending => look.paint.pending(word),
        Mark::Bad => look.paint.bad(word),
    }
}

/// How long the state lasts at most.
fn left(session: &Session, now: Timestamp) -> String {
    let left = read(session.deadline.as_ref())
        .and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    match (left, session.state()) {
        (None, _) => String::new(),
        (Some(left), SessionState::Draft) => {
            format!(", closed in {} if nobody starts it", words(whole_seconds(left)))
        }
        (Some(left), _) => format!(", {} left", words(whole_seconds(left))),
    }
}

/// A countdown in milliseconds is hard to read.
fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

#[cfg(test)]
pub(super) mod tests;
