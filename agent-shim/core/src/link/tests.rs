//! Given inputs, when one more comes, then outputs: one test for each sentence of the shim rules.

mod announced;
mod bounds;
mod contact;
mod evidence;
mod grants;
mod lease;
mod plane;
mod real;
mod stops;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use squall_proto::vocabulary::id::{
    AgentName, AppendId, Environment, Incarnation, LogId, SessionId, SessionKey, TenantId,
};
use squall_proto::vocabulary::limits::HELLO_EVERY;
use squall_proto::vocabulary::message::{
    Ask, Close, Command, Evidence, Grant, GrantRef, GrantScope, Hello, Inert, Refused, RefusedWhy,
    Renew, Renewed, Reply, Request, ScopeKeys, StickyAbort, Sync, Welcome,
};
use squall_proto::vocabulary::plan::{AbortEpoch, Ending, Plan, PlanSession, PlanVersion};
use squall_proto::vocabulary::session::{ExperimentDraft, FaultDraft, SafetyDraft, SessionDraft};
use squall_proto::vocabulary::session::{LatencyDraft, SessionSpec};
use squall_proto::vocabulary::time::BootNanos;

use self::plane::Fake;
use super::{Correlation, Identity, Input, Link, Lost, Output, Plane};

pub(super) const ME: Incarnation = Incarnation([7; 16]);
const TTL: Duration = Duration::from_secs(3);

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn key(name: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(name).unwrap() }
}

pub(super) fn spec(strictness: &str) -> Arc<SessionSpec> {
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft {
            fault: FaultDraft {
                latency: Some(LatencyDraft { fixed_ms: Some(500), ..LatencyDraft::default() }),
                ..FaultDraft::default()
            },
            ..ExperimentDraft::default()
        }],
        safety: SafetyDraft {
            max_affected_requests: Some(100),
            strictness: Some(strictness.to_owned()),
            ..SafetyDraft::default()
        },
        ..SessionDraft::default()
    };
    Arc::new(draft.validate().unwrap())
}

pub(super) fn live(name: &str, strictness: &str) -> PlanSession {
    PlanSession {
        key: key(name),
        spec: spec(strictness),
        seed: 1,
        running: true,
        age: Duration::ZERO,
        remaining: Duration::from_secs(600),
        phi0: 1.0,
        dry: false,
    }
}

pub(super) fn version(sequence: u64) -> PlanVersion {
    PlanVersion { log: LogId::new("log").unwrap(), sequence }
}

pub(super) fn whole(sequence: u64, live: Vec<PlanSession>) -> Plan {
    Plan { version: version(sequence), previous: None, page: 0, pages: 1, live, ended: vec![] }
}

pub(super) fn delta(previous: u64, sequence: u64, live: Vec<PlanSession>) -> Plan {
    Plan { previous: Some(previous), ..whole(sequence, live) }
}

pub(super) fn scope(request: u64) -> ScopeKeys {
    ScopeKeys { agent: AgentName::new("planner").unwrap(), trace: None, request }
}

/// One shim and the coordinator's side of every conversation, in a test's hands.
pub(super) struct World {
    pub(super) link: Link,
    pub(super) plane: Fake,
    pub(super) now: BootNanos,
    pub(super) outputs: VecDeque<Output>,
}

impl World {
    pub(super) fn new() -> Self {
        let identity = Identity {
            incarnation: ME,
            version: "test".to_owned(),
            environment: Environment::new("ci").unwrap(),
            allowed: vec![],
            max_delay_ms: 60_000,
            agents: vec![],
        };
        Self {
            link: Link::new(identity, 42),
            plane: Fake::default(),
            now: BootNanos(1_000_000_000_000),
            outputs: VecDeque::new(),
        }
    }

    /// Connected, welcomed, and with these sessions in plan 5.
    pub(super) fn with(sessions: Vec<PlanSession>) -> Self {
        let mut world = Self::new();
        world.input(Input::Connected);
        world.welcome();
        world.sync(whole(5, sessions));
        world.outputs.retain(|output| matches!(output, Output::Send { .. }));
        world
    }

    pub(super) fn input(&mut self, input: Input) {
        self.plane.now = self.now;
        self.link.handle(self.now, input, &mut self.plane);
        while let Some(output) = self.link.poll() {
            self.outputs.push_back(output);
        }
        let (wake, why) = self.link.next_wake();
        assert!(wake > self.now, "woken for nothing, to {why}");
    }

    pub(super) fn command(&mut self, command: Command) {
        self.input(Input::Command(command));
    }

