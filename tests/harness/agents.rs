//! Agents that call tools in a loop, each with a real shim, and keep a record of their own of what happened to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, Environment, TenantId, ToolName};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim::Shim;
use squall_shim::core::{Call, Policy, RequestKey};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::coordinator::Site;

/// What one agent saw of its own calls: the referee's side of the count.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Record {
    /// Calls that were made.
    pub calls: u64,
    /// When each changed call ended.
    pub changed: Vec<Instant>,
}

/// An agent that works until it is told to stop.
pub struct Agent {
    /// Its shim.
    pub shim: Shim,
    stop: Arc<AtomicBool>,
    work: JoinHandle<Record>,
}

fn seam() -> Seam {
    let capabilities = Capabilities {
        block: true,
        rewrite_in: true,
        rewrite_out: true,
        disconnect: true,
        structural: true,
        max_delay_ms: 60_000,
        knows_trace: true,
        stable_request_id: true,
    };
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
        let stop = Arc::new(AtomicBool::new(false));
        let work = tokio::spawn(work(shim.clone(), name.parse()?, Arc::clone(&stop)));
        Ok(Self { shim, stop, work })
    }

    /// Ends the agent's work; its record.
    ///
    /// # Errors
    /// When its task failed.
    pub async fn finish(self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let record = self.work.await?;
        tokio::task::spawn_blocking(move || self.shim.shut_down()).await?;
        Ok(record)
    }
}

async fn work(shim: Shim, agent: AgentName, stop: Arc<AtomicBool>) -> Record {
    let tool = ToolName::new("search").expect("a name");
    let site = shim.site(&agent, &tool, &seam());
    let mut record = Record::default();
    while !stop.load(Ordering::Relaxed) {
        record.calls += 1;
        let request = RequestKey::of(&format!("{agent}/{}", record.calls));
        let call = Call { request, trace: None };
        if let Some(mut directive) = shim.decide(&site, &call).await {
            let held = shim.delay(&mut directive).await;
            record.changed.push(Instant::now());
            directive.applied(&call, held);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    record
}
