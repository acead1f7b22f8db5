//! Who speaks to a replica: shims and clients.

use squall::engine::{Input, Order, OrderKind, Query, Token};
use squall_domain::lever::Scope;
use squall_domain::session::ClientCommand;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::counts::{Counts, TraceCounts};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{AppendId, InjectionId, ShimId, TenantId};
use squall_proto::vocabulary::message::{
    Ask, Close, CountRow, Evidence, GrantRef, Hello, Inert, Renew, Request, Sample, SampleKind,
    ScopeKeys, SiteRef, StickyAbort, Sync, TraceRow,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::{AbortEpoch, PlanVersion};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::UnixMillis;
use squall_proto::wire;

use super::{House, cast};
use crate::doors::cast::Script;

impl House {
    pub(super) fn shim(&mut self, script: &mut Script<'_>) {
        let (tenant, shim) = who(script);
        let request = self.request(script);
        self.asks(tenant, shim, request);
    }

    fn asks(&mut self, tenant: TenantId, shim: ShimId, request: Request) {
        // Only what can be read arrives.
        let Ok(request) = wire::decode_request(&wire::encode_request(&request)) else { return };
        let token = self.token();
        self.shims.insert(token, (tenant.clone(), shim.clone()));
        self.input(Input::Request { token, tenant, shim, request: Box::new(request) });
    }

    fn request(&self, script: &mut Script<'_>) -> Request {
        match script.below(10) {
            0 => Request::Hello(hello(script)),
            1 => Request::Sync(Sync {
                incarnation: script.incarnation(),
                page: script.below(3).into(),
            }),
            2..=5 => Request::Ask(Ask {
                incarnation: script.incarnation(),
                session: script.session(),
                req_no: script.number().max(1),
                want: u32::from(script.byte()) + 1,
                scope: ScopeKeys {
                    agent: script.agent(),
                    trace: script.trace(),
                    request: script.below(3).into(),
                },
                sent: script.moment(),
            }),
            6 => Request::Renew(Renew {
                incarnation: script.incarnation(),
                sent: script.moment(),
                plan: script
                    .is_yes()
                    .then(|| PlanVersion { log: cast::log(0), sequence: script.number() }),
                sticky_aborts: sticky(script),
            }),
            7 | 8 => Request::Close(Close {
                incarnation: script.incarnation(),
                grant: GrantRef { session: script.session(), req_no: script.number().max(1) },
                used: script.byte().into(),
            }),
            _ => Request::Inert(Inert {
                incarnation: script.incarnation(),
                session: script.session(),
                epoch: self.epoch(script),
                used: script.number(),
                last_injection_ago: script.is_yes().then(|| script.span()),
            }),
        }
    }

    /// Mostly the abort that a session really had.
    fn epoch(&self, script: &mut Script<'_>) -> AbortEpoch {
        match script.below(3) {
            0 => AbortEpoch::Logged(script.number()),
            1 => AbortEpoch::Pushed(AppendId([script.below(3); 16])),
            _ => AbortEpoch::Logged(
                self.engine.world().applied.saturating_sub(script.below(4).into()),
            ),
        }
    }

    pub(super) fn garbage(&mut self, script: &mut Script<'_>) {
        let (tenant, shim) = who(script);
        let bytes = script.bytes();
        if let Ok(request) = wire::decode_request(&bytes) {
            self.asks(tenant.clone(), shim.clone(), request);
        }
        if let Ok(evidence) = wire::decode_evidence(&bytes) {
            self.reports(tenant, shim, evidence);
        }
    }

    pub(super) fn evidence(&mut self, script: &mut Script<'_>) {
        let (tenant, shim) = who(script);
        let session = script.session();
        let spec = cast::spec(&session).expect("it is one of the cast");
        let experiment = script.pick(&spec.experiments).name.clone();
        let counts = Counts {
            seen: script.number(),
            chosen: script.number(),
            applied: script.number(),
            skipped: script.number(),
            not_applicable: script.number(),
        };
        let row = CountRow {
            session: session.clone(),
            experiment: experiment.clone(),
            agent: script.agent(),
            counts,
        };
        let traces = TraceCounts {
            failed_downstream: script.number(),
            failed_background: script.number(),
            succeeded: script.number(),
        };
        let sample = Sample {
            session: session.clone(),
            experiment,
            injection: InjectionId([script.byte(); 16]),
            agent: script.agent(),
            tool: cast::tool(),
            trace: script.trace(),
            at: UnixMillis(script.number()),
            what: SampleKind::Applied { held: script.span() },
        };
        let evidence = Evidence {
            incarnation: script.incarnation(),
            rows: vec![row],
            traces: vec![TraceRow { session, counts: traces }],
            samples: vec![sample],
            samples_lost: script.number(),
        };
        let bytes = wire::encode_evidence(&evidence);
        if let Ok(evidence) = wire::decode_evidence(&bytes) {
            self.reports(tenant, shim, evidence);
        }
    }

    fn reports(&mut self, tenant: TenantId, shim: ShimId, evidence: Evidence) {
        self.evidence_sequence += 1;
        let sequence = self.evidence_sequence;
        self.input(Input::Evidence { sequence, tenant, shim, evidence: Box::new(evidence) });
    }

    pub(super) fn client(&mut self, script: &mut Script<'_>) {
        let key = script.session();
        let reason = script.pick(&["enough", "", "two\nlines"]).to_string();
        let kind = match script.below(12) {
            0..=2 => {
                let spec = cast::spec(&key).expect("it is one of the cast");
                OrderKind::Create { key, spec, digest: [script.below(2); 32] }
            }
            3..=5 => OrderKind::Session { key, command: ClientCommand::Start },
            6 => OrderKind::Session { key, command: ClientCommand::Pause },
            7 => OrderKind::Session { key, command: ClientCommand::Resume },
            8 => OrderKind::Session { key, command: ClientCommand::Stop },
            9 => OrderKind::Session { key, command: ClientCommand::Abort { reason } },
            10 => OrderKind::Engage { scope: scope(script), reason },
            _ => OrderKind::Release { scope: scope(script), reason },
        };
        let request = format!("request-{}", script.byte()).parse().expect("a token");
        let actor = "somebody".parse().expect("a name");
        let token = self.token();
        self.input(Input::Order { token, order: Box::new(Order { request, actor, kind }) });
    }

    pub(super) fn query(&mut self, script: &mut Script<'_>) {
        let query = match script.below(5) {
            0 => Query::Session(script.session()),
            1 => Query::Sessions {
                tenant: script.is_yes().then(cast::tenant),
                phases: vec![],
                before: script.is_yes().then(|| script.number()),
                limit: script.byte().into(),
            },
            2 => Query::Fleet(script.is_yes().then(cast::tenant)),
            3 => Query::Halts,
            _ => Query::Health,
        };
        self.input(Input::Query { token: Token(u64::MAX), query });
    }
}

fn who(script: &mut Script<'_>) -> (TenantId, ShimId) {
    let number = script.below(8);
    let [acme, beta] = cast::tenants();
    (if number < 6 { acme } else { beta }, cast::shim(number % 3))
}

fn hello(script: &mut Script<'_>) -> Hello {
    let shapes = [Shape::Json, Shape::Text, Shape::McpJsonRpc];
    let capabilities = match script.below(4) {
        0 => Capabilities { block: false, max_delay_ms: 0, ..Capabilities::ALL },
        1 => Capabilities { knows_trace: false, rewrite_out: false, ..Capabilities::ALL },
        _ => Capabilities::ALL,
    };
    Hello {
        incarnation: script.incarnation(),
        version: "fuzz".to_owned(),
        environment: cast::environment(),
        agents: vec![cast::agent(0), cast::agent(1)],
        tools: vec![cast::tool()],
        seams: vec![Seam {
            name: "linked".to_owned(),
            point: *script.pick(&[Point::Tool, Point::Model, Point::Agent]),
            shape: *script.pick(&shapes),
            capabilities,
        }],
        sites: vec![SiteRef { agent: 0, tool: 0, seam: 0 }, SiteRef { agent: 1, tool: 0, seam: 0 }],
        allowed: FaultKind::ALL.to_vec(),
        max_delay_ms: 60_000,
        sticky_aborts: sticky(script),
    }
}

fn sticky(script: &mut Script<'_>) -> Vec<StickyAbort> {
    let abort = |script: &mut Script<'_>| StickyAbort {
        session: script.session(),
        epoch: AbortEpoch::Pushed(AppendId([script.below(3); 16])),
    };
    (0..script.byte() / 100).map(|_| abort(script)).collect()
}

pub(super) fn scope(script: &mut Script<'_>) -> Scope {
    match script.below(3) {
        0 => Scope::Fleet,
        which => Scope::Tenant(cast::tenants()[usize::from(which - 1)].clone()),
    }
}
