//! Any inputs in any order: nothing panics, and no more is usable than was granted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One thing that may happen next. Numbers pick from what there is.
#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Choose(u8, u64),
    Burn(u8),
    EndFault(u8),
    Connect,
    Disconnect,
    /// Answer a request that is still open; with what it asks for, with a refusal, or with nothing.
    Answer(usize, u8),
    /// Any message that was ever sent to the shim, once more.
    Again(usize),
    /// A message from nowhere.
    Garbage(u8, u64, u64),
    Abort(u8, u64),
    Halt,
    Pause(u8, u64),
    Plan(u64, u64, u8),
    Fork(u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0_u64..4000).prop_map(Act::Pass),
        5 => (0_u8..3, any::<u64>()).prop_map(|(s, r)| Act::Choose(s, r)),
        8 => (0_u8..3).prop_map(Act::Burn),
        5 => (0_u8..3).prop_map(Act::EndFault),
        2 => Just(Act::Connect),
        1 => Just(Act::Disconnect),
        12 => (any::<usize>(), any::<u8>()).prop_map(|(n, how)| Act::Answer(n, how)),
        5 => any::<usize>().prop_map(Act::Again),
        4 => (any::<u8>(), 0_u64..12, any::<u64>()).prop_map(|(k, a, b)| Act::Garbage(k, a, b)),
        1 => (0_u8..3, 0_u64..9).prop_map(|(s, e)| Act::Abort(s, e)),
        1 => Just(Act::Halt),
        1 => (0_u8..3, 0_u64..12).prop_map(|(s, v)| Act::Pause(s, v)),
        3 => (0_u64..12, 0_u64..4, any::<u8>()).prop_map(|(v, back, mask)| Act::Plan(v, back, mask)),
        1 => any::<u8>().prop_map(Act::Fork),
    ]
}

const NAMES: [&str; 3] = ["s", "t", "u"];
const KINDS: [&str; 3] = ["strict", "strict", "strict_claim"];

fn named(n: u8) -> &'static str {
    NAMES[usize::from(n) % NAMES.len()]
}

/// The coordinator's ledger, as simple as can be: what it granted, and what it takes a Close for.
#[derive(Default)]
struct Ledger {
    granted: BTreeMap<(Incarnation, SessionKey, u64), u32>,
    /// Any second Close with another number would give permits back twice.
    closed: BTreeMap<(Incarnation, SessionKey, u64), u32>,
}

struct Run {
    world: World,
    open: Vec<(Correlation, Request)>,
    said: Vec<Input>,
    ledger: Ledger,
    incarnation: Incarnation,
    burned: BTreeMap<(Incarnation, SessionKey), u32>,
    aborted: BTreeSet<SessionKey>,
}

impl Run {
    fn new() -> Self {
        Self {
            world: World::new(),
            open: vec![],
            said: vec![],
            ledger: Ledger::default(),
            incarnation: ME,
            burned: BTreeMap::new(),
            aborted: BTreeSet::new(),
        }
    }

    fn input(&mut self, input: Input) {
        if !matches!(input, Input::Tick | Input::Stirred) && self.said.len() < 200 {
            self.said.push(input.clone());
        }
        if let Input::Command(Command::Abort { session, .. }) = &input {
            self.aborted.insert(session.clone());
        }
        self.world.input(input);
        self.collect();
    }

    fn collect(&mut self) {
        for output in std::mem::take(&mut self.world.outputs) {
            let Output::Send { correlation, request } = output else { continue };
            match &request {
                Request::Close(close) => self.check_close(close),
                Request::Inert(inert) => {
                    let held = self.world.plane.held(&inert.session);
                    assert_eq!(held.running, 0, "Inert sent while a fault runs");
                    assert!(!self.world.plane.burn(&inert.session, self.world.now));
                }
                Request::Hello(_) | Request::Sync(_) | Request::Ask(_) | Request::Renew(_) => {}
            }
            self.open.push((correlation, request));
        }
    }

    /// I6: one Close for each grant, always with the same number, and never less than was burned of it.
    fn check_close(&mut self, close: &Close) {
        let id = (close.incarnation, close.grant.session.clone(), close.grant.req_no);
        let before = self.ledger.closed.insert(id.clone(), close.used);
        if let Some(used) = before {
            // Closed(0) for what was never ours to use may follow an acknowledged Close; the ledger ignores it.
            assert!(used == close.used || close.used == 0, "a Close changed from {used}");
            self.ledger.closed.insert(id, used);
        } else if let Some(granted) = self.ledger.granted.get(&id) {
            assert!(close.used <= *granted, "more used than granted");
        }
    }

