//! `squall session list`.

use clap::value_parser;
use comfy_table::Cell;
use squall_proto::wire::v1::{ListSessionsRequest, ListSessionsResponse, Session};

use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::Failure;
use crate::cli::moment::moment;
use crate::cli::name;
use crate::cli::screen::Look;
use crate::cli::table::{lines, marked, number, table};
use crate::cli::words::{state, state_mark};

/// Sessions in one answer: at 128 KiB each they stay well below what a client takes.
const PAGE: usize = 50;

/// Lists sessions, newest first: those of one tenant, or all where none is named
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session list
  squall session list --tenant acme --state running,paused
  squall session list --output json | jq -r '.sessions[].name'")]
pub(in crate::cli) struct Args {
    /// Only sessions in these states
    #[arg(long, value_name = "STATE,...", value_delimiter = ',')]
    state: Vec<State>,
    /// Most sessions to list
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u16).range(1..), default_value_t = 50)]
    limit: u16,
}

/// A state, as the filter of lists writes it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum State {
    Draft,
    Running,
    Paused,
    Draining,
    Completed,
    Exhausted,
    Aborted,
    LogDamaged,
}

impl State {
    const fn term(self) -> &'static str {
        match self {
            Self::Draft => "state = DRAFT",
            Self::Running => "state = RUNNING",
            Self::Paused => "state = PAUSED",
            Self::Draining => "state = DRAINING",
            Self::Completed => "state = COMPLETED",
            Self::Exhausted => "state = EXHAUSTED",
            Self::Aborted => "state = ABORTED",
            Self::LogDamaged => "state = LOG_DAMAGED",
        }
    }
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let parent = name::parent(global.tenant())?;
        let filter = self.state.iter().map(|state| state.term()).collect::<Vec<_>>().join(" OR ");
        let listed =
            list(global.client()?, parent.clone(), filter, usize::from(self.limit)).await?;
        let screen = global.screen();
        // A name that a command takes with the same tenant; in full where several tenants are listed.
        let prefix = format!("{parent}/sessions/");
        screen.answer(&listed, |listed, look| draw(listed, &prefix, look))?;
        if !listed.next_page_token.is_empty() {
            let more = u32::from(self.limit) * 2;
            screen.note(&format!("there are more: --limit {more} shows twice as many"));
        }
        Ok(())
    }
}

/// All pages up to the limit, as one; its token says whether there is more.
async fn list(
    mut client: Client,
    parent: String,
    filter: String,
    limit: usize,
) -> Result<ListSessionsResponse, Failure> {
    let mut all = ListSessionsResponse::default();
    loop {
        let size = PAGE.min(limit - all.sessions.len()).max(1);
        let message = ListSessionsRequest {
            parent: parent.clone(),
            page_size: i32::try_from(size).unwrap_or(i32::MAX),
            page_token: all.next_page_token.clone(),
            filter: filter.clone(),
        };
        let page = client.sessions.list_sessions(request(message)).await?.into_inner();
        all.sessions.extend(page.sessions);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() || all.sessions.len() >= limit {
            all.sessions.truncate(limit);
            return Ok(all);
        }
    }
}

fn draw(listed: &ListSessionsResponse, prefix: &str, look: Look) -> String {
    if listed.sessions.is_empty() {
        return "no sessions".to_owned();
    }
    let headings = ["session", "state", "applied", "budget", "created", "title"];
    let mut table = table(look, &headings);
    for session in &listed.sessions {
        table.add_row(row(session, prefix));
    }
    lines(&table)
}

fn row(session: &Session, prefix: &str) -> Vec<Cell> {
    vec![
        Cell::new(session.name.strip_prefix(prefix).unwrap_or(&session.name)),
        marked(state(session.state), state_mark(session.state)),
        number(session.counts.unwrap_or_default().applied),
        number(session.budget.unwrap_or_default().budget),
        Cell::new(moment(session.create_time.as_ref())),
        Cell::new(&session.title),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::session::picture::tests::aborted;

    #[test]
    fn sessions_are_one_to_a_line() {
        let listed =
            ListSessionsResponse { sessions: vec![aborted(), aborted()], ..Default::default() };
        insta::assert_snapshot!(draw(&listed, "tenants/-/sessions/", Look::PLAIN));
        let of_one = draw(&listed, "tenants/acme/sessions/", Look::PLAIN);
        assert!(of_one.contains("\nfirst  ") && !of_one.contains("tenants/"), "{of_one}");
    }
}
