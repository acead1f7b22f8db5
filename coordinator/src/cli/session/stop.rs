//! `squall session stop`.

use squall_proto::wire::v1::StopSessionRequest;

use super::plain::Plain;
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::Failure;

/// Ends a session gracefully: no new permits, what runs may end
///
/// `squall session abort` ends it at once and proves it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:
  squall session stop first")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    plain: Plain,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let stop = async |mut client: Client, name, request_id| {
            client.sessions.stop_session(request(StopSessionRequest { name, request_id })).await
        };
        self.plain.give(global, stop).await
    }
}
