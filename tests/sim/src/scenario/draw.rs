//! Who takes part and what is wanted, drawn from a seed.

use squall_proto::vocabulary::session::{
    DelayDraft, ErrorCodesDraft, ExperimentDraft, FaultDraft, MalformedOutputDraft, RateDraft,
    SafetyDraft, SessionDraft, TargetDraft, ToolUnavailableDraft,
};

use super::trouble;
use super::{Clocks, Place, Planned, Scenario, Weather};
use crate::dice::Dice;
use crate::names;

/// The stream of numbers that scenarios are drawn from.
const STREAM: u64 = 1;

impl Weather {
    /// A usual day: nothing is lost.
    pub const FAIR: Self = Self { lost: 0, doubled: 0, late: 0, late_us: 0, delay_us: 2_000 };

    fn usual(dice: &mut Dice) -> Self {
        if dice.chance(500) {
            return Self::FAIR;
        }
        Self {
            lost: dice.within(0, 30),
            doubled: dice.within(0, 30),
            late: dice.within(0, 50),
            late_us: dice.within(10_000, 1_500_000),
            delay_us: dice.within(300, 20_000),
        }
    }
}

impl Scenario {
    /// The run of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, STREAM);
        let tenants = usize::from(dice.chance(300)) + 1;
        let shims = (0..dice.within(1, 7)).map(|_| place(dice, tenants)).collect();
        let sessions = (0..dice.within(1, 3)).map(|_| planned(dice, tenants)).collect();
        let mut scenario = Self {
            reason: String::new(),
            seed,
            clocks: if dice.chance(120) { Clocks::Apart } else { Clocks::Honest },
            replicas: *dice.one_of(&[1, 2, 2, 3, 3, 3]),
            snapshot_every: *dice.one_of(&[10, 40, 200, 100_000]),
            network: Weather::usual(dice),
            shims,
            sessions,
            trouble_ms: dice.within(6_000, 25_000),
            happenings: Vec::new(),
        };
        scenario.happenings = trouble::draw(dice, &scenario);
        scenario
    }
}

fn place(dice: &mut Dice, tenants: usize) -> Place {
    let late = dice.chance(250);
    Place {
        tenant: index(dice, tenants),
        joins_ms: if late { dice.within(1_000, 15_000) } else { dice.within(0, 300) },
        journal: dice.chance(500),
        agents: if dice.chance(300) { 2 } else { 1 },
        call_every_ms: *dice.one_of(&[8, 20, 50, 120, 400]),
        tool_ms: *dice.one_of(&[1, 1, 30, 300, 2_500]),
    }
}

fn index(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.within(0, count as u64 - 1)).expect("an index is small")
}

fn small(dice: &mut Dice, low: u64, high: u64) -> u32 {
    u32::try_from(dice.within(low, high)).expect("small numbers are drawn")
}

fn planned(dice: &mut Dice, tenants: usize) -> Planned {
    let shared = tenants > 1 && dice.chance(300);
    let experiments = if dice.chance(250) { 2 } else { 1 };
    let mut safety = safety(dice, shared, tenants);
    safety.blast_radius = radius(dice, shared, &mut safety);
    let experiments = (0..experiments).map(|number| experiment(dice, number)).collect();
    let target = TargetDraft {
        tenants: if shared { (0..tenants).map(names::tenant_text).collect() } else { Vec::new() },
        ..TargetDraft::default()
    };
    Planned {
        tenant: (!shared).then(|| index(dice, tenants)),
        at_ms: if dice.chance(700) { dice.within(300, 1_500) } else { dice.within(1_500, 12_000) },
        draft: SessionDraft { title: String::new(), experiments, target, safety },
    }
}

fn safety(dice: &mut Dice, shared: bool, tenants: usize) -> SafetyDraft {
    let budget = *dice.one_of(&[1, 2, 3, 5, 8, 13, 30, 80]);
    let maybe =
        |dice: &mut Dice, chance, low, high| dice.chance(chance).then(|| small(dice, low, high));
    let mut safety = SafetyDraft {
        max_affected_requests: Some(budget),
        max_outstanding: maybe(dice, 750, 1, u64::from(budget)),
        max_concurrent: maybe(dice, 200, 1, 3),
        max_per_agent: maybe(dice, 150, 1, u64::from(budget)),
        max_duration_s: dice.chance(200).then(|| dice.within(2, 20)),
        accept_lazy_log: Some(true),
        ..SafetyDraft::default()
    };
    if dice.chance(150) {
        safety.max_rate =
            Some(RateDraft { permits: small(dice, 1, 5), window_s: dice.within(1, 4) });
    }
    if shared && dice.chance(600) {
        let limits = (0..tenants)
            .map(|tenant| (names::tenant_text(tenant), small(dice, 1, u64::from(budget))));
        safety.max_per_tenant = limits.collect();
    }
    safety
}

/// The radius, and what else has to be so because of it.
fn radius(dice: &mut Dice, shared: bool, safety: &mut SafetyDraft) -> Option<String> {
    if shared {
        return Some("multi_tenant".to_owned());
    }
    let plain = |safety: &mut SafetyDraft| {
        safety.max_concurrent = None;
        safety.max_rate = None;
        safety.max_per_agent = None;
    };
    let radius = match dice.within(0, 19) {
        0 => {
            safety.max_affected_requests = Some(1);
            safety.max_outstanding = None;
            safety.max_per_agent = None;
            "single_request"
        }
        1 | 2 => "single_trace",
        3 | 4 => "single_agent",
        5 | 6 => {
            plain(safety);
            safety.max_outstanding = None;
            safety.strictness = Some("eventual".to_owned());
            "single_tenant"
        }
        7 => {
            safety.max_per_trace = Some(small(dice, 1, 3));
            "single_tenant"
        }
        8 | 9 => {
            safety.strictness = Some("strict_claim".to_owned());
            "single_tenant"
        }
        _ => "single_tenant",
    };
    Some(radius.to_owned())
}

fn experiment(dice: &mut Dice, number: u64) -> ExperimentDraft {
    let mut fault = FaultDraft::default();
    match dice.within(0, 5) {
        0 | 1 => {
            let fixed_ms = Some(*dice.one_of(&[20, 120, 400, 1_500, 4_000]));
            fault.latency = Some(DelayDraft { fixed_ms, ..DelayDraft::default() });
        }
        2 => fault.error = Some(ErrorCodesDraft::default()),
        3 => {
            let (mode, timeout_ms) = (Some("timeout".to_owned()), Some(dice.within(50, 2_000)));
            fault.tool_unavailable = Some(ToolUnavailableDraft { mode, timeout_ms });
        }
        4 | 5 => fault.malformed_output = Some(MalformedOutputDraft::default()),
        _ => {}
    }
    ExperimentDraft {
        name: Some(format!("e{number}")),
        fault,
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        probability: dice.chance(350).then(|| dice.within(100, 900) as f64 / 1000.0),
        ..ExperimentDraft::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_drawn_is_a_session_that_can_be_created_and_a_file_that_can_be_kept() {
        for seed in 0..2_000 {
            let scenario = Scenario::draw(seed);
            for planned in &scenario.sessions {
                planned.draft.clone().validate().unwrap_or_else(|why| panic!("{seed}: {why}"));
            }
            let text = serde_json::to_string(&scenario).unwrap();
            assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
        }
    }
}
