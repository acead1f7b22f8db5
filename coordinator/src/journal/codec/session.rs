//! Records of sessions.

use std::sync::Arc;

use squall_domain::event::{
    AbortCause, BoundScope, DrainReason, Ending, Event, ProofKind, Record, Recorded, Totals,
};
use squall_proto::vocabulary::id::AppendId;
use squall_proto::vocabulary::message::GrantScope;
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::vocabulary::time::UnixMillis;
use squall_proto::wire::time::duration;
use squall_proto::wire::v1;
use squall_proto::wire::v1::stored_session_event::Event as Stored;

use super::{
    Error, VERSION, bytes, fits, load_command, load_holder, required, store_command, store_holder,
    unknown,
};

pub(super) fn store(record: &Record<Event>) -> v1::StoredSessionRecord {
    let Record { append, at, previous, totals, events } = record;
    let Totals { issued, refunded } = totals;
    v1::StoredSessionRecord {
        version: VERSION,
        append: append.0.to_vec(),
        previous: previous.to_vec(),
        at_ms: at.0,
        issued: *issued,
        refunded: *refunded,
        events: events.iter().map(store_event).collect(),
    }
}

fn store_event(recorded: &Recorded<Event>) -> v1::StoredSessionEvent {
    let Recorded { command, event } = recorded;
    v1::StoredSessionEvent {
        command: command.as_ref().map(store_command),
        event: Some(store_what(event)),
    }
}

fn store_what(event: &Event) -> Stored {
    match event {
        Event::Created { spec, seed, digest } => Stored::Created(v1::StoredCreated {
            spec: Some(v1::SessionSpec::from(spec.as_ref())),
            seed: *seed,
            digest: digest.to_vec(),
        }),
        Event::Started { shims } => Stored::Started(v1::StoredStarted { shims: *shims }),
        Event::Paused => Stored::Paused(v1::StoredPaused {}),
        Event::Resumed => Stored::Resumed(v1::StoredResumed {}),
        Event::DrainBegan { why } => Stored::DrainBegan(v1::StoredDrainBegan {
            why: match why {
                DrainReason::Operator => 1,
                DrainReason::Duration => 2,
                DrainReason::Budget => 3,
            },
        }),
        Event::Ended { how } => Stored::Ended(v1::StoredEnded {
            how: match how {
                Ending::Completed => 1,
                Ending::Exhausted => 2,
                Ending::Expired => 3,
            },
        }),
        Event::ScopeBound { scope } => Stored::ScopeBound(store_scope(scope)),
        Event::GrantIssued { holder, req_no, permits, scope, agent, trace } => {
            Stored::GrantIssued(v1::StoredGrantIssued {
                holder: Some(store_holder(holder)),
                req_no: *req_no,
                permits: *permits,
                scope: Some(v1::GrantScope::from(scope)),
                agent: agent.to_string(),
                trace: trace.as_ref().map(ToString::to_string),
            })
        }
        Event::GrantClosed { holder, req_no, used } => Stored::GrantClosed(v1::StoredGrantClosed {
            holder: Some(store_holder(holder)),
            req_no: *req_no,
            used: *used,
        }),
        Event::Aborted { reason, cause } => {
            let (cause, lever) = match cause {
                AbortCause::Operator => (1, 0),
                AbortCause::Lever(sequence) => (2, *sequence),
                AbortCause::Cascade => (3, 0),
                AbortCause::Reported => (4, 0),
            };
            Stored::Aborted(v1::StoredAborted { reason: reason.clone(), cause, lever })
        }
        Event::InertConfirmed { holder, used, last_injection_ago } => {
            Stored::InertConfirmed(v1::StoredInertConfirmed {
                holder: Some(store_holder(holder)),
                used: *used,
                last_injection_ago: last_injection_ago.and_then(|ago| ago.try_into().ok()),
            })
        }
        Event::StopProven { by, out_of_contact } => Stored::StopProven(v1::StoredStopProven {
            by: match by {
                ProofKind::Confirmations => 1,
                ProofKind::Time => 2,
            },
            out_of_contact: out_of_contact.iter().map(store_holder).collect(),
        }),
        Event::GuardTripped { failed_downstream, threshold } => {
            Stored::GuardTripped(v1::StoredGuardTripped {
                failed_downstream: *failed_downstream,
                threshold: *threshold,
            })
        }
        Event::LogDamaged { why } => Stored::LogDamaged(v1::StoredLogDamaged { why: why.clone() }),
    }
}

fn store_scope(scope: &BoundScope) -> v1::StoredScopeBound {
    use v1::stored_scope_bound::Scope;
    let (tenant, scope) = match scope {
        BoundScope::Agent(tenant, agent) => (tenant, Scope::Agent(agent.to_string())),
        BoundScope::Trace(tenant, trace) => (tenant, Scope::Trace(trace.to_string())),
        BoundScope::Request(tenant, request) => (tenant, Scope::Request(*request)),
    };
    v1::StoredScopeBound { tenant: tenant.to_string(), scope: Some(scope) }
}

