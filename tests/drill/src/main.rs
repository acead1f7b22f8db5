//! `drill`: the real thing under real faults. Three nats-servers, three coordinators and thirty agents, each a process of its own,
//! behind relays for every link; faults drawn from a seed, in overlap, while sessions start, pause, abort and halt. Then a checker
//! that shares no code with the coordinator compares the log, what agents wrote down and what clients were told.

mod assignment;
mod calm;
mod client;
mod clock;
mod disk;
mod fault;
mod house;
mod network;
mod now;
mod process;
mod progress;
mod session;
mod traffic;
mod verdict;
mod workshop;

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use squall_drill_checker::files::{Evidence, Final, Report, Run, WallClock};
use squall_drill_checker::{Schema, Violation, check, read};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use client::History;
use fault::{Fault, Means, Performance};
use house::House;
use progress::say;
use traffic::{CLIENTS, Traffic};
use workshop::Workshop;

/// Quiet before the first fault, and between the last session's end and the last look at the reports.
const QUIET: Duration = Duration::from_secs(3);
/// Evidence comes every second, and every replica reads it from a stream.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(8);

/// Disturbs a whole fleet and says whether the three promises held
///
/// Each fault hits real processes: they are killed, frozen and ended, their links are cut in either direction, delayed and lossy,
/// disks are full and clocks jump. After each stretch of faults everything is healed and must come to its end. The same seed
/// draws the same faults; what they meet is real, and so differs a little each time.
#[derive(Debug, Parser)]
#[command(after_long_help = "Examples:
  drill --faults 20 --seed 1
  drill --faults 100 --seed 7 --keep

The files of a run that broke a promise stay in target/drill/<seed>: the log as it is stored (log.jsonl), what clients asked and
were told (clients.jsonl), what agents felt (agents/), what was done when (faults.jsonl), and everybody's own log (logs/).")]
struct Args {
    /// How many faults
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    faults: u32,
    /// What they are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults between two calms
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    stretch: u32,
    /// Keep the files of a run that broke nothing, too
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match drill() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One thread does everything: children die with the thread that started them, and disks are mounted before there is another.
fn drill() -> Result<ExitCode> {
    let args = Args::parse();
    let workshop = Workshop::open(args.seed)?;
    let disks = disk::mount(&workshop.places.stores, house::REPLICAS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let judged = LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            judged = run(&args, &workshop, disks) => judged,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        }
    })?;
    let folder = &workshop.places.folder;
    println!("{judged}");
    if judged.is_clean() && !args.keep {
        if judged.means.disks {
            disk::unmount(&workshop.places.stores, house::REPLICAS)?;
        }
        std::fs::remove_dir_all(folder)?;
    } else {
        println!("The files are in {}.", folder.display());
    }
    Ok(if judged.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(args: &Args, workshop: &Workshop, disks: bool) -> Result<verdict::Judged> {
    let folder = &workshop.places.folder;
    let mut clock = now::wall_clock();
    say("three servers, three coordinators and thirty agents start");
    let house = Rc::new(House::start(&workshop.places, CLIENTS).await?);
    let means = Means { disks, clocks: house.clocks.can_be_stepped() };
    let history = History::create(&folder.join("clients.jsonl"))?;
    let traffic = Traffic::new(&house.doors, &history, args.seed)?;
    let performance = Performance::new(
        Rc::clone(&house),
        workshop.places.stores.clone(),
        &folder.join("faults.jsonl"),
        args.faults,
    )?;
    let faults = fault::draw(&mut StdRng::seed_from_u64(args.seed), args.faults, means);
    let mut live = calm::converge(&traffic).await;
    let stretches = faults.chunks(usize::try_from(args.stretch)?);
    for (number, faults) in (0_u64..).zip(stretches) {
        stretch(number, faults, &house, &traffic, &performance).await?;
        live.extend(calm::converge(&traffic).await);
    }
    keep_for(&house, EVIDENCE_WITHIN).await?;
    let settled_ns = now::now_ns();
    let looked = look(&traffic).await?;
    keep_for(&house, QUIET).await?;
    house.end_agents().await?;
    let failures = house.failures()?;
    widen(&mut clock);
    write(&folder.join("run.json"), &[Run { clock, settled_ns }])?;
    write(&folder.join("finals.jsonl"), &looked.0)?;
    write(&folder.join("reports.jsonl"), &looked.1)?;
    say("the checker reads the log, the agents' files and the clients' answers");
    let schema = Schema::read()?;
    let records = read(house.client().await?, &schema).await?;
    let lines: Vec<String> = records.iter().map(|record| format!("{record:?}")).collect();
    std::fs::write(folder.join("log.txt"), lines.join("\n"))?;
    let evidence = Evidence::read(folder)?;
    let mut verdict = check(&records, &evidence);
    verdict.violations.extend(live);
    verdict.violations.extend(
        failures
            .into_iter()
            .map(|found| Violation { rule: squall_drill_checker::Rule::Process, found }),
    );
    write(&folder.join("verdict.json"), std::slice::from_ref(&verdict))?;
    Ok(verdict::Judged { verdict, seed: args.seed, means })
}

/// Performs some faults, in overlap, with everybody at work.
async fn stretch(
    number: u64,
    faults: &[Fault],
    house: &House,
    traffic: &Traffic,
    performance: &Performance,
) -> Result<()> {
    let mut work = traffic.begin(number);
    let mut performed = JoinSet::new();
    keep_for(house, QUIET).await?;
    for fault in faults {
        keep_for(house, fault.after).await?;
        let (performance, fault) = (performance.clone(), fault.clone());
        performed.spawn_local(async move { performance.perform(fault).await });
    }
    while !performed.is_empty() {
        keep_for(house, KEEP_EVERY).await?;
        while let Some(done) = performed.try_join_next() {
            done.context("a fault was not performed to its end")??;
        }
    }
    traffic.settle();
    while !work.is_empty() {
        keep_for(house, KEEP_EVERY).await?;
        while let Some(done) = work.try_join_next() {
            done.context("a client failed")?;
        }
    }
    Ok(())
}

/// How often processes that ended by themselves are looked for.
const KEEP_EVERY: Duration = Duration::from_millis(200);

async fn keep_for(house: &House, time: Duration) -> Result<()> {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < until {
        house.keep()?;
        sleep(KEEP_EVERY.min(time)).await;
    }
    Ok(())
}

/// The last look at everything, by every coordinator.
async fn look(traffic: &Traffic) -> Result<(Vec<Final>, Vec<Report>)> {
    let finals = calm::finals(traffic).await;
    let mut reports = Vec::new();
    for known in finals.iter().filter(|known| known.shown.is_some()) {
        let coordinator = usize::try_from(known.coordinator)?;
        let report = traffic.inspector().report(coordinator, &known.session).await;
        reports.push(report.with_context(|| format!("the report of {}", known.session))?);
    }
    Ok((finals, reports))
}

/// The host's clock may be slewed while the drill runs.
fn widen(clock: &mut WallClock) {
    let WallClock { min_ns, max_ns } = now::wall_clock();
    *clock = WallClock { min_ns: clock.min_ns.min(min_ns), max_ns: clock.max_ns.max(max_ns) };
}

fn write<T: Serialize>(path: &std::path::Path, lines: &[T]) -> Result<()> {
    let mut file = File::create(path).with_context(|| format!("write {}", path.display()))?;
    for line in lines {
        serde_json::to_writer(&mut file, line)?;
        file.write_all(b"\n")?;
    }
    Ok(())
}
