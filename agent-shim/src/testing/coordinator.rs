//! A coordinator in a test's hands, of one shim and one session, on a wire in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use squall_proto::subject::TenantSubject;
use squall_proto::vocabulary::id::{
    AgentName, AppendId, Environment, LogId, SessionId, SessionKey, ShimId, TenantId,
};
use squall_proto::vocabulary::message::{
    Close, Command, Evidence, Grant, GrantRef, GrantScope, Inert, Renewed, Reply, Request, Welcome,
};
use squall_proto::vocabulary::plan::{AbortEpoch, Plan, PlanSession, PlanVersion};
use squall_proto::vocabulary::session::{ExperimentDraft, FaultDraft, SafetyDraft, SessionDraft};
use squall_proto::wire::{decode_evidence, decode_request, encode_command, encode_reply};
use squall_shim_core::{Call, Directive, Policy, RequestKey, Site};

use super::LONG;
use crate::pipe::{Far, pipe};
use crate::{Builder, Shim};

fn key() -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("s").unwrap() }
}

pub(crate) fn planner() -> AgentName {
    AgentName::new("planner").unwrap()
}

fn version() -> PlanVersion {
    PlanVersion { log: LogId::new("log").unwrap(), sequence: 5 }
}

pub(crate) fn plan(fault: FaultDraft, strictness: &str) -> Plan {
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..ExperimentDraft::default() }],
        safety: SafetyDraft {
            max_affected_requests: Some(100),
            strictness: Some(strictness.to_owned()),
            ..SafetyDraft::default()
        },
        ..SessionDraft::default()
    };
    let session = PlanSession {
        key: key(),
        spec: Arc::new(draft.validate().unwrap()),
        seed: 1,
        running: true,
        age: Duration::ZERO,
        remaining: Duration::from_secs(600),
        phi0: 1.0,
        dry: false,
    };
    Plan {
        version: version(),
        previous: None,
        page: 0,
        pages: 1,
        live: vec![session],
        ended: vec![],
    }
}

/// A coordinator of one shim and one session, that grants whatever is asked for.
pub(crate) struct Coordinator {
    pub(crate) far: Far,
    plan: Plan,
    pub(crate) permits: u32,
    /// Nothing at all is answered.
    pub(crate) is_silent: bool,
    pub(crate) answers_asks: bool,
    pub(crate) answers_renewals: bool,
    pub(crate) closes: Vec<Close>,
    pub(crate) inerts: Vec<Inert>,
    pub(crate) evidence: Vec<Evidence>,
    payloads: Vec<Vec<u8>>,
}

impl Coordinator {
    /// A shim that knows its plan, and its coordinator.
    pub(crate) fn with(plan: Plan) -> (Shim, Self) {
        Self::and(plan, |builder| builder)
    }

    pub(crate) fn and(plan: Plan, more: impl FnOnce(Builder) -> Builder) -> (Shim, Self) {
        let (pipe, far) = pipe();
        let environment = Environment::new("ci").unwrap();
        let builder = Shim::builder(TenantId::new("acme").unwrap(), ShimId::new("shim-1").unwrap());
        let shim = more(builder.policy(Policy::all(environment)).pipe(pipe)).start().unwrap();
        let mut coordinator = Self {
            far,
            plan,
            permits: 10,
            is_silent: false,
            answers_asks: true,
            answers_renewals: true,
            closes: vec![],
            inerts: vec![],
            evidence: vec![],
            payloads: vec![],
        };
        coordinator.far.connect();
        coordinator.until("the plan is installed", |_| {
            shim.status().link.is_some_and(|link| !link.sessions.is_empty())
        });
        (shim, coordinator)
    }

    /// Answers everything until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < LONG, "waited in vain until {what}");
            self.work();
            std::thread::yield_now();
        }
    }

    pub(crate) fn work(&mut self) {
        while let Some(sent) = self.far.try_sent() {
            self.payloads.push(sent.payload.clone());
            match (sent.subject, sent.reply) {
                (TenantSubject::Ask { .. }, Some(to)) => {
                    let request = decode_request(&sent.payload).unwrap();
                    if let Some(reply) = self.reply(request).filter(|_| !self.is_silent) {
                        self.far.reply(to, Some(encode_reply(&reply)));
                    }
                }
                (TenantSubject::Evidence { .. }, None) => {
                    self.evidence.push(decode_evidence(&sent.payload).unwrap());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn reply(&mut self, request: Request) -> Option<Reply> {
        let remaining = Duration::from_secs(3);
        Some(match request {
            Request::Hello(_) => {
                Reply::Welcome(Welcome { log: version().log, recorded_aborts: vec![] })
            }
            Request::Sync(_) => Reply::Plan(self.plan.clone()),
            Request::Ask(_) if !self.answers_asks => return None,
            Request::Ask(ask) => Reply::Grant(Grant {
                incarnation: ask.incarnation,
                grant: GrantRef { session: ask.session, req_no: ask.req_no },
                permits: self.permits.min(ask.want),
                scope: GrantScope::default(),
                echo_sent: Some(ask.sent),
                remaining,
                stop_version: 0,
            }),
            Request::Renew(_) if !self.answers_renewals => return None,
            Request::Renew(renew) => {
                Reply::Renewed(Renewed { echo_sent: renew.sent, remaining, stop_version: 0 })
            }
            Request::Close(close) => {
                self.closes.push(close.clone());
                Reply::Closed(close.grant)
            }
            Request::Inert(inert) => {
                self.inerts.push(inert.clone());
                Reply::InertNoted(inert.session)
            }
        })
    }

    pub(crate) fn command(&self, command: &Command) {
        self.far.command(encode_command(command));
    }

    pub(crate) fn abort(&self) {
        let epoch = AbortEpoch::Pushed(AppendId([3; 16]));
        self.command(&Command::Abort { session: key(), epoch });
    }

    /// Calls until one is injected.
    pub(crate) fn injected(&mut self, shim: &Shim, site: &Site) -> Directive {
        let mut found = None;
        let mut calls = 0_u64;
        self.until("a call is injected", |_| {
            calls += 1;
            let request = RequestKey::of_bytes(&calls.to_le_bytes());
            found = shim.decide_blocking(site, &Call { request, trace: None });
            found.is_some()
        });
        found.unwrap()
    }

    /// Calls until an injection was reported: by then the shim said all that it says of a call.
    pub(crate) async fn until_reported(&mut self, mut call: impl AsyncFnMut()) {
        let start = Instant::now();
        while !self.heard_of_an_injection() {
            assert!(start.elapsed() < LONG, "waited in vain until an injection is reported");
            call().await;
            self.work();
        }
    }

    /// Whether a report counted an injection.
    pub(crate) fn heard_of_an_injection(&self) -> bool {
        let mut rows = self.evidence.iter().flat_map(|evidence| &evidence.rows);
        rows.any(|row| row.counts.applied > 0)
    }

    /// Ends the shim, and looks for `secret` in every message that it ever sent.
    pub(crate) fn assert_never_heard(&mut self, shim: &Shim, secret: &str) {
        shim.shut_down();
        self.work();
        assert!(!self.closes.is_empty(), "what was left went back at the end");
        let holds = |word: &str| {
            let holds = |payload: &Vec<u8>| {
                payload.windows(word.len()).any(|window| window == word.as_bytes())
            };
            self.payloads.iter().any(holds)
        };
        assert!(holds(planner().as_str()), "what may be said is found");
        assert!(!holds(secret), "{secret} was in a message");
    }
}
