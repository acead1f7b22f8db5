//! The one place where what went wrong becomes a gRPC status: a code, a sentence, and details that programs can read
//! (`google.rpc`): every wrong field at once, what has to change first, when to try again.
//!
//! Details travel in a trailer that clients bound (8 KiB in some of them), so that long lists are cut, and say so.

use std::collections::HashMap;
use std::time::Duration;

use squall_domain::rejection::{Inapplicable, Rejection, Unmet};
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::violation::{Violation, Violations};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

use crate::engine::OrderError;
use crate::replica::Gone;

/// Domain of the reasons in `ErrorInfo`.
pub const DOMAIN: &str = "squall";
/// Longest message, in bytes: it travels twice, `%`-encoded up to three times as long, and in the details. All of that stays
/// under 8 KiB.
const MESSAGE_BYTES_MAX: usize = 768;
/// Longest list of violations, in bytes: base64 makes it a third longer, and 8 KiB are the least that clients take.
const DETAILS_BYTES_MAX: usize = 3 * 1024;
/// When a client that was told "not now" should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request itself is wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The order was refused, or its fate is not known.
    #[error("{source}")]
    Order {
        /// What the order was about: the name of a session, or a halt.
        subject: String,
        /// Why.
        source: OrderError,
    },
    /// No such session.
    #[error("there is no session {0}")]
    NoSession(SessionKey),
    /// Nothing can be answered yet, or any more.
    #[error("not available now: {0}")]
    NotReady(String),
    /// As many of these streams as there may be.
    #[error("there are {max} {what} already, as many as there may be")]
    TooMany {
        /// Which streams.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The caller's deadline is over.
    #[error("the deadline of the call is over")]
    Deadline,
    /// The whole log can't be trusted.
    #[error("the log is damaged, every session is stopped: {0}")]
    LogDamaged(String),
    /// A record of the log can't be read.
    #[error("read the log: {0}")]
    Log(String),
    /// Ours.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<Gone> for Error {
    fn from(gone: Gone) -> Self {
        Self::NotReady(gone.to_string())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = cut(&error.to_string(), MESSAGE_BYTES_MAX);
        match error {
            Error::Invalid(violations) => invalid(&violations),
            Error::Order { subject, source } => order(&subject, &source, &message),
            Error::NoSession(key) => {
                detailed(Code::NotFound, &message, "SESSION_NOT_FOUND", session(&key))
            }
            Error::NotReady(_) => detailed(Code::Unavailable, &message, "NOT_READY", retry()),
            Error::TooMany { .. } => {
                detailed(Code::ResourceExhausted, &message, "TOO_MANY_STREAMS", retry())
            }
            Error::Deadline => {
                detailed(Code::DeadlineExceeded, &message, "DEADLINE_EXCEEDED", ErrorDetails::new())
            }
            Error::LogDamaged(_) => log_damaged(&message),
            Error::Log(_) => {
                detailed(Code::DataLoss, &message, "LOG_UNREADABLE", ErrorDetails::new())
            }
            Error::Internal(what) => {
                tracing::error!(what, "a call failed for a reason of ours");
                detailed(Code::Internal, &message, "INTERNAL", ErrorDetails::new())
            }
        }
    }
}

fn order(subject: &str, error: &OrderError, message: &str) -> Status {
    match error {
        OrderError::Rejected(rejection) => rejected(subject, rejection, message),
        OrderError::LogFull(_) => {
            let mut details = ErrorDetails::new();
            details.add_quota_failure_violation(
                "log",
                "the log's stream has no room; nothing was stored",
            );
            detailed(Code::ResourceExhausted, message, "LOG_FULL", details)
        }
        OrderError::LogDamaged(_) => log_damaged(message),
        OrderError::Unavailable(_) => detailed(Code::Unavailable, message, "UNAVAILABLE", retry()),
        OrderError::TimedOut(_) => {
            detailed(Code::DeadlineExceeded, message, "OUTCOME_UNKNOWN", retry())
        }
        OrderError::Pushed(_) => {
            detailed(Code::DeadlineExceeded, message, "PUSHED_NOT_DURABLE", retry())
        }
    }
}

fn log_damaged(message: &str) -> Status {
    detailed(Code::DataLoss, message, "LOG_DAMAGED", ErrorDetails::new())
}

