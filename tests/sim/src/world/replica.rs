//! Replicas: the pump of the real engine, on a virtual clock and network.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use squall::engine::{Engine, Identity, Input, Now, Output, Token, Write};
use squall::journal::{AppendError, Appended, Unanswered};
use squall::replica::{snapshot, translation};
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{AppendId, ReplicaId, ShimId, TenantId};
use squall_proto::vocabulary::message::{Command, Request};
use squall_proto::wire;

use super::shim::Arrival;
use super::stream::APPEND_WITHIN;
use super::{Event, ForReplica, ForShim, World};
use crate::clock::{Host, Moment};
use crate::dice::Dice;
use crate::names;
use crate::scenario::{End, Way};

/// As in the pump.
const TICK: Duration = Duration::from_millis(50);

/// Whom a reply goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    pub(crate) seat: usize,
    pub(crate) life: u32,
    pub(crate) connection: u32,
    pub(crate) correlation: squall_shim_core::link::Correlation,
}

#[derive(Debug)]
enum Waiting {
    Shim(From),
    Client(usize, u32),
}

/// A replica's place, and the engine that runs there, if one does.
pub(crate) struct Replica {
    pub(crate) host: Host,
    pub(crate) life: u32,
    pub(super) dice: Dice,
    pub(crate) engine: Option<Engine>,
    pub(crate) owned: BTreeSet<Partition>,
    tokens: BTreeMap<Token, Waiting>,
    next_token: u64,
    /// Writes that were not answered, by the number of their try.
    pub(super) under_way: BTreeMap<AppendId, u64>,
    tries: u64,
    pub(super) tail_is_due: bool,
    pub(super) caught_up: bool,
    pub(super) evidence_at: u64,
    pub(super) evidence_is_due: bool,
    pub(super) is_blind: bool,
    pub(super) snapshot_at: (u64, Moment),
}

impl Replica {
    pub(crate) fn new(host: Host, dice: Dice) -> Self {
        Self {
            host,
            life: 0,
            dice,
            engine: None,
            owned: BTreeSet::new(),
            tokens: BTreeMap::new(),
            next_token: 0,
            under_way: BTreeMap::new(),
            tries: 0,
            tail_is_due: false,
            caught_up: false,
            evidence_at: 0,
            evidence_is_due: false,
            is_blind: false,
            snapshot_at: (0, Moment::default()),
        }
    }
}

impl World {
    pub(crate) fn boot(&mut self, at: usize) {
        if self.replicas[at].engine.is_some() {
            return;
        }
        let kept = self.log.snapshot.as_ref().map(snapshot::read);
        let from_snapshot = matches!(kept, Some(Ok(_)));
        let (world, archive) = kept.and_then(Result::ok).unwrap_or_default();
        self.trace.line(self.now, format_args!("replica{at} starts at record {}", world.applied));
        self.coverage.count(if from_snapshot {
            "starts from a snapshot"
        } else {
            "starts from nothing"
        });
        self.book.folded("a snapshot", &world);
        let replica = &mut self.replicas[at];
        let life = replica.life;
        let identity = Identity {
            replica: ReplicaId::new(format!("r{at}-{life}")).expect("a word and numbers"),
            log: "log".parse().expect("a word"),
            log_is_synced: Arc::new(AtomicBool::new(true)),
            shims_are_vouched_for: true,
            seed: replica.dice.bits(),
        };
        replica.snapshot_at = (world.applied, self.now);
        replica.evidence_at = archive.sequence;
        replica.engine = Some(Engine::new(identity, world, archive));
        self.kick_tail(at);
        self.for_next(at, TICK, ForReplica::Tick);
    }

    /// The replica's process is gone, with everything that it knew.
    pub(crate) fn kill_replica(&mut self, at: usize) {
        self.trace.line(self.now, format_args!("replica{at} dies"));
        let replica = &mut self.replicas[at];
        let waiting = std::mem::take(&mut replica.tokens);
        let fresh = Replica::new(replica.host.clone(), replica.dice.clone());
        *replica = Replica {
            life: replica.life + 1,
            next_token: replica.next_token,
            tries: replica.tries,
            ..fresh
        };
        for waiting in waiting.into_values() {
            match waiting {
                Waiting::Client(call, tries) => self.client_waited(call, tries),
                Waiting::Shim(_) => {}
            }
        }
    }

    pub(super) fn for_next(&mut self, at: usize, local: Duration, what: ForReplica) {
        let replica = &self.replicas[at];
        let when = replica.host.when(self.now, replica.host.boot(self.now).plus(local));
        self.queue.add(when, Event::Replica(at, replica.life, what));
    }

