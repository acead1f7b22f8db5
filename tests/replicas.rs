//! Replicas on real NATS, with shims that only speak the protocol: one server, and three replicas over three servers.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use squall::engine::{SessionView, Stage};
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::subject::{Root, TenantSubject};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{Incarnation, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, Grant, GrantRef, Hello, Inert, RefusedWhy, Reply, Request, ScopeKeys,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec,
};
use squall_proto::vocabulary::time::BootNanos;
use squall_proto::wire;
use squall_tests::coordinator::{Replica, Site};
use squall_tests::nats::{Cluster, Options, Server};
use tokio::time::{Instant, sleep, timeout};

fn key() -> SessionKey {
    SessionKey { tenant: tenant(), session: "main".parse().expect("a token") }
}

fn tenant() -> TenantId {
    "acme".parse().expect("a token")
}

fn spec(budget: u32) -> SessionSpec {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(100), ..Default::default() }),
        ..Default::default()
    };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        safety: SafetyDraft {
            max_affected_requests: Some(budget),
            max_outstanding: Some(budget),
            ..Default::default()
        },
        ..Default::default()
    }
    .validate()
    .expect("a specification")
}

/// A shim that does nothing but speak.
#[derive(Clone)]
struct Mouth {
    client: Client,
    shim: ShimId,
    incarnation: Incarnation,
}

impl Mouth {
    async fn new(site: &Site, number: u8) -> Result<Self> {
        let client = squall_tests::nats::connect(site.urls.clone()).await?;
        Ok(Self {
            client,
            shim: format!("shim-{number}").parse()?,
            incarnation: Incarnation([number; 16]),
        })
    }

