//! The program `squall`: reads the command line, says where its log goes, does what it was told, and exits with the code
//! that tells how that went.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use squall::cli::{Cli, Format, LogFormat};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: failed to {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    log(cli.log_format(), cli.logged())?;
    let for_programs = cli.output() == Format::Json;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.context("start the runtime")?.block_on(cli.run()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => {
            failure.report(for_programs);
            Ok(ExitCode::from(failure.exit().code()))
        }
    }
}

/// To stderr: stdout holds answers.
fn log(format: LogFormat, unless_told: &str) -> anyhow::Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| unless_told.to_owned());
    let filter = EnvFilter::try_new(filter).context("read RUST_LOG")?;
    let colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(colours).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
