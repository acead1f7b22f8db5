//! One shim on a real NATS server that comes late, dies, hangs and comes back. The test plays the coordinator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::{Client, Message};
use futures::StreamExt;
use squall_proto::subject::{Filter, Partition, Root, TenantSubject};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{Environment, LogId, SessionId, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::limits::{CANCEL_GRACE, LEASE_TTL, PARTITIONS};
use squall_proto::vocabulary::message::{
    Command, Grant, GrantRef, GrantScope, Renewed, Reply, Request, Welcome,
};
use squall_proto::vocabulary::plan::{AbortEpoch, Plan, PlanSession, PlanVersion};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::{ExperimentDraft, FaultDraft, LatencyDraft};
use squall_proto::vocabulary::session::{SafetyDraft, SessionDraft};
use squall_proto::wire::{decode_request, encode_command, encode_reply};
use squall_shim::Shim;
use squall_shim::core::{Call, Policy, RequestKey, Site};
use squall_tests::nats::{Options, Server, connect};
use tokio::time::{Instant, sleep};

/// Longest wait for anything: a dead connection is noticed within two pings of 5 s, and a reconnect pauses 7 s at most.
const PATIENCE: Duration = Duration::from_secs(40);

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn shim_id() -> ShimId {
    "shim-1".parse().unwrap()
}

fn key() -> SessionKey {
    SessionKey { tenant: tenant(), session: SessionId::new("s").unwrap() }
}

fn plan() -> Plan {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(1), ..LatencyDraft::default() }),
        ..FaultDraft::default()
    };
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        safety: SafetyDraft { max_affected_requests: Some(1_000_000), ..SafetyDraft::default() },
        ..SessionDraft::default()
    };
    let session = PlanSession {
        key: key(),
        spec: Arc::new(draft.validate().unwrap()),
        seed: 1,
        running: true,
        age: Duration::ZERO,
        remaining: Duration::from_secs(3600),
        phi0: 1.0,
        dry: false,
    };
    let version = PlanVersion { log: LogId::new("log").unwrap(), sequence: 5 };
    Plan { version, previous: None, page: 0, pages: 1, live: vec![session], ended: vec![] }
}

/// Answers everything, and remembers what came in.
struct Coordinator {
    client: Client,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Coordinator {
    async fn start(server: &Server) -> Result<Self> {
        Self::at(server.url()).await
    }

    async fn at(url: String) -> Result<Self> {
        let client = connect([url]).await?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut subscriptions = Vec::new();
        for number in 0..PARTITIONS {
            let partition = Partition::new(number).context("no such partition")?;
            subscriptions.push(client.subscribe(Filter::Asks(partition).to_string()).await?);
        }
        let mut asks = futures::stream::select_all(subscriptions);
        let (answering, noting) = (client.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Some(message) = asks.next().await {
                answer(&answering, &noting, message).await;
            }
        });
        Ok(Self { client, seen })
    }

    /// What came in since the last time.
    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    fn has_seen(&self, which: impl Fn(&Request) -> bool) -> bool {
        self.seen.lock().unwrap().iter().any(which)
    }

    async fn command(&self, command: &Command) -> Result<()> {
        let subject = Root::Coordinator { tenant: tenant() }.encode(&TenantSubject::CommandAll);
        self.client.publish(subject, encode_command(command).into()).await?;
        Ok(())
    }
}

async fn answer(client: &Client, seen: &Mutex<Vec<Request>>, message: Message) {
    let request = decode_request(&message.payload).expect("a request");
    let remaining = Duration::from_secs(3);
    let reply = match &request {
        Request::Hello(_) => {
            Reply::Welcome(Welcome { log: plan().version.log, recorded_aborts: vec![] })
        }
        Request::Sync(_) => Reply::Plan(plan()),
        Request::Ask(ask) => Reply::Grant(Grant {
            incarnation: ask.incarnation,
            grant: GrantRef { session: ask.session.clone(), req_no: ask.req_no },
            permits: ask.want,
            scope: GrantScope::default(),
            echo_sent: Some(ask.sent),
            remaining,
            stop_version: 0,
        }),
        Request::Renew(renew) => {
            Reply::Renewed(Renewed { echo_sent: renew.sent, remaining, stop_version: 0 })
        }
        Request::Close(close) => Reply::Closed(close.grant.clone()),
        Request::Inert(inert) => Reply::InertNoted(inert.session.clone()),
    };
    seen.lock().unwrap().push(request);
    if let Some(to) = message.reply {
        // Without a connection nothing is answered.
        let _ = client.publish(to, encode_reply(&reply).into()).await;
    }
}

fn shim(server: &Server) -> Result<Shim> {
    shim_at(server.url())
}

fn shim_at(url: String) -> Result<Shim> {
    let policy = Policy::all(Environment::new("ci")?);
    let builder = Shim::builder(tenant(), shim_id()).policy(policy).nats(url);
    Ok(builder.shared_account(true).start()?)
}

