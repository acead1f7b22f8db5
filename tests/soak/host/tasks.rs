//! An agent on a runtime, whose calls pass the seams for tower and rmcp.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use rmcp::model::{CallToolRequestParams, RequestMetaObject};
use rmcp::service::RunningService;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::json;
use squall_shim::Shim;
use squall_shim::core::{Call, RequestKey};
use squall_shim::rmcp::{ChaosTransport, Counterpart};
use squall_shim::tower::{Body, ChaosLayer};
use squall_shim::vocabulary::call::Point;
use squall_shim::vocabulary::id::{AgentName, ExperimentName, SessionKey, ToolName, TraceId};
use squall_soak::said::{Block, Said, say};
use squall_soak::turn::Lane;
use tokio::time::{interval, sleep};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use crate::tools::{Echo, Line};
use crate::{Setting, end_of_input, state};

const AGENT: &str = "planner";
const QUESTION: &str = r#"{"question": "What is known of this place, and since when?"}"#;
/// Between two calls that faults are for.
const REST: Duration = Duration::from_millis(20);
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What is in flight between client and server.
const PIPE_BYTES: usize = 64 * 1024;

type Service = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body<Full<Bytes>>>, BoxError>;

/// Runs the host.
pub(crate) fn run(setting: &Setting) -> Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(work(setting))
}

async fn work(setting: &Setting) -> Result<()> {
    let shim = setting.shim("tasks", false)?;
    let client = Client::new(shim.clone(), setting.seed)?;
    let end = end_of_input();
    let measured = tokio::spawn(measure(client.clone(), setting.lane(), Arc::clone(&end)));
    let preyed = tokio::spawn(be_preyed_on(client.clone(), Arc::clone(&end)));
    let (mut applied, mut tell) = (Applied::default(), interval(TELL_EVERY));
    while !end.load(Ordering::Acquire) {
        tell.tick().await;
        applied.look(shim.as_ref());
        say(&Said::State(state(shim.as_ref(), client.calls(), applied.total)))?;
    }
    measured.await??;
    preyed.await??;
    if let Some(shim) = shim {
        tokio::task::block_in_place(|| shim.shut_down());
        say(&Said::State(state(Some(&shim), client.calls(), applied.total)))?;
    }
    Ok(())
}

/// Calls in turn at both seams, and tells what they took.
async fn measure(client: Client, lane: Lane, end: Arc<AtomicBool>) -> Result<()> {
    let tower = client.service("steady").await?;
    let mcp = client.connect().await?;
    while !end.load(Ordering::Acquire) {
        let Some(turn) = lane.turn() else {
            sleep(lane.pause()).await;
            continue;
        };
        let (mut by_tower, mut by_mcp) = (Vec::new(), Vec::new());
        while lane.turn() == Some(turn) {
            let start = Instant::now();
            client.ask(&tower).await.context("a steady request")?;
            by_tower.push(u64::try_from(start.elapsed().as_nanos())?);
            let start = Instant::now();
            client.call(&mcp, "steady").await.context("a steady call")?;
            by_mcp.push(u64::try_from(start.elapsed().as_nanos())?);
        }
        for (seam, took) in [("tower", by_tower), ("rmcp", by_mcp)] {
            if let Some(block) = Block::of(seam, turn, took) {
                say(&Said::Block(block))?;
            }
        }
    }
    Ok(())
}

/// Calls that faults are for, at both seams, and answers; what breaks is connected anew.
async fn be_preyed_on(client: Client, end: Arc<AtomicBool>) -> Result<()> {
    let tower = client.service("search").await?;
    let mut mcp = client.connect().await?;
    while !end.load(Ordering::Acquire) {
        // What a fault makes of them is the session's business.
        let _ = client.ask(&tower).await;
        if client.call(&mcp, "search").await.is_err() && mcp.peer().is_transport_closed() {
            mcp = client.connect().await?;
        }
        client.answer().await;
        sleep(REST).await;
    }
    Ok(())
}

