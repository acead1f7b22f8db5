//! What shims ask.

use std::time::Duration;

use super::enumeration::Numbered;
use super::id::names;
use super::read::{
    Read, bounded, field, for_people, list, missing, optional, required, text, try_from_wire,
    within,
};
use super::time::nanos;
use super::v1;
use crate::vocabulary::fault::FaultKind;
use crate::vocabulary::limits::{
    ANNOUNCED_MAX, FAULT_DURATION_MS_MAX, GRANT_PERMITS_MAX, HELLO_LIST_MAX, NAME_BYTES_MAX,
    SITES_MAX,
};
use crate::vocabulary::message::{
    Ask, Close, GrantRef, Hello, Inert, Renew, Request, ScopeKeys, SiteRef, StickyAbort, Sync,
};
use crate::vocabulary::named::Named;
use crate::vocabulary::time::BootNanos;
use crate::vocabulary::violation::Check;

impl From<&Request> for v1::Request {
    fn from(request: &Request) -> Self {
        use v1::request;
        let request = match request {
            Request::Hello(hello) => request::Request::Hello(hello.into()),
            Request::Sync(sync) => request::Request::Sync(sync.into()),
            Request::Ask(ask) => request::Request::Ask(ask.into()),
            Request::Renew(renew) => request::Request::Renew(renew.into()),
            Request::Close(close) => request::Request::Close(close.into()),
            Request::Inert(inert) => request::Request::Inert(inert.into()),
        };
        Self { request: Some(request) }
    }
}

impl Read<v1::Request> for Request {
    fn read(check: &mut Check, wire: v1::Request) -> Option<Self> {
        use v1::request;
        let v1::Request { request } = wire;
        match request {
            Some(request::Request::Hello(wire)) => field(check, "hello", wire).map(Self::Hello),
            Some(request::Request::Sync(wire)) => field(check, "sync", wire).map(Self::Sync),
            Some(request::Request::Ask(wire)) => field(check, "ask", wire).map(Self::Ask),
            Some(request::Request::Renew(wire)) => field(check, "renew", wire).map(Self::Renew),
            Some(request::Request::Close(wire)) => field(check, "close", wire).map(Self::Close),
            Some(request::Request::Inert(wire)) => field(check, "inert", wire).map(Self::Inert),
            None => check.field("request", missing),
        }
    }
}

impl From<&Hello> for v1::Hello {
    fn from(hello: &Hello) -> Self {
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
            sticky_aborts,
        } = hello;
        Self {
            incarnation: (*incarnation).into(),
            version: for_people(version, NAME_BYTES_MAX),
            environment: environment.to_string(),
            agents: names(agents),
            tools: names(tools),
            seams: seams.iter().map(Into::into).collect(),
            sites: sites.iter().copied().map(Into::into).collect(),
            allowed: allowed.iter().map(|kind| kind.number()).collect(),
            max_delay_ms: *max_delay_ms,
            sticky_aborts: sticky_aborts.iter().map(Into::into).collect(),
        }
    }
}

impl Read<v1::Hello> for Hello {
    fn read(check: &mut Check, wire: v1::Hello) -> Option<Self> {
        let v1::Hello {
            incarnation,
            version,
            environment,
            agents,
            tools,
            seams,
            sites,
            allowed,
            max_delay_ms,
            sticky_aborts,
        } = wire;
        let places = Places { agents: agents.len(), tools: tools.len(), seams: seams.len() };
        let incarnation = field(check, "incarnation", incarnation);
        let version = text(check, "version", version, NAME_BYTES_MAX);
        let environment = field(check, "environment", environment);
        let agents = list(check, "agents", agents, ANNOUNCED_MAX);
        let tools = list(check, "tools", tools, ANNOUNCED_MAX);
        let seams = list(check, "seams", seams, ANNOUNCED_MAX);
        let sites = places.sites(check, sites);
        let allowed = list(check, "allowed", allowed, FaultKind::ALL.len());
        let max_delay_ms = within(check, "max_delay_ms", max_delay_ms, 0, FAULT_DURATION_MS_MAX);
        let sticky_aborts = list(check, "sticky_aborts", sticky_aborts, HELLO_LIST_MAX);
        Some(Self {
            incarnation: incarnation?,
            version: version?,
            environment: environment?,
            agents: agents?,
            tools: tools?,
            seams: seams?,
            sites: sites?,
            allowed: allowed?,
            max_delay_ms: max_delay_ms?,
            sticky_aborts: sticky_aborts?,
        })
    }
}

