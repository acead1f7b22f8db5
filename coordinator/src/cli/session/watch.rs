//! `squall session watch`: the live view. A table that is drawn anew on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use squall_proto::wire::v1::Session;
use tokio::time::timeout;

use super::settled::{self, settled};
use super::{Follow, picture};
use crate::cli::Global;
use crate::cli::client::{Client, PATIENCE};
use crate::cli::failure::Failure;
use crate::cli::moment::words;
use crate::cli::name::Named;
use crate::cli::printable::drawn;
use crate::cli::screen::{Look, Screen};
use crate::cli::stop;

/// The countdown moves, and a coordinator may be lost, though nothing else happens.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Shows a session live, until it has ended and its stop is proven
///
/// On a terminal a table that is drawn anew, else a line for each change; with --output json a line with the whole
/// session for each change. Goes on through restarts of the coordinator. At the end it waits up to 3 s for the last
/// reports of the shims.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session watch first
  squall session watch first --output json | jq .counts.applied")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let screen = global.screen();
        let client = global.client()?;
        let follow = Follow::new(client.clone(), &name);
        let last = if screen.is_live() {
            redraw(follow, client, screen.look()).await?
        } else {
            lines(follow, client, screen).await?
        };
        match last.as_ref().map(settled::doubt) {
            Some(doubt) if !doubt.is_empty() => screen.note(&doubt),
            Some(_) | None => {}
        }
        Ok(())
    }
}

/// A line for each change, the last counts among them.
async fn lines(
    mut follow: Follow,
    client: Client,
    screen: Screen,
) -> Result<Option<Session>, Failure> {
    let mut last = String::new();
    let mut newest = None;
    let mut is_told = false;
    loop {
        match timeout(DRAW_EVERY, follow.next()).await {
            Ok(Ok(Some(session))) => {
                last = line(&session, &last, screen)?;
                newest = Some(session);
                is_told = false;
            }
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => return Err(failure),
            Err(_) if follow.is_lost() && !is_told => {
                screen.note(&lost());
                is_told = true;
            }
            Err(_) => {}
        }
    }
    let Some(ended) = newest else { return Ok(None) };
    let session = settled(client, ended.clone()).await?;
    if session != ended {
        line(&session, &last, screen)?;
    }
    proof(&session, screen)?;
    Ok(Some(session))
}

/// Prints what differs from the last line; programs get every change.
fn line(session: &Session, last: &str, screen: Screen) -> Result<String, Failure> {
    let line = picture::line(session);
    if screen.is_for_programs() || line != last {
        screen.piece(session, |_, _| format!("{} {line}", now().strftime("%H:%M:%S%.3fZ")))?;
    }
    Ok(line)
}

/// How the session was stopped, for people: programs have it in the last line.
fn proof(session: &Session, screen: Screen) -> Result<(), Failure> {
    match &session.stop {
        Some(stop) if stop::is_one(stop) && !screen.is_for_programs() => {
            screen.print(&format!("\n{}", stop::draw(stop, screen.look())))
        }
        Some(_) | None => Ok(()),
    }
}

async fn redraw(
    mut follow: Follow,
    client: Client,
    look: Look,
) -> Result<Option<Session>, Failure> {
    let view = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    view.set_style(ProgressStyle::with_template("{msg}").expect("the template is well-formed"));
    let mut newest: Option<Session> = None;
    loop {
        match timeout(DRAW_EVERY, follow.next()).await {
            Ok(Ok(Some(session))) => newest = Some(session),
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => {
                view.abandon();
                return Err(failure);
            }
            // Only the countdown moved.
            Err(_) => {}
        }
        if let Some(session) = &newest {
            let lost = if follow.is_lost() { format!("\n{}", lost()) } else { String::new() };
            view.set_message(drawn(&format!("{}{lost}", picture::live(session, now(), look))));
        }
    }
    if let Some(ended) = newest {
        let session = settled(client, ended).await?;
        view.set_message(drawn(&picture::live(&session, now(), look)));
        newest = Some(session);
    }
    view.abandon();
    Ok(newest)
}

fn lost() -> String {
    format!("the coordinator is out of reach; trying again for up to {}", words(PATIENCE))
}

fn now() -> Timestamp {
    Timestamp::now()
}
