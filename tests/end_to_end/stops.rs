//! A stop stops, and is proven.

use anyhow::Result;
use squall::engine::OrderKind;
use squall_domain::lever::Scope;
use squall_domain::session::{ClientCommand, Phase};
use squall_tests::agents::changed_during;
use squall_tests::coordinator::wait;

use crate::house::{House, key};

super::on_both_houses!(
    an_abort_stops_every_agent_and_is_proven,
    a_halt_stops_the_fleet_and_is_proven,
    a_pause_holds_every_agent_until_it_is_resumed,
);

async fn an_abort_stops_every_agent_and_is_proven(house: House) -> Result<()> {
    let agents = house.agents(6)?;
    house.start(100_000).await?;
    house.injections(20).await?;
    house.abort().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

async fn a_halt_stops_the_fleet_and_is_proven(house: House) -> Result<()> {
    let agents = house.agents(6)?;
    house.start(100_000).await?;
    house.injections(20).await?;
    let halt = || OrderKind::Engage { scope: Scope::Fleet, reason: "smoke".into() };
    house.last().wait("a halt", async |_| house.last().order("halt", halt()).await.ok()).await?;
    house.proof().await?;
    assert_eq!(changed_during(&agents, 20).await?, 0, "injections after the proof");
    house.settle(agents).await?;
    Ok(())
}

async fn a_pause_holds_every_agent_until_it_is_resumed(house: House) -> Result<()> {
    let agents = house.agents(4)?;
    house.start(100_000).await?;
    house.injections(10).await?;
    house.command(house.last(), "pause", ClientCommand::Pause).await?;
    // Nobody proves a pause: each agent hears of it in its own time, at the latest when its lease is over.
    let is_quiet = async || changed_during(&agents, 20).await.is_ok_and(|changed| changed == 0);
    wait("agents without chaos", async || is_quiet().await.then_some(())).await?;
    assert_eq!(house.first().view(&key()).await?.session.phase, Phase::Paused);
    let held: usize = agents.iter().map(|agent| agent.record().changed.len()).sum();
    house.command(house.first(), "resume", ClientCommand::Resume).await?;
    house.injections(held as u64).await?;
    house.abort().await?;
    house.settle(agents).await?;
    Ok(())
}
