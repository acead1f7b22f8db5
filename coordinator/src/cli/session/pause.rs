//! `squall session pause`.

use squall_proto::wire::v1::PauseSessionRequest;

use super::plain::Plain;
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::Failure;

/// Injects nothing until the session is resumed
///
/// Its longest duration goes on meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:
  squall session pause first")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    plain: Plain,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let pause = async |mut client: Client, name, request_id| {
            client.sessions.pause_session(request(PauseSessionRequest { name, request_id })).await
        };
        self.plain.give(global, pause).await
    }
}