/// How long the lists are that sites point into.
#[derive(Clone, Copy)]
struct Places {
    agents: usize,
    tools: usize,
    seams: usize,
}

impl Places {
    fn sites(self, check: &mut Check, wire: Vec<v1::Site>) -> Option<Vec<SiteRef>> {
        let wire = bounded(check, "sites", wire, SITES_MAX)?;
        check.each("sites", wire, |check, site| self.site(check, site)).into_iter().collect()
    }

    fn site(self, check: &mut Check, wire: v1::Site) -> Option<SiteRef> {
        let v1::Site { agent, tool, seam } = wire;
        let agent = place(check, "agent", agent, self.agents);
        let tool = place(check, "tool", tool, self.tools);
        let seam = place(check, "seam", seam, self.seams);
        Some(SiteRef { agent: agent?, tool: tool?, seam: seam? })
    }
}

/// Reads the place `name` in a list of `entries`.
fn place(check: &mut Check, name: &str, wire: u32, entries: usize) -> Option<u16> {
    let place = u16::try_from(wire).ok().filter(|place| usize::from(*place) < entries);
    check.field(name, |check| {
        check.require(place.is_some(), || format!("is {wire}; the list has {entries} entries"));
    });
    place
}

impl From<SiteRef> for v1::Site {
    fn from(SiteRef { agent, tool, seam }: SiteRef) -> Self {
        Self { agent: agent.into(), tool: tool.into(), seam: seam.into() }
    }
}

impl From<&GrantRef> for v1::GrantRef {
    fn from(grant: &GrantRef) -> Self {
        let GrantRef { session, req_no } = grant;
        Self { session: Some(session.into()), req_no: *req_no }
    }
}

impl Read<v1::GrantRef> for GrantRef {
    fn read(check: &mut Check, wire: v1::GrantRef) -> Option<Self> {
        let v1::GrantRef { session, req_no } = wire;
        let session = required(check, "session", session);
        let req_no = within(check, "req_no", req_no, 1, u64::MAX);
        Some(Self { session: session?, req_no: req_no? })
    }
}

impl From<&StickyAbort> for v1::StickyAbort {
    fn from(abort: &StickyAbort) -> Self {
        let StickyAbort { session, epoch } = abort;
        Self { session: Some(session.into()), epoch: Some((*epoch).into()) }
    }
}

impl Read<v1::StickyAbort> for StickyAbort {
    fn read(check: &mut Check, wire: v1::StickyAbort) -> Option<Self> {
        let v1::StickyAbort { session, epoch } = wire;
        let session = required(check, "session", session);
        let epoch = required(check, "epoch", epoch);
        Some(Self { session: session?, epoch: epoch? })
    }
}

impl From<&Sync> for v1::Sync {
    fn from(sync: &Sync) -> Self {
        let Sync { incarnation, page } = sync;
        Self { incarnation: (*incarnation).into(), page: *page }
    }
}

impl Read<v1::Sync> for Sync {
    fn read(check: &mut Check, wire: v1::Sync) -> Option<Self> {
        let v1::Sync { incarnation, page } = wire;
        Some(Self { incarnation: field(check, "incarnation", incarnation)?, page })
    }
}

impl From<&Ask> for v1::Ask {
    fn from(ask: &Ask) -> Self {
        let Ask { incarnation, session, req_no, want, scope, sent: BootNanos(sent) } = ask;
        Self {
            incarnation: (*incarnation).into(),
            session: Some(session.into()),
            req_no: *req_no,
            want: *want,
            scope: Some(scope.into()),
            sent_boot_ns: *sent,
        }
    }
}

