use squall_domain::event::CommandKind;
use squall_domain::session::Phase;

use super::*;

fn key() -> SessionKey {
    SessionKey { tenant: "acme".parse().unwrap(), session: "s1".parse().unwrap() }
}

fn order(source: OrderError) -> Error {
    Error::Order { subject: key().to_string(), source }
}

fn rejected(rejection: Rejection) -> Error {
    order(rejection.into())
}

/// Every error with every rejection, once.
fn all() -> Vec<Error> {
    let request = "r1".parse().unwrap();
    let inapplicable =
        Inapplicable { experiment: "slow".into(), why: "no shim of acme is connected".into() };
    let inapplicable = Unmet::Inapplicable(inapplicable);
    let halted = Unmet::Halted { scope: "all tenants".into(), reason: "fire drill".into() };
    vec![
        Violations(vec![
            Violation { field: "name".into(), problem: "is \"x\"".into() },
            Violation { field: "spec.safety".into(), problem: "is wrong".into() },
        ])
        .into(),
        Error::NoSession(key()),
        Error::NotReady("still reading the log".into()),
        Error::TooMany { what: "watchers", max: 1024 },
        Error::Deadline,
        Error::LogDamaged("record 7 can't be read".into()),
        Error::Log("record 7 is not a record".into()),
        Error::Internal("a test"),
        Gone.into(),
        order(OrderError::LogFull("maximum bytes exceeded".into())),
        order(OrderError::LogDamaged("record 7 can't be read".into())),
        order(OrderError::Unavailable("the coordinator is still reading the log".into())),
        order(OrderError::TimedOut("5 s".into())),
        order(OrderError::Pushed("5 s".into())),
        rejected(Rejection::NoSession(key())),
        rejected(Rejection::SessionExists(key())),
        rejected(Rejection::NameHasStrays(key())),
        rejected(Rejection::WrongPhase {
            command: CommandKind::Resume,
            phase: Phase::Running,
            needs: "paused",
        }),
        rejected(Rejection::RequestReused { request, before: CommandKind::Create }),
        rejected(Rejection::Reason { problem: "is empty; allowed is 1 to 1024 bytes".into() }),
        rejected(Rejection::Unmet(vec![halted.clone()])),
        rejected(Rejection::NotEngaged { scope: "tenant acme".into() }),
        rejected(Rejection::Unmet(vec![inapplicable.clone()])),
        rejected(Rejection::Unmet(vec![Unmet::LazyLog])),
        rejected(Rejection::Unmet(vec![halted, Unmet::LazyLog, inapplicable])),
        rejected(Rejection::TooManySessions(100_000)),
    ]
}

fn line(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| {
        assert_eq!(info.domain, DOMAIN);
        info.reason.clone()
    });
    let mut parts =
        vec![format!("{:?} {}: {}", status.code(), reason.unwrap_or_default(), status.message())];
    for field in details.bad_request().iter().flat_map(|details| &details.field_violations) {
        parts.push(format!("  field {}: {}", field.field, field.description));
    }
    for violation in details.precondition_failure().iter().flat_map(|details| &details.violations) {
        parts.push(format!(
            "  {} {}: {}",
            violation.r#type, violation.subject, violation.description
        ));
    }
    for violation in details.quota_failure().iter().flat_map(|details| &details.violations) {
        parts.push(format!("  quota {}: {}", violation.subject, violation.description));
    }
    parts.extend(
        details
            .resource_info()
            .map(|info| format!("  {} {}", info.resource_type, info.resource_name)),
    );
    parts.extend(details.retry_info().map(|info| format!("  retry after {:?}", info.retry_delay)));
    parts.join("\n")
}

