//! The play: what is done to the fleet, in order, and what was measured.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::named::Named as _;
use squall_proto::wire::v1::{Report, Session, SessionState, StopReport, StopStage};
use tokio::time::{Instant, sleep};

use crate::fleet::Fleet;
use crate::live::say;
use crate::operator::Operator;
use crate::record::now_ns;
use crate::referee::Frozen;
use crate::stage::Stage;
use crate::watch::Watch;

/// Applied faults after which the coordinator is killed.
const KILL_AFTER: u64 = 12;
/// Applied faults after which an agent is frozen.
const FREEZE_AFTER: u64 = 22;
/// Applied faults after which the session is aborted, as soon as others than the frozen agent hold permits, every kind was
/// applied, and there is a delay to cut. From here on to [`ABORT_AT_LAST`] four delays begin on average.
const ABORT_AFTER: u64 = 30;
/// Applied faults after which it is aborted in any case: a session that has spent its budget ends by itself.
const ABORT_AT_LAST: u64 = 48;
/// How long a delay to cut is waited for: four begin on average while the budget lasts, and none once it is spent.
const CUT_WITHIN: Duration = Duration::from_secs(15);
/// Tries to freeze an agent while it holds a permit; it may use it in the moment before.
const FREEZE_TRIES: usize = 40;
/// Time for which the agents go on working after the stop was proven: anything injected now would show.
const AFTERMATH: Duration = Duration::from_secs(3);
/// Time in which an agent that holds a permit may still use it before it is known to be frozen.
const SETTLE: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Longest wait for a moment without a call that may be delayed. One comes every few dozen milliseconds; on a machine that
/// is so busy that none comes, the budget must not be spent meanwhile.
const QUIET_WITHIN: Duration = Duration::from_secs(2);
/// Age of a call that the abort is to cut short: twice what the referee takes for a cut delay, and early enough that a
/// delay of 1200 ms which is not cut outlasts the abort by more than a busy machine takes for it.
pub(crate) const CUT_AGE_NS: RangeInclusive<u64> = 500_000_000..=850_000_000;

/// What happened.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    /// Agents that were frozen for a while: the referee must know.
    pub(crate) frozen: Vec<Frozen>,
    /// The agent that was frozen when the session was aborted.
    pub(crate) absent: Frozen,
    /// From when until when the session injected, up to the moment of the abort, in nanoseconds of `CLOCK_BOOTTIME`.
    pub(crate) session_ns: (u64, u64),
    /// Whether the coordinator died of the kill.
    pub(crate) killed: bool,
    /// From the kill until the session was there again, whole, and running.
    pub(crate) recovered: Duration,
    /// The stop when it was proven, the frozen agent still frozen.
    pub(crate) stop: StopReport,
    /// Agents that held no permit then.
    pub(crate) held_nothing: usize,
}

/// The operator at work on a fleet.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    /// The servers.
    pub(crate) stage: &'a mut Stage,
    /// The agents.
    pub(crate) fleet: &'a Fleet,
    /// The session.
    pub(crate) operator: &'a mut Operator,
    /// The calls under way.
    pub(crate) watch: Watch,
}

