//! One session of the drill, from its creation until it has ended and stayed still for a while.

use std::time::Duration;

use squall_proto::vocabulary::limits::{LEASE_TTL, PERMIT_IDLE};
use squall_proto::vocabulary::time::stretched;
use squall_proto::wire::v1::{
    AbortSessionRequest, CreateSessionRequest, PauseSessionRequest, ResumeSessionRequest, Session,
    SessionState, StartSessionRequest,
};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};
use uuid::Uuid;

use super::Drill;
use super::judge::{Judge, Kind, Outcome, Promise, Sign};
use super::line::{Answer, soon, within};
use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// Longest wait for an answer to a command, over all coordinators: an election of the log's leader takes up to 9 s, a rolling
/// restart some more.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for a proof; see `squall session abort`.
const PROOF_WITHIN: Duration = Duration::from_secs(90);
/// A shim in contact reports its counts within a second, and again for 2 s.
const REPORTED_WITHIN: Duration = Duration::from_secs(2);

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be aborted while permits are in hands and something is disturbed.
    Stop,
    /// To be paused once, and to run to its last permit.
    Bound,
    /// To be halted, with everything else of the tenant.
    Halt,
}

/// How a round went.
#[derive(Debug)]
pub(super) enum Ended {
    /// As far as it should.
    Done,
    /// It could not be made or started, and another one couldn't either.
    NotStarted,
}

/// How long nothing may happen any more: the longest lease, and the time of reports.
pub(super) fn quiet() -> Duration {
    stretched(LEASE_TTL) + PERMIT_IDLE + REPORTED_WITHIN
}

impl Drill {
    /// Runs a session for up to `slice`, if it doesn't end by itself.
    pub(super) async fn round(&self, purpose: Purpose, slice: Duration) -> Result<Ended, Failure> {
        let round = self.open();
        if let Some(why) = self.begin(round).await? {
            let why = format!("no session could be started: {why}");
            Promise::ALL.iter().for_each(|promise| self.judge().untested(*promise, why.clone()));
            return Ok(Ended::NotStarted);
        }
        self.started.notify_one();
        let until = Instant::now() + slice;
        self.until(until, |judge| has_permits(judge, round) || has_ended(judge, round)).await;
        match purpose {
            Purpose::Stop => {
                self.until(until, |judge| is_time_to_stop(judge, round)).await;
                self.stop(round).await;
            }
            Purpose::Bound => {
                self.pause(round).await;
                // The pause itself is no time in which permits could be used.
                self.until(until + quiet(), |judge| has_ended(judge, round)).await;
                if !has_ended(&self.judge(), round) {
                    self.stop(round).await;
                }
            }
            Purpose::Halt => self.halt(round).await,
        }
        sleep(quiet()).await;
        Ok(Ended::Done)
    }

    fn open(&self) -> usize {
        let mut judge = self.judge();
        let name = self.session_name(judge.rounds.len());
        judge.begin(name)
    }

    /// Makes and starts the session; why not, where it was refused.
    async fn begin(&self, round: usize) -> Result<Option<String>, Failure> {
        let create = async |mut client: Client, request_id: String| {
            let message = CreateSessionRequest {
                parent: self.parent(),
                session_id: self.session_id(round),
                spec: Some(self.spec.clone()),
                request_id,
            };
            client.sessions.create_session(soon(message)).await
        };
        match self.give(round, Kind::Create, create).await {
            Given::Done => {}
            Given::Refused(failure) => return Err(failure),
            Given::Silence(failure) => return Ok(Some(failure.to_string())),
        }
        let wait = self.wait_for_shims;
        let start = async |mut client: Client, request_id: String| {
            let name = self.session_name(round);
            let wait_for_shims = prost_types::Duration::try_from(wait).ok();
            let message = StartSessionRequest { name, request_id, wait_for_shims };
            client.sessions.start_session(within(message, wait)).await
        };
        Ok(match self.give(round, Kind::Start, start).await {
            Given::Done => None,
            Given::Refused(failure) | Given::Silence(failure) => Some(failure.told()),
        })
    }

