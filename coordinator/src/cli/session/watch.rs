//! `squall session watch`: the live view. A table that is drawn anew on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use squall_proto::wire::v1::Session;
use tokio::time::timeout;

use super::{Follow, picture};
use crate::cli::Global;
use crate::cli::failure::Failure;
use crate::cli::name::Named;
use crate::cli::screen::{Look, Screen};
use crate::cli::stop;

/// The countdown moves though nothing else does.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Shows a session live, until it has ended and its stop is proven
///
/// On a terminal a table that is drawn anew, else a line for each change; with --output json a line with the whole
/// session for each change. Goes on through restarts of the coordinator.
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
        let mut follow = Follow::new(global.client()?, &name);
        if screen.is_live() {
            return redraw(&mut follow, screen.look()).await;
        }
        let mut last = String::new();
        let mut newest = None;
        while let Some(session) = follow.next().await? {
            let line = picture::line(&session);
            if screen.is_for_programs() || line != last {
                screen.piece(&session, |_, _| {
                    format!("{} {line}", now().strftime("%H:%M:%S%.3fZ"))
                })?;
            }
            last = line;
            newest = Some(session);
        }
        newest.map_or(Ok(()), |session| proof(&session, screen))
    }
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

async fn redraw(follow: &mut Follow, look: Look) -> Result<(), Failure> {
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
            view.set_message(picture::live(session, now(), look));
        }
    }
    view.abandon();
    Ok(())
}

fn now() -> Timestamp {
    Timestamp::now()
}