    fn answer(&mut self, n: usize, how: u8) {
        if self.open.is_empty() {
            return;
        }
        let (correlation, request) = self.open.remove(n % self.open.len());
        let result =
            if how.is_multiple_of(5) { Err(Lost) } else { Ok(self.reply_to(&request, how)) };
        self.input(Input::Reply { correlation, result });
    }

    fn reply_to(&mut self, request: &Request, how: u8) -> Reply {
        match request {
            Request::Hello(_) => {
                let log = version(0).log;
                Reply::Welcome(Welcome { log, recorded_aborts: vec![] })
            }
            Request::Sync(_) => Reply::Plan(whole(5 + u64::from(how % 4), sessions(how))),
            Request::Ask(ask) if how.is_multiple_of(3) => refusal(ask, RefusedWhy::Dry, ms(100)),
            Request::Ask(ask) => {
                let id = (ask.incarnation, ask.session.clone(), ask.req_no);
                let permits = *self.ledger.granted.entry(id).or_insert(1 + u32::from(how % 4));
                Reply::Grant(answer(ask, permits))
            }
            Request::Renew(renew) => Reply::Renewed(Renewed {
                echo_sent: renew.sent,
                remaining: TTL,
                stop_version: u64::from(how % 8),
            }),
            Request::Close(close) => Reply::Closed(close.grant.clone()),
            Request::Inert(inert) => Reply::InertNoted(inert.session.clone()),
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Pass(time) => {
                let end = self.world.now.plus(ms(time));
                while self.world.link.next_wake().0 <= end {
                    self.world.now = self.world.link.next_wake().0;
                    self.input(Input::Tick);
                }
                self.world.now = end;
                self.input(Input::Tick);
            }
            Act::Choose(session, request) => {
                self.world.plane.demand(&key(named(session)), scope(request));
                self.input(Input::Stirred);
            }
            Act::Burn(session) => self.burn(&key(named(session))),
            Act::EndFault(session) => {
                let key = key(named(session));
                if self.world.plane.held(&key).running > 0 {
                    self.world.plane.end_fault(&key, self.world.now);
                    self.input(Input::Stirred);
                }
            }
            Act::Connect => self.input(Input::Connected),
            Act::Disconnect => {
                self.input(Input::Disconnected);
            }
            Act::Answer(n, how) => self.answer(n, how),
            Act::Again(n) if !self.said.is_empty() => {
                let again = self.said[n % self.said.len()].clone();
                if !matches!(again, Input::Forked(_)) {
                    self.input(again);
                }
            }
            Act::Again(_) => {}
            Act::Garbage(kind, a, b) => self.garbage(kind, a, b),
            Act::Abort(session, epoch) => {
                let session = key(named(session));
                self.input(Input::Command(Command::Abort {
                    session,
                    epoch: AbortEpoch::Logged(epoch),
                }));
            }
            Act::Halt => {
                let epoch = AbortEpoch::Pushed(AppendId([1; 16]));
                self.input(Input::Command(Command::Halt { epoch }));
            }
            Act::Pause(session, sequence) => {
                let (session, plan) = (key(named(session)), version(sequence));
                self.input(Input::Command(Command::Pause { session, plan }));
            }
            Act::Plan(sequence, back, mask) => {
                let plan = delta(sequence.saturating_sub(back), sequence, sessions(mask));
                self.input(Input::Command(Command::Plan(plan)));
            }
            Act::Fork(n) => {
                // The child is another process: its wallets start empty, what ran runs in the parent.
                self.incarnation = Incarnation([n; 16]);
                self.world.plane.purses.clear();
                self.open.clear();
                self.input(Input::Forked(self.incarnation));
                self.world.plane = Fake::default();
            }
        }
    }

