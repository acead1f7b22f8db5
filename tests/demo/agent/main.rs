//! `demo-agent ASSIGNMENT`: an agent that works through real tool calls until its input is closed.
//!
//! Its policies are code instead of a model, so that a run can be judged; its tools, its servers and the peer that
//! it delegates to are real MCP servers.

#[path = "../analysis.rs"]
mod analysis;
mod assignment;
#[path = "../digest.rs"]
mod digest;
mod git;
mod meeting;
mod policy;
#[path = "../record.rs"]
mod record;
#[path = "../round.rs"]
mod round;
mod server;
mod task;
#[path = "../writing.rs"]
mod writing;

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;
use squall_shim::Shim;
use squall_shim::core::{self, Call, RequestKey};
use squall_shim::vocabulary::id::{AgentName, TraceId};
use tokio::io::AsyncReadExt;

use assignment::{Assignment, Craft};
use git::Repository;
use meeting::Calendar;
use record::{Digest, now_ns};
use round::{Outcome, Round};
use server::Home;
use task::{Desk, Given};
use writing::Record;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let text = std::env::args().nth(1).context("the assignment is missing")?;
    let assignment: Assignment = serde_json::from_str(&text).context("read the assignment")?;
    let agent = AgentName::new(&assignment.name)?;
    let shim = Shim::from_env()?;
    let mut desk = Desk::new(&Home { assignment: &assignment, agent: &agent, shim: &shim });
    desk.open().await?;
    let rounds = Record::open(&assignment.records.join(format!("{agent}.rounds.jsonl")))?;
    let mut worker = Worker { agent, shim, work: Work::new(&assignment), rounds };
    println!("ready");
    let mut end = std::pin::pin!(input_closed());
    while !is_over(&mut end).await {
        worker.round(&mut desk).await?;
    }
    desk.close().await;
    worker.shim.shut_down();
    Ok(())
}

/// An agent with its work.
struct Worker {
    agent: AgentName,
    shim: Shim,
    work: Work,
    rounds: Record,
}

impl Worker {
    /// Works once, and hands the answer over through the shim: the last place where an agent can be uncooperative.
    async fn round(&mut self, desk: &mut Desk) -> Result<()> {
        let trace = format!("{:032x}", trace_of(self.agent.as_str(), desk.round()));
        desk.begin(&trace);
        let given = self.work.round(desk).await;
        let outcome = outcome(self.agent.as_str(), &given);
        let draft = given.map_or(Value::Null, |(answer, _)| answer).to_string();
        let trace = TraceId::new(trace)?;
        let call = Call { request: RequestKey::of(trace.as_str()), trace: Some(&trace) };
        let at_ns = now_ns();
        let sent = self.shim.answer_to(&self.agent, &call, draft.clone()).await;
        let done_ns = now_ns();
        self.shim.outcome(&trace, reported(outcome));
        let (draft, sent) = (Digest::of(&draft.into()), Digest::of(&sent.into()));
        Ok(self.rounds.add(&Round { at_ns, done_ns, outcome, draft, sent })?)
    }
}

enum Work {
    Git(Repository),
    Time(Calendar),
}

impl Work {
    fn new(assignment: &Assignment) -> Self {
        match assignment.craft {
            Craft::Git => Self::Git(Repository::new(&assignment.repository)),
            Craft::Time => Self::Time(Calendar::default()),
        }
    }

    async fn round(&mut self, desk: &mut Desk) -> Given<Value> {
        match self {
            Self::Git(repository) => repository.round(desk).await,
            Self::Time(calendar) => calendar.round(desk).await,
        }
    }
}

fn outcome(agent: &str, given: &Given<Value>) -> Outcome {
    match given {
        Ok((_, false)) => Outcome::Good,
        Ok((_, true)) => Outcome::Degraded,
        Err(failure) => {
            eprintln!("{agent}: gave up: {failure}");
            Outcome::Failed
        }
    }
}

fn reported(outcome: Outcome) -> core::Outcome {
    match outcome {
        Outcome::Good => core::Outcome::Ok,
        Outcome::Degraded => core::Outcome::Degraded,
        Outcome::Failed => core::Outcome::Failed,
    }
}

/// Resolves when the orchestrator closes our input, or dies.
async fn input_closed() {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await.ok();
}

async fn is_over(end: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    tokio::select! {
        biased;
        () = end => true,
        () = std::future::ready(()) => false,
    }
}

/// A trace id of its own for each round of each agent.
fn trace_of(agent: &str, round: usize) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, agent, round).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(1) << 64) | half(2)
}
