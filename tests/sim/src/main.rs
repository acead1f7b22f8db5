//! `sim`: runs seeds in order on two threads and says what it saw.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use squall_sim::coverage::Coverage;
use squall_sim::scenario::Scenario;
use squall_sim::{Outcome, run, shrink};

/// Runs the real engine and the real shims on a virtual clock, network and log.
///
/// Each seed is a scenario: replicas, processes, sessions, and what goes wrong when. The same seed is the same run, to the byte.
/// After every event the invariants of docs/protocol.md are checked against what really happened at the agents. A seed that breaks
/// one is made smaller, and printed as a scenario that `sim replay` runs again.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// End at the first violation.
    #[arg(long)]
    stop_at_first: bool,
    /// Print a violation as it is, without making the scenario smaller.
    #[arg(long)]
    no_shrink: bool,
    /// Threads; each runs seeds of its own.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the scenario of a file, and print the end of its trace.
    Replay {
        /// A scenario as JSON.
        file: PathBuf,
    },
    /// Print the scenario of a seed.
    Show {
        /// The seed.
        seed: u64,
    },
}

fn main() -> ExitCode {
    // A panic of the product is caught, and is a violation; its message is told with it.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Replay { file }) => replay(file),
        Some(Command::Show { seed }) => show(*seed),
        None => Ok(seeds(&arguments)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn replay(file: &PathBuf) -> Result<bool> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let scenario: Scenario = serde_json::from_str(&text).context("read a scenario")?;
    let outcome = run(&scenario);
    outcome.lines.iter().for_each(|line| print!("{line}"));
    match &outcome.violation {
        Some(violation) => println!("{violation}"),
        None => println!("{} events, violations: 0", outcome.events),
    }
    Ok(outcome.violation.is_none())
}

fn show(seed: u64) -> Result<bool> {
    println!("{}", serde_json::to_string_pretty(&Scenario::draw(seed))?);
    Ok(true)
}

/// What all runs add up to.
#[derive(Default)]
struct Sums {
    done: u64,
    events: u64,
    violations: u64,
    coverage: Coverage,
    hash: [u8; 32],
}

fn seeds(arguments: &Arguments) -> bool {
    let end = arguments.from.saturating_add(arguments.seeds);
    let (next, stop) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(&Scenario::draw(seed));
                    if outcome.violation.is_some() && arguments.stop_at_first {
                        stop.store(true, Ordering::Relaxed);
                    }
                    add(&sums, arguments, seed, &outcome);
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tell(&sums);
    sums.violations == 0
}

fn add(sums: &Mutex<Sums>, arguments: &Arguments, seed: u64, outcome: &Outcome) {
    if outcome.violation.is_some() {
        explain(arguments, seed, outcome);
    }
    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sums.done += 1;
    sums.events += outcome.events;
    sums.violations += u64::from(outcome.violation.is_some());
    sums.coverage.merge(&outcome.coverage);
    // The same whatever order the threads come in.
    sums.hash.iter_mut().zip(outcome.hash).for_each(|(sum, byte)| *sum ^= byte);
    let step = (arguments.seeds / 20).clamp(1, 1000);
    if sums.done.is_multiple_of(step) {
        eprintln!("{} of {} seeds, {} violations", sums.done, arguments.seeds, sums.violations);
    }
}

/// The violation, the smallest scenario that has it, and what led to it.
fn explain(arguments: &Arguments, seed: u64, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    println!("seed {seed}: {violation}");
    if arguments.no_shrink {
        return;
    }
    let smallest = shrink::shrink(&Scenario::draw(seed), violation.promise);
    let again = run(&smallest);
    let lines: String = again.lines.iter().rev().take(60).rev().map(String::as_str).collect();
    let text = serde_json::to_string_pretty(&smallest).unwrap_or_default();
    let what = again.violation.map(|violation| violation.to_string()).unwrap_or_default();
    println!("the smallest scenario with it:\n{text}\nthe end of its trace:\n{lines}{what}");
}

fn tell(sums: &Sums) {
    let hash: String = sums.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    for (what, times) in sums.coverage.iter() {
        println!("{times:>12} {what}");
    }
    println!(
        "seeds: {}, events: {}, traces: {hash}, violations: {}",
        sums.done, sums.events, sums.violations
    );
}
