//! `squall session resume`.

use squall_proto::wire::v1::ResumeSessionRequest;

use super::plain::Plain;
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::Failure;

/// Goes on with a paused session
///
/// Refused under a halt, as a start is.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:
  squall session resume first")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    plain: Plain,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let resume = async |mut client: Client, name, request_id| {
            client.sessions.resume_session(request(ResumeSessionRequest { name, request_id })).await
        };
        self.plain.give(global, resume).await
    }
}
