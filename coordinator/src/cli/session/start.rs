//! `squall session start`.

use std::time::Duration;

use squall_proto::wire::v1::StartSessionRequest;

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
        global.screen().answer(&session, picture::sentence)
    }
}
