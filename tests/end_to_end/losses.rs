//! What is lost comes back or is replaced: coordinators, and servers of NATS.

use anyhow::{Result, ensure};
use squall::replica::{Clock, HostClock};
use squall_proto::vocabulary::blast_radius::Strictness;
use squall_tests::agents::{Agent, changed_during};
use squall_tests::coordinator::{Replica, wait};

use crate::house::House;

super::on_both_houses!(
    without_a_coordinator_every_agent_is_left_alone_and_with_a_new_one_chaos_goes_on,
    without_a_coordinator_an_eventual_session_rests_as_well,
    a_server_that_leads_the_log_is_killed_and_comes_back,
    the_stream_of_evidence_is_deleted_and_counts_go_on,
);

/// All replicas at once; as many new ones know everything from the log.
async fn without_a_coordinator_every_agent_is_left_alone_and_with_a_new_one_chaos_goes_on(
    house: House,
) -> Result<()> {
    coordinators_are_lost_and_come_back(house, Strictness::Strict).await
}

/// Permits run out by themselves. Here is nothing but the lease.
async fn without_a_coordinator_an_eventual_session_rests_as_well(house: House) -> Result<()> {
    coordinators_are_lost_and_come_back(house, Strictness::Eventual).await
}

async fn coordinators_are_lost_and_come_back(
    mut house: House,
    strictness: Strictness,
) -> Result<()> {
    let agents = house.agents(4)?;
    house.start_as(100_000, strictness).await?;
    house.injections(20).await?;
    let lost = house.replicas.len();
    house.replicas.drain(..).for_each(Replica::kill);
    wait("leases that end", async || agents.iter().all(is_inert).then_some(())).await?;
    // A call that was held when its lease ended comes to its end.
    changed_during(&agents, 1).await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "chaos without a coordinator");
    house.start_replicas(lost).await?;
    chaos_goes_on(&house, &agents).await?;
    house.abort().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

/// With three servers chaos goes on after an election, without waiting for the one that is gone.
async fn a_server_that_leads_the_log_is_killed_and_comes_back(house: House) -> Result<()> {
    let agents = house.agents(4)?;
    house.start(100_000).await?;
    house.injections(20).await?;
    let leader = house.leader_of_the_log().await?;
    leader.kill();
    if house.survives_a_server() {
        chaos_goes_on(&house, &agents).await?;
    }
    leader.restart().await?;
    chaos_goes_on(&house, &agents).await?;
    house.abort().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

/// Counters are cumulative, so that what was lost is said again with what follows.
async fn the_stream_of_evidence_is_deleted_and_counts_go_on(house: House) -> Result<()> {
    let agents = house.agents(4)?;
    house.start(100_000).await?;
    house.injections(20).await?;
    house.delete_evidence().await?;
    chaos_goes_on(&house, &agents).await?;
    house.abort().await?;
    house.settle(agents).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_over_from_a_killed_owner_and_its_abort_is_proven() -> Result<()> {
    let mut house = House::on_three_servers().await?;
    let agents = house.agents(4)?;
    house.start(100_000).await?;
    house.injections(20).await?;
    house.kill_owner()?;
    chaos_goes_on(&house, &agents).await?;
    house.abort().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

fn is_inert(agent: &Agent) -> bool {
    agent.shim.status().link.is_some_and(|link| link.lease_until <= HostClock.now().boot)
}

/// Waits until more was injected than permits were out there: somebody issued new ones, and counts them.
async fn chaos_goes_on(house: &House, agents: &[Agent]) -> Result<()> {
    let known: usize = agents.iter().map(|agent| agent.record().changed.len()).sum();
    let view = house.last().view(&crate::house::key()).await?;
    let open = view.session.ledger.open_permits();
    ensure!(view.session.damage.is_none(), "{:?}", view.session.damage);
    house.injections(known as u64 + open).await.map(drop)
}