impl Read<v1::Ask> for Ask {
    fn read(check: &mut Check, wire: v1::Ask) -> Option<Self> {
        let v1::Ask { incarnation, session, req_no, want, scope, sent_boot_ns } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let session = required(check, "session", session);
        let req_no = within(check, "req_no", req_no, 1, u64::MAX);
        let want = within(check, "want", want, 1, GRANT_PERMITS_MAX);
        let scope = required(check, "scope", scope);
        Some(Self {
            incarnation: incarnation?,
            session: session?,
            req_no: req_no?,
            want: want?,
            scope: scope?,
            sent: BootNanos(sent_boot_ns),
        })
    }
}

impl From<&ScopeKeys> for v1::ScopeKeys {
    fn from(scope: &ScopeKeys) -> Self {
        let ScopeKeys { agent, trace, request } = scope;
        Self {
            agent: agent.to_string(),
            trace: trace.as_ref().map(ToString::to_string),
            request: *request,
        }
    }
}

impl Read<v1::ScopeKeys> for ScopeKeys {
    fn read(check: &mut Check, wire: v1::ScopeKeys) -> Option<Self> {
        let v1::ScopeKeys { agent, trace, request } = wire;
        let agent = field(check, "agent", agent);
        let trace = optional(check, "trace", trace);
        Some(Self { agent: agent?, trace: trace?, request })
    }
}

impl From<&Renew> for v1::Renew {
    fn from(renew: &Renew) -> Self {
        let Renew { incarnation, sent: BootNanos(sent), plan, sticky_aborts } = renew;
        Self {
            incarnation: (*incarnation).into(),
            sent_boot_ns: *sent,
            plan: plan.as_ref().map(Into::into),
            sticky_aborts: sticky_aborts.iter().map(Into::into).collect(),
        }
    }
}

impl Read<v1::Renew> for Renew {
    fn read(check: &mut Check, wire: v1::Renew) -> Option<Self> {
        let v1::Renew { incarnation, sent_boot_ns, plan, sticky_aborts } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let plan = optional(check, "plan", plan);
        let sticky_aborts = list(check, "sticky_aborts", sticky_aborts, HELLO_LIST_MAX);
        Some(Self {
            incarnation: incarnation?,
            sent: BootNanos(sent_boot_ns),
            plan: plan?,
            sticky_aborts: sticky_aborts?,
        })
    }
}

impl From<&Close> for v1::Close {
    fn from(close: &Close) -> Self {
        let Close { incarnation, grant, used } = close;
        Self { incarnation: (*incarnation).into(), grant: Some(grant.into()), used: *used }
    }
}

impl Read<v1::Close> for Close {
    fn read(check: &mut Check, wire: v1::Close) -> Option<Self> {
        let v1::Close { incarnation, grant, used } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let grant = required(check, "grant", grant);
        let used = within(check, "used", used, 0, GRANT_PERMITS_MAX);
        Some(Self { incarnation: incarnation?, grant: grant?, used: used? })
    }
}

impl From<&Inert> for v1::Inert {
    fn from(inert: &Inert) -> Self {
        let Inert { incarnation, session, epoch, used, last_injection_ago } = inert;
        Self {
            incarnation: (*incarnation).into(),
            session: Some(session.into()),
            epoch: Some((*epoch).into()),
            used: *used,
            last_injection_ago_ns: last_injection_ago.map(nanos),
        }
    }
}

impl Read<v1::Inert> for Inert {
    fn read(check: &mut Check, wire: v1::Inert) -> Option<Self> {
        let v1::Inert { incarnation, session, epoch, used, last_injection_ago_ns } = wire;
        let incarnation = field(check, "incarnation", incarnation);
        let session = required(check, "session", session);
        let epoch = required(check, "epoch", epoch);
        Some(Self {
            incarnation: incarnation?,
            session: session?,
            epoch: epoch?,
            used,
            last_injection_ago: last_injection_ago_ns.map(Duration::from_nanos),
        })
    }
}

try_from_wire!(Request => Request, StickyAbort => StickyAbort);

#[cfg(test)]
mod tests;
