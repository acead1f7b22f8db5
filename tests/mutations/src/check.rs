//! A checker: building it from the copy, running it, and what its end says.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A check that runs for longer hangs: the longest of them takes a few minutes on two cores.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Makes a checker end with the first violation that it finds, by the shortest way to it that it knows.
pub const STOP_AT_FIRST: &str = "--stop-at-first";

/// The programs that check, and the packages that they are in.
const CHECKERS: [(&str, &str); 2] = [("model", "squall-model"), ("sim", "squall-sim")];

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It found nothing wrong.
    Passed,
    /// It found that this was violated.
    Violated(String),
    /// It did not come to a verdict.
    Broken(String),
}

/// Checkers of one tree.
#[derive(Debug)]
pub struct Checkers {
    tree: PathBuf,
    target: PathBuf,
}

impl Checkers {
    /// Those of `tree`, built in `workshop`.
    #[must_use]
    pub fn of(tree: &Path, workshop: &Path) -> Self {
        Self { tree: tree.to_owned(), target: workshop.join("build") }
    }

    /// Builds the programs that these commands need.
    ///
    /// # Errors
    /// When one is unknown, or doesn't compile.
    pub fn build<'a>(&self, commands: impl Iterator<Item = &'a str>) -> Result<()> {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        build.args(["build", "--locked", "--quiet", "--profile", "proof"]);
        // The largest crate does little with one input: optimised less, it is built in half the time.
        build.args(["--config", "profile.proof.package.squall.opt-level=1"]);
        let mut packages = Vec::new();
        for command in commands {
            let (program, package) = checker(command)?;
            if !packages.contains(&package) {
                packages.push(package);
                build.args(["--package", package, "--bin", program]);
            }
        }
        let built = build.stdout(Stdio::null()).output().context("run cargo")?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Ok(())
    }

    /// Runs a command with further options; what it says is kept at `said`.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn run(&self, command: &str, options: &[&str], said: &Path) -> Result<Verdict> {
        let (program, _) = checker(command)?;
        let output = File::create(said).with_context(|| format!("write {}", said.display()))?;
        let mut child = Command::new(self.target.join("proof").join(program))
            .current_dir(&self.tree)
            .args(command.split_whitespace().skip(1))
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share a file")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("run {command}"))?;
        let id = child.id();
        let (ended, end) = channel();
        let waiting = std::thread::spawn(move || ended.send(child.wait()));
        let status = match end.recv_timeout(LONGEST) {
            Ok(status) => status.context("wait for the check")?,
            Err(RecvTimeoutError::Timeout) => {
                let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("it has an id")?;
                kill_process(id, Signal::KILL).context("end the check")?;
                return Ok(Verdict::Broken(format!("no end after {} s", LONGEST.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => bail!("nobody waits for {command}"),
        };
        drop(waiting);
        let output = fs::read(said).with_context(|| format!("read {}", said.display()))?;
        Ok(verdict(status, &String::from_utf8_lossy(&output)))
    }
}

fn checker(command: &str) -> Result<(&'static str, &'static str)> {
    let program = command.split_whitespace().next().unwrap_or_default();
    let known = CHECKERS.into_iter().find(|(name, _)| *name == program);
    known.with_context(|| format!("{command:?} begins with neither model nor sim"))
}

/// 0 is a pass, 1 with a violation that it names is that; everything else is a checker that failed.
fn verdict(status: ExitStatus, said: &str) -> Verdict {
    let named = said.lines().find_map(violated);
    match (status.code(), named) {
        (Some(0), None) => Verdict::Passed,
        (Some(1), Some(what)) => Verdict::Violated(what.to_owned()),
        _ => {
            let mut why = status.to_string();
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            let _ = write!(why, ": {}", last.unwrap_or("it said nothing"));
            Verdict::Broken(why)
        }
    }
}

/// What a line says to be violated: `VIOLATED what` is the model's, `seed number: what` the simulator's.
fn violated(line: &str) -> Option<&str> {
    let of_a_seed = || {
        let (seed, what) = line.strip_prefix("seed ")?.split_once(": ")?;
        seed.parse::<u64>().is_ok().then_some(what)
    };
    line.strip_prefix("VIOLATED ").or_else(of_a_seed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn ended(code: i32, said: &str) -> Verdict {
        verdict(ExitStatus::from_raw(code << 8), said)
    }

    #[test]
    fn a_check_that_names_what_was_violated_and_ends_with_1_has_caught_something() {
        for said in ["ledger: bounds\nVIOLATED I3: 5 < 6\nsteps: 3\n", "seed 7: I3: 5 < 6\n"] {
            assert_eq!(ended(1, said), Verdict::Violated("I3: 5 < 6".to_owned()));
        }
    }

    #[test]
    fn a_panic_a_signal_and_an_error_are_no_catches() {
        let broken = |verdict| matches!(verdict, Verdict::Broken(_));
        assert!(broken(ended(101, "VIOLATED I3\nthread main panicked")));
        assert!(broken(ended(1, "seed x: none\nerror: no such configuration")));
        assert!(broken(ended(0, "VIOLATED I3")));
        assert!(broken(verdict(ExitStatus::from_raw(9), "VIOLATED I3")));
    }

    #[test]
    fn a_check_that_ends_well_has_caught_nothing() {
        assert_eq!(ended(0, "violations: 0\n"), Verdict::Passed);
    }
}
