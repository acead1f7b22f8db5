//! A small run in which nothing is broken, to be broken.
//!
//! One session of tenant `acme` with a budget of 5: created at 50 ms, started at 200, a grant of 4 to agent `a` at 300, one of 1
//! to agent `b` at 310; `a` is affected twice, `b` once; aborted at 2000, closed, confirmed, proven at 3000.

use std::collections::BTreeSet;

use squall_drill_checker::files::{
    AgentCall, Answer, Begin, ClientCall, End, Evidence, Felt, Final, Life, Report, Run, Shown,
    WallClock, Who,
};
use squall_drill_checker::log::{Command, Entry, Event, Grant, Holder, LeverEvent, Record, Spec};
use squall_drill_checker::{Rule, check};

/// A millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// The host's wall clock is that far from its boot clock.
const WALL: u64 = 1_000_000 * MS;
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The run.
pub(crate) struct World {
    /// The log.
    pub(crate) records: Vec<Record>,
    /// Everything else.
    pub(crate) evidence: Evidence,
    chain: bool,
}

/// The life of an agent of `acme`.
pub(crate) fn holder(agent: &str) -> Holder {
    let incarnation = agent.repeat(32);
    Holder { tenant: "acme".to_owned(), shim: agent.to_owned(), incarnation }
}

impl World {
    /// Nothing is broken.
    pub(crate) fn whole() -> Self {
        let spec = Spec { budget: 5, tools: vec!["t".to_owned()], ..Spec::default() };
        let mut world = Self { records: Vec::new(), evidence: Evidence::default(), chain: true };
        world.command(50, "create", Event::Created(Box::new(spec)));
        world.command(200, "start", Event::Started);
        world.append(300, vec![Self::issued("a", 1, 4)]);
        world.append(310, vec![Self::issued("b", 1, 1)]);
        world.command(2_000, "abort", Event::Aborted { cause: 1, lever: 0 });
        world.append(2_100, vec![Event::Closed { holder: holder("a"), req_no: 1, used: 2 }]);
        world.append(2_200, vec![Event::Inert { holder: holder("a") }]);
        world.append(2_210, vec![Event::Inert { holder: holder("b") }]);
        world.append(3_000, vec![Event::Proven { by: 1, out_of_contact: Vec::new() }]);
        world.evidence.run =
            Run { clock: WallClock { min_ns: WALL, max_ns: WALL }, settled_ns: 10_000 * MS };
        world.evidence.lives = vec![life("a", &[500, 700]), life("b", &[600])];
        let shown = |state: &str, revision, issued| Shown {
            state: state.to_owned(),
            revision,
            budget: 5,
            issued,
            refunded: 0,
            available: 5 - issued,
            proven: false,
        };
        world.call("create", 40, 60, Answer::Done(Some(shown("DRAFT", 1, 0))));
        world.call("start", 100, 250, Answer::Done(Some(shown("RUNNING", 2, 0))));
        world.call("abort", 1_900, 2_050, Answer::Done(Some(shown("ABORTED", 5, 5))));
        let last = Shown { refunded: 2, available: 2, proven: true, ..shown("ABORTED", 9, 5) };
        let session = "acme/s".to_owned();
        world.evidence.finals =
            vec![Final { session: session.clone(), coordinator: 0, shown: Some(last) }];
        let agents = vec![("acme".into(), "a".into(), 2), ("acme".into(), "b".into(), 1)];
        world.evidence.reports =
            vec![Report { session, coordinator: 0, applied: 3, overshoot: 0, agents }];
        world
    }

    /// A grant to an agent of `acme`.
    pub(crate) fn issued(agent: &str, req_no: u64, permits: u32) -> Event {
        let (agent, holder, trace) = (agent.to_owned(), holder(agent), Some("trace".to_owned()));
        Event::Issued(Grant { holder, req_no, permits, agent, trace })
    }

