//! `squall completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::failure::Failure;
use super::{Cli, Global};

/// Prints the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall completions bash > ~/.local/share/bash-completion/completions/squall
  squall completions zsh > ~/.zfunc/_squall")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "squall", &mut script);
        global.screen().print(&String::from_utf8_lossy(&script))
    }
}
