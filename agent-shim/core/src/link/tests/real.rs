//! The link on the real data plane: the port does what it promises.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::ToolName;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::time::UnixMillis;

use super::*;
use crate::journal::{BurnLog, Journal, Lost};
use crate::{Call, Clock, Directive, Policy, Registry, Site, Verdict};

#[derive(Debug, Default)]
struct Hands(Mutex<BootNanos>);

impl Clock for Hands {
    fn now(&self) -> BootNanos {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> UnixMillis {
        UnixMillis(0)
    }
}

struct Process {
    link: Link,
    registry: Arc<Registry>,
    clock: Arc<Hands>,
    site: Arc<Site>,
    requests: Vec<(Correlation, Request)>,
    calls: u64,
}

impl Process {
    fn new(strictness: &str) -> Self {
        let clock = Arc::new(Hands(Mutex::new(BootNanos(1_000_000_000))));
        let environment = Environment::new("ci").unwrap();
        let registry = Registry::new(clock.clone(), Policy::all(environment.clone()), ME);
        let seam = Seam {
            name: "linked".to_owned(),
            point: Point::Tool,
            shape: Shape::Text,
            capabilities: Capabilities::ALL,
        };
        let agent = AgentName::new("planner").unwrap();
        let site = registry.site(&agent, &ToolName::new("search").unwrap(), &seam);
        let identity = Identity {
            incarnation: ME,
            version: "test".to_owned(),
            environment,
            allowed: vec![],
            max_delay_ms: 60_000,
            agents: vec![],
        };
        let link = Link::new(identity, 1);
        let mut process = Self { link, registry, clock, site, requests: vec![], calls: 0 };
        process.input(Input::Connected);
        process.answer(|request| {
            let Request::Hello(hello) = request else { return None };
            assert_eq!(hello.tools, vec![ToolName::new("search").unwrap()]);
            let log = version(0).log;
            Some(Reply::Welcome(Welcome { log, recorded_aborts: vec![] }))
        });
        process.answer(|request| {
            let Request::Sync(_) = request else { return None };
            Some(Reply::Plan(whole(5, vec![live("s", strictness)])))
        });
        process
    }

    fn input(&mut self, input: Input) {
        let now = self.clock.now();
        self.link.handle(now, input, &mut self.registry);
        while let Some(output) = self.link.poll() {
            if let Output::Send { correlation, request } = output {
                self.requests.push((correlation, request));
            }
        }
    }

