//! The shim's side of the protocol on the real data plane, with a coordinator that says anything in any order.
//!
//! What must hold however the other side lies: permits that burn were granted, and nothing burns beyond their life, the
//! lease, a stop or a fork; what a Close says was used covers what burned; who confirms a stop runs nothing.

mod books;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::vocabulary::message::{Close, Command, GrantRef, Reply, Request, Unavailable};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::{AbortEpoch, Plan};
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_proto::wire;
use squall_shim::core::link::{Correlation, Identity, Input, Link, Lost, Output};
use squall_shim::core::{
    Call, Clock, Directive, Ended, NotApplied, Policy, Registry, RequestKey, Site, Verdict,
};

use self::books::Books;
use self::words::{any_reply, apt, command};
use super::cast::{self, Script};

/// Most faults under way: a host has as many calls at a time.
const RUNNING_MAX: usize = 64;
/// Most unanswered requests that are remembered; more are lost.
const UNANSWERED_MAX: usize = 64;

pub(super) fn hear(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut process = Process::new();
    while !script.is_over() {
        process.step(&mut script);
    }
}

#[derive(Debug)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> BootNanos {
        BootNanos(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed) / 1_000_000)
    }
}

struct Process {
    clock: Arc<Hands>,
    registry: Arc<Registry>,
    link: Link,
    sites: [Arc<Site>; 2],
    calls: u64,
    running: VecDeque<Directive>,
    unanswered: VecDeque<(Correlation, Request)>,
    books: Books,
}

impl Process {
    fn new() -> Self {
        let clock = Arc::new(Hands(AtomicU64::new(1_000_000_000)));
        let life = cast::incarnation(0);
        let policy = Policy::all(cast::environment());
        let registry = Registry::new(Arc::clone(&clock) as Arc<dyn Clock>, policy, life);
        let seam = Seam {
            name: "linked".to_owned(),
            point: Point::Tool,
            shape: Shape::Text,
            capabilities: Capabilities::ALL,
        };
        let sites = [0, 1].map(|agent| registry.site(&cast::agent(agent), &cast::tool(), &seam));
        let identity = Identity {
            incarnation: life,
            version: "fuzz".to_owned(),
            environment: cast::environment(),
            allowed: FaultKind::ALL.to_vec(),
            max_delay_ms: 60_000,
            agents: vec![],
        };
        let mut process = Self {
            clock,
            registry,
            link: Link::new(identity, 1),
            sites,
            calls: 0,
            running: VecDeque::new(),
            unanswered: VecDeque::new(),
            books: Books::of(life),
        };
        process.input(Input::Connected);
        process
    }

