//! Who and what: names, specifications, and what shims say.

use super::*;

pub(in crate::engine::tests) fn key() -> SessionKey {
    named("main")
}

pub(super) fn named(session: &str) -> SessionKey {
    SessionKey { tenant: tenant(), session: session.parse().unwrap() }
}

pub(super) fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

/// One latency experiment and this budget, half of which may be outstanding at once.
pub(in crate::engine::tests) fn spec(budget: u32) -> SessionSpec {
    draft(budget).validate().unwrap()
}

/// The same with a rate a second.
pub(in crate::engine::tests) fn rated(budget: u32, permits: u32) -> SessionSpec {
    let mut draft = draft(budget);
    draft.safety.max_rate = Some(RateDraft { permits, window_s: 1 });
    draft.validate().unwrap()
}

pub(in crate::engine::tests) fn draft(budget: u32) -> SessionDraft {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(200), ..Default::default() }),
        ..Default::default()
    };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        safety: SafetyDraft {
            max_affected_requests: Some(budget),
            max_outstanding: Some(budget.div_ceil(2)),
            accept_lazy_log: Some(true),
            ..Default::default()
        },
        ..Default::default()
    }
}

pub(in crate::engine::tests) fn incarnation(shim: &str) -> Incarnation {
    let mut bytes = [7; 16];
    for (byte, from) in bytes.iter_mut().zip(shim.bytes()) {
        *byte = from;
    }
    Incarnation(bytes)
}

/// The agent `planner` calls the tool `search`, through a seam that can do everything.
pub(in crate::engine::tests) fn hello(shim: &str) -> Hello {
    let capabilities = Capabilities::ALL;
    Hello {
        incarnation: incarnation(shim),
        version: "test".into(),
        environment: Environment::new("ci").unwrap(),
        agents: vec!["planner".parse().unwrap()],
        tools: vec!["search".parse().unwrap()],
        seams: vec![Seam {
            name: "linked".into(),
            point: Point::Tool,
            shape: Shape::Json,
            capabilities,
        }],
        sites: vec![SiteRef { agent: 0, tool: 0, seam: 0 }],
        allowed: FaultKind::ALL.to_vec(),
        max_delay_ms: 60_000,
        sticky_aborts: vec![],
    }
}

/// A confirmation for the main session.
pub(in crate::engine::tests) fn inert(shim: &str, epoch: AbortEpoch) -> Request {
    Request::Inert(Inert {
        incarnation: incarnation(shim),
        session: key(),
        epoch,
        used: 1,
        last_injection_ago: None,
    })
}

/// A Hello that names aborts of these sessions, which the log lacks.
pub(in crate::engine::tests) fn reporting(shim: &str, sessions: &[&str]) -> Hello {
    let epoch = AbortEpoch::Pushed(AppendId([9; 16]));
    let sticky = |session: &&str| StickyAbort { session: named(session), epoch };
    Hello { sticky_aborts: sessions.iter().map(sticky).collect(), ..hello(shim) }
}
