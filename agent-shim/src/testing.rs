//! A session of this process alone, or of a coordinator in a test's hands: what the tests of all seams share.

mod coordinator;
mod faults;

use std::panic::Location;
use std::time::{Duration, Instant};

use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::fault::{
    Damage, Delay, Fault, Latency, MalformedOutput, ToolUnavailable, Unavailability,
};
use squall_proto::vocabulary::id::{ExperimentName, ToolName};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::{Probability, Selector};

use crate::Shim;
pub(crate) use coordinator::{Coordinator, plan, planner};
pub(crate) use faults::{Met, Row, assert_rows, every_fault_that_holds};

/// Nothing in a test takes this long.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A delay that no test waits for: it ends when the session is stopped.
pub(crate) const FOREVER_MS: u64 = 60_000;

/// Faults, each at the tools named (all of them if none is), with probability `p`.
pub(crate) fn local(faults: &[(Fault, &[&str])], p: f64) -> Shim {
    let experiments = faults.iter().enumerate().map(|(n, (fault, tools))| Experiment {
        name: ExperimentName::new(format!("experiment {n}")).expect("a name"),
        fault: fault.clone(),
        probability: Probability::new(p).expect("from 0 to 1"),
        selector: Selector {
            agents: vec![],
            tools: tools.iter().map(|tool| ToolName::new(*tool).expect("a name")).collect(),
        },
    });
    Shim::local(experiments.collect(), 1_000, 7).expect("threads can be started")
}

/// A fixed delay.
pub(crate) fn latency(ms: u64) -> Fault {
    Fault::Latency(Latency { delay: Delay::Fixed { ms } })
}

/// A tool that is unavailable.
pub(crate) fn unavailable(mode: Unavailability, timeout_ms: u64) -> Fault {
    Fault::ToolUnavailable(ToolUnavailable { mode, timeout_ms })
}

/// Damaged output, half of it kept.
pub(crate) fn malformed(mode: Damage) -> Fault {
    Fault::MalformedOutput(MalformedOutput { mode, keep: 0.5 })
}

/// The counters of all experiments together.
pub(crate) fn counts(shim: &Shim) -> Counts {
    shim.counts().into_iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(counts))
}

/// Faults under way.
pub(crate) fn running(shim: &Shim) -> u32 {
    shim.registry().sessions().iter().map(|live| live.wallet().running()).sum()
}

/// Waits until `is` so. What never comes to be so fails where it is waited for.
#[track_caller]
pub(crate) fn until(is: impl Fn() -> bool) -> impl Future<Output = ()> {
    let (at, start) = (Location::caller(), Instant::now());
    async move {
        while !is() {
            assert!(start.elapsed() < LONG, "waited in vain at {at}");
            tokio::task::yield_now().await;
        }
    }
}
