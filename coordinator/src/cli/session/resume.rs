//! `squall session resume`.

use squall_proto::wire::v1::ResumeSessionRequest;

use super::picture;
use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::failure::Failure;
use crate::cli::name::{Named, Once};

/// Goes on with a paused session
///
/// Refused under a halt, as a start is.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:
  squall session resume first")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let request_id = self.once.id()?;
        let message = ResumeSessionRequest { name, request_id: request_id.clone() };
        let answer = global.client()?.sessions.resume_session(request(message)).await;
        let session =
            answer.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        global.screen().answer(&session, picture::sentence)
    }
}
