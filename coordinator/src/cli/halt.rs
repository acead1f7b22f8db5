//! `squall halt ...`: the commands of the lever, one file each, and what they share.

mod engage;
mod release;
mod status;

use comfy_table::Cell;
use squall_proto::vocabulary::id::TenantId;
use squall_proto::wire::v1::halt_scope::Scope;
use squall_proto::wire::v1::{AllTenants, Halt, HaltScope};

use super::Global;
use super::failure::Failure;
use super::moment::moment;
use super::name;
use super::screen::Look;
use super::table::{Mark, lines, marked, table};

/// Stops everything, and lets nothing start until it is released
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Engage(engage::Args),
    Release(release::Args),
    Status(status::Args),
}

impl Command {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Engage(args) => args.run(global).await,
            Self::Release(args) => args.run(global).await,
            Self::Status(args) => args.run(global).await,
        }
    }
}

/// Whose sessions.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Whose {
    /// Everybody's sessions, as `--tenant -` too; else those of --tenant or SQUALL_TENANT
    #[arg(long)]
    all: bool,
}

impl Whose {
    /// Nobody halts the fleet by leaving something out.
    fn scope(self, global: &Global) -> Result<HaltScope, Failure> {
        match global.tenant() {
            _ if self.all => Ok(everybody()),
            Some(TenantId::EVERY) => Ok(everybody()),
            Some(tenant) => Ok(of(name::tenant(tenant)?.into())),
            None => Err(Failure::argument(
                "--tenant",
                "is missing: it is not clear whose sessions are meant",
            )
            .next("add --tenant TENANT for one tenant, or --all for everybody")),
        }
    }
}

fn everybody() -> HaltScope {
    HaltScope { scope: Some(Scope::All(AllTenants {})) }
}

fn of(tenant: String) -> HaltScope {
    HaltScope { scope: Some(Scope::Tenant(tenant)) }
}

fn whose(halt: &Halt) -> String {
    match halt.scope.as_ref().and_then(|scope| scope.scope.as_ref()) {
        Some(Scope::Tenant(tenant)) => format!("tenant {tenant}"),
        Some(Scope::All(AllTenants {})) => "everybody".to_owned(),
        None => "nobody".to_owned(),
    }
}

fn draw(halts: &[Halt], look: Look) -> String {
    let mut table = table(look, &["halt", "state", "since", "by", "reason"]);
    for halt in halts {
        let (state, mark) =
            if halt.engaged { ("engaged", Mark::Bad) } else { ("released", Mark::Good) };
        table.add_row(vec![
            Cell::new(whose(halt)),
            marked(state, mark),
            Cell::new(moment(halt.engaged_at.as_ref())),
            Cell::new(&halt.actor),
            Cell::new(&halt.reason),
        ]);
    }
    lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_shows_who_engaged_it_and_why() {
        let engaged = Halt {
            scope: Some(of("acme".to_owned())),
            engaged: true,
            reason: "page 4711".to_owned(),
            actor: "ada".to_owned(),
            engaged_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            epoch: 9,
        };
        let released = Halt { scope: Some(everybody()), ..Halt::default() };
        insta::assert_snapshot!(draw(&[released, engaged], Look::PLAIN));
    }
}
