//! A small world for engines: one log, one clock, shims that speak when told to.

mod cast;
mod voices;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use squall_domain::event::{Event, Hash, Record, Recorded, Totals};
use squall_domain::evidence::Archive;
use squall_domain::lever::{Lever, Scope};
use squall_domain::session::{ClientCommand, Session};
use squall_domain::world::{Entry, World};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::counts::Counts;
use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{
    AgentName, AppendId, Environment, Incarnation, ReplicaId, RequestId, SessionKey, ShimId,
    TenantId,
};
use squall_proto::vocabulary::message::{
    Ask, Close, Command, CountRow, Evidence, GrantRef, Hello, Inert, Renew, Reply, Request,
    ScopeKeys, SiteRef, StickyAbort,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::plan::AbortEpoch;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, RateDraft, SafetyDraft, SessionDraft, SessionSpec,
};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use super::super::{
    Answer, Engine, FleetView, Identity, Input, Lane, Now, Order, OrderError, OrderKind, Output,
    Query, SessionKeyOrScope, SessionView, Token, Write,
};

use self::cast::named;
pub(super) use self::cast::{draft, hello, incarnation, inert, key, rated, reporting, spec};

/// What happens to appends from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Commit,
    /// They are on their way until the fate changes, in order.
    Hold,
    /// They commit, but the answer gets lost.
    CommitUnanswered,
    /// They get lost, and so does any answer.
    Lose,
    Full,
}

pub(super) struct Bench {
    pub(super) engines: Vec<Engine>,
    alive: Vec<bool>,
    pub(super) log: Vec<(AppendId, Write)>,
    /// When each was stored.
    times: Vec<UnixMillis>,
    /// Records up to this sequence are kept no more.
    expired: usize,
    held: VecDeque<(usize, AppendId, Write)>,
    fate: Fate,
    now: Now,
    tokens: u64,
    replies: BTreeMap<Token, Reply>,
    orders: BTreeMap<Token, Result<SessionKeyOrScope, OrderError>>,
    pub(super) commands: Vec<(TenantId, Command)>,
    /// What the first replica listens to.
    pub(super) owned: std::collections::BTreeSet<squall_proto::subject::Partition>,
}

impl Bench {
    /// One replica on an empty log.
    pub(super) fn new() -> Self {
        let mut bench = Self {
            engines: vec![],
            alive: vec![],
            log: vec![],
            times: vec![],
            expired: 0,
            held: VecDeque::new(),
            fate: Fate::Commit,
            now: Now { boot: BootNanos(1_000_000_000), wall: UnixMillis(1_000_000) },
            tokens: 0,
            replies: BTreeMap::new(),
            orders: BTreeMap::new(),
            commands: vec![],
            owned: std::collections::BTreeSet::new(),
        };
        bench.join();
        bench
    }

    /// One replica, one shim, one session that runs.
    pub(super) fn running(budget: u32) -> Self {
        let mut bench = Self::new();
        bench.run(spec(budget));
        bench
    }

    pub(super) fn hears(&mut self, shim: &str, hello: Hello) {
        self.send(0, shim, Request::Hello(hello));
    }

    /// A shim says Hello, and a session is created and started.
    pub(super) fn run(&mut self, spec: SessionSpec) {
        self.send(0, "shim-1", Request::Hello(hello("shim-1")));
        let created = self.create(spec);
        assert_eq!(self.ordered(created).map(|result| result.is_ok()), Some(true));
        let started = self.command("start", ClientCommand::Start);
        assert!(self.ordered(started).expect("no answer").is_ok());
    }

    /// Another replica that reads the log from its beginning.
    pub(super) fn join(&mut self) -> usize {
        let index = self.engines.len();
        let identity = Identity {
            replica: ReplicaId::new(format!("replica-{index}")).unwrap(),
            log: "log-1".parse().unwrap(),
            log_is_synced: Default::default(),
            shims_are_vouched_for: true,
            seed: 11 + index as u64,
        };
        let mut engine = Engine::new(identity, World::default(), Archive::default());
        for at in self.expired..self.log.len() {
            engine.handle(self.now, self.logged(at));
        }
        engine.handle(self.now, Input::CaughtUp);
        self.engines.push(engine);
        self.alive.push(true);
        self.pass(Duration::from_millis(100));
        index
    }

