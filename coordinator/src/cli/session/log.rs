//! `squall session log`: what happened, from the log.

use serde_json::Value;
use squall_proto::wire::v1::{ListEventsRequest, LogEvent};

use crate::cli::Global;
use crate::cli::failure::{Exit, Failure};
use crate::cli::json;
use crate::cli::moment::moment;
use crate::cli::name::Named;
use crate::cli::screen::Look;

/// Prints a session's log, one event to a line
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session log first
  squall session log first --follow
  squall session log first --output json | jq 'select(.kind == \"grant_issued\") | .detail'")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
    /// Sequence of the first event to print
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,
    /// Goes on with what happens, until the session has ended and its stop is proven
    #[arg(long)]
    follow: bool,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let message = ListEventsRequest { name, from_sequence: self.from, follow: self.follow };
        let mut events = global.client()?.sessions.list_events(message).await?.into_inner();
        let screen = global.screen();
        while let Some(event) = events.message().await? {
            let line = if screen.is_for_programs() {
                object(&event)?.to_string()
            } else {
                draw(&event, screen.look())
            };
            screen.print(&line)?;
        }
        Ok(())
    }
}

/// Largest whole number that every reader of JSON keeps: 2^53 - 1 (RFC 8259, section 6).
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// The event for programs: what the contract carries as a text that holds JSON stands in it as `detail`.
fn object(event: &LogEvent) -> Result<Value, Failure> {
    let mut detail = serde_json::from_str(&event.detail_json).map_err(|error| {
        let sequence = event.sequence;
        Failure::new(Exit::Failed, format!("read the detail of event {sequence}: {error}"))
    })?;
    keep_digits(&mut detail);
    let mut object = json::of(event)?;
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("detail_json");
        fields.insert("detail".to_owned(), detail);
    }
    Ok(object)
}

/// Writes numbers that readers would round as texts, however deep: a detail is as deep as its event.
fn keep_digits(value: &mut Value) {
    match value {
        Value::Number(number) if number.as_u64().is_some_and(|number| number > WHOLE_MAX) => {
            *value = Value::String(number.to_string());
        }
        Value::Array(items) => items.iter_mut().for_each(keep_digits),
        Value::Object(fields) => fields.values_mut().for_each(keep_digits),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn draw(event: &LogEvent, look: Look) -> String {
    let LogEvent { sequence, time, actor, kind, summary, .. } = event;
    let by = if actor.is_empty() { String::new() } else { format!(" (by {actor})") };
    let kind = look.paint.strong(&format!("{kind:<20}"));
    format!("{sequence:>8}  {}  {kind}  {summary}{by}", moment(time.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_the_detail_as_an_object_with_every_digit() {
        let detail_json = r#"{"seed":6392220356340489969,"grants":[{"n":2}]}"#.to_owned();
        let object = object(&LogEvent { detail_json, ..LogEvent::default() }).unwrap();
        assert_eq!(object["detail"]["seed"], "6392220356340489969");
        assert_eq!(object["detail"]["grants"][0]["n"], 2);
        assert!(object.get("detail_json").is_none());
    }

    #[test]
    fn a_detail_that_is_no_json_is_an_error() {
        let event = LogEvent { sequence: 7, detail_json: "{".to_owned(), ..LogEvent::default() };
        assert!(object(&event).unwrap_err().to_string().contains("event 7"));
    }

    #[test]
    fn an_event_is_one_line() {
        let event = LogEvent {
            sequence: 7,
            time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            actor: "ada".to_owned(),
            kind: "aborted".to_owned(),
            summary: "aborted: seen enough".to_owned(),
            ..LogEvent::default()
        };
        assert_eq!(
            draw(&event, Look::PLAIN),
            "       7  2023-11-14 22:13:20.000Z  aborted               aborted: seen enough (by ada)"
        );
    }
}