pub(super) fn load(stored: v1::StoredSessionRecord) -> Result<Record<Event>, Error> {
    let v1::StoredSessionRecord { version: _, append, previous, at_ms, issued, refunded, events } =
        stored;
    Ok(Record {
        append: AppendId(bytes("append", &append)?),
        at: UnixMillis(at_ms),
        previous: bytes("previous", &previous)?,
        totals: Totals { issued, refunded },
        events: events.into_iter().map(load_event).collect::<Result<_, _>>()?,
    })
}

fn load_event(stored: v1::StoredSessionEvent) -> Result<Recorded<Event>, Error> {
    let v1::StoredSessionEvent { command, event } = stored;
    Ok(Recorded {
        command: command.map(load_command).transpose()?,
        event: load_what(required("event", event)?)?,
    })
}

fn load_what(stored: Stored) -> Result<Event, Error> {
    Ok(match stored {
        Stored::Created(v1::StoredCreated { spec, seed, digest }) => {
            let draft =
                fits("created.spec", SessionDraft::try_from(required("created.spec", spec)?))?;
            let spec = Arc::new(fits("created.spec", draft.validate())?);
            Event::Created { spec, seed, digest: bytes("created.digest", &digest)? }
        }
        Stored::Started(v1::StoredStarted { shims }) => Event::Started { shims },
        Stored::Paused(v1::StoredPaused {}) => Event::Paused,
        Stored::Resumed(v1::StoredResumed {}) => Event::Resumed,
        Stored::DrainBegan(v1::StoredDrainBegan { why }) => Event::DrainBegan {
            why: match why {
                1 => DrainReason::Operator,
                2 => DrainReason::Duration,
                3 => DrainReason::Budget,
                other => return unknown("drain_began.why", other),
            },
        },
        Stored::Ended(v1::StoredEnded { how }) => Event::Ended {
            how: match how {
                1 => Ending::Completed,
                2 => Ending::Exhausted,
                3 => Ending::Expired,
                other => return unknown("ended.how", other),
            },
        },
        Stored::ScopeBound(stored) => Event::ScopeBound { scope: load_scope(stored)? },
        Stored::GrantIssued(stored) => load_issue(stored)?,
        Stored::GrantClosed(v1::StoredGrantClosed { holder, req_no, used }) => {
            Event::GrantClosed { holder: load_holder(holder)?, req_no, used }
        }
        Stored::Aborted(v1::StoredAborted { reason, cause, lever }) => Event::Aborted {
            reason,
            cause: match cause {
                1 => AbortCause::Operator,
                2 => AbortCause::Lever(lever),
                3 => AbortCause::Cascade,
                4 => AbortCause::Reported,
                other => return unknown("aborted.cause", other),
            },
        },
        Stored::InertConfirmed(v1::StoredInertConfirmed { holder, used, last_injection_ago }) => {
            let field = "inert_confirmed.last_injection_ago";
            let read = |ago| duration(&ago).ok_or_else(|| format!("{ago:?} is no length of time"));
            Event::InertConfirmed {
                holder: load_holder(holder)?,
                used,
                last_injection_ago: fits(field, last_injection_ago.map(read).transpose())?,
            }
        }
        Stored::StopProven(v1::StoredStopProven { by, out_of_contact }) => Event::StopProven {
            by: match by {
                1 => ProofKind::Confirmations,
                2 => ProofKind::Time,
                other => return unknown("stop_proven.by", other),
            },
            out_of_contact: out_of_contact
                .into_iter()
                .map(|holder| load_holder(Some(holder)))
                .collect::<Result<_, _>>()?,
        },
        Stored::GuardTripped(v1::StoredGuardTripped { failed_downstream, threshold }) => {
            Event::GuardTripped { failed_downstream, threshold }
        }
        Stored::LogDamaged(v1::StoredLogDamaged { why }) => Event::LogDamaged { why },
    })
}

fn load_issue(stored: v1::StoredGrantIssued) -> Result<Event, Error> {
    let v1::StoredGrantIssued { holder, req_no, permits, scope, agent, trace } = stored;
    let scope = GrantScope::try_from(required("grant_issued.scope", scope)?);
    Ok(Event::GrantIssued {
        holder: load_holder(holder)?,
        req_no,
        permits,
        scope: fits("grant_issued.scope", scope)?,
        agent: fits("grant_issued.agent", agent.parse())?,
        trace: fits("grant_issued.trace", trace.map(|trace| trace.parse()).transpose())?,
    })
}

fn load_scope(stored: v1::StoredScopeBound) -> Result<BoundScope, Error> {
    use v1::stored_scope_bound::Scope;
    let v1::StoredScopeBound { tenant, scope } = stored;
    let tenant = fits("scope_bound.tenant", tenant.parse())?;
    Ok(match required("scope_bound.scope", scope)? {
        Scope::Agent(agent) => BoundScope::Agent(tenant, fits("scope_bound.agent", agent.parse())?),
        Scope::Trace(trace) => BoundScope::Trace(tenant, fits("scope_bound.trace", trace.parse())?),
        Scope::Request(request) => BoundScope::Request(tenant, request),
    })
}