    async fn pause(&self, round: usize) {
        let name = self.judge().rounds[round].name.clone();
        let pause = async |mut client: Client, request_id: String| {
            let message = PauseSessionRequest { name: name.clone(), request_id };
            client.sessions.pause_session(soon(message)).await
        };
        if has_ended(&self.judge(), round) {
            return;
        }
        if !matches!(self.give(round, Kind::Pause, pause).await, Given::Done) {
            return;
        }
        sleep(quiet()).await;
        let resume = async |mut client: Client, request_id: String| {
            let message = ResumeSessionRequest { name: name.clone(), request_id };
            client.sessions.resume_session(soon(message)).await
        };
        self.give(round, Kind::Resume, resume).await;
    }

    /// Aborts the session, and waits for the proof. One that ended by itself meanwhile is refused.
    pub(super) async fn stop(&self, round: usize) {
        if self.abort(round).await {
            self.proof(round).await;
        }
    }

    /// Whether the abort was answered.
    pub(super) async fn abort(&self, round: usize) -> bool {
        let name = self.judge().rounds[round].name.clone();
        let abort = async |mut client: Client, request_id: String| {
            let (name, reason) = (name.clone(), self.reason());
            let message = AbortSessionRequest { name, request_id, reason };
            client.sessions.abort_session(soon(message)).await
        };
        matches!(self.give(round, Kind::Abort, abort).await, Given::Done)
    }

    /// Waits until a coordinator shows the proof.
    pub(super) async fn proof(&self, round: usize) {
        let until = Instant::now() + PROOF_WITHIN;
        self.until(until, |judge| judge.rounds[round].proven.is_some()).await;
    }

    /// Gives a command under a request id of its own until it is answered, and tells the judge.
    async fn give(
        &self,
        round: usize,
        kind: Kind,
        call: impl AsyncFn(Client, String) -> Result<Response<Session>, Status>,
    ) -> Given {
        let id = Uuid::new_v4().simple().to_string();
        let sent = self.at();
        let command = self.judge().send(sent, round, kind, id.clone());
        let missed = |server: &super::line::Server, failure: &Failure| {
            let what = format!("{} got no answer from {}: {failure}", kind.event(), server.url);
            self.judge().sign(self.at(), Sign::CommandRepeated, what);
        };
        let ask = async |client: Client| call(client, id.clone()).await;
        match self.lines.ask(GIVE_UP_AFTER, missed, ask).await {
            Answer::Done(url, session) => {
                let (at, mut judge) = (self.at(), self.judge());
                judge.answered(command, Outcome::Done { at, revision: session.revision });
                judge.snapshot(sent, at, round, &url, &session);
                Given::Done
            }
            Answer::Refused(failure) => {
                self.judge().answered(command, Outcome::Refused(failure.to_string()));
                Given::Refused(failure)
            }
            Answer::Silence(failure) => Given::Silence(failure),
        }
    }

    /// Waits until the judge has seen something, or until it is time to go on.
    pub(super) async fn until(&self, until: Instant, is_so: impl Fn(&Judge) -> bool) {
        while Instant::now() < until && !is_so(&self.judge()) {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// What came of a command.
enum Given {
    Done,
    Refused(Failure),
    Silence(Failure),
}

fn newest(judge: &Judge, round: usize) -> Session {
    judge.rounds[round].newest.clone().unwrap_or_default()
}

fn has_permits(judge: &Judge, round: usize) -> bool {
    newest(judge, round).budget.is_some_and(|budget| budget.issued > 0)
}

/// Whether nothing more can come of a session.
pub(super) fn has_ended(judge: &Judge, round: usize) -> bool {
    match newest(judge, round).state() {
        SessionState::Completed
        | SessionState::Exhausted
        | SessionState::Aborted
        | SessionState::LogDamaged => true,
        SessionState::Unspecified
        | SessionState::Draft
        | SessionState::Running
        | SessionState::Paused
        | SessionState::Draining => false,
    }
}

/// Permits are in hands, and something is disturbed; or half of them is spent, and the session may end by itself soon.
fn is_time_to_stop(judge: &Judge, round: usize) -> bool {
    let budget = newest(judge, round).budget.unwrap_or_default();
    let spent = budget.issued.saturating_sub(budget.refunded);
    let is_due = judge.rounds[round].signs > 0 || spent.saturating_mul(2) >= budget.budget;
    (budget.outstanding > 0 && is_due) || has_ended(judge, round)
}
