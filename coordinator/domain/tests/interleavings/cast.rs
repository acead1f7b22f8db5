//! Who takes part, and under which bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use squall_proto::vocabulary::id::{
    AgentName, AppendId, Holder, Incarnation, SessionId, SessionKey, ShimId, TenantId, TraceId,
};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, RateDraft, SafetyDraft, SessionDraft, SessionSpec,
};

pub(crate) const ACME: &str = "acme";
pub(crate) const GLOBEX: &str = "globex";

/// Tenant, name and agents of each shim.
pub(crate) const SHIMS: [(&str, &str, &[&str]); 3] =
    [(ACME, "a", &["planner", "writer"]), (ACME, "b", &["planner"]), (GLOBEX, "c", &["planner"])];

/// Each session that the interleavings are run with, and its name.
pub(crate) fn specs() -> Vec<(&'static str, Arc<SessionSpec>)> {
    let level = |name: &str| {
        let name = name.to_owned();
        move |safety: &mut SafetyDraft| safety.blast_radius = Some(name)
    };
    vec![
        ("chunks", spec(6, &[], |_| {})),
        ("capped", spec(40, &[], |safety| safety.max_outstanding = Some(3))),
        ("tiny", spec(2, &[], |_| {})),
        ("agents", spec(12, &[], |safety| safety.max_per_agent = Some(3))),
        ("concurrent", spec(30, &[], |safety| safety.max_concurrent = Some(2))),
        (
            "slow",
            spec(30, &[], |safety| safety.max_rate = Some(RateDraft { permits: 3, window_s: 20 })),
        ),
        ("guarded", spec(9, &[], |safety| safety.cascade_threshold = Some(2))),
        (
            "claims",
            spec(8, &[], |safety| {
                safety.strictness = Some("strict_claim".to_owned());
                safety.max_per_trace = Some(2);
            }),
        ),
        ("single_request", spec(1, &[], level("single_request"))),
        ("single_agent", spec(8, &[], level("single_agent"))),
        ("single_trace", spec(8, &[], level("single_trace"))),
        (
            "multi_tenant",
            spec(9, &[ACME, GLOBEX], |safety| {
                safety.max_per_tenant =
                    BTreeMap::from([(ACME.to_owned(), 2), (GLOBEX.to_owned(), 3)]);
                safety.max_per_agent = Some(3);
            }),
        ),
    ]
}

fn spec(budget: u32, tenants: &[&str], change: impl FnOnce(&mut SafetyDraft)) -> Arc<SessionSpec> {
    let latency = LatencyDraft { fixed_ms: Some(1000), ..LatencyDraft::default() };
    let fault = FaultDraft { latency: Some(latency), ..FaultDraft::default() };
    let mut draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        ..SessionDraft::default()
    };
    draft.safety.max_affected_requests = Some(budget);
    draft.safety.max_outstanding = Some(budget);
    draft.safety.max_duration_s = Some(120);
    if !tenants.is_empty() {
        draft.safety.blast_radius = Some("multi_tenant".to_owned());
        draft.target.tenants = tenants.iter().map(ToString::to_string).collect();
    }
    change(&mut draft.safety);
    Arc::new(draft.validate().unwrap())
}

/// Where the session lives.
pub(crate) fn key_of(spec: &SessionSpec) -> SessionKey {
    let tenant = if spec.target.tenants.is_empty() { tenant(ACME) } else { TenantId::fleet() };
    SessionKey { tenant, session: SessionId::new("s").unwrap() }
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub(crate) fn trace(number: u8) -> TraceId {
    TraceId::new(format!("t{number}")).unwrap()
}

/// A life of a shim.
pub(crate) fn holder(shim: usize, life: u8) -> Holder {
    let (of, name, _) = SHIMS[shim];
    let shim = ShimId::new(name).unwrap();
    Holder { tenant: tenant(of), shim, incarnation: Incarnation([life; 16]) }
}

pub(crate) fn append_id(number: u64) -> AppendId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    AppendId(bytes)
}