#[test]
fn every_error_has_a_code_a_reason_and_its_details() {
    let lines: Vec<String> = all().into_iter().map(|error| line(&Status::from(error))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
InvalidArgument INVALID_REQUEST: name is "x"; spec.safety is wrong
  field name: is "x"
  field spec.safety: is wrong
NotFound SESSION_NOT_FOUND: there is no session tenants/acme/sessions/s1
  squall.v1.Session tenants/acme/sessions/s1
Unavailable NOT_READY: not available now: still reading the log
  retry after Some(1s)
ResourceExhausted TOO_MANY_STREAMS: there are 1024 watchers already, as many as there may be
  retry after Some(1s)
DeadlineExceeded DEADLINE_EXCEEDED: the deadline of the call is over
DataLoss LOG_DAMAGED: the log is damaged, every session is stopped: record 7 can't be read
DataLoss LOG_UNREADABLE: read the log: record 7 is not a record
Internal INTERNAL: internal error: a test
Unavailable NOT_READY: not available now: the coordinator is shutting down
  retry after Some(1s)
ResourceExhausted LOG_FULL: the log is full, nothing was stored: maximum bytes exceeded
  quota log: the log's stream has no room; nothing was stored
DataLoss LOG_DAMAGED: the log is damaged, every session is stopped and nothing can be stored: record 7 can't be read
Unavailable UNAVAILABLE: not available now: the coordinator is still reading the log
  retry after Some(1s)
DeadlineExceeded OUTCOME_UNKNOWN: no answer in time (5 s); repeat the command with the same request id to learn whether it was done
  retry after Some(1s)
DeadlineExceeded PUSHED_NOT_DURABLE: pushed to the shims in reach, not durable yet (5 s); it is recorded as soon as the log answers
  retry after Some(1s)
NotFound SESSION_NOT_FOUND: there is no session tenants/acme/sessions/s1
  squall.v1.Session tenants/acme/sessions/s1
AlreadyExists SESSION_EXISTS: session tenants/acme/sessions/s1 exists already
  squall.v1.Session tenants/acme/sessions/s1
AlreadyExists SESSION_NAME_UNUSABLE: the log holds records under tenants/acme/sessions/s1 that belong to no session (unreadable ones, or the end of an expired one), so that none can be created there until they expire, 30 days after the newest; choose another id
  squall.v1.Session tenants/acme/sessions/s1
FailedPrecondition WRONG_STATE: the session is running; resume needs paused
  WRONG_STATE tenants/acme/sessions/s1: the session is running; resume needs paused
InvalidArgument REQUEST_ID_REUSED: request_id was used before, for create; a new command needs a new id
  field request_id: was used before, for create; a new command needs a new id
InvalidArgument INVALID_REQUEST: reason is empty; allowed is 1 to 1024 bytes
  field reason: is empty; allowed is 1 to 1024 bytes
FailedPrecondition HALT_ENGAGED: a halt is engaged for all tenants: fire drill; release it first (`squall halt release`)
  HALT_ENGAGED all tenants: a halt is engaged for all tenants: fire drill; release it first (`squall halt release`)
FailedPrecondition HALT_NOT_ENGAGED: no halt is engaged for tenant acme
  HALT_NOT_ENGAGED tenants/acme/sessions/s1: no halt is engaged for tenant acme
FailedPrecondition INAPPLICABLE: experiment "slow": no shim of acme is connected
  INAPPLICABLE experiments/slow: no shim of acme is connected
FailedPrecondition LOG_NOT_SYNCED: the log's servers don't run with sync_interval: always, so that an acknowledged permit could be lost; set it, or accept the risk with safety.accept_lazy_log
  LOG_NOT_SYNCED tenants/acme/sessions/s1: the log's servers don't run with sync_interval: always, so that an acknowledged permit could be lost; set it, or accept the risk with safety.accept_lazy_log
FailedPrecondition HALT_ENGAGED: a halt is engaged for all tenants: fire drill; release it first (`squall halt release`); the log's servers don't run with sync_interval: always, so that an acknowledged permit could be lost; set it, or accept the risk with safety.accept_lazy_log; experiment "slow": no shim of acme is connected
  HALT_ENGAGED all tenants: a halt is engaged for all tenants: fire drill; release it first (`squall halt release`)
  LOG_NOT_SYNCED tenants/acme/sessions/s1: the log's servers don't run with sync_interval: always, so that an acknowledged permit could be lost; set it, or accept the risk with safety.accept_lazy_log
  INAPPLICABLE experiments/slow: no shim of acme is connected
ResourceExhausted TOO_MANY_SESSIONS: there are 100000 sessions already, as many as there may be
  quota sessions: there are 100000 sessions already, as many as there may be
"#);
}

#[test]
fn every_status_has_a_reason_that_programs_can_read() {
    for error in all() {
        let text = error.to_string();
        let status = Status::from(error);
        assert!(status.get_error_details().error_info().is_some(), "{text}");
    }
}

#[test]
fn long_lists_are_cut_so_that_they_fit_a_trailer_and_say_so() {
    let many = (0..500).map(|index| Violation {
        field: format!("spec.experiments[{index}].probability"),
        problem: "is 7; allowed is 0 to 1".into(),
    });
    let status = Status::from(Error::from(Violations(many.collect())));
    assert!(status.message().len() <= MESSAGE_BYTES_MAX + 3);
    assert!(status.details().len() < 5 * 1024, "{} bytes", status.details().len());
    let details = status.get_error_details();
    let last = details.bad_request().unwrap().field_violations.last().unwrap().clone();
    assert!(last.field.is_empty() && last.description.contains("more"), "{last:?}");
    let many = (0..500)
        .map(|index| Inapplicable { experiment: format!("e{index}"), why: "x".repeat(900) });
    let status = Status::from(rejected(Rejection::Unmet(many.map(Unmet::Inapplicable).collect())));
    assert!(status.details().len() < 5 * 1024, "{} bytes", status.details().len());
}

#[test]
fn what_is_wrong_in_letters_beyond_ascii_fits_a_trailer() {
    let wrong = |field: &str| Violation { field: field.into(), problem: "ä".repeat(750) };
    let error = Error::from(Violations(vec![wrong("parent"), wrong("filter")]));
    let mut headers = tonic::codegen::http::HeaderMap::new();
    Status::from(error).add_header(&mut headers).unwrap();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(bytes <= 8 * 1024, "{bytes} bytes");
}
