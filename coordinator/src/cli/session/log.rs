//! `squall session log`: what happened, from the log.

use squall_proto::wire::v1::{ListEventsRequest, LogEvent};

use crate::cli::Global;
use crate::cli::failure::Failure;
use crate::cli::moment::moment;
use crate::cli::name::Named;
use crate::cli::screen::Look;

/// Prints a session's log, one event to a line
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session log first
  squall session log first --follow
  squall session log first --output json | jq 'select(.kind == \"grant_issued\") | .detail_json | fromjson'")]
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
            screen.piece(&event, draw)?;
        }
        Ok(())
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