    fn answer(&mut self, reply: impl Fn(&Request) -> Option<Reply>) {
        for (correlation, request) in std::mem::take(&mut self.requests) {
            match reply(&request) {
                Some(reply) => self.input(Input::Reply { correlation, result: Ok(reply) }),
                None => self.requests.push((correlation, request)),
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.clock.now().plus(duration);
        while self.link.next_wake().0 < end {
            *self.clock.0.lock().unwrap() = self.link.next_wake().0;
            self.input(Input::Tick);
        }
        *self.clock.0.lock().unwrap() = end;
        self.input(Input::Tick);
    }

    fn call(&mut self) -> Option<Directive> {
        self.calls += 1;
        let request = crate::RequestKey::of_bytes(&self.calls.to_le_bytes());
        match self.site.decide(&Call { request, trace: None }) {
            Verdict::Inject(directive) => Some(directive),
            Verdict::Pass | Verdict::Claim(_) => None,
        }
    }

    fn grant(&mut self, permits: u32) {
        assert!(self.call().is_none(), "a permit came from nowhere");
        self.input(Input::Stirred);
        self.answer(|request| {
            let Request::Ask(ask) = request else { return None };
            Some(Reply::Grant(answer(ask, permits)))
        });
    }

    fn closes(&self) -> Vec<u32> {
        self.requests
            .iter()
            .filter_map(|(_, request)| {
                let Request::Close(close) = request else { return None };
                Some(close.used)
            })
            .collect()
    }
}

#[test]
fn a_chosen_call_asks_and_the_next_one_is_injected_as_often_as_was_granted() {
    let mut process = Process::new("strict");
    process.grant(2);
    let first = process.call().unwrap();
    let second = process.call().unwrap();
    assert!(process.call().is_none());
    process.pass(ms(300));
    assert_eq!(process.closes(), Vec::<u32>::new(), "closed while faults run");
    drop((first, second));
    process.pass(ms(100));
    assert_eq!(process.closes(), vec![2]);
}

#[test]
fn an_abort_ends_what_runs_and_is_confirmed_when_it_ended() {
    let mut process = Process::new("strict");
    process.grant(3);
    let directive = process.call().unwrap();
    assert!(directive.is_live());
    let epoch = AbortEpoch::Pushed(AppendId([3; 16]));
    process.input(Input::Command(Command::Abort { session: key("s"), epoch }));
    assert!(!directive.is_live());
    assert!(process.call().is_none());
    let confirmed = |process: &Process| {
        process.requests.iter().any(|(_, request)| matches!(request, Request::Inert(_)))
    };
    process.pass(ms(100));
    assert!(!confirmed(&process));
    drop(directive);
    process.pass(ms(100));
    assert!(confirmed(&process));
    assert_eq!(process.closes(), vec![1]);
}

#[test]
fn without_contact_nothing_is_injected_after_the_lease() {
    let mut process = Process::new("strict");
    process.grant(100);
    process.input(Input::Disconnected);
    let directive = process.call().unwrap();
    process.pass(ms(900));
    drop(process.call().unwrap());
    process.pass(ms(900));
    drop(process.call().unwrap());
    process.pass(ms(1200));
    assert!(process.call().is_none());
    assert!(!directive.is_live());
}

#[test]
fn a_forked_copy_injects_nothing() {
    let mut process = Process::new("strict");
    process.grant(100);
    process.registry.guard().invalidate();
    assert!(process.call().is_none());
    let child = Incarnation([9; 16]);
    process.registry.renew(child).unwrap();
    process.input(Input::Forked(child));
    process.requests.clear();
    process.pass(Duration::from_secs(5));
    assert!(process.call().is_none());
    assert_eq!(process.closes(), Vec::<u32>::new());
}

#[test]
fn evidence_shows_what_was_applied() {
    let mut process = Process::new("strict");
    process.grant(1);
    drop(process.call().unwrap());
    let now = process.clock.now().plus(ms(300));
    process.link.handle(now, Input::Stirred, &mut process.registry);
    let evidence: Vec<Evidence> = std::iter::from_fn(|| process.link.poll())
        .filter_map(|output| {
            let Output::Publish { evidence, .. } = output else { return None };
            Some(evidence)
        })
        .collect();
    let counts = evidence[0].rows[0].counts;
    assert_eq!((counts.seen, counts.chosen, counts.skipped), (2, 2, 1));
}

#[derive(Debug, Default)]
struct Notes {
    opened: Mutex<Vec<(u64, u32)>>,
    burns: Arc<Burns>,
    settled: Mutex<Vec<u64>>,
}

#[derive(Debug, Default)]
struct Burns(AtomicU32);

impl BurnLog for Burns {
    fn burned(&self) -> Result<(), Lost> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Journal for Notes {
    fn open(&self, _: &SessionKey, req_no: u64, permits: u32) -> Option<Arc<dyn BurnLog>> {
        self.opened.lock().unwrap().push((req_no, permits));
        Some(Arc::clone(&self.burns) as Arc<dyn BurnLog>)
    }

    fn settled(&self, _: &SessionKey, req_no: u64) {
        self.settled.lock().unwrap().push(req_no);
    }
}

#[test]
fn burns_are_written_down_before_their_fault_and_grants_until_they_are_settled() {
    let mut process = Process::new("strict");
    let notes = Arc::new(Notes::default());
    process.registry.keep_journal(Arc::clone(&notes) as Arc<dyn Journal>);
    process.grant(3);
    assert_eq!(*notes.opened.lock().unwrap(), [(1, 3)]);
    let directive = process.call().unwrap();
    assert_eq!(notes.burns.0.load(Ordering::SeqCst), 1);
    drop(directive);
    drop(process.call().unwrap());
    assert_eq!(notes.burns.0.load(Ordering::SeqCst), 2);
    process.pass(Duration::from_secs(3));
    assert_eq!(process.closes(), vec![2]);
    assert_eq!(*notes.settled.lock().unwrap(), [] as [u64; 0]);
    process.answer(|request| {
        let Request::Close(close) = request else { return None };
        Some(Reply::Closed(close.grant.clone()))
    });
    assert_eq!(*notes.settled.lock().unwrap(), [1]);
}

#[test]
fn a_forked_copy_writes_nothing_down() {
    let mut process = Process::new("strict");
    let notes = Arc::new(Notes::default());
    process.registry.keep_journal(Arc::clone(&notes) as Arc<dyn Journal>);
    process.grant(3);
    process.registry.guard().invalidate();
    assert!(process.call().is_none());
    process.registry.renew(Incarnation([9; 16])).unwrap();
    assert!(process.registry.journal().is_none());
    assert_eq!(notes.burns.0.load(Ordering::SeqCst), 0);
}
