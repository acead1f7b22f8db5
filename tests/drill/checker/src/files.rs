//! What a drill writes down, one JSON object a line. All times are nanoseconds of `CLOCK_BOOTTIME`, which every process of a
//! host shares and no clock step moves.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Everything but the log.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Of the run as a whole.
    pub run: Run,
    /// What processes with an agent wrote, one file each.
    pub lives: Vec<Life>,
    /// What clients asked and were told.
    pub calls: Vec<ClientCall>,
    /// What was done to the house.
    pub faults: Vec<Fault>,
    /// What coordinators said at the end.
    pub reports: Vec<Report>,
    /// Sessions that coordinators knew at the end, by the coordinator's number.
    pub finals: Vec<Final>,
}

/// What is known of a run as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How wall and boot clock of the host were apart.
    pub clock: WallClock,
    /// When everything had come to its end and all evidence had had its time: lives that go on behind it survived.
    pub settled_ns: u64,
}

/// The distance of the host's wall clock, by which the log's servers date records, from its boot clock: smallest and largest
/// that were seen during the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallClock {
    /// Smallest wall less boot, in nanoseconds.
    pub min_ns: u64,
    /// Largest wall less boot, in nanoseconds.
    pub max_ns: u64,
}

impl WallClock {
    /// The earliest boot time that a wall time can be.
    #[must_use]
    pub const fn earliest(&self, wall_ns: u64) -> u64 {
        wall_ns.saturating_sub(self.max_ns)
    }

    /// The latest boot time that a wall time can be.
    #[must_use]
    pub const fn latest(&self, wall_ns: u64) -> u64 {
        wall_ns.saturating_sub(self.min_ns)
    }
}

/// One life of one process with a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Who.
    pub who: Who,
    /// Its calls, in order.
    pub calls: Vec<AgentCall>,
    /// When it ended in good order, if it did.
    pub ended_ns: Option<u64>,
}

/// Who writes a file of an agent: its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its tenant.
    pub tenant: String,
    /// Its shim, and its agent: they have one name.
    pub agent: String,
    /// The life of the shim, 32 hexadecimal digits.
    pub incarnation: String,
    /// When the life began.
    pub began_ns: u64,
    /// Whether it is a forked child whose host didn't start the shim again: no fault may reach it.
    pub unarmed: bool,
}

/// One line of an agent's file after the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentLine {
    /// The first line.
    Who(Who),
    /// A call begins.
    Begin(Begin),
    /// It ended.
    End(End),
    /// The process ends in good order.
    Bye(u64),
}

/// A call begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Number of the call in this life.
    pub n: u64,
    /// When.
    pub at_ns: u64,
    /// The tool.
    pub tool: String,
    /// The trace.
    pub trace: String,
}

/// A call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Number of the call in this life.
    pub n: u64,
    /// When.
    pub at_ns: u64,
    /// What the agent felt.
    pub felt: Felt,
}

/// What an agent felt of a call, told from its request, from what its tool received, and from the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Felt {
    /// As it should be.
    Nothing,
    /// An error that names its session, `tenant/session`; the tool was not called.
    Marked(String),
    /// A time-out that nobody but a fault can answer; the tool was not called.
    TimedOut,
    /// The connection broke; the tool was not called.
    Broken,
    /// The tool received something else than was sent.
    InputChanged,
    /// The answer isn't what the tool gave.
    OutputChanged,
    /// Anything else.
    Strange(String),
}

/// A call of an agent, whole or cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCall {
    /// How it began.
    pub begin: Begin,
    /// How it ended; `None` if the process didn't live to see it.
    pub end: Option<End>,
}

