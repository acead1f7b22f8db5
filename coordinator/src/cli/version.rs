//! `squall version`.

use serde_json::json;

use super::Global;
use super::failure::Failure;

/// Prints the version of this program
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

impl Args {
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let screen = global.screen();
        if screen.is_for_programs() {
            return screen.print(&json!({ "version": version }).to_string());
        }
        screen.print(&format!("squall {version}"))
    }
}
