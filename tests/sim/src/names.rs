//! What everybody and everything is called.

use squall_proto::vocabulary::id::{AgentName, SessionKey, ShimId, TenantId, ToolName, TraceId};

fn fits<T, E: std::fmt::Debug>(name: Result<T, E>) -> T {
    name.expect("a word and a number is a name")
}

/// The text of a tenant's name.
#[must_use]
pub fn tenant_text(number: usize) -> String {
    format!("t{number}")
}

/// A tenant.
#[must_use]
pub fn tenant(number: usize) -> TenantId {
    fits(tenant_text(number).parse())
}

/// A shim.
#[must_use]
pub fn shim(place: usize) -> ShimId {
    fits(format!("shim{place}").parse())
}

/// An agent of a process: agents of several processes have the same name.
#[must_use]
pub fn agent(number: usize) -> AgentName {
    fits(format!("agent{number}").parse())
}

/// The tool that every agent calls.
#[must_use]
pub fn tool() -> ToolName {
    fits("tool".parse())
}

/// A trace.
#[must_use]
pub fn trace(number: u64) -> TraceId {
    fits(format!("trace{number}").parse())
}

/// A session: of a tenant, or over several.
#[must_use]
pub fn session(number: usize, of: Option<usize>) -> SessionKey {
    let tenant = of.map_or_else(TenantId::fleet, tenant);
    SessionKey { tenant, session: fits(format!("s{number}").parse()) }
}
