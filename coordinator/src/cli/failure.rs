//! What went wrong, for people and for programs, and the exit code.
//!
//! Every violation stands on a line of its own with the path of its field, and a failure says what to do next where that
//! is known. Not here: what a status means to the coordinator (`api/errors.rs`); this file reads what that one writes.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write};

use serde_json::{Value, json};
use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::violation::{Violation, Violations};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::printable::plain;
use super::screen::{Look, Paint};

/// Where options and arguments stand.
pub(super) const COMMAND_LINE: &str = "the command line";

/// Why a command ended, as its exit code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was refused, or it failed.
    Failed,
    /// The command line, a file or a request is wrong.
    BadInput,
    /// What was named isn't there.
    NotFound,
    /// The coordinator can't be reached, or can't answer now.
    Unavailable,
    /// Stopped, but not proven in time; drilled, but not all of it tested.
    NotProven,
    /// Nobody reads the output any more.
    Closed,
}

impl Exit {
    /// The exit code of the process. As in `--help`.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::NotFound => 3,
            Self::Unavailable => 4,
            Self::NotProven => 5,
        }
    }

    /// The name that programs read beside the code.
    const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::BadInput => "bad_input",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::NotProven => "not_proven",
        }
    }
}

/// Why a command did not do what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
    /// Wrong fields.
    violations: Vec<Violation>,
    /// Conditions that don't hold, each with what it is about.
    conditions: Vec<Violation>,
    next: Option<String>,
}

impl Failure {
    /// A failure without details.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            violations: Vec::new(),
            conditions: Vec::new(),
            next: None,
        }
    }

    /// Everything that is wrong with `what`: a file, the command line.
    pub(super) fn bad(what: impl fmt::Display, violations: Violations) -> Self {
        let Violations(violations) = violations;
        let message = match violations.len() {
            1 => format!("{what}: one thing is wrong"),
            count => format!("{what}: {count} things are wrong"),
        };
        Self { violations, ..Self::new(Exit::BadInput, message) }
    }

    /// One thing that is wrong with one option or argument.
    pub(super) fn argument(name: &str, problem: impl fmt::Display) -> Self {
        Self::bad(COMMAND_LINE, Violations::one(name, problem.to_string()))
    }

    /// The same, with what to do next.
    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }

    /// The failure of a call that may have been done or not: how to find out without doing it twice.
    pub(super) fn of_change(status: &Status, request_id: &str) -> Self {
        let failure = Self::from(status.clone());
        let unknown = failure.exit == Exit::Unavailable;
        if !unknown {
            return failure;
        }
        let next = failure.next.as_deref().unwrap_or("try again");
        let next = format!(
            "{next}; with --request-id {request_id} it is done once, whatever happened to this call"
        );
        failure.next(next)
    }

    /// The failure of an abort or a halt, likewise: what to rely on while no coordinator answers.
    pub(super) fn of_stop(status: &Status, request_id: &str) -> Self {
        let failure = Self::of_change(status, request_id);
        match (failure.exit, &failure.next) {
            // Shims have it, and keep it.
            (Exit::Unavailable, Some(_)) if is_pushed(status) => failure,
            (Exit::Unavailable, Some(next)) => {
                let lease = LEASE_TTL.as_secs();
                let next = format!(
                    "{next}. A shim that no coordinator answers begins no fault once its lease of {lease} s is over, \
                     but goes on as soon as one does"
                );
                failure.next(next)
            }
            _ => failure,
        }
    }

    /// Everything in one line, for one who goes on and says it later.
    pub(super) fn told(&self) -> String {
        let Self { exit: _, message, violations, conditions, next } = self;
        let conditions =
            conditions.iter().map(|Violation { field, problem }| format!("{field}: {problem}"));
        let details = violations.iter().map(ToString::to_string).chain(conditions);
        let next = next.iter().map(|next| format!("next: {next}"));
        std::iter::once(message.clone()).chain(details).chain(next).collect::<Vec<_>>().join("; ")
    }

    /// The exit code that tells it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Tells it on stderr: lines for people, one object for programs.
    pub fn report(&self, for_programs: bool) {
        let text = match (self.exit, for_programs) {
            (Exit::Closed, _) => return,
            (_, true) => format!("{}\n", self.json()),
            (_, false) => self.text(Look::stderr().paint),
        };
        // Nobody is left to tell when stderr is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn text(&self, paint: Paint) -> String {
        let mut text = format!("{} {}\n", paint.bad("error:"), plain(&self.message));
        for violation in &self.violations {
            text.push_str(&format!("  - {}\n", plain(&violation.to_string())));
        }
        for Violation { field, problem } in &self.conditions {
            text.push_str(&format!("  - {}\n", plain(&format!("{field}: {problem}"))));
        }
        if let Some(next) = &self.next {
            text.push_str(&format!("{} {}\n", paint.good("next:"), plain(next)));
        }
        text
    }

    /// Documented in `squall --help`.
    fn json(&self) -> Value {
        let Self { exit, message, violations, conditions, next } = self;
        let violation =
            |Violation { field, problem }: &Violation| json!({"field": field, "problem": problem});
        let violations: Vec<_> = violations.iter().chain(conditions).map(violation).collect();
        json!({"error": {
            "kind": exit.name(),
            "exit_code": exit.code(),
            "message": message,
            "violations": violations,
            "next": next,
        }})
    }
}

