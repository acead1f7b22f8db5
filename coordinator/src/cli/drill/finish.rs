//! The end of a drill: nothing is left behind, and every coordinator that answers is asked for its logs and reports.

use std::time::Duration;

use squall_proto::wire::v1::{GetReportRequest, ListEventsRequest, LogEvent};
use tokio::time::{Instant, sleep, timeout};

use super::Drill;
use super::line::{Server, soon};
use super::round::has_ended;
use super::verdict::{Judgement, Verdict};
use super::watch::look;
use crate::cli::client::may_pass;
use crate::cli::failure::{Exit, Failure};

/// How long a coordinator may take to show what another one shows: it is waited for, and not judged.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest reading of one log.
const READ_WITHIN: Duration = Duration::from_secs(30);

impl Drill {
    /// Aborts every session that may live, and releases the halt; what may be left, where nobody answers.
    pub(super) async fn clean_up(&self) -> Vec<String> {
        let mut left = Vec::new();
        let rounds = self.judge().rounds.len();
        for round in 0..rounds {
            self.look_everywhere(round).await;
            if has_ended(&self.judge(), round) {
                continue;
            }
            if self.abort(round).await {
                self.proof(round).await;
                continue;
            }
            self.look_everywhere(round).await;
            if !has_ended(&self.judge(), round) && self.was_made(round) {
                left.push(self.may_live(round));
            }
        }
        left.extend(self.release().await);
        left
    }

    /// What may live though nobody aborted it.
    pub(super) fn may_live(&self, round: usize) -> String {
        let name = self.judge().rounds[round].name.clone();
        format!(
            "{name} may live: `squall session abort {name} --reason drill`; it ends by itself {} s after its start",
            self.longest().as_secs()
        )
    }

    /// Rounds whose sessions may live.
    pub(super) fn live(&self) -> Vec<usize> {
        let judge = self.judge();
        (0..judge.rounds.len()).filter(|round| !has_ended(&judge, *round)).collect()
    }

    /// Whether any coordinator ever showed the session; else its creation is what nobody answered, and it is no more than a draft.
    fn was_made(&self, round: usize) -> bool {
        self.judge().rounds[round].newest.is_some()
    }

    async fn look_everywhere(&self, round: usize) {
        for server in &self.lines.servers {
            look(self, server, round).await;
        }
    }

    /// Asks every coordinator that answers for the logs and reports of all rounds; whether any does.
    pub(super) async fn read(&self) -> bool {
        let until = Instant::now() + CATCHES_UP_WITHIN;
        let mut answers = self.read_once().await;
        while !answers && Instant::now() < until {
            sleep(LOOK_EVERY).await;
            answers = self.read_once().await;
        }
        answers
    }

    async fn read_once(&self) -> bool {
        let mut answers = false;
        for server in &self.lines.servers {
            match self.read_from(server).await {
                Ok(()) => answers = true,
                Err(failure) => {
                    let why = format!("{} was not asked at the end: {failure}", server.url);
                    self.judge().remark(why);
                }
            }
        }
        answers
    }

    async fn read_from(&self, server: &Server) -> Result<(), Failure> {
        let rounds = self.judge().rounds.len();
        for round in 0..rounds {
            let name = self.judge().rounds[round].name.clone();
            if !self.was_made(round) {
                continue;
            }
            self.catches_up(server, round).await;
            let events = self.events(server, &name).await?;
            self.judge().log(round, &server.url, events);
            let mut client = server.client.clone();
            let report = client.sessions.get_report(soon(GetReportRequest { name })).await?;
            self.judge().report(round, &server.url, report.into_inner());
        }
        Ok(())
    }

    /// Waits until the coordinator shows what any other one showed.
    async fn catches_up(&self, server: &Server, round: usize) {
        let until = Instant::now() + CATCHES_UP_WITHIN;
        while Instant::now() < until {
            look(self, server, round).await;
            if !self.judge().may_catch_up(&server.url, round) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
        let why = format!("{} was still behind the others at the end", server.url);
        self.judge().remark(why);
    }

    async fn events(&self, server: &Server, name: &str) -> Result<Vec<LogEvent>, Failure> {
        let message = ListEventsRequest { name: name.to_owned(), from_sequence: 0, follow: false };
        let mut client = server.client.clone();
        let read = async {
            let mut events = client.sessions.list_events(message).await?.into_inner();
            let mut read = Vec::new();
            while let Some(event) = events.message().await? {
                read.push(event);
            }
            Ok::<_, Failure>(read)
        };
        match timeout(READ_WITHIN, read).await {
            Ok(Err(failure)) if !may_pass(&failure) => {
                self.judge().remark(format!("{} does not list {name}: {failure}", server.url));
                Ok(Vec::new())
            }
            Ok(read) => read,
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Prints the verdict, and makes it the exit code.
pub(super) fn finish(drill: &Drill, left: Vec<String>) -> Result<(), Failure> {
    let verdict = Verdict::of(&drill.judge(), &drill.id, left);
    if drill.screen.is_for_programs() {
        let json = serde_json::to_value(&verdict).map_err(|error| {
            Failure::new(Exit::Failed, format!("write the verdict as JSON: {error}"))
        })?;
        drill.screen.print(&format!("{json:#}"))?;
    } else {
        drill.screen.print(&verdict.draw(drill.screen.look()))?;
    }
    let next = "the lines above say what was seen, and what to do about what was not tested";
    match verdict.verdict {
        Judgement::Held => Ok(()),
        Judgement::Inconclusive => {
            Err(Failure::new(Exit::NotProven, verdict.sentence()).next(next))
        }
        Judgement::Violated => Err(Failure::new(Exit::Failed, verdict.sentence()).next(next)),
    }
}
