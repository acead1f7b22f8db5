//! `squall halt release`.

use squall_proto::wire::v1::ReleaseHaltRequest;

use super::{Whose, draw};
use crate::cli::Global;
use crate::cli::client::request;
use crate::cli::failure::Failure;
use crate::cli::name::Once;

/// Lets sessions start again; what was halted stays halted
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall halt release --all --reason \"incident 4711 is over\"
  squall halt release --tenant acme --reason \"fixed\"")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    whose: Whose,
    /// Why, 1 to 1024 bytes; kept in the log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    once: Once,
}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let request_id = self.once.id()?;
        let scope = Some(self.whose.scope(global)?);
        let message =
            ReleaseHaltRequest { scope, reason: self.reason, request_id: request_id.clone() };
        let answer = global.client()?.fleet.release_halt(request(message)).await;
        let halt = answer.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        global.screen().answer(&halt, |halt, look| draw(std::slice::from_ref(halt), look))
    }
}
