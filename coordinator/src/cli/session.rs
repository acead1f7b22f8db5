//! `squall session ...`: the commands of chaos sessions, one file each, and what they share.

mod abort;
mod create;
mod follow;
mod list;
mod log;
mod pause;
mod picture;
mod plain;
mod report;
mod resume;
mod settled;
mod show;
mod start;
mod stop;
mod watch;

pub(super) use follow::Follow;

use super::Global;
use super::failure::Failure;

/// Creates, drives and watches chaos sessions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Create(create::Args),
    Start(start::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Stop(stop::Args),
    Abort(abort::Args),
    Watch(watch::Args),
    List(list::Args),
    Show(show::Args),
    Log(log::Args),
    Report(report::Args),
}

impl Command {
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Create(args) => args.run(global).await,
            Self::Start(args) => args.run(global).await,
            Self::Pause(args) => args.run(global).await,
            Self::Resume(args) => args.run(global).await,
            Self::Stop(args) => args.run(global).await,
            Self::Abort(args) => args.run(global).await,
            Self::Watch(args) => args.run(global).await,
            Self::List(args) => args.run(global).await,
            Self::Show(args) => args.run(global).await,
            Self::Log(args) => args.run(global).await,
            Self::Report(args) => args.run(global).await,
        }
    }
}
