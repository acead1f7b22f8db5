//! `squall drill` on deployments as users have them: one that keeps its promises while a coordinator is killed, one without
//! agents, one whose coordinator lies, and a drill that is broken off.

mod liar;
mod place;

use anyhow::{Context, Result, ensure};
use place::{Drill, Place};
use serde_json::Value;
use squall_tests::coordinator::wait;

/// All texts under `name`, in all promises.
fn texts(verdict: &Value, name: &str) -> Result<String> {
    let promises = verdict["promises"].as_array().context("promises")?;
    Ok(promises.iter().map(|promise| promise[name].to_string()).collect())
}

#[tokio::test]
async fn promises_that_hold_while_a_coordinator_is_killed_are_said_to_hold() -> Result<()> {
    let place = Place::on_three_servers().await?;
    let agents = place.agents(4)?;
    let kill = format!("kill -9 {}", place.replicas[1].process);
    let named = place.coordinators();
    let mut words: Vec<&str> = named.iter().map(String::as_str).collect();
    words.extend(["--for", "10s", "--probability", "0.3", "--halt", "--disturb", &kill]);
    let drilled = Drill::start(&words)?.end().await?;
    ensure!(drilled.code == Some(0), "{drilled:?}");

    let verdict = &drilled.verdict;
    assert_eq!(verdict["verdict"], "held");
    assert!(verdict["signs"]["coordinator_lost"].as_u64() >= Some(1), "{verdict}");
    assert!(verdict["commands"][0]["what"].to_string().contains("exit status: 0"), "{verdict}");
    let mut changed = 0;
    for agent in agents {
        changed += agent.finish().await?.changed.len();
    }
    assert_eq!(verdict["shims"]["applied"].as_u64(), Some(changed as u64), "{verdict}");
    place.nothing_is_left().await
}

#[tokio::test]
async fn without_agents_nothing_is_tested_and_it_is_said() -> Result<()> {
    let place = Place::on_one_server().await?;
    let named = place.coordinators();
    let mut words: Vec<&str> = named.iter().map(String::as_str).collect();
    words.extend(["--for", "5s", "--wait-for-shims", "1s", "--disturb", "exit 7"]);
    let drilled = Drill::start(&words)?.end().await?;
    ensure!(drilled.code == Some(5), "{drilled:?}");
    assert_eq!(drilled.verdict["verdict"], "inconclusive");
    let untested = texts(&drilled.verdict, "untested")?;
    assert!(untested.contains("no shim of acme is connected"), "{untested}");
    assert!(untested.contains("nothing was disturbed"), "{untested}");
    assert!(drilled.said.contains("not_proven"), "{}", drilled.said);
    place.nothing_is_left().await
}

#[tokio::test]
async fn a_coordinator_that_tells_more_than_the_budget_is_found_out() -> Result<()> {
    let place = Place::on_one_server().await?;
    let _agents = place.agents(2)?;
    let (liar, serving) = liar::serve(&place.replicas[0].address).await?;
    let server = liar.to_string();
    let words = ["--server", &server, "--for", "5s", "--budget", "20"];
    let drilled = Drill::start(&words)?.end().await?;
    ensure!(drilled.code == Some(1), "{drilled:?}");
    assert_eq!(drilled.verdict["verdict"], "violated");
    assert_eq!(drilled.verdict["promises"][0]["verdict"], "violated");
    let violations = texts(&drilled.verdict, "violations")?;
    assert!(violations.contains("more requests were affected than the budget has"), "{violations}");
    serving.abort();
    place.nothing_is_left().await
}

#[tokio::test]
async fn a_drill_that_is_broken_off_leaves_nothing_behind_and_says_what_it_saw() -> Result<()> {
    let place = Place::on_one_server().await?;
    let _agents = place.agents(2)?;
    let named = place.coordinators();
    let mut words: Vec<&str> = named.iter().map(String::as_str).collect();
    words.extend(["--for", "1h", "--budget", "10000", "--probability", "0.01"]);
    let drill = Drill::start(&words)?;
    let runs = async || {
        let listed = place.json(&["session", "list", "--state", "running"]).await.ok()?;
        listed["sessions"].as_array().filter(|sessions| !sessions.is_empty()).map(drop)
    };
    wait("a session that runs", runs).await?;
    drill.interrupt()?;
    let drilled = drill.end().await?;
    ensure!(drilled.code == Some(5), "{drilled:?}");
    let untested = texts(&drilled.verdict, "untested")?;
    assert!(untested.contains("the drill was interrupted"), "{untested}");
    assert_eq!(drilled.verdict["sessions"][0]["state"], "aborted");
    place.nothing_is_left().await
}
