//! Sessions as a drill draws them: every radius, caps of all kinds, faults that can't be taken for noise.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;
use squall_proto::wire::v1;

use crate::house::{TENANTS, tool};

/// A session that is to be created.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// `tenant/session`.
    pub(crate) name: String,
    /// What it does.
    pub(crate) spec: v1::SessionSpec,
    /// Whether its agents' demand alone must use its budget up once nothing is in their way.
    pub(crate) is_plain: bool,
}

/// Draws a session on the tool `slot`.
pub(crate) fn draw(random: &mut StdRng, number: u64, slot: usize) -> Draft {
    let tenant = TENANTS[random.random_range(0..TENANTS.len())];
    let mut safety = v1::SafetySpec {
        max_affected_requests: Some(random.random_range(3..60)),
        max_duration_s: Some(random.random_range(40..90)),
        ..Default::default()
    };
    let mut target = v1::TargetSpec::default();
    let mut log_tenant = tenant;
    let is_shared = radius(random, &mut safety);
    if is_shared {
        log_tenant = "_fleet";
        target.tenants = TENANTS.map(str::to_owned).to_vec();
    }
    let capped = caps(random, &mut safety, is_shared);
    let name = format!("{log_tenant}/s{number}");
    let (fault, marked) = fault(random, &name);
    if !marked && random.random_bool(0.5) {
        safety.max_concurrent = Some(random.random_range(1..4));
    }
    let is_plain = !capped
        && safety.max_concurrent.is_none()
        && matches!(
            safety.blast_radius(),
            v1::BlastRadius::SingleTenant | v1::BlastRadius::MultiTenant
        )
        && safety.strictness() != v1::Strictness::StrictClaim;
    let experiment = v1::ExperimentSpec {
        fault: Some(fault),
        probability: Some(if random.random_bool(0.7) { 1.0 } else { 0.5 }),
        tools: vec![tool(slot)],
        ..Default::default()
    };
    let spec = v1::SessionSpec {
        experiments: vec![experiment],
        target: Some(target),
        safety: Some(safety),
        ..Default::default()
    };
    Draft { name, spec, is_plain }
}

/// Draws the radius; whether it spans tenants.
fn radius(random: &mut StdRng, safety: &mut v1::SafetySpec) -> bool {
    let radius = match random.random_range(0..20) {
        0 => v1::BlastRadius::SingleRequest,
        1..=3 => v1::BlastRadius::SingleAgent,
        4..=5 => v1::BlastRadius::SingleTrace,
        6..=13 => v1::BlastRadius::SingleTenant,
        _ => v1::BlastRadius::MultiTenant,
    };
    safety.set_blast_radius(radius);
    match radius {
        v1::BlastRadius::SingleRequest => safety.max_affected_requests = Some(1),
        v1::BlastRadius::SingleTrace => {
            safety.max_affected_requests = Some(random.random_range(1..4))
        }
        v1::BlastRadius::SingleTenant if random.random_bool(0.2) => {
            safety.set_strictness(v1::Strictness::StrictClaim);
        }
        v1::BlastRadius::Unspecified
        | v1::BlastRadius::SingleAgent
        | v1::BlastRadius::SingleTenant
        | v1::BlastRadius::MultiTenant => {}
    }
    radius == v1::BlastRadius::MultiTenant
}

/// Draws caps; whether there is one that may keep the budget from being used up.
fn caps(random: &mut StdRng, safety: &mut v1::SafetySpec, is_shared: bool) -> bool {
    let budget = safety.max_affected_requests.unwrap_or(1);
    if random.random_bool(0.5) {
        safety.max_outstanding = Some(random.random_range(1..=budget));
    }
    let within = |random: &mut StdRng| random.random_range(1..=budget.div_ceil(2));
    let mut capped = false;
    if is_shared && random.random_bool(0.6) {
        let limits = TENANTS.map(|tenant| (tenant.to_owned(), within(random)));
        safety.max_per_tenant = BTreeMap::from(limits);
        capped = true;
    }
    if random.random_bool(0.2) {
        safety.max_per_agent = Some(within(random));
        capped = true;
    }
    if safety.strictness() == v1::Strictness::StrictClaim && random.random_bool(0.5) {
        safety.max_per_trace = Some(1);
    }
    if random.random_bool(0.15) {
        let (permits, window_s) = (random.random_range(1..8), random.random_range(1..5));
        safety.max_rate = Some(v1::RateSpec { permits, window_s });
        capped = true;
    }
    capped
}

/// Draws a fault; whether it names its session.
fn fault(random: &mut StdRng, name: &str) -> (v1::FaultSpec, bool) {
    let mut fault = v1::FaultSpec::default();
    match random.random_range(0..10) {
        0..=4 => {
            let message = Some(format!("drill {name}"));
            fault.error = Some(v1::ErrorCodesSpec { message, ..Default::default() });
        }
        5..=7 => {
            let mut unavailable = v1::ToolUnavailableSpec {
                timeout_ms: Some(random.random_range(300..2500)),
                ..Default::default()
            };
            unavailable.set_mode(v1::Unavailability::Timeout);
            fault.tool_unavailable = Some(unavailable);
        }
        8 => fault.malformed_output = Some(v1::MalformedOutputSpec::default()),
        _ => fault.context_truncation = Some(v1::ContextTruncationSpec::default()),
    }
    (fault.clone(), fault.error.is_some())
}