    fn now(&self) -> BootNanos {
        self.clock.now()
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now().plus(span);
        self.clock.0.store(end.0, Ordering::Relaxed);
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0 => self.input(Input::Connected),
            1 => self.input(Input::Disconnected),
            2..=5 => self.answer(script),
            6 => self.stale(script),
            7 | 8 => {
                let command = command(script);
                self.told(command);
            }
            9 => self.garbage(&script.bytes()),
            10 | 11 => self.call(script),
            12 => self.finish(script),
            13 => {
                self.pass(script.span());
                self.input(Input::Tick);
            }
            14 => {
                // As late as it is allowed to be.
                let (wake, _) = self.link.next_wake();
                self.pass(wake.since(self.now()).min(Duration::from_secs(60)));
                self.input(Input::Stirred);
            }
            _ => self.seldom(script),
        }
    }

    fn seldom(&mut self, script: &mut Script<'_>) {
        match script.below(4) {
            0 => {
                self.books.leaves();
                self.input(Input::Leave);
            }
            1 => self.fork(script),
            2 => self.link.owe(Close {
                incarnation: cast::incarnation(0xdd),
                grant: GrantRef { session: script.session(), req_no: script.number().max(1) },
                used: script.byte().into(),
            }),
            _ => self.input(Input::Tick),
        }
    }

    /// The child goes on here; what its parent held is the parent's.
    fn fork(&mut self, script: &mut Script<'_>) {
        self.running.clear();
        let life = script.incarnation();
        if life == self.books.life() {
            return;
        }
        self.registry.renew(life).expect("no other thread holds a lock");
        self.unanswered.clear();
        self.books.reborn(life);
        self.input(Input::Forked(life));
        self.input(Input::Connected);
    }

    fn input(&mut self, input: Input) {
        self.link.handle(self.clock.now(), input, &mut self.registry);
        while let Some(output) = self.link.poll() {
            match output {
                Output::Send { correlation, request } => self.sent(correlation, request),
                Output::Publish { evidence, .. } => {
                    let bytes = wire::encode_evidence(&evidence);
                    assert_eq!(wire::decode_evidence(&bytes).as_ref(), Ok(&evidence));
                }
                Output::PlanChanged | Output::WakeDelays | Output::ClaimAnswered(_) => {}
            }
        }
    }

    fn sent(&mut self, correlation: Correlation, request: Request) {
        let bytes = wire::encode_request(&request);
        assert_eq!(wire::decode_request(&bytes).as_ref(), Ok(&request), "nobody could read it");
        let runs = |session: &SessionKey| self.running.iter().any(|it| it.session() == session);
        self.books.sent(self.clock.now(), &request, runs);
        self.unanswered.push_back((correlation, request));
        if self.unanswered.len() > UNANSWERED_MAX
            && let Some((correlation, _)) = self.unanswered.pop_front()
        {
            self.input(Input::Reply { correlation, result: Err(Lost) });
        }
    }

    /// Answers a request, aptly or not.
    fn answer(&mut self, script: &mut Script<'_>) {
        if self.unanswered.is_empty() {
            return self.stale(script);
        }
        let at = usize::from(script.byte()) % self.unanswered.len();
        let Some((correlation, request)) = self.unanswered.remove(at) else { return };
        let reply = match script.below(8) {
            0 => return self.input(Input::Reply { correlation, result: Err(Lost) }),
            1 => any_reply(script),
            2 => Reply::Unavailable(Unavailable { why: "busy".to_owned(), backoff: script.span() }),
            _ => apt(&request, script),
        };
        self.answered(correlation, reply);
    }

    /// An answer to a request that nobody waits for, or that nobody sent.
    fn stale(&mut self, script: &mut Script<'_>) {
        let reply = any_reply(script);
        self.answered(Correlation(script.number()), reply);
    }

    /// Only what can be read arrives.
    fn answered(&mut self, correlation: Correlation, reply: Reply) {
        let Ok(reply) = wire::decode_reply(&wire::encode_reply(&reply)) else { return };
        self.books.answered(self.clock.now(), &reply);
        // Each request is answered once.
        self.unanswered.retain(|(waiting, _)| *waiting != correlation);
        self.input(Input::Reply { correlation, result: Ok(reply) });
    }

    fn told(&mut self, command: Command) {
        let Ok(command) = wire::decode_command(&wire::encode_command(&command)) else { return };
        self.books.told(self.clock.now(), &command);
        let stops = |directive: &Directive| match &command {
            Command::Abort { session, .. } => directive.session() == session,
            Command::Halt { epoch: AbortEpoch::Pushed(_) } => true,
            Command::Halt { epoch: AbortEpoch::Logged(_) }
            | Command::Plan(_)
            | Command::Beat(_)
            | Command::Dry(_)
            | Command::Refill { .. }
            | Command::Pause { .. }
            | Command::Grant(_)
            | Command::RollCall => false,
        };
        self.input(Input::Command(command.clone()));
        for directive in self.running.iter().filter(|directive| stops(directive)) {
            assert!(!directive.is_live(), "{command:?} left a fault running");
        }
    }

    /// Bytes that may be a command or an answer. A specification never changes, so that plans with others are not said.
    fn garbage(&mut self, bytes: &[u8]) {
        let ours = |plan: &Plan| {
            plan.live.iter().all(|live| cast::spec(&live.key).is_some_and(|spec| spec == live.spec))
        };
        match wire::decode_command(bytes) {
            Ok(Command::Plan(plan)) if !ours(&plan) => {}
            Ok(command) => self.told(command),
            Err(_) => {}
        }
        match wire::decode_reply(bytes) {
            Ok(Reply::Plan(plan)) if !ours(&plan) => {}
            Ok(reply) => {
                let correlation = self.unanswered.front().map_or(Correlation(0), |(it, _)| *it);
                self.answered(correlation, reply);
            }
            Err(_) => {}
        }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let trace = script.trace();
        let site = Arc::clone(script.pick(&self.sites));
        for _ in 0..=script.below(4) {
            if self.running.len() >= RUNNING_MAX {
                return;
            }
            self.calls += 1;
            // Some requests are retried.
            let request = RequestKey::of_bytes(&(self.calls / 2).to_le_bytes());
            let call = Call { request, trace: trace.as_ref() };
            let verdict = match site.decide(&call) {
                Verdict::Claim(claim) => {
                    self.input(Input::Stirred);
                    self.answer(script);
                    claim.settle()
                }
                verdict @ (Verdict::Pass | Verdict::Inject(_)) => verdict,
            };
            if let Verdict::Inject(directive) = verdict {
                self.books.injected(self.clock.now(), directive.session());
                assert!(directive.is_live(), "a fault that began may not go on");
                self.running.push_back(directive);
            }
        }
        self.input(Input::Stirred);
    }

    fn finish(&mut self, script: &mut Script<'_>) {
        let request = RequestKey::of_bytes(&self.calls.to_le_bytes());
        let call = Call { request, trace: None };
        let Some(mut directive) = self.running.pop_front() else { return };
        match script.below(5) {
            0 => directive.applied(&call, script.span()),
            1 => directive.not_applied(&call, NotApplied::NoText),
            2 => directive.missed(&call, NotApplied::CallFailed, script.span()),
            3 => {
                directive.engage();
                drop(directive);
            }
            _ => drop(directive),
        }
        self.sites[0].ended(&call, *script.pick(&[Ended::Ok, Ended::Failed]));
        self.input(Input::Stirred);
    }
}