    fn command(&mut self, at_ms: u64, op: &'static str, event: Event) {
        let command = Some(Command { request: format!("{op}-1"), op });
        self.entry(at_ms, vec![(command, event)]);
    }

    /// A record that no client caused.
    pub(crate) fn append(&mut self, at_ms: u64, events: Vec<Event>) {
        self.entry(at_ms, events.into_iter().map(|event| (None, event)).collect());
    }

    fn entry(&mut self, at_ms: u64, events: Vec<(Option<Command>, Event)>) {
        let entry = Entry::Session { session: "acme/s".to_owned(), issued: 0, refunded: 0, events };
        self.record(at_ms, "log.s.acme.s", entry);
    }

    fn record(&mut self, at_ms: u64, subject: &str, entry: Entry) {
        let sequence = self.records.len() as u64 + 1;
        self.records.push(Record {
            sequence,
            wall_ns: WALL + at_ms * MS,
            subject: subject.to_owned(),
            append: format!("append-{at_ms}"),
            previous: String::new(),
            hash: format!("hash-{at_ms}"),
            entry,
        });
        if self.chain {
            self.mend();
        }
    }

    /// Numbers, chains and sums up all records anew.
    fn mend(&mut self) {
        let (mut heads, mut issued, mut refunded) = (std::collections::BTreeMap::new(), 0, 0);
        let mut grants = std::collections::BTreeMap::new();
        for (place, record) in self.records.iter_mut().enumerate() {
            record.sequence = place as u64 + 1;
            let head = heads.insert(record.subject.clone(), record.hash.clone());
            record.previous = head.unwrap_or_else(|| NO_HASH.to_owned());
            let Entry::Session { issued: all, refunded: back, events, .. } = &mut record.entry
            else {
                continue;
            };
            for (_, event) in events {
                match event {
                    Event::Issued(grant) => {
                        issued += u64::from(grant.permits);
                        let key = (grant.holder.incarnation.clone(), grant.req_no);
                        grants.insert(key, grant.permits);
                    }
                    Event::Closed { holder, req_no, used } => {
                        let key = (holder.incarnation.clone(), *req_no);
                        let permits = grants.remove(&key).unwrap_or_default();
                        refunded += u64::from(permits.saturating_sub(*used));
                    }
                    Event::Created(_)
                    | Event::Started
                    | Event::Paused
                    | Event::Resumed
                    | Event::DrainBegan
                    | Event::Ended(_)
                    | Event::ScopeBound { .. }
                    | Event::Aborted { .. }
                    | Event::Inert { .. }
                    | Event::Proven { .. }
                    | Event::GuardTripped
                    | Event::LogDamaged(_) => {}
                }
            }
            (*all, *back) = (issued, refunded);
        }
    }

    /// The session's specification.
    pub(crate) fn spec(&mut self) -> &mut Spec {
        let Entry::Session { events, .. } = &mut self.records[0].entry else { unreachable!() };
        let Event::Created(spec) = &mut events[0].1 else { unreachable!() };
        spec
    }

    /// Changes events, with sums that fit.
    pub(crate) fn edit(&mut self, change: impl Fn(&mut Event)) {
        for record in &mut self.records {
            if let Entry::Session { events, .. } = &mut record.entry {
                events.iter_mut().for_each(|(_, event)| change(event));
            }
        }
        self.mend();
    }

    /// Leaves records out, with a chain that fits.
    pub(crate) fn remove(&mut self, which: impl Fn(&Event) -> bool) {
        self.records.retain(|record| !record.session_events().any(|(_, event)| which(event)));
        self.mend();
    }

    /// One more event right behind the start's.
    pub(crate) fn insert_behind_start(&mut self, event: Event) {
        if let Entry::Session { events, .. } = &mut self.records[1].entry {
            events.push((None, event));
        }
        self.mend();
    }