    pub(super) fn send_replica(&mut self, at: usize, delay: Duration, what: ForReplica) {
        let life = self.replicas[at].life;
        self.after(delay, Event::Replica(at, life, what));
    }

    pub(crate) fn for_replica(&mut self, at: usize, what: ForReplica) {
        if self.replicas[at].engine.is_none() {
            return;
        }
        match what {
            ForReplica::Tick => {
                self.trace.beat(self.now, "replica", at);
                self.for_next(at, TICK, ForReplica::Tick);
                self.engine(at, Input::Tick);
            }
            ForReplica::Tail => self.tail(at),
            ForReplica::EvidenceTail => self.evidence_tail(at),
            ForReplica::Blind => self.blind_for_long(at),
            ForReplica::Request(bytes, tenant, shim, from) => {
                self.request(at, &bytes, tenant, shim, from)
            }
            ForReplica::Alive(replica) => {
                self.trace.beat(self.now, "alive", at);
                self.engine(at, Input::Alive(replica));
            }
            ForReplica::Landed(id, tries, result) => self.landed(at, id, tries, result),
            ForReplica::Unanswered(id, tries) => {
                let timed_out = AppendError::Unanswered { why: Unanswered::TimedOut };
                self.landed(at, id, tries, Err(timed_out));
            }
            ForReplica::Order(call, tries, order) => {
                self.trace
                    .line(self.now, format_args!("replica{at} order {call} {:?}", order.kind));
                let token = self.token(at, Waiting::Client(call, tries));
                self.engine(at, Input::Order { token, order: Box::new((*order).clone()) });
            }
        }
    }

    fn token(&mut self, at: usize, waiting: Waiting) -> Token {
        let replica = &mut self.replicas[at];
        replica.next_token += 1;
        let token = Token(replica.next_token);
        replica.tokens.insert(token, waiting);
        token
    }

    fn request(
        &mut self,
        at: usize,
        bytes: &[u8],
        tenant: TenantId,
        shim: ShimId,
        from: Option<From>,
    ) {
        let request = match wire::decode_request(bytes) {
            Ok(request) => request,
            Err(why) => {
                return self.book.violated("WIRE", format!("a request can't be read: {why}"));
            }
        };
        match (from, request) {
            (Some(from), request) => {
                self.trace.line(self.now, format_args!("replica{at} {shim} {}", name_of(&request)));
                let token = self.token(at, Waiting::Shim(from));
                self.engine(at, Input::Request { token, tenant, shim, request: Box::new(request) });
            }
            (None, Request::Hello(hello)) => {
                self.trace.line(self.now, format_args!("replica{at} overhears {shim}"));
                self.engine(at, Input::Overheard { tenant, shim, hello: Box::new(hello) });
            }
            (
                None,
                Request::Sync(_)
                | Request::Ask(_)
                | Request::Renew(_)
                | Request::Close(_)
                | Request::Inert(_),
            ) => {}
        }
    }

    fn landed(
        &mut self,
        at: usize,
        id: AppendId,
        tries: u64,
        result: Result<Appended, AppendError>,
    ) {
        if self.replicas[at].under_way.get(&id) != Some(&tries) {
            return;
        }
        self.replicas[at].under_way.remove(&id);
        self.trace.line(self.now, format_args!("replica{at} append {id} {result:?}"));
        self.coverage.count(match &result {
            Ok(appended) if appended.duplicate => "appends answered as duplicates",
            Ok(_) => "appends stored",
            Err(AppendError::Conflict { .. }) => "appends that lost a race",
            Err(AppendError::Unanswered { .. }) => "appends unanswered",
            Err(AppendError::Full { .. }) => "appends on a full log",
            Err(AppendError::TooLarge { .. } | AppendError::Refused { .. }) => "appends refused",
        });
        self.engine(at, Input::Appended { id, result: translation::appended(result) });
    }

