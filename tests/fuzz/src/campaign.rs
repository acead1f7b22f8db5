//! All doors, each for its share of the time, two processes at once.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use squall_fuzz::{Door, corpus};

/// Processes at once: what a small machine has cores for.
const AT_ONCE: usize = 2;
/// An input that takes longer is a finding: no door has to work for a second.
const INPUT_SECONDS_MAX: u32 = 20;
/// Memory of one process: what is kept of a corpus, and what an input may take. One that grows over it is a finding.
const PROCESS_MEGABYTES_MAX: u32 = 2048;
/// How often a door that takes long says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(20);
/// Lines of libFuzzer that are kept, to be shown with a finding.
const LINES_MAX: usize = 60;

/// How far libFuzzer is, in its own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    inputs: u64,
    edges: u64,
    corpus: u64,
}

/// What came of one door.
#[derive(Debug)]
struct Outcome {
    door: &'static Door,
    progress: Progress,
    time: Duration,
    /// The last words of a process that found something.
    finding: Option<String>,
}

pub(super) fn run(doors: &[&'static Door], time: u64, place: &Path) -> Result<()> {
    let share = (time * AT_ONCE as u64 / doors.len() as u64).max(1);
    println!("{} doors, {share} s each, {AT_ONCE} at a time", doors.len());
    let waiting = Mutex::new(doors.iter().copied().collect::<VecDeque<_>>());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let outcomes = std::thread::scope(|scope| {
        let work = || -> Result<Vec<Outcome>> {
            let mut outcomes = Vec::new();
            while let Some(door) = next() {
                outcomes.push(fuzz(door, share, place)?);
            }
            Ok(outcomes)
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(outcomes) => outcomes,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect::<Result<Vec<_>>>()
    })?;
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    report(&outcomes);
    let findings = outcomes.iter().filter(|outcome| outcome.finding.is_some()).count();
    let inputs: u64 = outcomes.iter().map(|outcome| outcome.progress.inputs).sum();
    println!("inputs: {inputs}, doors: {}, violations: {findings}", outcomes.len());
    ensure!(findings == 0, "something was found, see above");
    Ok(())
}

/// Where inputs of a door grow, and where what broke it is written.
pub(super) fn folders(door: &Door, place: &Path) -> Result<(PathBuf, PathBuf)> {
    let of_door = place.join(door.name);
    let (grown, found) = (of_door.join("corpus"), of_door.join("findings"));
    fs::create_dir_all(&grown)?;
    fs::create_dir_all(&found)?;
    Ok((grown, found))
}

/// Writes what is kept for the door into a folder, as libFuzzer reads it.
pub(super) fn unpack(door: &Door, folder: &Path) -> Result<()> {
    for (number, (_, input)) in corpus::kept(door)?.into_iter().enumerate() {
        fs::write(folder.join(format!("kept-{number}")), input)?;
    }
    Ok(())
}

fn fuzz(door: &'static Door, seconds: u64, place: &Path) -> Result<Outcome> {
    let (grown, found) = folders(door, place)?;
    unpack(door, &grown)?;
    println!("{}: {}", door.name, door.about);
    let began = Instant::now();
    let mut process = Command::new(std::env::current_exe()?)
        .args(["one", door.name])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={PROCESS_MEGABYTES_MAX}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(&grown)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let spoken = BufReader::new(process.stderr.take().context("it has no words")?);
    let (mut progress, mut told) = (Progress::default(), began);
    let mut lines = VecDeque::new();
    for line in spoken.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if let Some(newer) = read(&line) {
            progress = newer;
            if told.elapsed() >= PROGRESS_EVERY {
                told = Instant::now();
                println!(
                    "{}: {} inputs, {} edges so far",
                    door.name, progress.inputs, progress.edges
                );
            }
        } else {
            lines.push_back(line);
            if lines.len() > LINES_MAX {
                lines.pop_front();
            }
        }
    }
    let status = process.wait()?;
    let finding = (!status.success()).then(|| Vec::from(lines).join("\n"));
    Ok(Outcome { door, progress, time: began.elapsed(), finding })
}

/// `#4096  pulse  cov: 120 ft: 300 corp: 45/2Kb …`: what libFuzzer says while it works, and at last.
fn read(line: &str) -> Option<Progress> {
    let mut words = line.split_whitespace();
    let inputs = words.next()?.strip_prefix('#')?.parse().ok()?;
    let words: Vec<&str> = words.collect();
    let after = |label: &str| {
        let at = words.iter().position(|word| *word == label)?;
        words.get(at + 1)?.split('/').next()?.parse().ok()
    };
    Some(Progress { inputs, edges: after("cov:")?, corpus: after("corp:").unwrap_or(0) })
}

fn report(outcomes: &[Outcome]) {
    for Outcome { door, finding, .. } in outcomes {
        let Some(finding) = finding else { continue };
        println!("\n{}: broken\n{finding}", door.name);
        let program = std::env::current_exe().unwrap_or_else(|_| "squall-fuzz".into());
        println!(
            "repeat it: {} one {} FILE, with the file that is named above",
            program.display(),
            door.name
        );
        println!(
            "keep it: copy the file to tests/fuzz/regressions/{}/, named after what it breaks",
            door.name
        );
    }
    println!(
        "\n{:14} {:>12} {:>10} {:>8} {:>8}  result",
        "door", "inputs", "inputs/s", "edges", "corpus"
    );
    for Outcome { door, progress, time, finding } in outcomes {
        let Progress { inputs, edges, corpus } = progress;
        let each_second = inputs / time.as_secs().max(1);
        let result = if finding.is_some() { "BROKEN" } else { "holds" };
        println!(
            "{:14} {inputs:>12} {each_second:>10} {edges:>8} {corpus:>8}  {result}",
            door.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_libfuzzer_are_read_from_its_lines() {
        let line =
            "#524288\tpulse  cov: 120 ft: 300 corp: 45/2Kb lim: 4096 exec/s: 87381 rss: 60Mb";
        assert_eq!(read(line), Some(Progress { inputs: 524_288, edges: 120, corpus: 45 }));
        let line = "#9 DONE   cov: 1 ft: 2 corp: 1/1b lim: 4 exec/s: 0 rss: 31Mb";
        assert_eq!(read(line), Some(Progress { inputs: 9, edges: 1, corpus: 1 }));
        assert_eq!(read("INFO: seed corpus: files: 1"), None);
        assert_eq!(read("==1== ERROR: libFuzzer: deadly signal"), None);
    }
}
