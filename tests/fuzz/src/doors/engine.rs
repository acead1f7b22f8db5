//! One replica with clients, shims, a log and other writers of that log, who say anything in any order.
//!
//! What must hold: what a replica writes can be stored and read again, and never damages the log; a grant that it sends
//! stands in the log, and is the same however often it is sent; no ledger goes below zero; and who folds the same log
//! from its beginning, or goes on from a snapshot, holds the same state.

mod foreign;
mod log;
mod voices;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use squall::engine::{AppendFailure, Engine, Identity, Input, Now, Output, Token};
use squall::replica::snapshot;
use squall_domain::evidence::Archive;
use squall_domain::session::ledger::Known;
use squall_domain::world::World;
use squall_proto::vocabulary::id::{AppendId, Holder, ReplicaId, ShimId, TenantId};
use squall_proto::vocabulary::limits::MOMENT_MAX;
use squall_proto::vocabulary::message::{Command, Grant, Reply};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};
use squall_proto::wire;

use self::log::Log;
use super::cast::{self, Script};

/// Most inputs of one script: each may be answered by all shims of the cast.
const STEPS_MAX: usize = 600;

pub(super) fn hear(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut house = House::new(&mut script);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        house.step(&mut script);
    }
    house.log.folds_to(house.engine.world());
}

/// What becomes of appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Commit,
    /// It commits, and nobody is told.
    CommitUnanswered,
    /// It is lost, and nobody is told.
    Lose,
    /// Another writer is always first.
    Conflict,
    Full,
}

struct House {
    engine: Engine,
    log: Log,
    fate: Fate,
    now: Now,
    tokens: u64,
    evidence_sequence: u64,
    inbox: VecDeque<Input>,
    /// Who asked under a token.
    shims: BTreeMap<Token, (TenantId, ShimId)>,
    /// Grants that were sent, with their permits.
    granted: BTreeMap<(String, Holder, u64), u32>,
    starts: u64,
}

impl House {
    fn new(script: &mut Script<'_>) -> Self {
        let now = Now { boot: BootNanos(1_000_000_000), wall: UnixMillis(1_000_000) };
        let mut house = Self {
            engine: engine(0, World::default(), Archive::default()),
            log: Log::default(),
            fate: Fate::Commit,
            now,
            tokens: 0,
            evidence_sequence: 0,
            inbox: VecDeque::new(),
            shims: BTreeMap::new(),
            granted: BTreeMap::new(),
            starts: 0,
        };
        if script.below(16) > 0 {
            house.input(Input::CaughtUp);
            house.settle_down();
        }
        house
    }

    /// Time in which replicas find out who else lives.
    fn settle_down(&mut self) {
        for _ in 0..3 {
            self.pass(Duration::from_secs(2));
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0..=3 => self.shim(script),
            4..=6 => self.client(script),
            7 => self.evidence(script),
            8 | 9 => self.pass(script.span()),
            10 => self.ticks(script),
            11 => self.foreign(script),
            12 => {
                const FATES: [Fate; 8] = [
                    Fate::Commit,
                    Fate::Commit,
                    Fate::Commit,
                    Fate::Commit,
                    Fate::CommitUnanswered,
                    Fate::Lose,
                    Fate::Conflict,
                    Fate::Full,
                ];
                self.fate = *script.pick(&FATES);
            }
            13 => self.garbage(script),
            14 => self.query(script),
            _ => self.seldom(script),
        }
    }

    fn seldom(&mut self, script: &mut Script<'_>) {
        match script.below(8) {
            0 | 1 => self.restart(script),
            2 => self.input(Input::Alive(replica(script.byte().into()))),
            3 => {
                let silent = script.span();
                self.input(Input::EvidenceUnreadable { why: "gone".to_owned(), silent });
            }
            4 => self.input(Input::EvidenceReadable),
            5 => self.input(Input::CaughtUp),
            6 => {
                // The wall clock is set.
                self.now.wall = UnixMillis(script.number().min(MOMENT_MAX.0));
                // The log may have forgotten sessions by then, and others may have their names.
                self.granted.clear();
                self.input(Input::Tick);
            }
            _ => {
                let id = AppendId([script.byte(); 16]);
                self.input(Input::Appended { id, result: Ok(script.number()) });
            }
        }
    }

    fn ticks(&mut self, script: &mut Script<'_>) {
        for _ in 0..script.below(8) {
            self.pass(Duration::from_millis(200));
        }
    }

    fn pass(&mut self, span: Duration) {
        let Now { boot, wall } = self.now;
        self.now = Now { boot: boot.plus(span), wall: wall.plus(span) };
        self.input(Input::Tick);
    }

