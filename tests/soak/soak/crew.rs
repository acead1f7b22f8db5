//! The hosts and their twins, as processes.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use squall_soak::said::Said;
use squall_soak::turn::since_boot;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::record::{Record, Vitals, Who};
use crate::stage::tether;

/// The kinds of hosts.
pub(crate) const KINDS: [&str; 3] = ["tasks", "prefork", "threads"];
/// A host ends in a second; one with forked workers once the last has lived its life, or is known to hang.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What everybody writes down what he saw in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Record>>);

impl Notes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Crew {
    members: Vec<Member>,
    notes: Notes,
}

#[derive(Debug)]
struct Member {
    who: Who,
    process: Child,
    listener: JoinHandle<()>,
}

impl Crew {
    /// Starts all hosts: each kind, and its twin.
    ///
    /// # Errors
    /// When one can't be started.
    pub(crate) fn start(
        programs: &Path,
        folder: &Path,
        nats_url: &str,
        seed: u64,
        notes: &Notes,
    ) -> Result<Self> {
        let whos: Vec<Who> =
            KINDS.iter().flat_map(|kind| [(*kind, false), (*kind, true)]).collect();
        let (mut members, lanes) = (Vec::new(), whos.len().to_string());
        for (lane, who) in whos.into_iter().enumerate() {
            let mut command = Command::new(programs.join("soak-host"));
            command
                .arg(who.0)
                .args(["--nats", nats_url, "--lane", &lane.to_string(), "--lanes", &lanes])
                // A host and its twin make the same choices.
                .args(["--seed", &(seed ^ (lane as u64 / 2)).to_string()])
                .arg("--folder")
                .arg(folder)
                .args(who.1.then_some("--bare"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            tether(&mut command);
            let mut process = command.spawn().with_context(|| format!("start {who:?}"))?;
            let lines = process.stdout.take().context("piped")?;
            let listener = tokio::spawn(listen(who, lines, notes.clone()));
            members.push(Member { who, process, listener });
        }
        Ok(Self { members, notes: notes.clone() })
    }

    /// Looks what each process holds. One that is gone holds nothing, which is noted at its end.
    pub(crate) fn look(&self) {
        for member in &self.members {
            let vitals = member.process.id().and_then(vitals);
            self.notes.lock().host(member.who).vitals.extend(vitals);
        }
    }

    /// Closes the input of all, and waits until they ended.
    pub(crate) async fn end(mut self) {
        for member in &mut self.members {
            drop(member.process.stdin.take());
        }
        for Member { who, mut process, listener } in self.members {
            let wrong = match timeout(ENDS_WITHIN, process.wait()).await {
                Err(_) => Some("it does not end".to_owned()),
                Ok(Ok(status)) if status.success() => None,
                Ok(Ok(status)) => Some(format!("it ended with {status}")),
                Ok(Err(error)) => Some(format!("it can't be waited for: {error}")),
            };
            // A hanging one is killed when it is dropped: then its pipe ends.
            drop(process);
            if let Err(error) = listener.await {
                self.notes.lock().host(who).wrong.push(format!("nobody listens: {error}"));
            }
            self.notes.lock().host(who).wrong.extend(wrong);
        }
    }
}

async fn listen(who: Who, lines: ChildStdout, notes: Notes) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Said>(&line) {
            Ok(said) => notes.lock().heard(who, said),
            Err(error) => notes.lock().host(who).wrong.push(format!("it says {line:?}: {error}")),
        }
    }
}

fn vitals(pid: u32) -> Option<Vitals> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some(Vitals {
        at: since_boot(),
        rss_kib: field("VmRSS:")?,
        threads: field("Threads:")?,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
    })
}
