//! Commands that need nothing but a session: they change it, once, and tell what it is then.

use squall_proto::wire::v1::Session;
use tonic::{Response, Status};

use super::picture;
use crate::cli::Global;
use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::name::{Named, Once};

/// Which session, and under which request id.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Plain {
    #[command(flatten)]
    session: Named,
    #[command(flatten)]
    once: Once,
}

impl Plain {
    /// Gives the command to the session with this name, under this request id.
    pub(super) async fn give(
        self,
        global: &Global,
        command: impl AsyncFnOnce(Client, String, String) -> Result<Response<Session>, Status>,
    ) -> Result<(), Failure> {
        let name = self.session.resolve(global)?.to_string();
        let request_id = self.once.id()?;
        let answer = command(global.client()?, name, request_id.clone()).await;
        let session =
            answer.map_err(|status| Failure::of_change(&status, &request_id))?.into_inner();
        global.screen().answer(&session, picture::sentence)
    }
}
