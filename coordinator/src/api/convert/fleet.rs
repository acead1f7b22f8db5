//! Shims and halts.

use squall_domain::lever::Scope;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::message::Hello;
use squall_proto::wire::v1;

use super::{duration, timestamp};
use crate::engine::{HaltView, Losses, ShimView};

/// A shim as clients see it, with the permits that it holds.
pub(crate) fn shim(view: &ShimView, open_permits: u64) -> v1::Shim {
    let ShimView { tenant, shim, hello, heard_ago, plan } = view;
    let Hello {
        incarnation,
        version,
        environment,
        agents,
        tools,
        seams,
        sites,
        allowed,
        max_delay_ms,
        sticky_aborts: _,
    } = hello;
    v1::Shim {
        tenant: tenant.to_string(),
        shim: shim.to_string(),
        incarnation: incarnation.to_string(),
        version: version.clone(),
        environment: environment.to_string(),
        agents: agents.iter().map(ToString::to_string).collect(),
        tools: tools.iter().map(ToString::to_string).collect(),
        seams: seams.iter().map(Into::into).collect(),
        sites: sites.iter().copied().map(Into::into).collect(),
        max_delay_ms: *max_delay_ms,
        allowed_kinds: allowed.iter().map(|kind| kind_number(*kind)).collect(),
        last_contact_ago: Some(duration(*heard_ago)),
        plan_sequence: plan.unwrap_or(0),
        open_permits,
    }
}

/// What could not be taken in.
pub(crate) fn losses(losses: Losses) -> v1::Losses {
    let Losses { orphan_records, rows_refused, samples_lost } = losses;
    v1::Losses { orphan_records, rows_refused, samples_lost }
}

/// The number of a kind.
pub(super) fn kind_number(kind: FaultKind) -> i32 {
    v1::FaultKind::from(kind).into()
}

/// The lever of one scope, engaged or not.
pub(crate) fn halt(scope: &Scope, halts: &[HaltView]) -> v1::Halt {
    let released = v1::Halt { scope: Some(halt_scope(scope)), ..v1::Halt::default() };
    let found = halts.iter().find(|halt| halt.scope == *scope);
    let Some(engaged) = found.and_then(|halt| halt.lever.engaged.as_ref()) else { return released };
    v1::Halt {
        engaged: true,
        reason: engaged.reason.clone(),
        actor: engaged.actor.as_ref().map(ToString::to_string).unwrap_or_default(),
        engaged_at: Some(timestamp(engaged.at)),
        epoch: engaged.sequence,
        ..released
    }
}

fn halt_scope(scope: &Scope) -> v1::HaltScope {
    use v1::halt_scope::Scope as Wire;
    let scope = match scope {
        Scope::Fleet => Wire::All(v1::AllTenants {}),
        Scope::Tenant(tenant) => Wire::Tenant(tenant.to_string()),
    };
    v1::HaltScope { scope: Some(scope) }
}
