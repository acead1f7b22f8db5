//! `demo`: the whole of Squall on real agents, in under 90 seconds, judged by a referee that it can't influence.
//!
//! A nats-server and a coordinator on loopback; 24 agents under three tenants, each an MCP client with a policy of its
//! own, working through real MCP servers; one session with all six kinds of faults and a budget of 50. While it runs the
//! coordinator is killed and started again, and an agent is frozen; then the session is aborted. What Squall says it did
//! is compared with what agents and servers wrote down themselves. Ends with 1 if any promise was broken.

#[path = "agent/assignment.rs"]
mod assignment;
mod clock;
#[cfg(test)]
mod digest;
mod fleet;
mod live;
mod operator;
mod play;
mod process;
mod record;
mod records;
mod referee;
mod round;
mod stage;
mod table;
mod tether;
mod verdict;
mod watch;
mod workshop;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use clock::Clock;
use fleet::Fleet;
use live::{Live, say};
use operator::Operator;
use play::{Play, settled_report};
use records::Records;
use referee::Hands;
use stage::Stage;
use verdict::{Evidence, Verdict};
use watch::Watch;
use workshop::Workshop;

// One thread: the children die with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<ExitCode> {
    let workshop = Workshop::open()?;
    let verdict = tokio::select! {
        verdict = run(&workshop) => verdict?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    };
    std::fs::write(&workshop.report, serde_json::to_string_pretty(&verdict)?)
        .with_context(|| format!("write {}", workshop.report.display()))?;
    println!("{}\nThe report is in {}.", table::text(&verdict), workshop.report.display());
    Ok(if verdict.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(workshop: &Workshop) -> Result<Verdict> {
    let began = Instant::now();
    let clock = Clock::now();
    say("nats-server and the coordinator start.");
    let mut stage = Stage::set(workshop).await?;
    say("The agents start, each with a real MCP server of its own.");
    let fleet = Fleet::start(workshop, &stage).await?;
    say("All are at work.");
    let mut operator = Operator::create(&stage.api_url()).await?;
    say(&format!("Session {} is created.", operator.session_name()));

    let live = Live::show(operator.clone());
    let watch = Watch::over(workshop.records());
    let play = Play { stage: &mut stage, fleet: &fleet, operator: &mut operator, watch };
    let played = play.perform().await?;
    drop(live);

    let tempers = fleet.tempers();
    say("The agents end.");
    fleet.end().await?;
    let report = settled_report(&mut operator).await?;
    let Records { wires, answers } = Records::read(&workshop.records())?;
    let hands = Hands { frozen: &played.frozen, aborted_ns: Some(played.session_ns.1) };
    let judgement = referee::judge(&wires, &answers, hands);
    let evidence = Evidence {
        spec: operator.spec(),
        report: &report,
        judgement: &judgement,
        played: &played,
        answers: &answers,
        tempers: &tempers,
        clock,
        took: began.elapsed(),
    };
    Ok(evidence.verdict())
}
