//! A shim that only speaks the protocol: it says who it is, asks for permits, and confirms stops.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use squall_proto::subject::{Root, TenantSubject};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{Incarnation, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{Ask, Hello, Inert, Reply, Request, ScopeKeys};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire;
use squall_tests::coordinator::{PATIENCE, Site};
use tokio::time::{Instant, sleep, timeout};

/// One shim of one process.
pub(crate) struct Agent {
    client: Client,
    tenant: TenantId,
    shim: ShimId,
    incarnation: Incarnation,
}

impl Agent {
    /// Connects, and says hello.
    pub(crate) async fn join(site: &Site, tenant: &str, number: u8) -> Result<Self> {
        let agent = Self::quiet(site, tenant, number).await?;
        agent.hello().await?;
        Ok(agent)
    }

    /// Connects without a word.
    pub(crate) async fn quiet(site: &Site, tenant: &str, number: u8) -> Result<Self> {
        Ok(Self {
            client: squall_tests::nats::connect(site.urls.clone()).await?,
            tenant: tenant.parse()?,
            shim: format!("shim-{number}").parse()?,
            incarnation: Incarnation([number; 16]),
        })
    }

    pub(crate) async fn hello(&self) -> Result<()> {
        let capabilities = Capabilities {
            block: true,
            rewrite_in: true,
            rewrite_out: true,
            disconnect: false,
            structural: false,
            max_delay_ms: 60_000,
            knows_trace: true,
            stable_request_id: true,
        };
        let seam = Seam {
            name: "rmcp".into(),
            point: Point::Tool,
            shape: Shape::McpJsonRpc,
            capabilities,
        };
        let hello = Hello {
            incarnation: self.incarnation,
            version: "test".into(),
            environment: "ci".parse()?,
            agents: vec!["planner".parse()?],
            tools: vec!["search".parse()?],
            seams: vec![seam],
            allowed: FaultKind::ALL.to_vec(),
            open_grants: vec![],
            unacked_closes: vec![],
            sticky_aborts: vec![],
        };
        self.say(Request::Hello(hello)).await.map(drop)
    }

    /// Asks for one permit, and gets it.
    pub(crate) async fn permit(&self, session: &SessionKey) -> Result<()> {
        let scope = ScopeKeys { agent: "planner".parse()?, trace: None, request: 1 };
        let ask = Ask {
            incarnation: self.incarnation,
            session: session.clone(),
            req_no: 1,
            want: 1,
            scope,
            sent: BootNanos(1),
        };
        let reply = self.say(Request::Ask(ask)).await?;
        anyhow::ensure!(matches!(reply, Reply::Grant(_)), "no permit: {reply:?}");
        Ok(())
    }

    /// Confirms the stop.
    pub(crate) async fn inert(&self, session: &SessionKey, epoch: u64) -> Result<()> {
        let inert = Inert {
            incarnation: self.incarnation,
            session: session.clone(),
            epoch: AbortEpoch::Logged(epoch),
            used: 1,
            last_injection_ago: Some(Duration::from_millis(40)),
        };
        self.say(Request::Inert(inert)).await.map(drop)
    }

    /// Repeats itself until there is an answer other than "not now".
    async fn say(&self, request: Request) -> Result<Reply> {
        let subject = TenantSubject::ask(&self.tenant, &self.shim, &request);
        let subject = Root::Coordinator { tenant: self.tenant.clone() }.encode(&subject);
        let bytes = wire::encode_request(&request);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let answer = self.client.request(subject.clone(), bytes.clone().into());
            if let Ok(Ok(message)) = timeout(Duration::from_secs(2), answer).await {
                let reply = wire::decode_reply(&message.payload).context("a reply that is none")?;
                if !matches!(reply, Reply::Unavailable(_)) {
                    return Ok(reply);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("no answer to {request:?}")
    }
}
