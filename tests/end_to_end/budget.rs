//! The budget is a hard bound, and is spent.

use anyhow::Result;
use squall_domain::session::Phase;

use crate::house::{House, key};

super::on_both_houses!(
    the_budget_is_spent_to_the_last_permit_and_never_passed,
    the_budget_is_spent_exactly_although_the_server_that_leads_the_log_is_killed,
);

/// Demand far over the budget, from all tenants: never one injection more, and the ledger is what the agents recorded.
async fn the_budget_is_spent_to_the_last_permit_and_never_passed(house: House) -> Result<()> {
    let agents = house.agents(6)?;
    house.start(40).await?;
    is_spent_exactly(&house).await?;
    assert_eq!(house.settle(agents).await?, 40);
    let view = house.last().view(&key()).await?;
    assert!(view.sums.tenants.len() > 1, "only one tenant was hit");
    Ok(())
}

/// Grants whose append or answer was lost on the way are neither issued twice nor forgotten.
async fn the_budget_is_spent_exactly_although_the_server_that_leads_the_log_is_killed(
    house: House,
) -> Result<()> {
    let agents = house.agents(4)?;
    house.start(400).await?;
    house.injections(20).await?;
    let leader = house.leader_of_the_log().await?;
    leader.kill();
    if house.survives_a_server() {
        is_spent_exactly(&house).await?;
    }
    leader.restart().await?;
    is_spent_exactly(&house).await?;
    assert_eq!(house.settle(agents).await?, 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_is_spent_exactly_although_its_owner_is_killed_in_the_middle() -> Result<()> {
    let mut house = House::on_three_servers().await?;
    let agents = house.agents(4)?;
    house.start(400).await?;
    let view = house.injections(20).await?;
    assert_eq!(view.session.phase, Phase::Running);
    house.kill_owner()?;
    is_spent_exactly(&house).await?;
    assert_eq!(house.settle(agents).await?, 400);
    Ok(())
}

/// Waits until every replica has the end of the session, by its budget.
pub(crate) async fn is_spent_exactly(house: &House) -> Result<()> {
    for replica in &house.replicas {
        let view = replica
            .until(&key(), "a spent budget", |view| view.session.phase == Phase::Exhausted)
            .await?;
        let ledger = &view.session.ledger;
        assert_eq!(ledger.spent(), u64::from(ledger.budget()));
        assert_eq!(view.session.damage, None);
    }
    Ok(())
}