    /// I1 and I3 as one shim can break them: permits burned of a session never exceed those granted to this life.
    fn burn(&mut self, session: &SessionKey) {
        let now = self.world.now;
        if !self.world.plane.burn(session, now) {
            return;
        }
        assert!(!self.aborted.contains(session), "burned after an abort");
        let burned = self.burned.entry((self.incarnation, session.clone())).or_default();
        *burned += 1;
        let granted: u32 = self
            .ledger
            .granted
            .iter()
            .filter(|((life, key, req_no), _)| {
                let id = (*life, key.clone(), *req_no);
                *life == self.incarnation
                    && key == session
                    && self.ledger.closed.get(&id).is_none_or(|used| *used != 0)
            })
            .map(|(_, permits)| *permits)
            .sum();
        assert!(*burned <= granted, "{burned} burned of {granted} granted");
        self.input(Input::Stirred);
    }

    fn garbage(&mut self, kind: u8, a: u64, b: u64) {
        let session = key(named(u8::try_from(b % 3).unwrap()));
        let grant = Grant {
            incarnation: if a.is_multiple_of(2) {
                self.incarnation
            } else {
                Incarnation([0xee; 16])
            },
            // Far from every number that is asked for: an answer to a real request is the ledger's to give.
            grant: GrantRef { session: session.clone(), req_no: 1_000_000 + a },
            permits: u32::try_from(b % 300).unwrap(),
            scope: GrantScope::default(),
            echo_sent: a.is_multiple_of(3).then_some(BootNanos(b)),
            remaining: Duration::from_nanos(b),
            stop_version: a,
        };
        let correlation = Correlation(b % 64);
        let input = match kind % 9 {
            0 => Input::Command(Command::Grant(grant)),
            1 => Input::Reply { correlation, result: Ok(Reply::Grant(grant)) },
            2 => Input::Command(Command::Beat(version(b % 20))),
            3 => Input::Command(Command::Refill { session, phi0: f64::from_bits(b) }),
            4 => Input::Command(Command::Dry(session)),
            5 => Input::Command(Command::RollCall),
            6 => {
                self.world.plane.sites += 1;
                Input::Stirred
            }
            7 => Input::Command(Command::Plan(Plan {
                page: u32::try_from(a).unwrap(),
                pages: u32::try_from(b % 5).unwrap(),
                previous: b.is_multiple_of(2).then_some(a),
                ended: vec![(session, Ending::Ended)],
                ..whole(b % 12, vec![])
            })),
            _ => Input::Reply { correlation, result: Err(Lost) },
        };
        self.input(input);
    }
}

fn sessions(mask: u8) -> Vec<PlanSession> {
    (0..3_u8)
        .filter(|n| mask & (1 << n) != 0)
        .map(|n| {
            let mut session = live(named(n), KINDS[usize::from(n)]);
            session.running = mask & (16 << n) == 0;
            session
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_inputs_make_more_usable_than_was_granted(acts in prop::collection::vec(act(), 1..200)) {
        let mut run = Run::new();
        run.world.input(Input::Connected);
        run.collect();
        for act in acts {
            run.act(act);
        }
        let link = &run.world.link;
        prop_assert!(link.pending.len() < 300, "{} requests are remembered", link.pending.len());
        prop_assert!(link.sessions.len() <= 3);
    }

    #[test]
    fn after_the_storm_the_shim_is_served_again(acts in prop::collection::vec(act(), 1..100)) {
        let mut run = Run::new();
        run.world.input(Input::Connected);
        run.collect();
        for act in acts {
            run.act(act);
        }
        // A new session, a quiet network, faults that end: within a minute it is granted permits.
        let before = run.ledger.granted.len();
        for round in 0..600_u64 {
            if round % 50 == 0 {
                let plan = Plan { live: vec![live("fresh", "strict")], ..whole(100, vec![]) };
                run.input(if run.world.link.status().connected { Input::Tick } else { Input::Connected });
                run.input(Input::Command(Command::Plan(plan)));
            }
            run.world.plane.demand(&key("fresh"), scope(round));
            run.act(Act::Pass(100));
            while let Some((correlation, request)) = run.open.pop() {
                let reply = if matches!(request, Request::Sync(_)) {
                    Reply::Plan(whole(100, vec![live("fresh", "strict")]))
                } else {
                    run.reply_to(&request, 1)
                };
                run.input(Input::Reply { correlation, result: Ok(reply) });
            }
        }
        prop_assert!(run.ledger.granted.len() > before, "{:?}", run.world.link.status());
    }
}
