//! What a Hello says can be applied is what the process arms, in every combination of sites, owner and session.

use proptest::prelude::*;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::{Damage, Fault, FaultKind, MalformedOutput};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::Experiment;
use squall_proto::vocabulary::target::{PercentageUnit, Probability};

use super::*;
use crate::policy::Policy;
use crate::testing::{Process, agent, experiment, latency, session, tool};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One place where calls are made, by numbers.
#[derive(Clone, Debug)]
struct Spot {
    agent: usize,
    tool: usize,
    point: usize,
    able: [bool; 3],
}

fn spot() -> impl Strategy<Value = Spot> {
    (0..3_usize, 0..3_usize, 0..3_usize, any::<[bool; 3]>())
        .prop_map(|(agent, tool, point, able)| Spot { agent, tool, point, able })
}

impl Spot {
    fn seam(&self) -> Seam {
        let [rewrite_out, structural, knows_trace] = self.able;
        let capabilities =
            Capabilities { rewrite_out, structural, knows_trace, ..Capabilities::ALL };
        let point = Point::ALL[self.point];
        Seam { name: "test".to_owned(), point, shape: Shape::Json, capabilities }
    }
}

/// What is drawn of a session: the fault, and whom it may hit.
#[derive(Clone, Debug)]
struct Wish {
    broken: bool,
    agent: Option<usize>,
    tool: Option<usize>,
    by_trace: bool,
    production: bool,
}

fn wish() -> impl Strategy<Value = Wish> {
    let (one, other) = (prop::option::of(0..3_usize), prop::option::of(0..3_usize));
    (any::<bool>(), one, other, any::<bool>(), any::<bool>()).prop_map(
        |(broken, agent, tool, by_trace, production)| Wish {
            broken,
            agent,
            tool,
            by_trace,
            production,
        },
    )
}

impl Wish {
    fn experiment(&self) -> Experiment {
        let broken = Fault::MalformedOutput(MalformedOutput { mode: Damage::Empty, keep: 0.5 });
        let mut experiment = experiment("e", if self.broken { broken } else { latency(500) }, 1.0);
        experiment.selector.tools = self.tool.map(|n| tool(NAMES[n])).into_iter().collect();
        experiment
    }

    fn spec(&self) -> SessionSpec {
        let mut spec = crate::testing::spec(vec![self.experiment()]);
        spec.target.selector.agents = self.agent.map(|n| agent(NAMES[n])).into_iter().collect();
        spec.target.percentage_unit =
            if self.by_trace { PercentageUnit::Trace } else { PercentageUnit::Request };
        spec.target.percentage = Probability::new(0.5).unwrap();
        if self.production {
            spec.target.environments = vec![Environment::production()];
        }
        spec
    }
}

/// The Hello of a process with an agent beside those of its sites.
fn said(process: &mut Process) -> Hello {
    let policy = process.registry.policy().clone();
    let identity = Identity {
        incarnation: ME,
        version: "test".to_owned(),
        environment: policy.environment,
        allowed: policy.allowed,
        max_delay_ms: policy.max_delay_ms,
        agents: vec![agent("0"), agent("b")],
    };
    let mut link = Link::new(identity, 1);
    link.handle(BootNanos(1), Input::Connected, &mut process.registry);
    std::iter::from_fn(|| link.poll())
        .find_map(|output| match output {
            Output::Send { request: Request::Hello(hello), .. } => Some(hello),
            Output::Send { .. }
            | Output::Publish { .. }
            | Output::PlanChanged
            | Output::WakeDelays
            | Output::ClaimAnswered(_) => None,
        })
        .expect("a Hello")
}

proptest! {
    #[test]
    fn what_a_hello_says_can_be_applied_is_what_is_armed(
        spots in prop::collection::vec(spot(), 0..5),
        wish in wish(),
        all_kinds in any::<bool>(),
        max_delay_ms in prop_oneof![Just(0), Just(499), Just(500), Just(60_000_u64)],
    ) {
        let kinds = if all_kinds { FaultKind::ALL.to_vec() } else { vec![FaultKind::Latency] };
        let all = Policy::all(Environment::new("test").unwrap());
        let mut process = Process::with(Policy { allowed: kinds, max_delay_ms, ..all });
        let sites: Vec<_> = spots
            .iter()
            .map(|spot| {
                let (agent, tool) = (agent(NAMES[spot.agent]), tool(NAMES[spot.tool]));
                process.registry.site(&agent, &tool, &spot.seam())
            })
            .collect();
        let spec = wish.spec();
        process.registry.install(&[session("s", spec.clone())]);
        let hello = said(&mut process);
        let experiment = &spec.experiments[0];
        let allowed = hello.allowance().admits(&spec.target).is_ok()
            && hello.allowance().lets(&experiment.fault).is_ok();
        let fits = hello.sites().any(|site| site.fits(&spec, experiment).is_ok());
        prop_assert_eq!(sites.iter().any(|site| site.is_armed()), allowed && fits);
    }
}