    /// The replica starts again, from a snapshot or from the beginning of the log.
    fn restart(&mut self, script: &mut Script<'_>) {
        let (world, archive) = if script.is_yes() {
            let kept = snapshot::of(self.engine.world(), self.engine.archive());
            let read = snapshot::read(&kept.expect("a snapshot can be written"));
            let read = read.expect("it can be read");
            assert_eq!(&read.0, self.engine.world(), "a snapshot is not what it was taken of");
            read
        } else {
            Default::default()
        };
        self.starts += 1;
        self.engine = engine(self.starts, world, archive);
        self.shims.clear();
        // It reads the log to its end, and hears then that it did.
        self.input(Input::Tick);
        self.input(Input::CaughtUp);
        self.settle_down();
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// One input, and whatever comes of it: answers of the log, and its records.
    fn input(&mut self, input: Input) {
        self.inbox.push_back(input);
        while let Some(input) = self.inbox.pop_front() {
            self.engine.handle(self.now, input);
            while let Some(output) = self.engine.poll() {
                self.perform(output);
            }
            if self.inbox.is_empty() {
                self.inbox.extend(self.log.next(self.engine.world().applied));
                self.look();
            }
        }
    }

    fn look(&self) {
        for session in self.engine.world().sessions() {
            let ledger = &session.ledger;
            assert!(ledger.spent() <= ledger.budget().into(), "{}: {ledger:?}", session.key);
        }
        self.log.check(self.engine.world());
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Append(id, write) => self.append(id, &write),
            Output::Reply(token, reply) => {
                let bytes = wire::encode_reply(&reply);
                assert_eq!(
                    wire::decode_reply(&bytes).as_ref(),
                    Ok(&*reply),
                    "nobody could read it"
                );
                if let Some((tenant, shim)) = self.shims.remove(&token)
                    && let Reply::Grant(grant) = *reply
                {
                    self.grants(tenant, shim, &grant);
                }
            }
            Output::Command { tenant, shim, command, .. } => {
                let bytes = wire::encode_command(&command);
                assert_eq!(
                    wire::decode_command(&bytes).as_ref(),
                    Ok(&*command),
                    "nobody could read it"
                );
                if let (Some(shim), Command::Grant(grant)) = (shim, &*command) {
                    self.grants(tenant, shim, grant);
                }
            }
            Output::Ordered(..)
            | Output::Answered(..)
            | Output::Alive
            | Output::Own(_)
            | Output::Changed(_) => {}
        }
    }

    /// A grant leaves when the log holds it, and says the same each time.
    fn grants(&mut self, tenant: TenantId, shim: ShimId, grant: &Grant) {
        let session = self.engine.world().session(&grant.grant.session);
        let session = session.expect("it granted permits of a session that is not in the log");
        let holder = Holder { tenant, shim, incarnation: grant.incarnation };
        let req_no = grant.grant.req_no;
        match session.ledger.known(&holder, req_no) {
            Known::Open(open) => assert_eq!(open.permits, grant.permits, "{grant:?}"),
            Known::Closed => {}
            Known::Unknown => panic!("{grant:?} is not in the log"),
        }
        let key = (grant.grant.session.to_string(), holder, req_no);
        let before = *self.granted.entry(key).or_insert(grant.permits);
        assert_eq!(before, grant.permits, "{grant:?} was another one before");
    }

    fn append(&mut self, id: AppendId, write: &squall::engine::Write) {
        let result = match self.fate {
            Fate::Full => Err(AppendFailure::Full("no space left".to_owned())),
            Fate::Lose => Err(AppendFailure::Unclear("timed out".to_owned())),
            Fate::Conflict => Err(AppendFailure::Conflict),
            Fate::Commit | Fate::CommitUnanswered => {
                match self.log.append(id, write, self.now.wall) {
                    Ok(_) if self.fate == Fate::CommitUnanswered => {
                        Err(AppendFailure::Unclear("timed out".to_owned()))
                    }
                    result => result,
                }
            }
        };
        self.inbox.push_back(Input::Appended { id, result });
    }
}

fn replica(number: u64) -> ReplicaId {
    format!("replica-{number}").parse().expect("a token")
}

fn engine(start: u64, world: World, archive: Archive) -> Engine {
    let identity = Identity {
        replica: replica(start),
        log: cast::log(0),
        log_is_synced: std::sync::Arc::default(),
        shims_are_vouched_for: false,
        seed: start,
    };
    Engine::new(identity, world, archive)
}
