//! The last counts of a session that has ended: what its shims report a moment later belongs to them.

use std::time::Duration;

use squall_proto::wire::v1::{GetSessionRequest, Session, SessionState};
use tokio::time::{Instant, sleep};

use crate::cli::client::{Client, may_pass, request};
use crate::cli::failure::Failure;
use crate::cli::words::count;

/// Longest wait for reports: a shim in contact sends its counters within a second, and again for 2 s.
const WITHIN: Duration = Duration::from_secs(3);
/// Wait before looking again.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The session once every permit that it spent is reported on, or once reports should have come.
///
/// # Errors
/// When the coordinator refuses. One that is out of reach leaves the session as it was.
pub(super) async fn settled(mut client: Client, session: Session) -> Result<Session, Failure> {
    let until = Instant::now() + WITHIN;
    let mut session = session;
    while unreported(&session) > 0 && Instant::now() < until {
        sleep(LOOK_EVERY).await;
        let message = GetSessionRequest { name: session.name.clone() };
        session = match client.sessions.get_session(request(message)).await.map_err(Failure::from) {
            Ok(newer) => newer.into_inner(),
            Err(failure) if may_pass(&failure) => return Ok(session),
            Err(failure) => return Err(failure),
        };
    }
    Ok(session)
}

/// That counts are not final, in words; empty when they are, or when the session goes on.
pub(super) fn doubt(session: &Session) -> String {
    match (has_ended(session), unreported(session)) {
        (false, _) | (true, 0) => String::new(),
        (true, permits) => {
            let permits = count(usize::try_from(permits).unwrap_or(usize::MAX), "permit");
            format!("{permits} spent without a report of what became of it: counts may still rise")
        }
    }
}

/// Permits that were spent and that no shim has reported on. One that was lost with its process stays among them.
fn unreported(session: &Session) -> u64 {
    let budget = session.budget.unwrap_or_default();
    let counts = session.counts.unwrap_or_default();
    let spent = budget.issued.saturating_sub(budget.refunded);
    spent.saturating_sub(counts.applied.saturating_add(counts.not_applicable))
}

fn has_ended(session: &Session) -> bool {
    match session.state() {
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

#[cfg(test)]
mod tests {
    use squall_proto::wire::v1::{Budget, Counts};

    use super::*;

    fn session(state: SessionState, issued: u64, applied: u64) -> Session {
        Session {
            state: state.into(),
            budget: Some(Budget { budget: 40, issued, refunded: 1, ..Budget::default() }),
            counts: Some(Counts { applied, not_applicable: 2, ..Counts::default() }),
            ..Session::default()
        }
    }

    #[test]
    fn counts_are_in_doubt_while_a_spent_permit_is_not_reported_on() {
        let doubted = doubt(&session(SessionState::Exhausted, 40, 36));
        assert!(doubted.starts_with("1 permit spent without a report"), "{doubted}");
        assert_eq!(doubt(&session(SessionState::Exhausted, 40, 37)), "");
        assert_eq!(doubt(&session(SessionState::Running, 40, 36)), "");
    }

    #[test]
    fn a_session_without_permits_is_not_in_doubt() {
        assert_eq!(doubt(&session(SessionState::Completed, 0, 36)), "");
    }
}
