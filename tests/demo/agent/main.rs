//! `demo-agent ASSIGNMENT`: an agent that works through real tool calls until its input is closed.
//!
//! Its policies are code instead of a model, so that a run can be judged; its tools, its servers and the peer that
//! it delegates to are real MCP servers.

#[path = "../analysis.rs"]
mod analysis;
mod assignment;
mod git;
mod meeting;
mod policy;
#[path = "../record.rs"]
mod record;
#[path = "../round.rs"]
mod round;
mod server;
mod task;

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use assignment::{Assignment, Craft};
use git::Repository;
use meeting::Calendar;
use record::{Digest, Record, now_ns};
use round::{Outcome, Round};
use task::{Desk, Given};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let text = std::env::args().nth(1).context("the assignment is missing")?;
    let assignment: Assignment = serde_json::from_str(&text).context("read the assignment")?;
    let mut desk = Desk::new(&assignment);
    desk.open().await?;
    let mut rounds =
        Record::open(&assignment.records.join(format!("{}.rounds.jsonl", assignment.name)))?;
    println!("ready");
    let mut work = Work::new(&assignment);
    let mut end = std::pin::pin!(input_closed());
    while !is_over(&mut end).await {
        desk.begin(trace_of(&assignment.name, desk.round()));
        let given = work.round(&mut desk).await;
        rounds.add(&finished(&assignment.name, given))?;
    }
    desk.close().await;
    Ok(())
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

fn finished(agent: &str, given: Given<Value>) -> Round {
    let outcome = match &given {
        Ok((_, false)) => Outcome::Good,
        Ok((_, true)) => Outcome::Degraded,
        Err(failure) => {
            eprintln!("{agent}: gave up: {failure}");
            Outcome::Failed
        }
    };
    let draft = given.map(|(answer, _)| answer).unwrap_or(Value::Null);
    let at_ns = now_ns();
    Round { at_ns, done_ns: at_ns, outcome, draft: Digest::of(&draft), sent: Digest::of(&draft) }
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
