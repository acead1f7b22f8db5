//! `squall session abort`: aborts, waits for the proof that nothing runs any more, and prints it.

use std::time::Duration;

use squall_proto::wire::v1::{AbortSessionRequest, Session, StopReport};
use tokio::time::{Instant, timeout_at};

use super::{Follow, picture};
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::interrupt::interrupted;
use crate::cli::moment;
use crate::cli::name::{Named, Once};
use crate::cli::progress::Progress;
use crate::cli::stop::{PROOF_WITHIN, is_proven, missing, verdict};

/// Ends a session for good, now, and waits for the proof that nothing runs any more
///
/// The shims are told before the abort is durable. Then every shim that holds permits confirms, or its lease runs out.
/// What is printed ends in "all stopped, proven" only when that is known. Exit code 5: aborted for good, but not proven
/// within --timeout; `squall session watch` goes on waiting. Aborting an aborted session changes nothing, and waits for
/// its proof again. Ctrl-C ends only the waiting, with exit code 5.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session abort first --reason \"seen enough\"
  squall session abort first --reason \"page 4711\" --timeout 10s --output json")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
    /// Why, 1 to 1024 bytes; kept in the log
    #[arg(long)]
    reason: String,
    /// How long to wait for the proof
    #[arg(long, value_name = "TIME", value_parser = moment::parse, default_value = PROOF_WITHIN)]
    timeout: Duration,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let request_id = self.once.id()?;
        let client = global.client()?;
        let progress = Progress::start("pushing the abort to the shims, and into the log");
        let aborted = abort(client.clone(), &name, &request_id, self.reason).await?;
        if !is_proven(&stop(&aborted)) && !progress.is_seen() {
            let (waits, most) = (waiting_for(&stop(&aborted)), moment::words(self.timeout));
            global.screen().note(&format!("{waits}; waiting up to {most} for the proof"));
        }
        let until = Instant::now() + self.timeout;
        let name = aborted.name.clone();
        let session = tokio::select! {
            session = proof(client, aborted, until, &progress) => session?,
            () = interrupted() => return Err(not_waited_for(&name)),
        };
        drop(progress);
        global.screen().answer(&session, picture::ended)?;
        finish(&session)
    }
}

async fn abort(
    mut client: Client,
    name: &str,
    request_id: &str,
    reason: String,
) -> Result<Session, Failure> {
    let (name, id) = (name.to_owned(), request_id.to_owned());
    let message = AbortSessionRequest { name, request_id: id, reason };
    let answer = client.sessions.abort_session(request(message)).await;
    Ok(answer.map_err(|status| Failure::of_stop(&status, request_id))?.into_inner())
}

/// Follows the session until its stop is proven, or until it is time to go.
async fn proof(
    client: Client,
    aborted: Session,
    until: Instant,
    progress: &Progress,
) -> Result<Session, Failure> {
    let mut follow = Follow::new(client, &aborted.name);
    let mut session = aborted;
    while !is_proven(&stop(&session)) {
        progress.tell(waiting_for(&stop(&session)));
        match timeout_at(until, follow.next()).await {
            Ok(Ok(Some(newer))) => session = newer,
            Ok(Ok(None)) | Err(_) => break,
            Ok(Err(failure)) => return Err(failure.next(format!(
                "the session is aborted for good; `squall session watch {}` shows whether that is proven",
                session.name
            ))),
        }
    }
    Ok(session)
}

fn waiting_for(stop: &StopReport) -> String {
    let holders = stop.holder_count;
    let confirmed = holders.saturating_sub(stop.out_of_contact.len() as u64);
    match missing(stop) {
        missing if missing.is_empty() => {
            format!("aborted, {confirmed} of {holders} holders confirmed")
        }
        missing => format!("aborted, {confirmed} of {holders} holders confirmed; {missing}"),
    }
}

fn not_waited_for(name: &str) -> Failure {
    let message = format!("{name} is aborted for good; only the waiting for the proof ended");
    Failure::new(Exit::NotProven, message)
        .next(format!("`squall session watch {name}` waits for the proof"))
}

fn finish(session: &Session) -> Result<(), Failure> {
    if is_proven(&stop(session)) {
        return Ok(());
    }
    let message = format!("{}: {}", session.name, verdict(&stop(session)));
    let next = format!("`squall session watch {}` waits for the proof", session.name);
    Err(Failure::new(Exit::NotProven, message).next(next))
}

fn stop(session: &Session) -> StopReport {
    session.stop.clone().unwrap_or_default()
}