impl Play<'_> {
    /// Plays it, up to the moment when all agents may end.
    ///
    /// # Errors
    /// When a step does not come to pass.
    pub(crate) async fn perform(mut self) -> Result<Played> {
        let started_ns = now_ns();
        self.operator.start().await.context("start the session")?;
        say("The session runs.");
        self.operator.until("the first faults", |session| applied(session) >= KILL_AFTER).await?;
        let (killed, recovered) = self.kill_and_recover().await?;
        self.operator.until("more faults", |session| applied(session) >= FREEZE_AFTER).await?;

        let mut frozen = Vec::new();
        let (agent, from_ns) = self.freeze(&mut frozen).await?;
        let kinds = self.operator.kinds();
        self.operator.until("still more faults", |session| seen_enough(session, &kinds)).await?;

        self.moment_to_abort().await?;
        let aborted_ns = now_ns();
        let stop = self.abort().await?;
        let to_ns = now_ns();
        self.fleet.thaw(&agent)?;
        say(&format!("Agent {agent} goes on (SIGCONT). It must not inject anything any more."));
        sleep(AFTERMATH).await;
        let absent = Frozen { agent, from_ns, to_ns };
        frozen.push(absent.clone());
        let session_ns = (started_ns, aborted_ns);
        let held_nothing = self.fleet.held_nothing(&stop);
        Ok(Played { frozen, absent, session_ns, killed, recovered, stop, held_nothing })
    }

    /// Waits for a moment in which no delay can be cut short.
    async fn quiet(&mut self, agent: Option<&str>) -> Result<()> {
        let until = Instant::now() + QUIET_WITHIN;
        while !self.is_quiet(agent)? && Instant::now() < until {
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn is_quiet(&mut self, agent: Option<&str>) -> Result<bool> {
        Ok(self.watch.open_since(&self.operator.delayed_tools(), agent)?.is_empty())
    }

    /// Waits for a moment in which the abort cuts a delay short, and one that has lasted long enough to be seen. While
    /// none comes the budget is spent; at last a quiet moment has to do.
    async fn moment_to_abort(&mut self) -> Result<()> {
        let until = Instant::now() + CUT_WITHIN;
        while Instant::now() < until && applied(&self.operator.session().await?) < ABORT_AT_LAST {
            let open = self.watch.open_since(&self.operator.delayed_tools(), None)?;
            let now = now_ns();
            if is_worth_cutting(open.into_iter().map(|since_ns| now.saturating_sub(since_ns))) {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        self.quiet(None).await
    }

    async fn kill_and_recover(&mut self) -> Result<(bool, Duration)> {
        let log = self.operator.log().await?;
        let before = self.operator.session().await?;
        let start = Instant::now();
        let killed = self.stage.kill_coordinator().await?;
        say("The coordinator is killed (SIGKILL), and started again.");
        self.stage.start_coordinator().await?;
        let whole = |after: &Session| {
            after.state() == SessionState::Running
                && after.revision >= before.revision
                && applied(after) >= applied(&before)
        };
        self.operator.until("the session after the kill", whole).await?;
        let recovered = start.elapsed();
        let after = self.operator.log().await?;
        ensure!(after.starts_with(&log), "the log lost events: before {log:?}, after {after:?}");
        say(&format!("It is back after {} ms; nothing is lost.", recovered.as_millis()));
        Ok((killed, recovered))
    }

    /// Freezes an agent that holds a permit, so that the abort can't reach a holder. Who used the permit in the moment
    /// before goes on, and another one is tried.
    async fn freeze(&mut self, frozen: &mut Vec<Frozen>) -> Result<(String, u64)> {
        for _ in 0..FREEZE_TRIES {
            let shims = self.operator.shims().await?;
            let Some(holder) = shims.iter().find(|shim| shim.open_permits > 0) else {
                sleep(LOOK_EVERY).await;
                continue;
            };
            let agent = holder.shim.clone();
            self.quiet(Some(&agent)).await?;
            let from_ns = now_ns();
            self.fleet.freeze(&agent)?;
            sleep(SETTLE).await;
            let holds = self.open_permits(&agent).await? > 0;
            if holds && self.is_quiet(Some(&agent))? {
                say(&format!("Agent {agent} is frozen (SIGSTOP) with a permit in hand."));
                return Ok((agent, from_ns));
            }
            self.fleet.thaw(&agent)?;
            frozen.push(Frozen { agent, from_ns, to_ns: now_ns() });
        }
        bail!("no agent could be frozen with a permit in hand")
    }

    async fn open_permits(&mut self, agent: &str) -> Result<u64> {
        let shims = self.operator.shims().await?;
        Ok(shims.iter().filter(|shim| shim.shim == agent).map(|shim| shim.open_permits).sum())
    }

    async fn abort(&mut self) -> Result<StopReport> {
        self.operator.abort().await.context("abort the session")?;
        say("Aborted, durable. Waiting for the proof that nothing runs any more.");
        let proven = self.operator.until("the proof", is_proven).await?;
        let stop = proven.stop.context("a proven stop without a report")?;
        let (confirmed, absent) = (stop.confirmed.len(), stop.out_of_contact.len());
        let rest = self.fleet.held_nothing(&stop);
        say(&format!(
            "All stopped, proven: {confirmed} confirmed, {absent} out of contact, {rest} held nothing."
        ));
        Ok(stop)
    }
}

/// The report, once the last evidence of agents that have ended is in it.
///
/// # Errors
/// When the coordinator does not answer.
pub(crate) async fn settled_report(operator: &mut Operator) -> Result<Report> {
    let mut last = operator.report().await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        let report = operator.report().await?;
        if report.applied == last.applied && report.experiments == last.experiments {
            return Ok(report);
        }
        last = report;
    }
}

/// Whether one of the calls under way has the age to be cut, and none is younger.
fn is_worth_cutting(ages_ns: impl Iterator<Item = u64> + Clone) -> bool {
    let young = ages_ns.clone().any(|age| age < *CUT_AGE_NS.start());
    !young && ages_ns.into_iter().any(|age| CUT_AGE_NS.contains(&age))
}

fn applied(session: &Session) -> u64 {
    session.counts.as_ref().map_or(0, |counts| counts.applied)
}

fn seen_enough(session: &Session, kinds: &BTreeMap<String, FaultKind>) -> bool {
    let flowing = applied(session) >= ABORT_AFTER && others_hold(session);
    (flowing && every_kind_applied(session, kinds)) || applied(session) >= ABORT_AT_LAST
}

fn every_kind_applied(session: &Session, kinds: &BTreeMap<String, FaultKind>) -> bool {
    let applied: BTreeSet<_> = session
        .experiments
        .iter()
        .filter(|experiment| experiment.counts.is_some_and(|counts| counts.applied > 0))
        .filter_map(|experiment| kinds.get(&experiment.experiment))
        .collect();
    applied.len() == FaultKind::ALL.len()
}

/// Whether somebody else than the frozen agent holds permits: then there is somebody who can confirm the stop.
fn others_hold(session: &Session) -> bool {
    session.budget.as_ref().is_some_and(|budget| budget.outstanding > 1)
}

fn is_proven(session: &Session) -> bool {
    session.stop.as_ref().is_some_and(|stop| stop.stage() == StopStage::StoppedProven)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_abort_waits_for_a_delay_that_it_can_cut_and_for_none_that_has_just_begun() {
        let worth = |ages_ms: &[u64]| is_worth_cutting(ages_ms.iter().map(|ms| ms * 1_000_000));
        assert!(worth(&[600]) && worth(&[600, 1_100]));
        assert!(!worth(&[]) && !worth(&[600, 20]) && !worth(&[1_100]));
    }
}
