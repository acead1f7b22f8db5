//! `soak`: agents with and without a shim, while everything around them dies, freezes and comes back.

mod crew;
mod record;
mod sessions;
mod smoke;
mod stage;
mod statistics;
mod verdict;
mod weather;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crew::{Crew, Notes};
use sessions::Operator;
use stage::Stage;
use verdict::{Verdict, judge, judge_health};

/// Shows that a shim harms nobody, however long and whatever dies around it
///
/// Hosts make calls through their shims: tasks through the seams for tower and rmcp, a parent that forks workers (before and
/// after it started its shim, with a journal and without), and 64 threads. Each has a twin that does the same without a shim;
/// they make their measured calls in turns, on the same machine and in the same minutes. A nats-server and a coordinator are
/// killed, frozen and brought back meanwhile, as the seed says, and sessions with every kind of fault come and go.
///
/// Any of these is a violation: a panic, a process that ends otherwise than meant or hangs, a host or a worker that injects
/// nothing or has no right to; and, in a run of ten minutes or more: memory, threads or files that grow, calls without a
/// fault that take longer than the twin's by more than noise and the bound beside it, or stall more often.
#[derive(Debug, Parser)]
#[command(after_long_help = "Examples:
  soak --minutes 60
  soak --minutes 15 --seed 7
  soak --smoke        only whether everything works, nothing is timed")]
struct Args {
    /// How long it runs
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Where deaths, sessions and the lives of workers are drawn from; another one at each start by default
    #[arg(long)]
    seed: Option<u64>,
    /// One death of everything, and no figures of time
    #[arg(long)]
    smoke: bool,
}

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Looks between two lines on how it goes.
const LOOKS_PER_LINE: u32 = 6;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("seed: {seed}");
    let myself = std::env::current_exe()?;
    let programs = myself.parent().context("this program is in no folder")?;
    let folder = Folder::new()?;
    let notes = Notes::default();
    let mut stage = Stage::set(programs, &folder.0).await?;
    let mut operator = Operator::new(&stage.api_url(), &notes)?;
    let crew = Crew::start(programs, &folder.0, &stage.nats.url(), seed, &notes)?;
    let start = Instant::now();
    if args.smoke {
        let smoked = smoke::smoke(&mut stage, &mut operator, &notes).await;
        crew.end().await;
        smoked?;
        return Ok(tell(&judge_health(&notes.lock()), folder));
    }
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let ended = soak(&mut stage, &mut operator, &crew, &notes, seed, time).await;
    crew.end().await;
    ended?;
    let verdict = judge(&notes.lock(), start.elapsed());
    println!("coordinators that gave up and were started again: {}", stage.gave_up);
    let notes = notes.lock();
    for (why, times) in &notes.refusals {
        println!("a session was not to be had, {times} times: {why}");
    }
    let load = |share| statistics::quantile(&notes.loads, share).unwrap_or(0.0);
    println!("load average: median {:.1}, highest {:.1}", load(0.5), load(1.0));
    Ok(tell(&verdict, folder))
}

/// Everything at once until time is over, or something of the soak itself fails.
async fn soak(
    stage: &mut Stage,
    operator: &mut Operator,
    crew: &Crew,
    notes: &Notes,
    seed: u64,
    time: Duration,
) -> Result<()> {
    let end = AtomicBool::new(false);
    let over = |result: Result<()>| {
        end.store(true, Ordering::Release);
        result
    };
    let (mut of_weather, mut of_sessions) =
        (StdRng::seed_from_u64(seed), StdRng::seed_from_u64(seed.wrapping_add(1)));
    let watcher = operator.clone();
    let weather =
        async { over(weather::blow(stage, &watcher, &mut of_weather, notes, &end).await) };
    let sessions = async { over(operator.work(&mut of_sessions, &end).await) };
    let watching = async { over(watch(crew, notes, time, &end).await) };
    let (weather, sessions, watching) = tokio::join!(weather, sessions, watching);
    weather.context("the weather")?;
    sessions.context("the sessions")?;
    watching.context("the watch")
}

/// Looks at the hosts, and says how it goes.
async fn watch(crew: &Crew, notes: &Notes, time: Duration, end: &AtomicBool) -> Result<()> {
    let (start, mut looks) = (Instant::now(), interval(LOOK_EVERY));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 1_u32.. {
        looks.tick().await;
        if start.elapsed() >= time || end.load(Ordering::Acquire) {
            break;
        }
        crew.look();
        let load = fs::read_to_string("/proc/loadavg").context("the load average")?;
        let load = load.split(' ').next().unwrap_or_default().parse()?;
        let mut notes = notes.lock();
        notes.loads.push(load);
        if look.is_multiple_of(LOOKS_PER_LINE) {
            let (minutes, all) = (start.elapsed().as_secs_f64() / 60.0, time.as_secs_f64() / 60.0);
            let calls: u64 = notes.hosts.values().map(record::Host::calls).sum();
            let injected: u64 = notes.hosts.values().map(record::Host::injected).sum();
            let wrong: usize = notes.hosts.values().map(|host| host.wrong.len()).sum();
            println!(
                "{minutes:.1} of {all:.0} min: calls: {calls}, injected: {injected}, deaths: {}, freezes: {}, sessions: {}, wrong: {wrong}, load {load}",
                notes.deaths, notes.freezes, notes.sessions
            );
        }
    }
    Ok(())
}

/// Prints the verdict. What was written stays where something was wrong.
fn tell(verdict: &Verdict, folder: Folder) -> ExitCode {
    verdict.figures.iter().for_each(|figure| println!("{figure}"));
    verdict.violations.iter().for_each(|violation| println!("violation: {violation}"));
    if !verdict.violations.is_empty() {
        println!("what was written is in {}", folder.0.display());
        std::mem::forget(folder);
    }
    println!("violations: {}", verdict.violations.len());
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("squall-soak-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is the system's to sweep.
        let _ = fs::remove_dir_all(&self.0);
    }
}