    /// The first replica finds that the log contradicts itself.
    pub(super) fn damage(&mut self, why: &str) {
        self.engines[0].handle(self.now, Input::LogDamaged(why.to_owned()));
        self.settle();
    }

    /// What the first replica says of itself.
    pub(super) fn health(&mut self) -> Option<Result<(), String>> {
        let engine = &mut self.engines[0];
        engine.handle(self.now, Input::Query { token: Token(u64::MAX), query: Query::Health });
        std::iter::from_fn(|| engine.poll()).find_map(|output| {
            let Output::Answered(_, answer) = output else { return None };
            let Answer::Health(health) = *answer else { return None };
            Some(health)
        })
    }

    /// A shim reports how often it applied the experiment of a session, to all replicas.
    pub(super) fn reports(&mut self, shim: &str, session: &SessionKey, applied: u64) {
        self.reports_of("acme", shim, session, applied);
    }

    pub(super) fn reports_of(
        &mut self,
        tenant: &str,
        shim: &str,
        session: &SessionKey,
        applied: u64,
    ) {
        let row = CountRow {
            session: session.clone(),
            experiment: "latency".parse().unwrap(),
            agent: "planner".parse().unwrap(),
            counts: Counts { seen: 9, applied, ..Counts::default() },
        };
        let (incarnation, rows) = (incarnation(shim), vec![row]);
        let (traces, samples) = (vec![], vec![]);
        let evidence = Evidence { incarnation, rows, traces, samples, samples_lost: 0 };
        for engine in &mut self.engines {
            let (shim, evidence) = (shim.parse().unwrap(), Box::new(evidence.clone()));
            let tenant = tenant.parse().unwrap();
            let input = Input::Evidence { sequence: 1, tenant, shim, evidence };
            engine.handle(self.now, input);
        }
        self.settle();
    }

    /// The first replica can't read evidence.
    pub(super) fn loses_evidence(&mut self) {
        let (why, silent) = ("gone".to_owned(), Duration::from_secs(12));
        self.engines[0].handle(self.now, Input::EvidenceUnreadable { why, silent });
        self.settle();
    }

    /// It can again.
    pub(super) fn reads_evidence(&mut self) {
        self.engines[0].handle(self.now, Input::EvidenceReadable);
        self.settle();
    }

    /// The sessions as the first replica lists them.
    pub(super) fn listed(&mut self) -> Vec<SessionView> {
        let engine = &mut self.engines[0];
        let query = Query::Sessions { tenant: None, phases: vec![], before: None, limit: 9 };
        engine.handle(self.now, Input::Query { token: Token(u64::MAX), query });
        let answer = std::iter::from_fn(|| engine.poll()).find_map(|output| {
            let Output::Answered(_, answer) = output else { return None };
            let Answer::Sessions(sessions) = *answer else { return None };
            Some(sessions)
        });
        answer.expect("no answer")
    }

    /// The shims that the first replica knows.
    pub(super) fn fleet(&mut self) -> FleetView {
        let engine = &mut self.engines[0];
        let query = Query::Fleet(None);
        engine.handle(self.now, Input::Query { token: Token(u64::MAX), query });
        let answer = std::iter::from_fn(|| engine.poll()).find_map(|output| {
            let Output::Answered(_, answer) = output else { return None };
            let Answer::Fleet(fleet) = *answer else { return None };
            Some(fleet)
        });
        answer.expect("no answer")
    }

    /// Somebody wrote bytes that are no record to the main session's subject.
    pub(super) fn garbage(&mut self) {
        self.log.push((AppendId([3; 16]), Write::Barrier));
        self.times.push(self.now.wall);
        let entry = Box::new(Entry::Unreadable(key(), "garbage".into()));
        let (sequence, hash) = (self.log.len() as u64, Hash::default());
        let time = self.now.wall;
        self.engines[0]
            .handle(self.now, Input::Logged { sequence, time, append: None, entry, hash });
        self.settle();
    }

