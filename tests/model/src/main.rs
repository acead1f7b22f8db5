//! `model`: explores Squall's protocol exhaustively, one small configuration after the other.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use squall_model::fleet::Fleet;
use squall_model::{configurations, reach, search};

/// Explores the protocol's real state machines (the coordinator's domain, the shim's link and wallets) under an adversary
/// that loses, doubles, delays and reorders every message, lets replicas lag and appends land late, kills and forks
/// processes, and stops sessions at the worst moment.
///
/// Each configuration is a small world that is explored to its end: every state within its bounds is visited once, and
/// every invariant checked in it. A violation is told as the steps that lead to it. The exit status is 0 if nothing is
/// violated and everything that should happen somewhere does.
#[derive(Debug, Parser)]
#[command(name = "model")]
struct Arguments {
    /// Only these configurations; all, if none is named.
    names: Vec<String>,
    /// List the configurations, and what each is about.
    #[arg(long)]
    list: bool,
    /// Only the small configurations, which take seconds.
    #[arg(long)]
    small: bool,
    /// Explore breadth first on one thread: a violation is told by the shortest way to it. Takes more memory.
    #[arg(long)]
    stop_at_first: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// What all configurations came to.
#[derive(Debug, Default)]
struct Sum {
    configurations: usize,
    states: usize,
    violations: usize,
    missing: usize,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let fleets = chosen(&arguments)?;
    if arguments.list {
        for fleet in fleets {
            println!("{:15} {}", fleet.name, fleet.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (began, mut sum) = (Instant::now(), Sum::default());
    for fleet in fleets {
        one(&fleet, &arguments, &mut sum);
    }
    println!("time: {} s", began.elapsed().as_secs());
    let Sum { configurations, states, violations, missing } = sum;
    println!("never reached: {missing}");
    println!("configurations: {configurations}, states: {states}, violations: {violations}");
    let fine = violations == 0 && missing == 0;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(arguments: &Arguments) -> Result<Vec<Fleet>> {
    let mut fleets = configurations::all();
    let unknown = |name: &&String| !fleets.iter().any(|fleet| fleet.name == **name);
    if let Some(name) = arguments.names.iter().find(unknown) {
        bail!("there is no configuration {name}; `model --list` names them");
    }
    let Arguments { names, small, .. } = arguments;
    fleets.retain(|fleet| {
        (names.is_empty() || names.iter().any(|name| name == fleet.name))
            && (!small || configurations::SMALL.contains(&fleet.name))
    });
    Ok(fleets)
}

fn one(fleet: &Fleet, arguments: &Arguments, sum: &mut Sum) {
    let Arguments { stop_at_first, threads, .. } = *arguments;
    println!("{}: {} [{}]", fleet.name, fleet.about, fleet.bounds());
    let plan = search::Plan { threads, shortest: stop_at_first, progress: true };
    let report = search::explore(fleet, plan);
    let search::Report { states, steps, depth, time, violations, missing } = report;
    let result = if violations.is_empty() && missing.is_empty() { "ok" } else { "FAIL" };
    println!(
        "  {result}: states {states}, steps {steps}, depth {depth}, {:.1} s",
        time.as_secs_f64()
    );
    missing.iter().for_each(|name| println!("  never: {name}"));
    violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    sum.configurations += 1;
    sum.states += states;
    sum.violations += violations.len();
    sum.missing += missing.len();
    if violations.is_empty() && !fleet.hopes.is_empty() {
        hope(fleet, sum);
    }
    std::io::stdout().flush().unwrap_or_default();
}

fn hope(fleet: &Fleet, sum: &mut Sum) {
    let reach::Report { states, steps, time, hoped, violations } = reach::check(fleet);
    for (name, times) in hoped {
        println!("  hoped in {times} of {states} states, over {steps} steps: {name}");
        sum.missing += usize::from(times == 0);
    }
    println!("  walked back in {:.1} s", time.as_secs_f64());
    violations.iter().for_each(|violation| println!("VIOLATED {violation}"));
    sum.violations += violations.len();
}