/// One attempt of a client at one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCall {
    /// Which client.
    pub client: u32,
    /// Which coordinator was asked.
    pub coordinator: u32,
    /// What for: `tenant/session`, or `lever/scope`.
    pub subject: String,
    /// `create`, `start`, `pause`, `resume`, `stop`, `abort`, `engage`, `release` or `get`.
    pub op: String,
    /// The request id; empty for `get`.
    pub request: String,
    /// When it was sent.
    pub invoke_ns: u64,
    /// When its answer came.
    pub return_ns: u64,
    /// The answer.
    pub answer: Answer,
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done; a session's command and `get` show the session.
    Done(Option<Shown>),
    /// Refused: the reason of the error.
    Refused(String),
    /// Not done, and nothing was stored: the reason of the error.
    NothingStored(String),
    /// Nobody knows.
    Unknown(String),
}

/// A session as a coordinator shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// `DRAFT`, `RUNNING`, ...
    pub state: String,
    /// Stream sequence of its newest event.
    pub revision: u64,
    /// The budget.
    pub budget: u64,
    /// Permits issued.
    pub issued: u64,
    /// Permits given back.
    pub refunded: u64,
    /// Permits that can still be issued.
    pub available: u64,
    /// Whether its stop is proven.
    pub proven: bool,
}

/// Something that was done to the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its number in the run.
    pub n: u32,
    /// What kind.
    pub kind: String,
    /// To whom: `n0`, `c2`, `a17`, ...
    pub targets: Vec<String>,
    /// When it was in force for certain.
    pub from_ns: u64,
    /// When it began to be lifted.
    pub to_ns: u64,
}

/// A report of a session, as a coordinator gave it at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `tenant/session`.
    pub session: String,
    /// Which coordinator.
    pub coordinator: u32,
    /// Affected requests, by the shims' evidence.
    pub applied: u64,
    /// Affected requests over the budget or over a process's permits.
    pub overshoot: u64,
    /// Affected requests by tenant and agent.
    pub agents: Vec<(String, String, u64)>,
}

/// A session as a coordinator showed it at the end, after everything was calm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    /// `tenant/session`.
    pub session: String,
    /// Which coordinator.
    pub coordinator: u32,
    /// The session; `None` if it isn't known.
    pub shown: Option<Shown>,
}

impl Evidence {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// When a file is missing or can't be understood. The last line of a killed agent may be cut off.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut lives = Vec::new();
        for entry in std::fs::read_dir(folder.join("agents")).context("the agents' files")? {
            let path = entry?.path();
            let life = read_life(&path).with_context(|| format!("read {}", path.display()))?;
            lives.extend(life);
        }
        let run = std::fs::read_to_string(folder.join("run.json")).context("run.json")?;
        Ok(Self {
            run: serde_json::from_str(&run)?,
            lives,
            calls: lines(&folder.join("clients.jsonl"))?,
            faults: lines(&folder.join("faults.jsonl"))?,
            reports: lines(&folder.join("reports.jsonl"))?,
            finals: lines(&folder.join("finals.jsonl"))?,
        })
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{line:?}")))
        .collect()
}

/// `None` if the process was killed before it wrote its first line.
fn read_life(path: &Path) -> Result<Option<Life>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut life: Option<Life> = None;
    for line in whole.lines() {
        let line: AgentLine = serde_json::from_str(line).with_context(|| format!("{line:?}"))?;
        match (&mut life, line) {
            (None, AgentLine::Who(who)) => {
                life = Some(Life { who, calls: Vec::new(), ended_ns: None });
            }
            (Some(life), AgentLine::Begin(begin)) => {
                life.calls.push(AgentCall { begin, end: None });
            }
            (Some(life), AgentLine::End(end)) => {
                let call = life.calls.last_mut().filter(|call| call.begin.n == end.n);
                call.context("an end without its beginning")?.end = Some(end);
            }
            (Some(life), AgentLine::Bye(at_ns)) => life.ended_ns = Some(at_ns),
            (Some(_), AgentLine::Who(_)) => anyhow::bail!("two first lines"),
            (None, line) => anyhow::bail!("{line:?} before the first line"),
        }
    }
    Ok(life)
}
