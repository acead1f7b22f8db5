//! `squall halt engage`: stops every session in scope, waits for the proofs, and prints them.

use std::time::Duration;

use serde_json::json;
use squall_proto::wire::v1::{EngageHaltRequest, Halt, ListSessionsRequest, Session, SessionState};
use tokio::time::{Instant, timeout_at};

use super::{Whose, draw};
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::interrupt::interrupted;
use crate::cli::name::Once;
use crate::cli::progress::Progress;
use crate::cli::screen::Look;
use crate::cli::session::Follow;
use crate::cli::stop::{PROOF_WITHIN, is_proven, verdict};
use crate::cli::words::{count, list};
use crate::cli::{json, moment};

/// Sessions in one answer; see `squall session list`.
const PAGE: i32 = 50;
/// Names of sessions that fit into a line.
const NAMES_SHOWN: usize = 4;

/// Aborts every session in scope for good, now, and refuses starts until it is released
///
/// The shims are told before the halt is durable. Then the proof is waited for that nothing runs any more, session by
/// session. Exit code 5: halted for good, but not proven within --timeout, or not waited for: Ctrl-C ends only the waiting.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall halt engage --all --reason \"incident 4711\"          # everybody; --tenant - is the same
  squall halt engage --tenant acme --reason \"their demo\" --timeout 10s")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    whose: Whose,
    /// Why, 1 to 1024 bytes; kept in the log
    #[arg(long)]
    reason: String,
    /// How long to wait for the proofs
    #[arg(long, value_name = "TIME", value_parser = moment::parse, default_value = PROOF_WITHIN)]
    timeout: Duration,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request_id = self.once.id()?;
        let scope = Some(self.whose.scope(global)?);
        let message =
            EngageHaltRequest { scope, reason: self.reason, request_id: request_id.clone() };
        let mut client = global.client()?;
        let progress = Progress::start("pushing the halt to the shims, and into the log");
        let answer = client.fleet.engage_halt(request(message)).await;
        let halt = answer.map_err(|status| Failure::of_stop(&status, &request_id))?.into_inner();
        if !halt.engaged {
            let message =
                "no halt is engaged: this request id engaged it before, and it was released since";
            return Err(
                Failure::new(Exit::Failed, message).next("give a new --request-id, or none")
            );
        }
        let until = Instant::now() + self.timeout;
        let reached = tokio::select! {
            reached = reached(client, &halt, until, &progress) => reached.map_err(|failure| {
                failure.next("the halt is engaged; `squall session list` shows what it stopped")
            })?,
            () = interrupted() => return Err(not_waited_for()),
        };
        drop(progress);
        show(global, &halt, &reached)?;
        finish(&reached.stopped)
    }
}

fn not_waited_for() -> Failure {
    let message = "the halt is engaged, and what it stopped is stopped for good; only the waiting for the proofs ended";
    Failure::new(Exit::NotProven, message)
        .next("`squall session list` shows what it stopped, `squall session watch SESSION` waits for a proof")
}

/// What a halt did.
#[derive(Debug, Default)]
struct Reached {
    /// The sessions that it stopped.
    stopped: Vec<Session>,
    /// Names of the sessions that go on: they are none of its scope.
    going_on: Vec<String>,
}

/// What this halt did, once every stop is proven or it is time to go.
async fn reached(
    mut client: Client,
    halt: &Halt,
    until: Instant,
    progress: &Progress,
) -> Result<Reached, Failure> {
    let mut reached = survey(&mut client, halt).await?;
    prove(client, &mut reached.stopped, until, progress).await?;
    Ok(reached)
}

/// Follows each session until its stop is proven, or it is time to go.
async fn prove(
    client: Client,
    stopped: &mut [Session],
    until: Instant,
    progress: &Progress,
) -> Result<(), Failure> {
    let total = stopped.len();
    for (number, session) in stopped.iter_mut().enumerate() {
        progress.tell(format!("halted; {number} of {} proven", count(total, "session")));
        let mut follow = Follow::new(client.clone(), &session.name);
        while !is_proven(&session.stop.clone().unwrap_or_default()) {
            match timeout_at(until, follow.next()).await {
                Ok(Ok(Some(newer))) => *session = newer,
                Ok(Ok(None)) | Err(_) => break,
                Ok(Err(failure)) => return Err(failure),
            }
        }
    }
    Ok(())
}

/// Everybody's sessions: those whose stop has the halt's number, and those that run though it is engaged.
async fn survey(client: &mut Client, halt: &Halt) -> Result<Reached, Failure> {
    let (mut reached, mut page_token) = (Reached::default(), String::new());
    loop {
        let message = ListSessionsRequest {
            parent: "tenants/-".to_owned(),
            page_size: PAGE,
            page_token,
            filter: String::new(),
        };
        let page = client.sessions.list_sessions(request(message)).await?.into_inner();
        for session in page.sessions {
            if session.stop.as_ref().is_some_and(|stop| stop.epoch == halt.epoch) {
                reached.stopped.push(session);
            } else if goes_on(&session) {
                reached.going_on.push(session.name);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(reached);
        }
    }
}

fn goes_on(session: &Session) -> bool {
    match session.state() {
        SessionState::Running | SessionState::Paused | SessionState::Draining => true,
        SessionState::Unspecified
        | SessionState::Draft
        | SessionState::Completed
        | SessionState::Exhausted
        | SessionState::Aborted
        | SessionState::LogDamaged => false,
    }
}

fn show(global: &Global, halt: &Halt, reached: &Reached) -> Result<(), Failure> {
    let screen = global.screen();
    if screen.is_for_programs() {
        let sessions = reached.stopped.iter().map(json::of).collect::<Result<Vec<_>, _>>()?;
        let going_on = &reached.going_on;
        let answer = json!({ "halt": json::of(halt)?, "sessions": sessions, "going_on": going_on });
        return screen.print(&format!("{answer:#}"));
    }
    screen.print(&format!(
        "{}\n{}",
        draw(std::slice::from_ref(halt), screen.look()),
        lines(reached, screen.look())
    ))
}

/// A line for each session that was stopped, and one for those that go on.
fn lines(Reached { stopped, going_on }: &Reached, look: Look) -> String {
    let none = match stopped.as_slice() {
        [] => "no session in scope was live: nothing to stop\n",
        _ => "",
    };
    let others = match going_on.as_slice() {
        [] => String::new(),
        going_on => {
            let sessions = count(going_on.len(), "session");
            let names = list(going_on, NAMES_SHOWN);
            look.paint.pending(&format!("not in scope, and going on: {sessions}, {names}\n"))
        }
    };
    let line = |session: &Session| {
        let stop = session.stop.clone().unwrap_or_default();
        let verdict = verdict(&stop);
        let verdict =
            if is_proven(&stop) { look.paint.good(&verdict) } else { look.paint.pending(&verdict) };
        format!("{}: {verdict}\n", session.name)
    };
    let stopped: String = stopped.iter().map(line).collect();
    format!("{none}{stopped}{others}")
}

fn finish(stopped: &[Session]) -> Result<(), Failure> {
    let open =
        stopped.iter().filter(|session| !is_proven(&session.stop.clone().unwrap_or_default()));
    match open.count() {
        0 => Ok(()),
        open => {
            let message = format!(
                "halted for good, but the stop of {} is not proven yet",
                count(open, "session")
            );
            Err(Failure::new(Exit::NotProven, message)
                .next("`squall session watch SESSION` waits for the proof"))
        }
    }
}
