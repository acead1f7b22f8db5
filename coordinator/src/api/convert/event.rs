//! Events of the log, for people (a sentence) and for programs (JSON).

use std::time::Duration;

use serde_json::{Value, json};
use squall_domain::event::{
    AbortCause, BoundScope, DrainReason, Ending, Event, ProofKind, Record, Recorded,
};
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::wire::v1;

use super::timestamp;

/// The events of one record.
pub(crate) fn events(sequence: u64, record: &Record<Event>) -> Vec<v1::LogEvent> {
    record
        .events
        .iter()
        .map(|Recorded { command, event }| v1::LogEvent {
            sequence,
            time: Some(timestamp(record.at)),
            actor: command.as_ref().map(|command| command.actor.to_string()).unwrap_or_default(),
            request_id: command
                .as_ref()
                .map(|command| command.request.to_string())
                .unwrap_or_default(),
            kind: event.kind().to_owned(),
            summary: summary(event),
            detail_json: detail(event).to_string(),
        })
        .collect()
}

fn summary(event: &Event) -> String {
    match event {
        Event::Created { spec, seed, .. } => {
            let (count, budget) = (spec.experiments.len(), spec.safety.max_affected_requests);
            format!(
                "created as a draft; experiments: {count}, affected requests: at most {budget}, seed {seed}"
            )
        }
        Event::Started { shims } => format!("started; shims that can take part: {shims}"),
        Event::Paused => "paused: injects nothing until it is resumed".to_owned(),
        Event::Resumed => "resumed".to_owned(),
        Event::DrainBegan { why: DrainReason::Operator } => {
            "stopped: no new permits, what runs may end".to_owned()
        }
        Event::DrainBegan { why: DrainReason::Duration } => {
            "its longest duration is over: no new permits, what runs may end".to_owned()
        }
        Event::DrainBegan { why: DrainReason::Budget } => {
            "reports reached the budget: no new faults, what runs may end".to_owned()
        }
        Event::Ended { how: Ending::Completed } => "ended".to_owned(),
        Event::Ended { how: Ending::Exhausted } => "ended: the whole budget is spent".to_owned(),
        Event::Ended { how: Ending::Expired } => "closed: a draft that nobody started".to_owned(),
        Event::ScopeBound { scope } => format!("the blast radius is bound to {}", bound(scope)),
        Event::GrantIssued { holder, req_no, permits, agent, .. } => {
            format!(
                "shim {} of {} got permits for {permits}, for agent {agent} (request {req_no})",
                holder.shim, holder.tenant
            )
        }
        Event::GrantClosed { holder, req_no, used } => {
            format!(
                "shim {} of {} burned {used} and gave the rest back (request {req_no})",
                holder.shim, holder.tenant
            )
        }
        Event::Aborted { reason, cause } => format!("aborted by {}: {reason}", cause_name(*cause)),
        Event::InertConfirmed { holder, used, last_injection_ago } => {
            let last = last_injection_ago.map_or_else(
                || "it never injected".to_owned(),
                |ago| format!("its last injection ended at least {} ms before", ago.as_millis()),
            );
            format!(
                "shim {} of {} confirmed the stop; {used} permits burned in all; {last}",
                holder.shim, holder.tenant
            )
        }
        Event::StopProven { by: ProofKind::Confirmations, .. } => {
            "all stopped, proven: every holder of permits confirmed".to_owned()
        }
        Event::StopProven { by: ProofKind::Time, out_of_contact } => format!(
            "all stopped, proven: every lease is over; holders out of contact: {}",
            out_of_contact.len()
        ),
        Event::GuardTripped { failed_downstream, threshold } => format!(
            "the cascade guard tripped: {failed_downstream} traces failed downstream of an injection, the threshold is {threshold}"
        ),
        Event::LogDamaged { why } => format!("the log can't be trusted: {why}"),
    }
}

/// What a blast radius is bound to, in words.
pub(super) fn bound(scope: &BoundScope) -> String {
    match scope {
        BoundScope::Agent(tenant, agent) => format!("agent {agent} of {tenant}"),
        BoundScope::Trace(tenant, trace) => format!("trace {trace} of {tenant}"),
        BoundScope::Request(tenant, _) => format!("one request of {tenant}"),
    }
}

fn cause_name(cause: AbortCause) -> String {
    match cause {
        AbortCause::Operator => "a client".to_owned(),
        AbortCause::Lever(sequence) => format!("the halt at {sequence}"),
        AbortCause::Cascade => "the cascade guard".to_owned(),
        AbortCause::Reported => "a stop that a shim kept".to_owned(),
    }
}

/// The whole event. Durations are in milliseconds; a hash is hexadecimal text.
fn detail(event: &Event) -> Value {
    match event {
        Event::Created { spec, seed, digest } => json!({
            "spec": SessionDraft::from(spec.as_ref()),
            "seed": seed.to_string(),
            "digest": blake3::Hash::from_bytes(*digest).to_hex().as_str(),
        }),
        Event::Started { shims } => json!({"shims": shims}),
        Event::Paused | Event::Resumed => json!({}),
        Event::DrainBegan { why } => json!({"why": why}),
        Event::Ended { how } => json!({"how": how}),
        Event::ScopeBound { scope } => json!({"scope": scope}),
        Event::GrantIssued { holder, req_no, permits, scope, agent, trace } => json!({
            "holder": holder,
            "req_no": req_no,
            "permits": permits,
            "scope": scope,
            "agent": agent,
            "trace": trace,
        }),
        Event::GrantClosed { holder, req_no, used } => {
            json!({"holder": holder, "req_no": req_no, "used": used})
        }
        Event::Aborted { reason, cause } => json!({"reason": reason, "cause": cause}),
        Event::InertConfirmed { holder, used, last_injection_ago } => json!({
            "holder": holder,
            "used": used,
            "last_injection_ago_ms": last_injection_ago.map(millis),
        }),
        Event::StopProven { by, out_of_contact } => {
            json!({"by": by, "out_of_contact": out_of_contact})
        }
        Event::GuardTripped { failed_downstream, threshold } => {
            json!({"failed_downstream": failed_downstream, "threshold": threshold})
        }
        Event::LogDamaged { why } => json!({"why": why}),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