impl From<io::Error> for Failure {
    /// Of writing the output.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Closed, "nobody reads the output");
        }
        Self::new(Exit::Failed, format!("write the output: {error}"))
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let what = sentence(&status);
        let (violations, mut conditions) = (violations(&status), conditions(&status));
        // A single condition is what the message says.
        conditions.retain(|condition| condition.problem != what);
        let message = match (violations.len(), conditions.len()) {
            (0, 0) => what,
            (0, 1) => "the coordinator refused: one condition doesn't hold".to_owned(),
            (0, count) => format!("the coordinator refused: {count} conditions don't hold"),
            (1, _) => "the coordinator refused the request: one thing is wrong".to_owned(),
            (count, _) => format!("the coordinator refused the request: {count} things are wrong"),
        };
        Self { exit: exit(&status), message, violations, conditions, next: next(&status) }
    }
}

fn exit(status: &Status) -> Exit {
    match status.code() {
        // No coordinator said so: the connection broke.
        Code::Unknown | Code::Internal if status.source().is_some() => Exit::Unavailable,
        Code::InvalidArgument | Code::OutOfRange => Exit::BadInput,
        Code::NotFound => Exit::NotFound,
        // The client's own time-out comes as Cancelled.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::Unavailable,
        Code::Ok
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Exit::Failed,
    }
}

/// What happened. A connection that fails tells its causes one by one.
fn sentence(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if text.is_empty() {
        text = status.code().to_string();
    }
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    let is_of_transport = status.source().is_some() && exit(status) == Exit::Unavailable;
    if is_of_transport { format!("the coordinator can't be reached: {text}") } else { text }
}

/// Every wrong field.
fn violations(status: &Status) -> Vec<Violation> {
    let details = status.get_error_details();
    let found = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
    found
        .map(|wrong| Violation { field: wrong.field.clone(), problem: wrong.description.clone() })
        .collect()
}

/// Every condition that does not hold.
fn conditions(status: &Status) -> Vec<Violation> {
    let details = status.get_error_details();
    let found = details.precondition_failure().into_iter().flat_map(|failed| &failed.violations);
    found
        .map(|wrong| Violation { field: wrong.subject.clone(), problem: wrong.description.clone() })
        .collect()
}

/// Whether a stop reached the shims, though not the log.
fn is_pushed(status: &Status) -> bool {
    let details = status.get_error_details();
    details.error_info().is_some_and(|info| info.reason == "PUSHED_NOT_DURABLE")
}

/// What to do about it, by the reason that the coordinator gives. Reasons that are not known are not advised on.
fn next(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let Some(info) = details.error_info() else { return not_ours(status) };
    let advice = match info.reason.as_str() {
        "SESSION_NOT_FOUND" => "`squall session list` shows the sessions that are there",
        "SESSION_EXISTS" | "SESSION_NAME_UNUSABLE" => {
            "give another id with --id, or none to get a new one"
        }
        "WRONG_STATE" => "`squall session show` tells the session's state",
        "REQUEST_ID_REUSED" => "leave --request-id out, or give a new one",
        "HALT_ENGAGED" => {
            "`squall halt status` tells who engaged it and why; `squall halt release` lets sessions start again"
        }
        "HALT_NOT_ENGAGED" => "`squall halt status` tells what is engaged",
        "INAPPLICABLE" => {
            "`squall fleet` shows the connected shims and what they can do; --wait-for-shims 30s waits for them"
        }
        "LOG_NOT_SYNCED" => {
            "set sync_interval: always on the nats-servers and let the coordinator see it (--nats-monitoring), or write \
             accept_lazy_log: true into the session's safety"
        }
        "LOG_DAMAGED" | "LOG_UNREADABLE" => {
            "every shim is inert once its lease is over; keep the log's data for whoever looks into it, and start on an empty log"
        }
        "TOO_MANY_SESSIONS" => "stop or abort sessions that are not needed any more",
        "LOG_FULL" => "give the log's stream more room (max_bytes, or the disk)",
        "PUSHED_NOT_DURABLE" => {
            "see that the log answers: `squall session show` tells when it is recorded"
        }
        "NOT_READY" | "UNAVAILABLE" | "OUTCOME_UNKNOWN" | "TOO_MANY_STREAMS"
        | "DEADLINE_EXCEEDED" => "try again in a moment",
        _ => return None,
    };
    Some(advice.to_owned())
}

/// A status that no coordinator wrote: the transport's.
fn not_ours(status: &Status) -> Option<String> {
    match exit(status) {
        // Our own patience came to an end.
        Exit::Unavailable if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            Some("try again in a moment".to_owned())
        }
        Exit::Unavailable => Some(
            "is the coordinator running? `squall dev` starts one; --server or SQUALL_SERVER says where it is"
                .to_owned(),
        ),
        Exit::Failed | Exit::BadInput | Exit::NotFound | Exit::NotProven | Exit::Closed => None,
    }
}

#[cfg(test)]
mod tests;
