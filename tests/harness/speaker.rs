//! A shim that does nothing but speak: it says who it is, asks for permits, gives them back, and confirms stops.
//!
//! Not here: agents with a real shim, which inject ([`crate::agents`]).

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use async_nats::Client;
use squall_proto::subject::{Root, TenantSubject};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{Incarnation, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, GrantRef, Hello, Inert, Reply, Request, ScopeKeys, SiteRef,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire;
use tokio::time::{Instant, sleep, timeout};

use crate::coordinator::{PATIENCE, Site};

/// Longest wait for one answer: far above a round trip, below the patience for all of them.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// One shim of one process: agent `planner`, tool `search`, one seam that can do all but break the connection.
#[derive(Clone, Debug)]
pub struct Speaker {
    client: Client,
    tenant: TenantId,
    shim: ShimId,
    incarnation: Incarnation,
}

impl Speaker {
    /// Connects `shim-<number>` of `tenant`, and says hello.
    ///
    /// # Errors
    /// When it can't connect, or isn't welcome.
    pub async fn join(site: &Site, tenant: &str, number: u8) -> Result<Self> {
        let speaker = Self::quiet(site, tenant, number).await?;
        speaker.hello().await?;
        Ok(speaker)
    }

    /// Connects without a word.
    ///
    /// # Errors
    /// When it can't connect.
    pub async fn quiet(site: &Site, tenant: &str, number: u8) -> Result<Self> {
        Ok(Self {
            client: crate::nats::connect(site.urls.clone()).await?,
            tenant: tenant.parse()?,
            shim: format!("shim-{number}").parse()?,
            incarnation: Incarnation([number; 16]),
        })
    }

    /// Which life of its process it is.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Says hello, and is welcome.
    ///
    /// # Errors
    /// When there is no answer, or another one.
    pub async fn hello(&self) -> Result<()> {
        let hello = Hello {
            incarnation: self.incarnation,
            version: "test".into(),
            environment: "ci".parse()?,
            agents: vec!["planner".parse()?],
            tools: vec!["search".parse()?],
            seams: vec![seam()],
            sites: vec![SiteRef { agent: 0, tool: 0, seam: 0 }],
            allowed: FaultKind::ALL.to_vec(),
            max_delay_ms: 60_000,
            sticky_aborts: vec![],
        };
        let reply = self.say(Request::Hello(hello)).await?;
        ensure!(matches!(reply, Reply::Welcome(_)), "not welcome: {reply:?}");
        Ok(())
    }

    /// Asks for permits.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, session: &SessionKey, req_no: u64, want: u32) -> Result<Reply> {
        let scope = ScopeKeys { agent: "planner".parse()?, trace: None, request: 1 };
        let ask = Ask {
            incarnation: self.incarnation,
            session: session.clone(),
            req_no,
            want,
            scope,
            sent: BootNanos(1),
        };
        self.say(Request::Ask(ask)).await
    }

    /// Asks for one permit, and gets it.
    ///
    /// # Errors
    /// When there is no answer, or another one.
    pub async fn permit(&self, session: &SessionKey) -> Result<()> {
        let reply = self.ask(session, 1, 1).await?;
        ensure!(matches!(reply, Reply::Grant(_)), "no permit: {reply:?}");
        Ok(())
    }

    /// Gives back what it didn't use of a grant.
    ///
    /// # Errors
    /// When there is no answer, or another one than that it is closed.
    pub async fn close(&self, session: &SessionKey, req_no: u64, used: u32) -> Result<()> {
        let grant = GrantRef { session: session.clone(), req_no };
        let close = Close { incarnation: self.incarnation, grant, used };
        let reply = self.say(Request::Close(close)).await?;
        ensure!(matches!(reply, Reply::Closed(_)), "not closed: {reply:?}");
        Ok(())
    }

    /// Confirms a stop, as one who injected once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn inert(&self, session: &SessionKey, epoch: u64) -> Result<()> {
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
            if let Ok(Ok(message)) = timeout(ANSWER_WITHIN, answer).await {
                let reply = wire::decode_reply(&message.payload)?;
                if !matches!(reply, Reply::Unavailable(_)) {
                    return Ok(reply);
                }
            }
            sleep(AGAIN_AFTER).await;
        }
        bail!("no answer to {request:?}")
    }
}

fn seam() -> Seam {
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
    Seam { name: "rmcp".into(), point: Point::Tool, shape: Shape::McpJsonRpc, capabilities }
}