    /// Gives the engine its input, and does what comes out.
    pub(crate) fn engine(&mut self, at: usize, input: Input) {
        let is_record = matches!(input, Input::Logged { .. });
        let replica = &mut self.replicas[at];
        let Some(engine) = replica.engine.as_mut() else { return };
        let now = Now { boot: replica.host.boot(self.now), wall: replica.host.wall(self.now) };
        engine.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll()).collect();
        if is_record {
            self.book.folded("a replica", engine.world());
        }
        for output in outputs {
            self.perform(at, output);
        }
        self.keep_snapshot(at);
    }

    fn perform(&mut self, at: usize, output: Output) {
        match output {
            Output::Append(id, write) => self.append(at, id, &write),
            Output::Reply(token, reply) => {
                let Some(Waiting::Shim(to)) = self.replicas[at].tokens.remove(&token) else {
                    return;
                };
                self.note_reply(&reply);
                let bytes: Rc<[u8]> = wire::encode_reply(&reply).into();
                if self.is_cut(End::Replica(at), Way::Out)
                    || self.is_cut(End::Shim(to.seat), Way::In)
                {
                    return;
                }
                for delay in self.delays() {
                    let arrival = Arrival::Reply(to.correlation, Some(Rc::clone(&bytes)));
                    self.after(
                        delay,
                        Event::Shim(to.seat, to.life, ForShim::Arrived(to.connection, arrival)),
                    );
                }
            }
            Output::Ordered(token, result) => {
                let Some(Waiting::Client(call, tries)) = self.replicas[at].tokens.remove(&token)
                else {
                    return;
                };
                self.client_answered(call, tries, result);
            }
            Output::Answered(..) | Output::Changed(_) => {}
            Output::Command { tenant, shim, lane: _, command } => {
                self.command(at, &tenant, shim.as_ref(), &command);
            }
            Output::Alive => {
                let Some(engine) = &self.replicas[at].engine else { return };
                let name = engine.replica().clone();
                for other in (0..self.replicas.len()).filter(|other| *other != at) {
                    let cut = self.is_cut(End::Replica(at), Way::Out)
                        || self.is_cut(End::Replica(other), Way::In);
                    for delay in self.delays().filter(|_| !cut) {
                        self.send_replica(other, delay, ForReplica::Alive(name.clone()));
                    }
                }
            }
            Output::Own(partitions) => {
                self.trace.line(self.now, format_args!("replica{at} owns {}", partitions.len()));
                self.coverage.count("changes of owners");
                self.replicas[at].owned = partitions;
                let damaged =
                    self.replicas[at].engine.as_ref().is_some_and(|engine| !engine.is_live());
                if damaged {
                    self.book.said_damaged("a replica");
                }
            }
        }
    }

    fn command(&mut self, at: usize, tenant: &TenantId, shim: Option<&ShimId>, command: &Command) {
        self.note_command(command);
        self.trace
            .line(self.now, format_args!("replica{at} tells {tenant} {}", command_name(command)));
        if self.is_cut(End::Replica(at), Way::Out) {
            return;
        }
        let bytes: Rc<[u8]> = wire::encode_command(command).into();
        for seat in 0..self.seats.len() {
            let it = &self.seats[seat];
            let meant =
                it.tenant() == *tenant && shim.is_none_or(|shim| *shim == names::shim(seat));
            let Some(connection) = it.connection() else { continue };
            if !meant || self.is_cut(End::Shim(seat), Way::In) {
                continue;
            }
            let life = it.life;
            for delay in self.delays() {
                let arrival = Arrival::Command(Rc::clone(&bytes));
                self.after(delay, Event::Shim(seat, life, ForShim::Arrived(connection, arrival)));
            }
        }
    }

    fn append(&mut self, at: usize, id: AppendId, write: &Write) {
        let replica = &mut self.replicas[at];
        let Some(engine) = &replica.engine else { return };
        replica.tries += 1;
        let tries = replica.tries;
        replica.under_way.insert(id, tries);
        let append = match translation::append(engine.replica(), id, write) {
            Ok(append) => append,
            Err(error) => {
                return self.book.violated("WIRE", format!("a record can't be written: {error}"));
            }
        };
        self.trace.line(self.now, format_args!("replica{at} appends {} {id}", append.subject));
        self.note_sent(&append.subject);
        self.for_next(at, APPEND_WITHIN, ForReplica::Unanswered(id, tries));
        if self.is_cut(End::Log(at), Way::Out) {
            return;
        }
        let (life, first, append) = (self.replicas[at].life, self.now, Rc::new(append));
        for delay in self.delays() {
            self.after(delay, Event::Arrives(at, life, Rc::clone(&append), first));
        }
    }
}

const fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Hello(_) => "hello",
        Request::Sync(_) => "sync",
        Request::Ask(_) => "ask",
        Request::Renew(_) => "renew",
        Request::Close(_) => "close",
        Request::Inert(_) => "inert",
    }
}

const fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Plan(_) => "plan",
        Command::Beat(_) => "beat",
        Command::Dry(_) => "dry",
        Command::Refill { .. } => "refill",
        Command::Pause { .. } => "pause",
        Command::Abort { .. } => "abort",
        Command::Halt { .. } => "halt",
        Command::Grant(_) => "grant",
        Command::RollCall => "roll call",
    }
}