/// What makes calls. Cheap to clone.
#[derive(Clone, Debug)]
struct Client {
    shim: Option<Shim>,
    agent: AgentName,
    life: u64,
    numbers: Arc<AtomicU64>,
}

impl Client {
    fn new(shim: Option<Shim>, life: u64) -> Result<Self> {
        Ok(Self { shim, agent: AgentName::new(AGENT)?, life, numbers: Arc::default() })
    }

    fn calls(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    /// The id of the next request, and its trace.
    fn next(&self) -> (String, String) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        (format!("{:x}-{number}", self.life), format!("{:016x}{:016x}", self.life, number / 4))
    }

    async fn service(&self, tool: &str) -> Result<Service> {
        let line = Line::open().await?;
        let service = service_fn(move |request| line.clone().ask(request));
        let Some(shim) = &self.shim else {
            let whole = |response: Response<Full<Bytes>>| response.map(Body::Left);
            return Ok(BoxCloneSyncService::new(service.map_response(whole)));
        };
        let chaos = ChaosLayer::new(shim, self.agent.clone(), ToolName::new(tool)?, Point::Tool);
        Ok(BoxCloneSyncService::new(chaos.traced().identified().layer(service)))
    }

    async fn ask(&self, service: &Service) -> Result<Bytes> {
        let (id, trace) = self.next();
        let request = Request::post("http://tools.invalid/")
            .header("x-squall-request-id", id)
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(QUESTION))?;
        let response = service.clone().oneshot(request).await.map_err(anyhow::Error::from_boxed)?;
        Ok(response.into_body().collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes())
    }

    /// A connection to a server of its own.
    async fn connect(&self) -> Result<RunningService<RoleClient, ()>> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(async move {
            // It ends with its client.
            if let Ok(server) = Echo.serve(far).await {
                let _ = server.waiting().await;
            }
        });
        let (read, write) = tokio::io::split(near);
        let pipe = AsyncRwTransport::new_client(read, write);
        Ok(match &self.shim {
            None => ().serve(pipe).await?,
            Some(shim) => {
                let agent = self.agent.clone();
                let chaos = ChaosTransport::new(pipe, shim, agent, Counterpart::Tools);
                ().serve(chaos.traced().identified()).await?
            }
        })
    }

    async fn call(
        &self,
        server: &RunningService<RoleClient, ()>,
        tool: &'static str,
    ) -> Result<()> {
        let (id, trace) = self.next();
        let mut meta = RequestMetaObject::new();
        meta.set_traceparent(format!("00-{trace}-00f067aa0ba902b7-01"));
        meta.0.0.insert("squall/requestId".to_owned(), json!(id));
        let mut params = CallToolRequestParams::new(tool);
        params.arguments = json!({ "text": QUESTION }).as_object().cloned();
        params.meta = Some(meta);
        server.call_tool(params).await?;
        Ok(())
    }

    async fn answer(&self) {
        let Some(shim) = &self.shim else { return };
        let (id, trace) = self.next();
        let trace = TraceId::new(trace).ok();
        let call = Call { request: RequestKey::of(&id), trace: trace.as_ref() };
        shim.answer_to(&self.agent, &call, QUESTION.to_owned()).await;
    }
}

/// What the shim says that reached the agent, in all sessions that there were.
#[derive(Debug, Default)]
struct Applied {
    known: BTreeMap<(SessionKey, ExperimentName, AgentName), u64>,
    total: u64,
}

impl Applied {
    fn look(&mut self, shim: Option<&Shim>) {
        let rows = shim.map(|shim| shim.registry().counts()).unwrap_or_default();
        let rows = rows
            .into_iter()
            .map(|row| ((row.session, row.experiment, row.agent), row.counts.applied));
        let rows: BTreeMap<_, u64> = rows.collect();
        for (key, applied) in &rows {
            self.total += applied - self.known.get(key).copied().unwrap_or(0).min(*applied);
        }
        self.known = rows;
    }
}
