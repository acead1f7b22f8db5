//! Fuzzes the doors: `make fuzz` builds this with libFuzzer and runs `squall-fuzz all`.

mod campaign;
mod keep;
#[cfg(squall_fuzz)]
mod libfuzzer;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use squall_fuzz::{DOORS, Door};

/// Looks for bytes that break a door of Squall, guided by which code they reach.
///
/// `make fuzz TIME=60` builds this program with libFuzzer and runs `squall-fuzz all`. An input that breaks something is
/// written to a file, and said with the command that repeats it.
#[derive(Debug, Parser)]
enum Command {
    /// Fuzz every door, two at a time, and print the figures.
    All {
        /// Seconds in all, shared out evenly between the doors; each has one at least.
        #[arg(long, default_value_t = 60)]
        time: u64,
        /// Where corpora grow and findings are written.
        #[arg(long, default_value = "target/fuzz/doors")]
        place: PathBuf,
        /// Only these doors.
        doors: Vec<String>,
    },
    /// Run libFuzzer over one door: `one request FILE` tries one input, `one request -help=1` lists libFuzzer's options.
    One {
        /// The door.
        door: String,
        /// For libFuzzer: options, files, or folders with inputs.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Keep what `all` found to take another way: the smallest set of inputs that reaches the same code becomes the
    /// corpus of each door in the repository.
    Keep {
        /// Where corpora grew.
        #[arg(long, default_value = "target/fuzz/doors")]
        place: PathBuf,
        /// Only these doors.
        doors: Vec<String>,
    },
    /// List the doors.
    Doors,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::All { time, place, doors } => campaign::run(&chosen(&doors)?, time, &place),
        Command::One { door, arguments } => one(named(&door)?, &arguments),
        Command::Keep { place, doors } => keep::run(&chosen(&doors)?, &place),
        Command::Doors => {
            for door in DOORS {
                println!("{:14} {}", door.name, door.about);
            }
            Ok(())
        }
    }
}

fn named(name: &str) -> Result<&'static Door> {
    Door::named(name)
        .with_context(|| format!("{name:?} is no door; `squall-fuzz doors` lists them"))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Door>> {
    if names.is_empty() {
        Ok(DOORS.iter().collect())
    } else {
        names.iter().map(|name| named(name)).collect()
    }
}

#[cfg(squall_fuzz)]
fn one(door: &'static Door, arguments: &[String]) -> Result<()> {
    libfuzzer::run(door, arguments)
}

#[cfg(not(squall_fuzz))]
fn one(_: &'static Door, _: &[String]) -> Result<()> {
    anyhow::bail!("this program was built without libFuzzer; `make fuzz` builds it with it")
}
