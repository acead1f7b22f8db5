//! The main job with real shims on real NATS, checked by what the agents recorded themselves.

use std::time::Duration;

use anyhow::{Context, Result};
use squall::engine::{OrderKind, Stage};
use squall::replica::{Clock, HostClock};
use squall_domain::lever::Scope;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft,
};
use squall_tests::agents::{Agent, Record};
use squall_tests::coordinator::{Replica, Site};
use squall_tests::nats::{Cluster, Options, Server};
use tokio::time::Instant;

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

fn key() -> SessionKey {
    SessionKey { tenant: TenantId::fleet(), session: "main".parse().expect("a token") }
}

/// Every call is chosen: agents want far more than the budget.
fn draft(budget: u32) -> SessionDraft {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(20), ..Default::default() }),
        ..Default::default()
    };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        target: TargetDraft { tenants: TENANTS.map(str::to_owned).to_vec(), ..Default::default() },
        safety: SafetyDraft {
            blast_radius: Some("multi_tenant".into()),
            max_affected_requests: Some(budget),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn spec(budget: u32) -> SessionSpec {
    draft(budget).validate().expect("a specification")
}

fn agents(site: &Site, count: usize) -> Result<Vec<Agent>> {
    (0..count)
        .map(|number| Agent::start(site, &TENANTS[number % 3].parse()?, &format!("agent-{number}")))
        .collect()
}

async fn finish(agents: Vec<Agent>) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for agent in agents {
        records.push(agent.finish().await?);
    }
    Ok(records)
}

fn changed(records: &[Record]) -> u64 {
    records.iter().map(|record| record.changed.len() as u64).sum()
}

async fn start(replica: &Replica, spec: SessionSpec) -> Result<()> {
    replica.create(&key(), spec).await?;
    // Refused until the shims were heard: the same command may be tried again.
    replica
        .wait("a start", async |_| {
            replica.command(&key(), "start", ClientCommand::Start).await.ok()
        })
        .await
}

/// Demand far over the budget, from all tenants, through to the last permit: never one injection more, and the counts
/// are those of the agents' own records.
async fn the_budget_is_spent_and_never_passed(site: &Site, replicas: &[Replica]) -> Result<()> {
    let agents = agents(site, 9)?;
    start(&replicas[0], spec(40)).await?;
    let last = replicas.last().context("no replica")?;
    last.until(&key(), "a spent budget", |view| view.session.phase == Phase::Exhausted).await?;
    let records = finish(agents).await?;
    let truth = changed(&records);
    assert!(truth <= 40, "{truth} injections of 40");
    let view = last
        .until(&key(), &format!("evidence of {truth}"), |view| view.sums.total.applied == truth)
        .await?;
    assert_eq!(view.session.ledger.spent(), truth);
    assert_eq!(view.sums.tenants.values().map(|counts| counts.applied).sum::<u64>(), truth);
    assert!(view.sums.tenants.len() > 1, "only one tenant was hit");
    assert_eq!(view.session.damage, None);
    Ok(())
}

/// An abort in the middle: proven by confirmations, and nothing is injected after it.
async fn an_abort_stops_every_agent_and_is_proven(site: &Site, replicas: &[Replica]) -> Result<()> {
    let agents = agents(site, 9)?;
    let (first, last) = (&replicas[0], replicas.last().context("no replica")?);
    start(first, spec(100_000)).await?;
    first.until(&key(), "injections", |view| view.sums.total.applied > 20).await?;
    last.command(&key(), "abort", ClientCommand::Abort { reason: "enough".into() }).await?;
    let view = last.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    let proven = Instant::now();
    let proof =
        view.session.stop.as_ref().and_then(|stop| stop.proof.clone()).context("no proof")?;
    assert!(proof.out_of_contact.is_empty(), "{proof:?}");
    // More work, which nothing may change.
    let calls: u64 = agents.len() as u64;
    tokio::time::timeout(Duration::from_secs(10), async {
        while agents
            .iter()
            .any(|agent| agent.shim.status().link.is_none_or(|link| link.aborted.is_empty()))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .context("a shim forgot the abort")?;
    let records = finish(agents).await?;
    assert!(records.iter().map(|record| record.calls).sum::<u64>() > calls);
    assert!(records.iter().flat_map(|record| &record.changed).all(|at| *at <= proven));
    let truth = changed(&records);
    first
        .until(&key(), &format!("evidence of {truth}"), |view| view.sums.total.applied == truth)
        .await?;
    Ok(())
}

async fn one_server() -> Result<(Server, Site)> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site {
        urls: vec![server.account_url(0)],
        monitoring: vec![server.monitoring_url()],
        copies: 1,
    };
    Ok((server, site))
}

async fn three_servers() -> Result<(Cluster, Site, Vec<Replica>)> {
    let cluster = Cluster::start(&Options { sync_always: true, ..Options::default() }).await?;
    let monitoring = cluster.servers().iter().map(Server::monitoring_url).collect();
    let site = Site { urls: cluster.account_urls(0), monitoring, copies: 3 };
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&site).await?);
    }
    Ok((cluster, site, replicas))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_spends_a_budget_exactly() -> Result<()> {
    let (_server, site) = one_server().await?;
    the_budget_is_spent_and_never_passed(&site, &[Replica::start(&site).await?]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_stops_every_agent() -> Result<()> {
    let (_server, site) = one_server().await?;
    an_abort_stops_every_agent_and_is_proven(&site, &[Replica::start(&site).await?]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_over_three_servers_spend_a_budget_exactly() -> Result<()> {
    let (_cluster, site, replicas) = three_servers().await?;
    the_budget_is_spent_and_never_passed(&site, &replicas).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_over_three_servers_stop_every_agent() -> Result<()> {
    let (_cluster, site, replicas) = three_servers().await?;
    an_abort_stops_every_agent_and_is_proven(&site, &replicas).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_every_session_of_the_fleet() -> Result<()> {
    let (_server, site) = one_server().await?;
    let replica = Replica::start(&site).await?;
    let agents = agents(&site, 6)?;
    start(&replica, spec(100_000)).await?;
    replica.until(&key(), "injections", |view| view.sums.total.applied > 5).await?;
    replica
        .order("halt", OrderKind::Engage { scope: Scope::Fleet, reason: "smoke".into() })
        .await?;
    replica.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    let proven = Instant::now();
    let records = finish(agents).await?;
    assert!(records.iter().flat_map(|record| &record.changed).all(|at| *at <= proven));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_coordinator_every_shim_is_inert_and_with_a_new_one_chaos_goes_on() -> Result<()>
{
    let (_server, site) = one_server().await?;
    let replica = Replica::start(&site).await?;
    let agents = agents(&site, 4)?;
    start(&replica, spec(100_000)).await?;
    replica.until(&key(), "injections", |view| view.sums.total.applied > 5).await?;
    replica.kill();
    tokio::time::timeout(Duration::from_secs(20), async {
        let inert = |agent: &Agent| {
            agent.shim.status().link.is_some_and(|link| link.lease_until <= HostClock.now().boot)
        };
        while !agents.iter().all(inert) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .context("a shim kept its lease without a coordinator")?;
    let replica = Replica::start(&site).await?;
    let before = replica.view(&key()).await?.sums.total.applied;
    replica.until(&key(), "injections again", |view| view.sums.total.applied > before + 5).await?;
    replica.command(&key(), "abort", ClientCommand::Abort { reason: "enough".into() }).await?;
    replica.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    let truth = changed(&finish(agents).await?);
    replica
        .until(&key(), &format!("evidence of {truth}"), |view| view.sums.total.applied == truth)
        .await?;
    Ok(())
}
