//! `squall halt status`.

use serde_json::json;
use squall_proto::vocabulary::id::TenantId;
use squall_proto::wire::v1::{GetHaltRequest, Halt, HaltScope};

use super::{draw, everybody, of};
use crate::cli::Global;
use crate::cli::client::{Client, request};
use crate::cli::failure::Failure;
use crate::cli::{json, name};

/// Shows the halt of everybody, and that of --tenant
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall halt status
  squall halt status --tenant acme --output json | jq '.halts[] | select(.engaged)'")]
pub(in crate::cli) struct Args {}

impl Args {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let mut client = global.client()?;
        let mut halts = vec![get(&mut client, everybody()).await?];
        if let Some(tenant) = global.tenant().filter(|tenant| *tenant != TenantId::EVERY) {
            halts.push(get(&mut client, of(name::tenant(tenant)?.into())).await?);
        }
        let screen = global.screen();
        if screen.is_for_programs() {
            let halts = halts.iter().map(json::of).collect::<Result<Vec<_>, _>>()?;
            return screen.print(&format!("{:#}", json!({ "halts": halts })));
        }
        screen.print(&draw(&halts, screen.look()))
    }
}

async fn get(client: &mut Client, scope: HaltScope) -> Result<Halt, Failure> {
    let message = GetHaltRequest { scope: Some(scope) };
    Ok(client.fleet.get_halt(request(message)).await?.into_inner())
}