fn site(shim: &Shim) -> Arc<Site> {
    let capabilities = Capabilities::ALL;
    let (point, shape) = (Point::Tool, Shape::Json);
    let seam = Seam { name: "linked".to_owned(), point, shape, capabilities };
    shim.site(&"planner".parse().unwrap(), &"search".parse().unwrap(), &seam)
}

/// One call; whether it was changed.
async fn call(shim: &Shim, site: &Site, number: u64) -> bool {
    let call = Call { request: RequestKey::of_bytes(&number.to_le_bytes()), trace: None };
    let Some(mut directive) = shim.decide(site, &call).await else { return false };
    let held = shim.delay(&mut directive).await;
    directive.applied(&call, held);
    true
}

/// Looks until it holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        (Instant::now() < end)
            .then_some(())
            .with_context(|| format!("waited in vain until {what}"))?;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn until_injected(shim: &Shim, site: &Site) -> Result<()> {
    let mut number = 0;
    until("a call is changed", async || {
        number += 1;
        call(shim, site, number).await
    })
    .await
}

fn is_connected(shim: &Shim) -> bool {
    shim.status().link.is_some_and(|link| link.connected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_starts_before_its_server_lets_calls_pass_and_says_hello_when_it_comes()
-> Result<()> {
    let server = Server::start(&Options::default()).await?;
    server.kill();
    let shim = shim(&server)?;
    let site = site(&shim);
    assert!(!call(&shim, &site, 0).await);
    assert!(!is_connected(&shim));
    server.restart().await?;
    let coordinator = Coordinator::start(&server).await?;
    until_injected(&shim, &site).await?;
    let seen = coordinator.take();
    let hello = seen.iter().find_map(|request| {
        let Request::Hello(hello) = request else { return None };
        Some(hello)
    });
    let hello = hello.context("no Hello")?;
    assert_eq!(hello.tools, ["search".parse()?]);
    assert_eq!(hello.sites().map(|site| site.agent.as_str()).collect::<Vec<_>>(), ["planner"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_server_died_hello_comes_first_and_nothing_that_was_meant_for_before() -> Result<()>
{
    let server = Server::start(&Options::default()).await?;
    let coordinator = Coordinator::start(&server).await?;
    let shim = shim(&server)?;
    let site = site(&shim);
    until_injected(&shim, &site).await?;
    server.kill();
    until("the loss is noticed", async || !is_connected(&shim)).await?;
    coordinator.take();
    // Demand, idle permits and a lease to renew: all of it would like to be sent meanwhile.
    for number in 0..200 {
        call(&shim, &site, 1_000 + number).await;
        sleep(Duration::from_millis(10)).await;
    }
    server.restart().await?;
    until("the shim is back", async || {
        coordinator.has_seen(|request| matches!(request, Request::Sync(_)))
    })
    .await?;
    let seen = coordinator.take();
    assert!(matches!(seen[0], Request::Hello(_)), "{seen:?}");
    until_injected(&shim, &site).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_server_hangs_nothing_is_injected_beyond_the_lease_and_afterwards_chaos_goes_on()
-> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let _coordinator = Coordinator::start(&server).await?;
    let shim = shim(&server)?;
    let site = site(&shim);
    until_injected(&shim, &site).await?;
    server.freeze();
    let frozen = Instant::now();
    let (mut number, mut last) = (1_000_000, frozen);
    while frozen.elapsed() < Duration::from_secs(5) {
        number += 1;
        if call(&shim, &site, number).await {
            last = Instant::now();
        }
        sleep(Duration::from_millis(2)).await;
    }
    // The lease, and the time that ending a fault takes.
    let beyond = last.duration_since(frozen);
    assert!(beyond <= LEASE_TTL + CANCEL_GRACE, "still injected {beyond:?} after the last word");
    server.thaw();
    until_injected(&shim, &site).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_stops_a_shim_and_its_confirmation_comes_back() -> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let coordinator = Coordinator::start(&server).await?;
    let shim = shim(&server)?;
    let site = site(&shim);
    until_injected(&shim, &site).await?;
    let epoch = AbortEpoch::Logged(9);
    coordinator.command(&Command::Abort { session: key(), epoch }).await?;
    let confirmed =
        |request: &Request| matches!(request, Request::Inert(inert) if inert.epoch == epoch);
    until("the abort is confirmed", async || coordinator.has_seen(confirmed)).await?;
    for number in 0..100 {
        assert!(!call(&shim, &site, 2_000_000 + number).await);
    }
    Ok(())
}

/// Whoever names no user gets another account, where nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_in_the_url_is_the_one_that_a_shim_speaks_as() -> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let _coordinator = Coordinator::at(server.account_url(1)).await?;
    let shim = shim_at(server.account_url(1))?;
    until_injected(&shim, &site(&shim)).await
}
