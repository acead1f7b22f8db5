//! 24 agents under three tenants, each a process with servers of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use squall_proto::wire::v1::StopReport;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::assignment::{Assignment, Craft, Temper};
use crate::live::say;
use crate::process::signal;
use crate::stage::Stage;
use crate::workshop::Workshop;

/// The tenants of the demo's session.
pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
/// Agents of each tenant.
pub(crate) const AGENTS_PER_TENANT: usize = 8;
/// Where the agents say that they run.
pub(crate) const ENVIRONMENT: &str = "demo";

/// Agents that are started at once: each starts an interpreter, and two cores can't start more any faster.
const STARTED_AT_ONCE: usize = 6;
/// Longest start of an agent with its servers.
const START_MAX: Duration = Duration::from_secs(60);
/// Longest end of an agent with its servers.
const END_MAX: Duration = Duration::from_secs(8);
/// Pause of an agent between two calls: 24 agents keep two cores half busy.
const PAUSE_MS: u64 = 300;

/// The agents.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    agents: BTreeMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    process: Child,
    temper: Temper,
}

impl Fleet {
    /// Starts all agents and waits until their servers have introduced themselves.
    ///
    /// # Errors
    /// When one does not get ready.
    pub(crate) async fn start(workshop: &Workshop, stage: &Stage) -> Result<Self> {
        let mut fleet = Self::default();
        let assignments: Vec<_> = TENANTS
            .into_iter()
            .flat_map(|tenant| {
                (0..AGENTS_PER_TENANT).map(move |n| (tenant, assignment(workshop, tenant, n)))
            })
            .collect();
        for some in assignments.chunks(STARTED_AT_ONCE) {
            let mut starting = Vec::new();
            for (tenant, assignment) in some {
                starting.push((assignment, agent(workshop, stage, tenant, assignment)?));
            }
            for (assignment, mut process) in starting {
                let ready = timeout(START_MAX, ready(&mut process)).await;
                ready.context("it takes too long").flatten().with_context(|| {
                    format!(
                        "agent {} does not get ready; see its log in {}",
                        assignment.name,
                        workshop.run.display()
                    )
                })?;
                let member = Member { process, temper: assignment.temper };
                fleet.agents.insert(assignment.name.clone(), member);
            }
            say(&format!("    {} of {} agents are ready", fleet.len(), assignments.len()));
        }
        Ok(fleet)
    }

    /// Agents in all.
    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Agents that had nothing to stop: they held no permit when the session was aborted.
    pub(crate) fn held_nothing(&self, stop: &StopReport) -> usize {
        let confirmed = stop.confirmed.iter().map(|holder| holder.shim.as_str());
        let absent = stop.out_of_contact.iter().map(|holder| holder.shim.as_str());
        let holders: BTreeSet<&str> = confirmed.chain(absent).collect();
        self.agents.keys().filter(|agent| !holders.contains(agent.as_str())).count()
    }

    /// How each agent deals with trouble.
    pub(crate) fn tempers(&self) -> BTreeMap<String, Temper> {
        self.agents.iter().map(|(name, member)| (name.clone(), member.temper)).collect()
    }

    /// Freezes an agent: its process runs no instruction until it is thawed.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn freeze(&self, agent: &str) -> Result<()> {
        self.signal(agent, Signal::STOP)
    }

    /// Lets a frozen agent go on.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn thaw(&self, agent: &str) -> Result<()> {
        self.signal(agent, Signal::CONT)
    }

    fn signal(&self, agent: &str, which: Signal) -> Result<()> {
        let member =
            self.agents.get(agent).with_context(|| format!("there is no agent {agent}"))?;
        signal(&member.process, which).with_context(|| format!("agent {agent} is gone"))
    }

    /// Ends all agents: each finishes its round, and its shim says its last word.
    ///
    /// # Errors
    /// When an agent failed, or died earlier.
    pub(crate) async fn end(mut self) -> Result<()> {
        for member in self.agents.values_mut() {
            drop(member.process.stdin.take());
        }
        for (name, mut member) in self.agents {
            match timeout(END_MAX, member.process.wait()).await {
                Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => {}
                Ok(status) => bail!("agent {name} ended with {}", status?),
                Err(_) => bail!("agent {name} does not end"),
            }
        }
        Ok(())
    }
}

/// The tenant of an agent, by its name.
pub(crate) fn tenant_of(agent: &str) -> &str {
    agent.rsplit_once('-').map_or(agent, |(tenant, _)| tenant)
}

fn assignment(workshop: &Workshop, tenant: &str, n: usize) -> Assignment {
    let craft = if n.is_multiple_of(2) { Craft::Git } else { Craft::Time };
    let temper = if n % 4 < 2 { Temper::Fragile } else { Temper::Hardened };
    let text = |path: &Path| path.display().to_string();
    let server = match craft {
        Craft::Git => {
            vec![text(&workshop.git_server), "--repository".into(), text(&workshop.repository)]
        }
        Craft::Time => {
            vec![text(&workshop.time_server), "--local-timezone".into(), "UTC".into()]
        }
    };
    // Every other pair delegates; the rest does everything itself.
    let delegates = (n / 2).is_multiple_of(2) || n >= AGENTS_PER_TENANT / 2;
    Assignment {
        name: format!("{tenant}-{n}"),
        temper,
        craft,
        recorder: workshop.program("demo-recorder"),
        server,
        peer: delegates.then(|| vec![text(&workshop.program("demo-peer"))]),
        records: workshop.records(),
        repository: workshop.repository.clone(),
        pause_ms: PAUSE_MS,
    }
}

/// The assignment knows nothing of Squall; the shim reads its settings from the environment.
fn agent(
    workshop: &Workshop,
    stage: &Stage,
    tenant: &str,
    assignment: &Assignment,
) -> Result<Child> {
    let log = workshop.run.join(format!("{}.log", assignment.name));
    Command::new(workshop.program("demo-agent"))
        .arg(serde_json::to_string(assignment)?)
        .env("SQUALL_ENABLED", "true")
        .env("SQUALL_ENVIRONMENT", ENVIRONMENT)
        .env("SQUALL_NATS_URL", stage.nats_url())
        .env("SQUALL_TENANT", tenant)
        .env("SQUALL_SHIM", &assignment.name)
        // `git status` would otherwise write to the index of the repository that it looks at.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(OpenOptions::new().create(true).append(true).open(log)?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start agent {}", assignment.name))
}

async fn ready(process: &mut Child) -> Result<()> {
    let output = process.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await?;
    if line != "ready\n" {
        bail!("it says {line:?}");
    }
    Ok(())
}
