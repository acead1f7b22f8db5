//! A shim that does nothing but speak.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
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

use crate::program::PATIENCE;

const AGAIN_AFTER: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A shim of tenant `acme` in environment `ci`, with the agent `planner`.
#[derive(Debug)]
pub(crate) struct Shim {
    client: async_nats::Client,
    shim: ShimId,
    incarnation: Incarnation,
}

impl Shim {
    /// Says hello, and is welcome.
    pub(crate) async fn connect(nats_url: &str, number: u8) -> Result<Self> {
        Self::named(nats_url, &format!("worker-{number}"), number).await
    }

    /// The process `number` of this name.
    pub(crate) async fn named(nats_url: &str, name: &str, number: u8) -> Result<Self> {
        let client = async_nats::connect(nats_url).await?;
        let this = Self { client, shim: name.parse()?, incarnation: Incarnation([number; 16]) };
        let reply = this.say(this.hello()?).await?;
        ensure!(matches!(reply, Reply::Welcome(_)), "{reply:?}");
        Ok(this)
    }

    /// Holds a permit of `session` from now on.
    pub(crate) async fn take_permit(&self, session: &str) -> Result<()> {
        let scope = ScopeKeys { agent: "planner".parse()?, trace: None, request: 1 };
        let ask = Ask {
            incarnation: self.incarnation,
            session: key(session)?,
            req_no: 1,
            want: 1,
            scope,
            sent: BootNanos(1),
        };
        let reply = self.say(Request::Ask(ask)).await?;
        ensure!(matches!(reply, Reply::Grant(_)), "{reply:?}");
        Ok(())
    }

    /// Gives the permit back unused.
    pub(crate) async fn close(&self, session: &str) -> Result<()> {
        let grant = GrantRef { session: key(session)?, req_no: 1 };
        let close = Close { incarnation: self.incarnation, grant, used: 0 };
        let reply = self.say(Request::Close(close)).await?;
        ensure!(matches!(reply, Reply::Closed(_)), "{reply:?}");
        Ok(())
    }

    /// Confirms a stop; the last injection was a while ago.
    pub(crate) async fn confirm(&self, session: &str, epoch: u64) -> Result<()> {
        self.confirm_after(Duration::from_millis(1500), session, epoch).await
    }

    /// Confirms a stop so long after its last injection.
    pub(crate) async fn confirm_after(
        &self,
        ago: Duration,
        session: &str,
        epoch: u64,
    ) -> Result<()> {
        let inert = Inert {
            incarnation: self.incarnation,
            session: key(session)?,
            epoch: AbortEpoch::Logged(epoch),
            used: 1,
            last_injection_ago: Some(ago),
        };
        self.say(Request::Inert(inert)).await.map(drop)
    }

    /// Asks until there is an answer other than "not now".
    async fn say(&self, request: Request) -> Result<Reply> {
        let subject = TenantSubject::ask(&tenant()?, &self.shim, &request);
        let subject = Root::Coordinator { tenant: tenant()? }.encode(&subject);
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

    fn hello(&self) -> Result<Request> {
        let capabilities = Capabilities::ALL;
        Ok(Request::Hello(Hello {
            incarnation: self.incarnation,
            version: "test".to_owned(),
            environment: "ci".parse()?,
            agents: vec!["planner".parse()?],
            tools: vec!["search".parse()?],
            seams: vec![Seam {
                name: "linked".to_owned(),
                point: Point::Tool,
                shape: Shape::Json,
                capabilities,
            }],
            sites: vec![SiteRef { agent: 0, tool: 0, seam: 0 }],
            allowed: FaultKind::ALL.to_vec(),
            max_delay_ms: 60_000,
            sticky_aborts: vec![],
        }))
    }
}

fn tenant() -> Result<TenantId> {
    Ok("acme".parse()?)
}

fn key(session: &str) -> Result<SessionKey> {
    Ok(SessionKey { tenant: tenant()?, session: session.parse()? })
}