    /// Asks until there is an answer other than "not now".
    async fn say(&self, request: Request) -> Result<Reply> {
        let subject = TenantSubject::ask(&tenant(), &self.shim, &request);
        let subject = Root::Coordinator { tenant: tenant() }.encode(&subject);
        let bytes = wire::encode_request(&request);
        let until = Instant::now() + squall_tests::coordinator::PATIENCE;
        while Instant::now() < until {
            let answer = self.client.request(subject.clone(), bytes.clone().into());
            if let Ok(Ok(message)) = timeout(Duration::from_secs(2), answer).await {
                let reply = wire::decode_reply(&message.payload)?;
                if !matches!(reply, Reply::Unavailable(_)) {
                    return Ok(reply);
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("no answer to {request:?}")
    }

    async fn hello(&self) -> Result<Reply> {
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
        let seam =
            Seam { name: "linked".into(), point: Point::Tool, shape: Shape::Json, capabilities };
        self.say(Request::Hello(Hello {
            incarnation: self.incarnation,
            version: "test".into(),
            environment: "ci".parse()?,
            agents: vec![],
            tools: vec![],
            seams: vec![seam],
            allowed: FaultKind::ALL.to_vec(),
            open_grants: vec![],
            unacked_closes: vec![],
            sticky_aborts: vec![],
        }))
        .await
    }

    async fn ask(&self, req_no: u64, want: u32) -> Result<Reply> {
        let scope = ScopeKeys { agent: "planner".parse()?, trace: None, request: 1 };
        let sent = BootNanos(1);
        self.say(Request::Ask(Ask {
            incarnation: self.incarnation,
            session: key(),
            req_no,
            want,
            scope,
            sent,
        }))
        .await
    }

    async fn close(&self, req_no: u64, used: u32) -> Result<Reply> {
        let grant = GrantRef { session: key(), req_no };
        self.say(Request::Close(Close { incarnation: self.incarnation, grant, used })).await
    }

    async fn inert(&self, epoch: u64) -> Result<Reply> {
        let epoch = AbortEpoch::Logged(epoch);
        let (session, used) = (key(), 1);
        self.say(Request::Inert(Inert {
            incarnation: self.incarnation,
            session,
            epoch,
            used,
            last_injection_ago: None,
        }))
        .await
    }
}

async fn granted(mouth: &Mouth, req_no: u64, want: u32) -> Result<Option<Grant>> {
    let reply = mouth.ask(req_no, want).await?;
    if let Reply::Refused(refused) = &reply {
        assert!(matches!(refused.why, RefusedWhy::Dry | RefusedWhy::OutstandingCap), "{refused:?}");
        return Ok(None);
    }
    let Reply::Grant(grant) = reply else { anyhow::bail!("{reply:?}") };
    Ok(Some(grant))
}

/// The life of a session: started, spent to the last permit, one permit given back and spent again, aborted, proven.
async fn a_session_lives_and_is_stopped(site: &Site, replicas: &[Replica]) -> Result<()> {
    let first = &replicas[0];
    let last = replicas.last().context("no replica")?;
    let mut mouths = Vec::new();
    for number in 1..=12 {
        let mouth = Mouth::new(site, number).await?;
        assert!(matches!(mouth.hello().await?, Reply::Welcome(_)));
        mouths.push(mouth);
    }
    first.create(&key(), spec(10)).await?;
    last.until(&key(), "the session on every replica", |view| view.session.phase == Phase::Draft)
        .await?;
    last.command(&key(), "start", ClientCommand::Start).await?;
    first.until(&key(), "a session that runs", |view| view.session.phase == Phase::Running).await?;

    let asks = mouths.iter().map(|mouth| granted(mouth, 1, 4));
    let grants: Vec<Grant> =
        futures::future::try_join_all(asks).await?.into_iter().flatten().collect();
    let permits: u32 = grants.iter().map(|grant| grant.permits).sum();
    assert!((1..=10).contains(&permits), "{permits} permits of a budget of 10");
    let issued = |view: &SessionView| view.session.ledger.totals().issued == u64::from(permits);
    let view = first.until(&key(), "every grant on every replica", issued).await?;
    assert_eq!(view.session.damage, None);

    let holder = mouths
        .iter()
        .find(|mouth| grants.iter().any(|grant| grant.incarnation == mouth.incarnation));
    let holder = holder.context("nobody holds a grant")?;
    assert!(matches!(holder.close(1, 0).await?, Reply::Closed(_)));
    assert!(
        matches!(holder.close(1, 0).await?, Reply::Closed(_)),
        "a repeated close was not acknowledged"
    );
    assert!(granted(holder, 2, 1).await?.is_some(), "a permit that came back was not issued again");

    last.command(&key(), "abort", ClientCommand::Abort { reason: "enough".into() }).await?;
    let view = first.until(&key(), "an abort", |view| view.stage == Stage::Aborted).await?;
    let epoch = view.session.stop.context("no stop")?.epoch;
    for mouth in &mouths {
        mouth.inert(epoch).await?;
    }
    let view = last.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    assert!(view.session.ledger.spent() <= 10);
    for replica in replicas {
        let other =
            replica.until(&key(), "the same proof", |view| view.stage == Stage::Proven).await?;
        assert_eq!(other.session, view.session);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_on_one_server() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site {
        urls: vec![server.account_url(0)],
        monitoring: vec![server.monitoring_url()],
        copies: 1,
    };
    let replica = Replica::start(&site).await?;
    assert!(replica.coordinator.facts.sync_always);
    a_session_lives_and_is_stopped(&site, &[replica]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_on_three_servers() -> Result<()> {
    let cluster = Cluster::start(&Options { sync_always: true, ..Options::default() }).await?;
    let monitoring = cluster.servers().iter().map(Server::monitoring_url).collect();
    let site = Site { urls: cluster.account_urls(0), monitoring, copies: 3 };
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&site).await?);
    }
    a_session_lives_and_is_stopped(&site, &replicas).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_loses_nothing_and_another_goes_on() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site {
        urls: vec![server.account_url(0)],
        monitoring: vec![server.monitoring_url()],
        copies: 1,
    };
    let replica = Replica::start(&site).await?;
    let mouth = Mouth::new(&site, 1).await?;
    mouth.hello().await?;
    replica.create(&key(), spec(3)).await?;
    replica.command(&key(), "start", ClientCommand::Start).await?;
    let before = granted(&mouth, 1, 1).await?.context("no grant")?;
    replica.kill();
    let next = Replica::start(&site).await?;
    let after = granted(&mouth, 1, 1).await?.context("the grant is gone")?;
    assert_eq!(before.permits, after.permits);
    assert_eq!(next.view(&key()).await?.session.ledger.totals().issued, u64::from(before.permits));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_session_is_refused_on_a_log_that_does_not_sync_unless_the_operator_accepts_it()
-> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let site = Site {
        urls: vec![server.account_url(0)],
        monitoring: vec![server.monitoring_url()],
        copies: 1,
    };
    let replica = Replica::start(&site).await?;
    let mouth = Mouth::new(&site, 1).await?;
    mouth.hello().await?;
    replica.create(&key(), spec(3)).await?;
    let error = replica.command(&key(), "start", ClientCommand::Start).await.unwrap_err();
    assert!(error.to_string().contains("sync_interval: always"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_subject_harms_nobody() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site {
        urls: vec![server.account_url(0)],
        monitoring: vec![server.monitoring_url()],
        copies: 1,
    };
    let replica = Replica::start(&site).await?;
    let mouth = Mouth::new(&site, 1).await?;
    let subjects = [
        "tenant.acme.ask.shim-1.3.ask",
        "tenant.acme.ask.shim-1.99.ask",
        "tenant.acme.ask.shim-1.3.dance",
        "tenant.a*b.ask.x.3.hello",
        "tenant.acme.ev.shim-1.3",
        "tenant.acme.cmd.all",
        "ctl.alive.x",
        "ctl.alive.",
        "ctl.cmd.3",
    ];
    for subject in subjects {
        for payload in [&b""[..], &[0xff; 64], &[0x08; 1000], b"{\"json\": true}"] {
            // A subject that isn't one is refused by the client itself.
            let _refused = mouth.client.publish(subject.to_owned(), payload.to_vec().into()).await;
        }
    }
    mouth.client.flush().await?;
    assert!(matches!(mouth.hello().await?, Reply::Welcome(_)));
    replica.create(&key(), spec(3)).await?;
    replica.command(&key(), "start", ClientCommand::Start).await?;
    assert!(granted(&mouth, 1, 1).await?.is_some());
    Ok(())
}
