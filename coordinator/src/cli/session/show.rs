//! `squall session show`.

use squall_proto::wire::v1::{GetSessionRequest, Session};

use super::picture;
use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::failure::Failure;
use crate::cli::name::Named;
use crate::cli::screen::Look;

/// Shows everything about a session: state, permits, counters, stop, and its specification with every default
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall session show first
  squall session show first --output json | jq .budget")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    session: Named,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let message = GetSessionRequest { name };
        let session = global.client()?.sessions.get_session(request(message)).await?.into_inner();
        global.screen().answer(&session, draw)
    }
}

fn draw(session: &Session, look: Look) -> String {
    let spec = session.spec.clone().and_then(picture::specification).unwrap_or_default();
    picture::pages([picture::whole(session, look), spec])
}
