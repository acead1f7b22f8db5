//! What the coordinator answers.

use std::time::Duration;

use super::enumeration::Numbered;
use super::read::{
    Read, field, for_people, list, missing, optional, required, text, try_from_wire, within,
};
use super::time::nanos;
use super::v1;
use crate::vocabulary::limits::{GRANT_PERMITS_MAX, HELLO_LIST_MAX, TEXT_BYTES_MAX};
use crate::vocabulary::message::{
    Grant, GrantScope, Refused, Renewed, Reply, Unavailable, Welcome,
};
use crate::vocabulary::time::BootNanos;
use crate::vocabulary::violation::Check;

impl From<&Reply> for v1::Reply {
    fn from(reply: &Reply) -> Self {
        use v1::reply;
        let reply = match reply {
            Reply::Welcome(welcome) => reply::Reply::Welcome(welcome.into()),
            Reply::Plan(plan) => reply::Reply::Plan(plan.into()),
            Reply::Grant(grant) => reply::Reply::Grant(grant.into()),
            Reply::Refused(refused) => reply::Reply::Refused(refused.into()),
            Reply::Renewed(renewed) => reply::Reply::Renewed((*renewed).into()),
            Reply::Closed(grant) => reply::Reply::Closed(grant.into()),
            Reply::InertNoted(session) => reply::Reply::InertNoted(session.into()),
            Reply::Unavailable(unavailable) => reply::Reply::Unavailable(unavailable.into()),
        };
        Self { reply: Some(reply) }
    }
}

impl Read<v1::Reply> for Reply {
    fn read(check: &mut Check, wire: v1::Reply) -> Option<Self> {
        use v1::reply;
        let v1::Reply { reply } = wire;
        match reply {
            Some(reply::Reply::Welcome(wire)) => field(check, "welcome", wire).map(Self::Welcome),
            Some(reply::Reply::Plan(wire)) => field(check, "plan", wire).map(Self::Plan),
            Some(reply::Reply::Grant(wire)) => field(check, "grant", wire).map(Self::Grant),
            Some(reply::Reply::Refused(wire)) => field(check, "refused", wire).map(Self::Refused),
            Some(reply::Reply::Renewed(wire)) => field(check, "renewed", wire).map(Self::Renewed),
            Some(reply::Reply::Closed(wire)) => field(check, "closed", wire).map(Self::Closed),
            Some(reply::Reply::InertNoted(wire)) => {
                field(check, "inert_noted", wire).map(Self::InertNoted)
            }
            Some(reply::Reply::Unavailable(wire)) => {
                field(check, "unavailable", wire).map(Self::Unavailable)
            }
            None => check.field("reply", missing),
        }
    }
}

impl From<&Welcome> for v1::Welcome {
    fn from(welcome: &Welcome) -> Self {
        let Welcome { log, recorded_aborts } = welcome;
        Self {
            log: log.to_string(),
            recorded_aborts: recorded_aborts.iter().map(Into::into).collect(),
        }
    }
}

impl Read<v1::Welcome> for Welcome {
    fn read(check: &mut Check, wire: v1::Welcome) -> Option<Self> {
        let v1::Welcome { log, recorded_aborts } = wire;
        let log = field(check, "log", log);
        let recorded_aborts = list(check, "recorded_aborts", recorded_aborts, HELLO_LIST_MAX);
        Some(Self { log: log?, recorded_aborts: recorded_aborts? })
    }
}

impl From<&Grant> for v1::Grant {
    fn from(grant: &Grant) -> Self {
        let Grant { incarnation, grant, permits, scope, echo_sent, remaining, stop_version } =
            grant;
        Self {
            incarnation: (*incarnation).into(),
            grant: Some(grant.into()),
            permits: *permits,
            scope: Some(scope.into()),
            echo_sent_boot_ns: echo_sent.map(|BootNanos(sent)| sent),
            remaining_ns: nanos(*remaining),
            stop_version: *stop_version,
        }
    }
}

impl Read<v1::Grant> for Grant {
    fn read(check: &mut Check, wire: v1::Grant) -> Option<Self> {
        let v1::Grant {
            incarnation,
            grant,
            permits,
            scope,
            echo_sent_boot_ns,
            remaining_ns,
            stop_version,
        } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let grant = required(check, "grant", grant);
        let permits = within(check, "permits", permits, 1, GRANT_PERMITS_MAX);
        let scope = required(check, "scope", scope);
        Some(Self {
            incarnation: incarnation?,
            grant: grant?,
            permits: permits?,
            scope: scope?,
            echo_sent: echo_sent_boot_ns.map(BootNanos),
            remaining: Duration::from_nanos(remaining_ns),
            stop_version,
        })
    }
}

impl From<&GrantScope> for v1::GrantScope {
    fn from(scope: &GrantScope) -> Self {
        let GrantScope { agent, trace, request } = scope;
        Self {
            agent: agent.as_ref().map(ToString::to_string),
            trace: trace.as_ref().map(ToString::to_string),
            request: *request,
        }
    }
}

impl Read<v1::GrantScope> for GrantScope {
    fn read(check: &mut Check, wire: v1::GrantScope) -> Option<Self> {
        let v1::GrantScope { agent, trace, request } = wire;
        let agent = optional(check, "agent", agent);
        let trace = optional(check, "trace", trace);
        Some(Self { agent: agent?, trace: trace?, request })
    }
}

impl From<&Refused> for v1::Refused {
    fn from(refused: &Refused) -> Self {
        let Refused { grant, why, backoff } = refused;
        Self { grant: Some(grant.into()), why: why.number(), backoff_ns: nanos(*backoff) }
    }
}

impl Read<v1::Refused> for Refused {
    fn read(check: &mut Check, wire: v1::Refused) -> Option<Self> {
        let v1::Refused { grant, why, backoff_ns } = wire;
        let grant = required(check, "grant", grant);
        let why = field(check, "why", why);
        Some(Self { grant: grant?, why: why?, backoff: Duration::from_nanos(backoff_ns) })
    }
}

impl From<Renewed> for v1::Renewed {
    fn from(renewed: Renewed) -> Self {
        let Renewed { echo_sent: BootNanos(sent), remaining, stop_version } = renewed;
        Self { echo_sent_boot_ns: sent, remaining_ns: nanos(remaining), stop_version }
    }
}

impl Read<v1::Renewed> for Renewed {
    fn read(_: &mut Check, wire: v1::Renewed) -> Option<Self> {
        let v1::Renewed { echo_sent_boot_ns, remaining_ns, stop_version } = wire;
        Some(Self {
            echo_sent: BootNanos(echo_sent_boot_ns),
            remaining: Duration::from_nanos(remaining_ns),
            stop_version,
        })
    }
}

impl From<&Unavailable> for v1::Unavailable {
    fn from(unavailable: &Unavailable) -> Self {
        let Unavailable { why, backoff } = unavailable;
        Self { why: for_people(why, TEXT_BYTES_MAX), backoff_ns: nanos(*backoff) }
    }
}

impl Read<v1::Unavailable> for Unavailable {
    fn read(check: &mut Check, wire: v1::Unavailable) -> Option<Self> {
        let v1::Unavailable { why, backoff_ns } = wire;
        let why = text(check, "why", why, TEXT_BYTES_MAX);
        Some(Self { why: why?, backoff: Duration::from_nanos(backoff_ns) })
    }
}

try_from_wire!(Reply => Reply, GrantScope => GrantScope);
