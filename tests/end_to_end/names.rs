//! Processes that share a name, as those of one machine do by default: every promise holds, and each is known by its life.

use std::collections::BTreeSet;

use anyhow::Result;
use squall::engine::{Answer, Query};
use squall_tests::agents::{Agent, changed_during};
use squall_tests::coordinator::{Replica, wait};

use crate::budget::is_spent_exactly;
use crate::house::House;

super::on_both_houses!(
    processes_of_one_name_spend_a_budget_exactly,
    an_abort_stops_every_process_of_one_name_and_is_proven,
);

async fn processes_of_one_name_spend_a_budget_exactly(house: House) -> Result<()> {
    let agents = house.processes_of_one_name(3)?;
    all_are_known(house.last(), &agents).await?;
    house.start(60).await?;
    is_spent_exactly(&house).await?;
    assert_eq!(house.settle(agents).await?, 60);
    Ok(())
}

async fn an_abort_stops_every_process_of_one_name_and_is_proven(house: House) -> Result<()> {
    let agents = house.processes_of_one_name(3)?;
    house.start(100_000).await?;
    all_are_known(house.first(), &agents).await?;
    let is_hit = |agent: &Agent| !agent.record().changed.is_empty();
    wait("every process is hit", async || agents.iter().all(is_hit).then_some(())).await?;
    house.abort().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

/// Grants that the new owner sends once more go to the name, so that each process hears those of the others too.
#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_name_spend_a_budget_exactly_although_its_owner_is_killed() -> Result<()> {
    let mut house = House::on_three_servers().await?;
    let agents = house.processes_of_one_name(3)?;
    house.start(400).await?;
    house.injections(20).await?;
    house.kill_owner()?;
    is_spent_exactly(&house).await?;
    assert_eq!(house.settle(agents).await?, 400);
    Ok(())
}

/// Waits until a replica lists each process by itself.
async fn all_are_known(replica: &Replica, agents: &[Agent]) -> Result<()> {
    let life = |agent: &Agent| Some(agent.shim.status().link?.incarnation);
    let all = replica.wait("a fleet of all processes", async |handle| {
        let Ok(Answer::Fleet(fleet)) = handle.query(Query::Fleet(None)).await else { return None };
        let listed: BTreeSet<_> = fleet.shims.iter().map(|shim| shim.hello.incarnation).collect();
        let lives: BTreeSet<_> = agents.iter().filter_map(life).collect();
        (lives.len() == agents.len() && listed == lives).then_some(())
    });
    all.await
}