    /// The halt of its tenant stands right before the first grant.
    pub(crate) fn lever_before_the_grant(&mut self) {
        let events = vec![(None, LeverEvent::Engaged)];
        self.record(290, "log.lever.acme", Entry::Lever { scope: "acme".to_owned(), events });
        let lever = self.records.pop().expect("a whole run has it");
        self.records.insert(2, lever);
        self.edit(|event| {
            if let Event::Aborted { cause, lever } = event {
                (*cause, *lever) = (2, 3);
            }
        });
    }

    /// The log lacks who gave a command.
    pub(crate) fn forget_command(&mut self, op: &str) {
        for record in &mut self.records {
            if let Entry::Session { events, .. } = &mut record.entry {
                for (command, _) in events {
                    *command = command.take().filter(|command| command.op != op);
                }
            }
        }
    }

    /// The record of a command is there once more.
    pub(crate) fn repeat_command(&mut self, op: &str) {
        let is_it = |record: &&Record| {
            record
                .session_events()
                .any(|(command, _)| command.as_ref().is_some_and(|it| it.op == op))
        };
        let mut again = self.records.iter().find(is_it).expect("a whole run has it").clone();
        (again.append, again.hash) = ("again".to_owned(), "again".to_owned());
        self.records.push(again);
        self.mend();
    }

    /// One attempt of a client at the session.
    pub(crate) fn call(&mut self, op: &str, from_ms: u64, to_ms: u64, answer: Answer) {
        self.evidence.calls.push(ClientCall {
            client: 0,
            coordinator: 0,
            subject: "acme/s".to_owned(),
            op: op.to_owned(),
            request: format!("{op}-1"),
            invoke_ns: from_ms * MS,
            return_ns: to_ms * MS,
            answer,
        });
    }

    /// One attempt at the halt of `acme`.
    pub(crate) fn lever_call(&mut self, op: &str, at_ms: u64, answer: Answer) {
        self.call(op, at_ms, at_ms + 10, answer);
        self.evidence.calls.last_mut().expect("a whole run has it").subject =
            "lever/acme".to_owned();
    }

    /// Another answer to a command.
    pub(crate) fn answer(&mut self, op: &str, answer: Answer) {
        let call =
            self.evidence.calls.iter_mut().find(|call| call.op == op).expect("a whole run has it");
        call.answer = answer;
    }

    /// Changes what clients were shown.
    pub(crate) fn shown(&mut self, change: impl Fn(&mut Shown)) {
        for call in &mut self.evidence.calls {
            if let Answer::Done(Some(shown)) = &mut call.answer {
                change(shown);
            }
        }
    }

    /// One of the affected calls was made at another time.
    pub(crate) fn late_injection(&mut self, at_ms: u64) {
        let call = &mut self.evidence.lives[0].calls[1];
        (call.begin.at_ns, call.end.as_mut().expect("a whole run has it").at_ns) =
            (at_ms * MS, (at_ms + 1) * MS);
    }

    /// The checker finds nothing.
    pub(crate) fn is_clean(&self) {
        let verdict = check(&self.records, &self.evidence);
        assert_eq!(verdict.violations, []);
    }

    /// The checker finds this.
    pub(crate) fn finds(&self, rule: Rule) {
        let verdict = check(&self.records, &self.evidence);
        let found: BTreeSet<Rule> = verdict.violations.iter().map(|one| one.rule).collect();
        assert!(found.contains(&rule), "{rule} is not among {:#?}", verdict.violations);
    }
}

fn life(agent: &str, affected_ms: &[u64]) -> Life {
    let Holder { tenant, shim, incarnation } = holder(agent);
    let call = |(n, at_ms): (u64, &u64)| AgentCall {
        begin: Begin { n, at_ns: at_ms * MS, tool: "t".to_owned(), trace: "trace".to_owned() },
        end: Some(End { n, at_ns: (at_ms + 1) * MS, felt: Felt::Marked("acme/s".to_owned()) }),
    };
    Life {
        who: Who { tenant, agent: shim, incarnation, began_ns: 0, unarmed: false },
        calls: (1..).zip(affected_ms).map(call).collect(),
        ended_ns: Some(20_000 * MS),
    }
}
