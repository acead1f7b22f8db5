//! A session of this process alone, for the adapters' tests.

use std::sync::Arc;

use squall_proto::vocabulary::fault::Fault;
use squall_proto::vocabulary::id::{ExperimentName, ToolName};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::{Probability, Selector};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_shim_core::{Clock, Local};

/// Faults, each at the tools named (all of them if none is), with probability `p`.
pub(crate) fn local(faults: &[(Fault, &[&str])], p: f64) -> Local {
    let experiments = faults.iter().enumerate().map(|(n, (fault, tools))| Experiment {
        name: ExperimentName::new(format!("experiment {n}")).unwrap(),
        fault: fault.clone(),
        probability: Probability::new(p).unwrap(),
        selector: Selector {
            agents: vec![],
            tools: tools.iter().map(|tool| ToolName::new(*tool).unwrap()).collect(),
        },
    });
    Local::new(Arc::new(HostClock), experiments.collect(), 1_000, 7)
}

struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> BootNanos {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        BootNanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(0)
    }
}