fn rejected(subject: &str, rejection: &Rejection, message: &str) -> Status {
    let failed = |reason: &str| {
        let details = precondition(&[violated(reason, subject, message)]);
        detailed(Code::FailedPrecondition, message, reason, details)
    };
    match rejection {
        Rejection::NoSession(key) => {
            detailed(Code::NotFound, message, "SESSION_NOT_FOUND", session(key))
        }
        Rejection::SessionExists(key) => {
            detailed(Code::AlreadyExists, message, "SESSION_EXISTS", session(key))
        }
        Rejection::NameHasStrays(key) => {
            detailed(Code::AlreadyExists, message, "SESSION_NAME_UNUSABLE", session(key))
        }
        Rejection::WrongPhase { .. } => failed("WRONG_STATE"),
        Rejection::RequestReused { before, .. } => {
            let problem =
                format!("was used before, for {}; a new command needs a new id", before.name());
            reasoned(&Violations::one("request_id", problem), "REQUEST_ID_REUSED")
        }
        Rejection::Reason { problem } => invalid(&Violations::one("reason", problem)),
        Rejection::Unmet(unmet) => {
            // The first decides: a halt, then the log, then the shims.
            let reason = unmet.first().map_or("INAPPLICABLE", lacking);
            let violations: Vec<_> = unmet.iter().map(|one| condition(subject, one)).collect();
            detailed(Code::FailedPrecondition, message, reason, precondition(&violations))
        }
        Rejection::NotEngaged { .. } => failed("HALT_NOT_ENGAGED"),
        Rejection::TooManySessions(_) => {
            let mut details = ErrorDetails::new();
            details.add_quota_failure_violation("sessions", message);
            detailed(Code::ResourceExhausted, message, "TOO_MANY_SESSIONS", details)
        }
    }
}

fn lacking(unmet: &Unmet) -> &'static str {
    match unmet {
        Unmet::Halted { .. } => "HALT_ENGAGED",
        Unmet::LazyLog => "LOG_NOT_SYNCED",
        Unmet::Inapplicable(_) => "INAPPLICABLE",
    }
}

fn condition(session: &str, unmet: &Unmet) -> PreconditionViolation {
    let kind = lacking(unmet);
    match unmet {
        Unmet::Halted { scope, .. } => violated(kind, scope, &unmet.to_string()),
        Unmet::LazyLog => violated(kind, session, &unmet.to_string()),
        Unmet::Inapplicable(Inapplicable { experiment, why }) => {
            violated(kind, &format!("experiments/{experiment}"), why)
        }
    }
}

fn violated(kind: &str, subject: &str, description: &str) -> PreconditionViolation {
    PreconditionViolation::new(kind, subject, cut(description, MESSAGE_BYTES_MAX))
}

fn precondition(violations: &[PreconditionViolation]) -> ErrorDetails {
    let size = |violation: &PreconditionViolation| {
        violation.r#type.len() + violation.subject.len() + violation.description.len()
    };
    let fitting = fitting(violations, size);
    let mut kept = violations[..fitting].to_vec();
    if let Some(more) = more(violations.len(), fitting) {
        kept.push(PreconditionViolation::new("MORE", "", more));
    }
    ErrorDetails::with_precondition_failure(kept)
}

fn invalid(violations: &Violations) -> Status {
    reasoned(violations, "INVALID_REQUEST")
}

fn reasoned(violations: &Violations, reason: &str) -> Status {
    let Violations(violations) = violations;
    let fitting = fitting(violations, |violation| violation.field.len() + violation.problem.len());
    let mut kept: Vec<_> = violations[..fitting]
        .iter()
        .map(|Violation { field, problem }| FieldViolation::new(field.as_str(), problem.as_str()))
        .collect();
    let more = more(violations.len(), fitting);
    kept.extend(more.map(|more| FieldViolation::new("", more)));
    let message = cut(&Violations(violations.clone()).to_string(), MESSAGE_BYTES_MAX);
    detailed(Code::InvalidArgument, &message, reason, ErrorDetails::with_bad_request(kept))
}

/// How many items from the first on fit into the details.
fn fitting<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    items
        .iter()
        .take_while(|item| {
            bytes += size(item) + 8;
            bytes <= DETAILS_BYTES_MAX
        })
        .count()
}

fn more(all: usize, kept: usize) -> Option<String> {
    (kept < all).then(|| format!("and {} more, which don't fit into this answer", all - kept))
}

fn session(key: &SessionKey) -> ErrorDetails {
    ErrorDetails::with_resource_info("squall.v1.Session", key.to_string(), "", "")
}

fn retry() -> ErrorDetails {
    ErrorDetails::with_retry_info(Some(RETRY_AFTER))
}

fn detailed(code: Code, message: &str, reason: &str, mut details: ErrorDetails) -> Status {
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

fn cut(text: &str, max: usize) -> String {
    match text.len() {
        bytes if bytes <= max => text.to_owned(),
        _ => format!("{}…", &text[..text.floor_char_boundary(max)]),
    }
}

#[cfg(test)]
mod tests;
