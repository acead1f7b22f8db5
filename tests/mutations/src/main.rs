//! `mutants`: makes mistakes on purpose and sees that they are noticed.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use squall_mutations::catalogue::Catalogue;
use squall_mutations::catch::Hunt;
use squall_mutations::{root, survivors};

/// Makes mistakes in a copy of the code and sees that the checks notice them.
///
/// The copy is in target/mutants/tree; the code itself is never touched.
#[derive(Parser)]
#[command(name = "mutants")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The 27 mutations of the protocol: each must be caught by the model or the simulator.
    ///
    /// First the checks must pass on the code as it is. Then each patch of tests/mutations/patches is made to the copy, the
    /// checks that tests/mutations/catalogue.toml names are built and run until one finds a violation, and the patch is
    /// taken back. The counterexample of mutation N is kept in target/mutants/N.txt. A patch that doesn't fit or compile, a
    /// check that passes, fails otherwise or finds something else: each ends this with status 1.
    Catch {
        /// Only these mutations, by number.
        #[arg(long, value_delimiter = ',')]
        only: Vec<usize>,
    },
    /// The mutations that cargo-mutants makes to the two pure crates: each must be noticed by a test, or argued.
    ///
    /// Takes hours: some 2,400 mutations, each built and tested. What is in target/mutants/survivors from an earlier run
    /// is gone on with. Survivors are compared with tests/mutations/survivors.toml.
    Survivors {
        /// Compares what the last run found, and mutates nothing.
        #[arg(long)]
        compare: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: failed to {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<bool> {
    match command {
        Command::Catch { only } => catch(&only),
        Command::Survivors { compare } => survivors::run(&root()?, compare),
    }
}

fn catch(only: &[usize]) -> Result<bool> {
    let catalogue = Catalogue::read()?;
    let mutations = catalogue.only(only)?;
    let hunt = Hunt::begin(&root()?)?;
    hunt.baseline(&mutations)?;
    let mut caught = 0;
    for mutation in &mutations {
        caught += usize::from(hunt.catch(mutation)?);
    }
    println!("mutations caught: {caught} of {}", mutations.len());
    Ok(caught == mutations.len())
}
