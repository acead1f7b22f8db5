//! The calm after a stretch of faults: everything is healed, and everything must come to its end (L1 to L4).

use std::collections::BTreeMap;
use std::time::Duration;

use squall_drill_checker::files::{Answer, Final, Shown};
use squall_drill_checker::{Rule, Violation};
use tokio::time::{Instant, sleep};

use crate::client::Op;
use crate::house::{AGENTS, REPLICAS};
use crate::progress::say;
use crate::traffic::{Traffic, is_over};

/// Longest way back to a whole house: servers catch up and elect, coordinators read the log, shims come back within 5 s and
/// say Hello within 30.
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// Longest way of a session with demand to the end of its budget: permits that the dead hold age out in about 13 s, and
/// a shim that is told that nothing is left asks again after 10.
const SPENT_WITHIN: Duration = Duration::from_secs(45);
/// Longest way of everything to its end: a proof by time, or a drain.
const OVER_WITHIN: Duration = Duration::from_secs(75);
/// Attempts at one command: nothing is in the way any more.
const TRIES: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Brings everything to its end; what doesn't get there.
pub(crate) async fn converge(traffic: &Traffic) -> Vec<Violation> {
    let mut wrong = Vec::new();
    say("calm: the house gets whole");
    if let Some(problem) = whole(traffic).await {
        wrong.push(liveness(problem));
    }
    traffic.release_all(TRIES).await;
    let open = resumed(traffic).await;
    say(&format!("calm: {} sessions still run; their demand uses them up", open.len()));
    wrong.extend(spent(traffic, open).await);
    for name in unfinished(traffic).await {
        let op = if name.len().is_multiple_of(2) { Op::Stop } else { Op::Abort };
        traffic.order(&name, op, TRIES).await;
        traffic.order(&name, Op::Abort, TRIES).await;
    }
    let until = Instant::now() + OVER_WITHIN;
    loop {
        let open = unfinished(traffic).await;
        if open.is_empty() {
            break;
        }
        if Instant::now() > until {
            wrong.push(liveness(format!("never over: {}", open.join(", "))));
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    wrong
}

fn liveness(found: String) -> Violation {
    Violation { rule: Rule::Liveness, found }
}

/// Why the house is not whole; every coordinator has to hear every agent.
async fn whole(traffic: &Traffic) -> Option<String> {
    let until = Instant::now() + WHOLE_WITHIN;
    loop {
        let mut problem = None;
        for coordinator in 0..REPLICAS {
            match traffic.inspector().shims(coordinator).await {
                // Lives that ended are listed for a while, and children are shims of their own.
                Ok(shims) if shims >= AGENTS => {}
                Ok(shims) => problem = Some(format!("c{coordinator} hears {shims} shims")),
                Err(status) => problem = Some(format!("c{coordinator} says {status}")),
            }
        }
        let problem = problem?;
        if Instant::now() > until {
            return Some(problem);
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn get(traffic: &Traffic, name: &str) -> Option<Shown> {
    let client = traffic.inspector();
    match client.attempt(client.any(), name, &Op::Get, "").await {
        Answer::Done(shown) => shown,
        Answer::Refused(_) | Answer::NothingStored(_) | Answer::Unknown(_) => None,
    }
}

fn names(traffic: &Traffic) -> Vec<String> {
    traffic.sessions.borrow().iter().map(|draft| draft.name.clone()).collect()
}

/// Sessions that exist and are not over. A session that isn't known anywhere was never created.
async fn unfinished(traffic: &Traffic) -> Vec<String> {
    let mut open = Vec::new();
    for name in names(traffic) {
        if get(traffic, &name).await.is_some_and(|shown| !is_over(&shown)) {
            open.push(name);
        }
    }
    open
}

/// Lets everything run that was paused; what runs then and must use its budget up by its agents' demand alone.
async fn resumed(traffic: &Traffic) -> Vec<String> {
    let plain: BTreeMap<String, bool> = {
        let sessions = traffic.sessions.borrow();
        sessions.iter().map(|draft| (draft.name.clone(), draft.is_plain)).collect()
    };
    let mut running = Vec::new();
    for name in unfinished(traffic).await {
        traffic.order(&name, Op::Resume, TRIES).await;
        let runs = get(traffic, &name).await.is_some_and(|shown| shown.state == "RUNNING");
        if runs && plain.get(&name).copied().unwrap_or_default() {
            running.push(name);
        }
    }
    running
}

/// L1: what still runs with a budget after all that time.
async fn spent(traffic: &Traffic, mut open: Vec<String>) -> Option<Violation> {
    let until = Instant::now() + SPENT_WITHIN;
    while !open.is_empty() {
        let mut left = Vec::new();
        for name in open {
            // It may be over its longest duration, too, which ends it all the same.
            let shown = get(traffic, &name).await;
            if shown.is_none_or(|shown| shown.state == "RUNNING" && shown.available > 0) {
                left.push(name);
            }
        }
        if Instant::now() > until && !left.is_empty() {
            return Some(liveness(format!("demand doesn't use up {}", left.join(", "))));
        }
        open = left;
        sleep(LOOK_EVERY).await;
    }
    None
}

/// What every coordinator says of every session, once nothing changes any more.
pub(crate) async fn finals(traffic: &Traffic) -> Vec<Final> {
    let mut finals = Vec::new();
    for session in names(traffic) {
        for coordinator in 0..REPLICAS {
            let shown = match traffic.inspector().attempt(coordinator, &session, &Op::Get, "").await
            {
                Answer::Done(shown) => shown,
                Answer::Refused(_) | Answer::NothingStored(_) | Answer::Unknown(_) => None,
            };
            let coordinator = u32::try_from(coordinator).unwrap_or(u32::MAX);
            finals.push(Final { session: session.clone(), coordinator, shown });
        }
    }
    finals
}
