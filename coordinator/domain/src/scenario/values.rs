//! Specifications, names and events for scenarios.

use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::id::{
    Actor, AgentName, AppendId, Holder, Incarnation, RequestId, ShimId, TenantId, TraceId,
};
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec,
};

use crate::event::{
    AbortCause, BoundScope, CommandKind, CommandRef, DrainReason, Ending, Event, Hash,
};
use crate::session::Session;

/// The tenant that everything belongs to unless a test says otherwise.
pub(crate) const ACME: &str = "acme";
/// Another tenant.
pub(crate) const GLOBEX: &str = "globex";

/// A checked specification: latency of 1 s at most, this budget, and what `change` says.
pub(crate) fn spec(budget: u32, change: impl FnOnce(&mut SafetyDraft)) -> Arc<SessionSpec> {
    multi_tenant(budget, &[], change)
}

/// The same for a list of tenants.
pub(crate) fn multi_tenant(
    budget: u32,
    tenants: &[&str],
    change: impl FnOnce(&mut SafetyDraft),
) -> Arc<SessionSpec> {
    let latency = LatencyDraft { fixed_ms: Some(1000), ..LatencyDraft::default() };
    let fault = FaultDraft { latency: Some(latency), ..FaultDraft::default() };
    let mut draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        ..SessionDraft::default()
    };
    draft.safety.max_affected_requests = Some(budget);
    // Most tests are not about this cap.
    draft.safety.max_outstanding = Some(budget);
    if !tenants.is_empty() {
        draft.safety.blast_radius = Some("multi_tenant".to_owned());
        draft.target.tenants = tenants.iter().map(ToString::to_string).collect();
    }
    change(&mut draft.safety);
    Arc::new(draft.validate().unwrap())
}

/// A strict session with this budget.
pub(crate) fn strict(budget: u32) -> Arc<SessionSpec> {
    spec(budget, |_| {})
}

/// A session without permits.
pub(crate) fn eventual(budget: u32) -> Arc<SessionSpec> {
    spec(budget, |safety| safety.strictness = Some("eventual".to_owned()))
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

pub(crate) fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub(crate) fn trace(name: &str) -> TraceId {
    TraceId::new(name).unwrap()
}

/// The first life of one of Acme's shims.
pub(crate) fn holder(shim: &str) -> Holder {
    holder_of(ACME, shim, 1)
}

pub(crate) fn holder_of(of: &str, shim: &str, life: u8) -> Holder {
    let shim = ShimId::new(shim).unwrap();
    Holder { tenant: tenant(of), shim, incarnation: Incarnation([life; 16]) }
}

/// The append that wrote the entry at `sequence`.
pub(crate) fn append(sequence: u64) -> AppendId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    AppendId(bytes)
}

pub(crate) fn hash(sequence: u64) -> Hash {
    let mut hash = [0xab; 32];
    hash[..8].copy_from_slice(&sequence.to_le_bytes());
    hash
}

pub(crate) fn by(request: &str, kind: CommandKind) -> CommandRef {
    let (request, actor) = (RequestId::new(request).unwrap(), Actor::new("ann").unwrap());
    CommandRef { request, actor, kind }
}

// Events.

pub(crate) fn created(spec: &Arc<SessionSpec>) -> Event {
    Session::created(Arc::clone(spec), 11, [9; 32])
}

pub(crate) fn started() -> Event {
    Event::Started { shims: 3 }
}

pub(crate) fn drained() -> Event {
    Event::DrainBegan { why: DrainReason::Operator }
}

pub(crate) fn ended(how: Ending) -> Event {
    Event::Ended { how }
}

pub(crate) fn aborted() -> Event {
    Event::Aborted { reason: "enough".to_owned(), cause: AbortCause::Operator }
}

pub(crate) fn damaged() -> Event {
    Event::LogDamaged { why: "a test says so".to_owned() }
}

/// A chunk for anybody, asked for by the planner.
pub(crate) fn issued(shim: &str, req_no: u64, permits: u32) -> Event {
    issued_to(holder(shim), req_no, permits, GrantScope::default())
}

/// A grant with a scope; who is charged follows from it.
pub(crate) fn issued_to(holder: Holder, req_no: u64, permits: u32, scope: GrantScope) -> Event {
    let agent = scope.agent.clone().unwrap_or_else(|| agent("planner"));
    Event::GrantIssued { holder, req_no, permits, agent, trace: scope.trace.clone(), scope }
}

pub(crate) fn closed(shim: &str, req_no: u64, used: u32) -> Event {
    Event::GrantClosed { holder: holder(shim), req_no, used }
}

pub(crate) fn confirmed(shim: &str) -> Event {
    Event::InertConfirmed {
        holder: holder(shim),
        used: 2,
        last_injection_ago: Some(Duration::from_millis(5)),
    }
}

pub(crate) fn for_agent(name: &str) -> GrantScope {
    GrantScope { agent: Some(agent(name)), ..GrantScope::default() }
}

/// What a claim is bound to.
pub(crate) fn for_request(name: &str, of: Option<&str>, request: u64) -> GrantScope {
    GrantScope { agent: Some(agent(name)), trace: of.map(trace), request: Some(request) }
}

pub(crate) fn bound(scope: BoundScope) -> Event {
    Event::ScopeBound { scope }
}