    /// The log holds a record of the main session whose first one is gone; the replicas read it if it is `seen`.
    pub(super) fn stray(&mut self, seen: bool) {
        let record = Record {
            append: AppendId([4; 16]),
            at: self.now.wall,
            previous: Hash::default(),
            totals: Totals::default(),
            events: vec![Recorded { command: None, event: Event::Paused }],
        };
        self.log.push((record.append, Write::Session(key(), 0, record)));
        self.times.push(self.now.wall);
        for index in 0..self.engines.len() {
            if seen {
                let record = self.logged(self.log.len() - 1);
                self.engines[index].handle(self.now, record);
            }
        }
        self.settle();
    }

    pub(super) fn crash(&mut self, index: usize) {
        self.alive[index] = false;
    }

    pub(super) fn fate(&mut self, fate: Fate) {
        self.fate = fate;
        if fate != Fate::Hold {
            for (index, id, write) in std::mem::take(&mut self.held) {
                self.arrive(index, id, write);
            }
            self.settle();
        }
    }

    /// Every record up to this sequence expires.
    pub(super) fn expire(&mut self, sequence: usize) {
        self.expired = sequence;
    }

    /// Time passes at once.
    pub(super) fn leap(&mut self, duration: Duration) {
        let Now { boot, wall } = self.now;
        self.now = Now { boot: boot.plus(duration), wall: wall.plus(duration) };
    }

    /// The wall clock is set to another time.
    pub(super) fn set_wall(&mut self, wall: UnixMillis) {
        self.now.wall = wall;
    }

