//! Agents that call tools in a loop, each with a real shim, and keep a record of their own of what happened to them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, Environment, TenantId, ToolName};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim::Shim;
use squall_shim::core::{Call, Policy, RequestKey};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::coordinator::{Site, wait};

/// What one agent saw of its own calls: the referee's side of the count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// Calls that came to their end.
    pub calls: u64,
    /// When each changed call ended.
    pub changed: Vec<Instant>,
}

/// An agent that works until it is told to stop.
pub struct Agent {
    /// Its shim.
    pub shim: Shim,
    stop: Arc<AtomicBool>,
    record: Arc<Mutex<Record>>,
    work: JoinHandle<()>,
}

fn seam() -> Seam {
    let capabilities = Capabilities::ALL;
    Seam { name: "linked".to_owned(), point: Point::Tool, shape: Shape::Json, capabilities }
}

impl Agent {
    /// Starts an agent `name` of `tenant`, whose shim has the same name.
    ///
    /// # Errors
    /// When the shim can't be started.
    pub fn start(site: &Site, tenant: &TenantId, name: &str) -> Result<Self> {
        let mut builder = Shim::builder(tenant.clone(), name.parse()?)
            .policy(Policy::all(Environment::new("ci")?))
            .shared_account(true);
        for url in &site.urls {
            builder = builder.nats(url.clone());
        }
        let shim = builder.start()?;
        let (stop, record) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let work = work(shim.clone(), name.parse()?, Arc::clone(&stop), Arc::clone(&record));
        Ok(Self { shim, stop, record, work: tokio::spawn(work) })
    }

    /// What it saw until now.
    #[must_use]
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Ends the agent's work; its record.
    ///
    /// # Errors
    /// When its task failed.
    pub async fn finish(self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        self.work.await?;
        tokio::task::spawn_blocking(move || self.shim.shut_down()).await?;
        Ok(lock(&self.record).clone())
    }
}

/// Waits until each of the agents has ended `more` calls; how many calls were changed meanwhile.
///
/// # Errors
/// When an agent doesn't work any more.
pub async fn changed_during(agents: &[Agent], more: u64) -> Result<usize> {
    let before: Vec<Record> = agents.iter().map(Agent::record).collect();
    let lags = |(agent, before): (&Agent, &Record)| agent.record().calls < before.calls + more;
    let worked = async || (!agents.iter().zip(&before).any(lags)).then_some(());
    wait("every agent's next calls", worked).await?;
    let changed = |record: &Record| record.changed.len();
    let after = agents.iter().map(|agent| changed(&agent.record())).sum::<usize>();
    Ok(after - before.iter().map(changed).sum::<usize>())
}

fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work(shim: Shim, agent: AgentName, stop: Arc<AtomicBool>, record: Arc<Mutex<Record>>) {
    let tool = ToolName::new("search").expect("a name");
    let site = shim.site(&agent, &tool, &seam());
    for number in 1_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let request = RequestKey::of(&format!("{agent}/{number}"));
        let call = Call { request, trace: None };
        if let Some(mut directive) = shim.decide(&site, &call).await {
            let held = shim.delay(&mut directive).await;
            lock(&record).changed.push(Instant::now());
            directive.applied(&call, held);
        }
        lock(&record).calls = number;
        sleep(Duration::from_millis(5)).await;
    }
}
