//! `squall session start`.

use std::time::Duration;

use squall_proto::vocabulary::limits::LEASE_TTL;
use squall_proto::vocabulary::time::stretched;
use squall_proto::wire::v1::{Session, StartSessionRequest, Strictness};

use super::picture;
use crate::cli::Global;
use crate::cli::client::request_within;
use crate::cli::failure::Failure;
use crate::cli::moment;
use crate::cli::name::{Named, Once};
use crate::cli::progress::Progress;

/// Starts a draft
///
/// Refused, with the reason for each experiment, when no connected shim can apply one of them, and under a halt.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session start first --wait-for-shims 30s
  squall session start tenants/acme/sessions/first")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
    /// How long to wait for shims that can apply every experiment, before the start is refused
    #[arg(long, value_name = "TIME", value_parser = moment::parse, default_value = "0s")]
    wait_for_shims: Duration,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let request_id = self.once.id()?;
        let wait = self.wait_for_shims;
        let wait_for_shims = prost_types::Duration::try_from(wait)
            .map_err(|_| Failure::argument("--wait-for-shims", "is longer than any session"))?;
        let message = StartSessionRequest {
            name,
            request_id: request_id.clone(),
            wait_for_shims: Some(wait_for_shims),
        };
        let mut client = global.client()?;
        let progress = Progress::start(match wait {
            Duration::ZERO => "starting".to_owned(),
            wait => format!(
                "waiting up to {} for shims that can apply every experiment",
                moment::words(wait)
            ),
        });
        let started = client.sessions.start_session(request_within(message, wait)).await;
        drop(progress);
        let session =
            started.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        let screen = global.screen();
        if let Some(bound) = bound(&session) {
            screen.note(&bound);
        }
        screen.answer(&session, picture::sentence)
    }
}

/// What bounds a session without permits (docs/protocol.md, "Strictness"): time, and no number.
fn bound(session: &Session) -> Option<String> {
    let safety = session.spec.as_ref()?.safety.as_ref()?;
    if safety.strictness() != Strictness::Eventual {
        return None;
    }
    let (budget, longest) = (safety.max_affected_requests(), safety.max_duration_s());
    let lease = moment::words(stretched(LEASE_TTL));
    Some(format!(
        "eventual: {budget} affected requests are aimed at, not promised. The session ends once reports reach {budget}; what \
         shims inject until they hear of that is over. One that loses contact goes on for {lease} at most; while no report \
         arrives, only max_duration_s ({longest}) ends it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::session::picture::tests::aborted;

    #[test]
    fn a_session_without_permits_says_what_bounds_it_and_others_need_not() {
        let mut session = aborted();
        assert_eq!(bound(&session), None);
        let spec = session.spec.get_or_insert_default();
        let safety = spec.safety.get_or_insert_default();
        safety.set_strictness(Strictness::Eventual);
        safety.max_affected_requests = Some(5);
        let bound = bound(&session).unwrap();
        assert!(bound.contains("5 affected requests are aimed at, not promised"), "{bound}");
        assert!(bound.contains("3.00"), "the lease is missing: {bound}");
    }
}