    /// Time passes in small steps, with ticks.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.boot.plus(duration);
        while self.now.boot < end {
            let step = Duration::from_millis(50).min(end.since(self.now.boot));
            self.now = Now { boot: self.now.boot.plus(step), wall: self.now.wall.plus(step) };
            for index in 0..self.engines.len() {
                if self.alive[index] {
                    self.engines[index].handle(self.now, Input::Tick);
                }
            }
            self.settle();
        }
    }

    fn settle(&mut self) {
        loop {
            let outputs: Vec<(usize, Output)> = (0..self.engines.len())
                .filter(|index| self.alive[*index])
                .filter_map(|index| Some((index, self.engines[index].poll()?)))
                .collect();
            if outputs.is_empty() {
                return;
            }
            for (index, output) in outputs {
                self.perform(index, output);
            }
        }
    }

    fn perform(&mut self, index: usize, output: Output) {
        match output {
            Output::Append(id, write) => match self.fate {
                Fate::Hold => self.held.push_back((index, id, write)),
                Fate::Commit | Fate::CommitUnanswered | Fate::Lose | Fate::Full => {
                    self.arrive(index, id, write)
                }
            },
            Output::Reply(token, reply) => drop(self.replies.insert(token, *reply)),
            Output::Ordered(token, result) => drop(self.orders.insert(token, result)),
            Output::Command { tenant, shim: _, lane, command } => {
                assert_eq!(lane, lane_of(&command), "{command:?}");
                self.commands.push((tenant, *command));
            }
            Output::Alive => {
                let replica = self.engines[index].replica().clone();
                for engine in &mut self.engines {
                    engine.handle(self.now, Input::Alive(replica.clone()));
                }
            }
            Output::Own(partitions) if index == 0 => self.owned = partitions,
            Output::Answered(..) | Output::Own(_) | Output::Changed(_) => {}
        }
    }

    /// An append reaches the log: compare-and-swap on its subject.
    fn arrive(&mut self, index: usize, id: AppendId, write: Write) {
        use super::super::AppendFailure;
        let before = self.log.len();
        let result = match self.fate {
            Fate::Full => Err(AppendFailure::Full("no space left".into())),
            Fate::Lose => Err(AppendFailure::Unclear("no space left on device".into())),
            // The log takes an id once, whatever the record says.
            Fate::Commit | Fate::CommitUnanswered | Fate::Hold
                if self.log.iter().any(|(known, _)| *known == id) =>
            {
                Err(AppendFailure::Unclear("known".into()))
            }
            Fate::Commit | Fate::CommitUnanswered | Fate::Hold
                if self.last(&write) != expected(&write) =>
            {
                Err(AppendFailure::Conflict)
            }
            Fate::Commit | Fate::CommitUnanswered | Fate::Hold => {
                self.log.push((id, write.clone()));
                self.times.push(self.now.wall);
                let answered = self.fate != Fate::CommitUnanswered;
                if answered {
                    Ok(self.log.len() as u64)
                } else {
                    Err(AppendFailure::Unclear("timed out".into()))
                }
            }
        };
        self.engines[index].handle(self.now, Input::Appended { id, result });
        if self.log.len() > before {
            for index in 0..self.engines.len() {
                let record = self.logged(self.log.len() - 1);
                self.engines[index].handle(self.now, record);
            }
        }
    }

    /// The record at this index, as the log's reader brings it.
    fn logged(&self, at: usize) -> Input {
        let (id, write) = &self.log[at];
        logged(at as u64 + 1, self.times[at], *id, write)
    }

    fn last(&self, write: &Write) -> u64 {
        let same = |other: &Write| match (write, other) {
            (Write::Session(a, ..), Write::Session(b, ..)) => a == b,
            (Write::Lever(a, ..), Write::Lever(b, ..)) => a == b,
            (Write::Barrier | Write::Session(..) | Write::Lever(..), _) => false,
        };
        let newest = self.log.iter().rposition(|(_, other)| same(other));
        newest.filter(|at| *at >= self.expired).map_or(0, |at| at as u64 + 1)
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub(super) fn reply(&self, token: Token) -> Option<Reply> {
        self.replies.get(&token).cloned()
    }

    pub(super) fn ordered(&self, token: Token) -> Option<Result<SessionKeyOrScope, OrderError>> {
        self.orders.get(&token).cloned()
    }

    /// The lever of the fleet.
    pub(super) fn lever(&self) -> Lever {
        self.engines[0].world().lever(&Scope::Fleet).cloned().unwrap_or_default()
    }

    pub(super) fn session(&self) -> Session {
        self.session_of(&key())
    }

    pub(super) fn session_named(&self, session: &str) -> Session {
        self.session_of(&named(session))
    }

    fn session_of(&self, key: &SessionKey) -> Session {
        let index = self.alive.iter().position(|alive| *alive).unwrap();
        self.engines[index].world().session(key).unwrap().clone()
    }

    pub(super) fn pushed(&self, which: impl Fn(&AbortEpoch) -> bool) -> bool {
        self.commands
            .iter()
            .any(|(_, command)| matches!(command, Command::Abort { epoch, .. } if which(epoch)))
    }
}

/// Where each command has to go, in every test.
fn lane_of(command: &Command) -> Lane {
    match command {
        Command::Pause { .. } | Command::Abort { .. } | Command::Halt { .. } => Lane::Urgent,
        Command::Plan(_)
        | Command::Beat(_)
        | Command::Dry(_)
        | Command::Refill { .. }
        | Command::Grant(_)
        | Command::RollCall => Lane::Bulk,
    }
}

fn logged(sequence: u64, time: UnixMillis, id: AppendId, write: &Write) -> Input {
    let entry = match write.clone() {
        Write::Session(key, _, record) => Entry::Session(key, record),
        Write::Lever(scope, _, record) => Entry::Lever(scope, record),
        Write::Barrier => Entry::Other,
    };
    let mut hash = Hash::default();
    hash[..8].copy_from_slice(&sequence.to_le_bytes());
    Input::Logged { sequence, time, append: Some(id), entry: Box::new(entry), hash }
}

fn expected(write: &Write) -> u64 {
    match write {
        Write::Session(_, expected, _) | Write::Lever(_, expected, _) => *expected,
        Write::Barrier => 0,
    }
}