    /// Lets time go by as the runtime would: a tick at every wake-up.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        loop {
            let (wake, _) = self.link.next_wake();
            if wake > end {
                break;
            }
            self.now = wake;
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    /// The next request that `pick` takes; everything before it stays.
    fn find<T>(&mut self, pick: impl Fn(&Request) -> Option<T>) -> Option<(Correlation, T)> {
        let found = self.outputs.iter().enumerate().find_map(|(at, output)| {
            let Output::Send { correlation, request } = output else { return None };
            Some((at, *correlation, pick(request)?))
        });
        let (at, correlation, found) = found?;
        self.outputs.remove(at);
        Some((correlation, found))
    }

    pub(super) fn hello(&mut self) -> Option<(Correlation, Hello)> {
        self.find(
            |request| if let Request::Hello(hello) = request { Some(hello.clone()) } else { None },
        )
    }

    pub(super) fn synced(&mut self) -> Option<(Correlation, Sync)> {
        self.find(
            |request| if let Request::Sync(sync) = request { Some(sync.clone()) } else { None },
        )
    }

    pub(super) fn asked(&mut self) -> Option<(Correlation, Ask)> {
        self.find(|request| if let Request::Ask(ask) = request { Some(ask.clone()) } else { None })
    }

    pub(super) fn renewed(&mut self) -> Option<(Correlation, Renew)> {
        self.find(
            |request| if let Request::Renew(renew) = request { Some(renew.clone()) } else { None },
        )
    }

    pub(super) fn closed(&mut self) -> Option<(Correlation, Close)> {
        self.find(
            |request| if let Request::Close(close) = request { Some(close.clone()) } else { None },
        )
    }

    pub(super) fn confirmed(&mut self) -> Option<(Correlation, Inert)> {
        self.find(
            |request| if let Request::Inert(inert) = request { Some(inert.clone()) } else { None },
        )
    }

    pub(super) fn published(&mut self) -> Vec<Evidence> {
        let (evidence, rest) = self
            .outputs
            .drain(..)
            .partition::<VecDeque<_>, _>(|output| matches!(output, Output::Publish { .. }));
        self.outputs = rest;
        evidence
            .into_iter()
            .filter_map(|output| {
                let Output::Publish { evidence, .. } = output else { return None };
                Some(evidence)
            })
            .collect()
    }

    pub(super) fn reply(&mut self, correlation: Correlation, reply: Reply) {
        self.input(Input::Reply { correlation, result: Ok(reply) });
    }

    pub(super) fn lose(&mut self, correlation: Correlation) {
        self.input(Input::Reply { correlation, result: Err(Lost) });
    }

    pub(super) fn welcome(&mut self) {
        let (correlation, _) = self.hello().expect("a Hello");
        let log = version(0).log;
        self.reply(correlation, Reply::Welcome(Welcome { log, recorded_aborts: vec![] }));
    }

    pub(super) fn sync(&mut self, plan: Plan) {
        let (correlation, _) = self.synced().expect("a Sync");
        self.reply(correlation, Reply::Plan(plan));
    }

    /// A request of `name` was chosen and has no permit.
    pub(super) fn choose(&mut self, name: &str, request: u64) {
        self.plane.demand(&key(name), scope(request));
        self.input(Input::Stirred);
    }

    /// Demand, Ask, and its Grant of `permits`.
    pub(super) fn grant(&mut self, name: &str, permits: u32) -> Grant {
        self.choose(name, 1);
        let (correlation, ask) = self.asked().expect("an Ask");
        let grant = answer(&ask, permits);
        self.reply(correlation, Reply::Grant(grant.clone()));
        grant
    }

    pub(super) fn settle(&mut self, correlation: Correlation, close: &Close) {
        self.reply(correlation, Reply::Closed(close.grant.clone()));
    }
}

/// The coordinator's answer to `ask`.
pub(super) fn answer(ask: &Ask, permits: u32) -> Grant {
    Grant {
        incarnation: ask.incarnation,
        grant: GrantRef { session: ask.session.clone(), req_no: ask.req_no },
        permits,
        scope: GrantScope::default(),
        echo_sent: Some(ask.sent),
        remaining: TTL,
        stop_version: 0,
    }
}

pub(super) fn refusal(ask: &Ask, why: RefusedWhy, backoff: Duration) -> Reply {
    let grant = GrantRef { session: ask.session.clone(), req_no: ask.req_no };
    Reply::Refused(Refused { grant, why, backoff })
}
