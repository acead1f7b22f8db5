//! The shim's side of the protocol, as a state machine: time, seed and messages go in, orders come out.
//!
//! It owns the incarnation, the plan's version, Asks, grants, Closes, the lease, aborts with their confirmations, and
//! the evidence on its way out. It owns no wallet: permits lie in the data plane ([`Plane`]), where hook threads burn
//! them. It knows no socket: whoever drives it sends what [`Output`] says and hands every answer to [`Link::handle`].
//!
//! The rules are those of docs/protocol.md, "Shim rules". Each has its place:
//!
//! | Rule | Where |
//! |---|---|
//! | 1 install only what answers the waiting request; deadlines from own sends; 3 other grants | `grants` |
//! | 2 burn, then apply | [`Wallet`](crate::Wallet) |
//! | 4 give back what is idle, expired or ended, never under a running fault | `grants`, `closes` |
//! | 5 own clock, own incarnation | [`Link::handle`], [`Input::Forked`] |
//! | 6 a dead incarnation's grant | [`Link::owe`] |
//! | 7, 8 delays end; no plan, no contact: no chaos | `stops`, `lease` |
//! | 9 versions | `versions`, `plans` |
//!
//! Everything in it is level-triggered: an input changes what is known, and then [`Link::handle`] does whatever is due
//! in the state that came out. So a lost, doubled or late message costs time, never a bound.

mod asks;
mod closes;
mod contact;
mod grants;
mod lease;
#[cfg(feature = "model")]
mod model;
mod outbox;
mod pace;
mod phi;
mod plans;
mod port;
mod random;
mod session;
mod stops;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use squall_proto::vocabulary::fault::FaultKind;
use squall_proto::vocabulary::id::{AgentName, Environment, Incarnation, LogId, SessionKey};
use squall_proto::vocabulary::message::{Close, Command, Evidence, Reply, Request};
use squall_proto::vocabulary::plan::{AbortEpoch, PlanVersion};
use squall_proto::vocabulary::time::BootNanos;

use self::closes::Closes;
use self::contact::Contact;
use self::lease::Lease;
use self::outbox::Outbox;
pub use self::port::{Held, Permits, Plane, TakesPart};
use self::random::Random;
use self::session::{Gate, Session};
use self::stops::Sticky;
use self::versions::Versions;
use crate::plan::Unarmed;

/// Which request a reply belongs to. Never used twice by one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Correlation(pub u64);

/// A request that got no answer: time-out, nobody there, connection lost, or an answer that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer came")]
pub struct Lost;

/// What a Hello says beside what the process announces by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The life of this process.
    pub incarnation: Incarnation,
    /// Version of the shim's code, for people.
    pub version: String,
    /// Where the process runs.
    pub environment: Environment,
    /// Kinds of faults that the process's owner allows.
    pub allowed: Vec<FaultKind>,
    /// Longest time that the process's owner lets a fault hold a call, in milliseconds.
    pub max_delay_ms: u64,
    /// Agents that the process will have, beside those that were seen.
    pub agents: Vec<AgentName>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// There is a connection, and commands were subscribed to on it.
    Connected,
    /// The connection is gone. What was under way on it counts as lost.
    Disconnected,
    /// The answer to an [`Output::Send`], exactly one for each.
    Reply {
        /// Of the request.
        correlation: Correlation,
        /// The answer.
        result: Result<Reply, Lost>,
    },
    /// A command.
    Command(Command),
    /// Something of interest happened in the data plane: demand, a new site, or a fault that was applied or ended.
    Stirred,
    /// The process is about to end: everything goes back, and nothing new starts.
    Leave,
    /// This is another copy of the process: nothing that was granted is ours any more.
    Forked(Incarnation),
    /// Time went by.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a request; its answer, or its loss, comes back with the same correlation.
    Send {
        /// For the reply.
        correlation: Correlation,
        /// The request; its subject follows from it.
        request: Request,
    },
    /// Publish evidence; nothing comes back.
    Publish {
        /// The session that decides the subject's partition.
        session: SessionKey,
        /// The evidence.
        evidence: Evidence,
    },
    /// The plan of the data plane changed.
    PlanChanged,
    /// Running delays have to look whether they may go on.
    WakeDelays,
    /// Requests of this session that wait for a permit of their own have to look.
    ClaimAnswered(SessionKey),
}

/// What a request under way is about.
#[derive(Clone, Debug, PartialEq)]
enum Pending {
    Hello { reported: Vec<SessionKey> },
    Sync { page: u32, sent: BootNanos },
    Ask { session: SessionKey, req_no: u64, sent: BootNanos },
    Renew { sent: BootNanos, reported: Vec<SessionKey> },
    Close(Close),
    Inert { session: SessionKey, epoch: AbortEpoch },
}

/// What a person may want to know of the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The life of this process.
    pub incarnation: Incarnation,
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether a coordinator answered on it.
    pub welcomed: bool,
    /// The plan in force.
    pub plan: Option<PlanVersion>,
    /// Sessions of the plan that this process takes part in.
    pub sessions: Vec<SessionKey>,
    /// What of the plan stays unarmed here, and why.
    pub unarmed: Vec<Unarmed>,
    /// Permits may be used until here.
    pub lease_until: BootNanos,
    /// Closes that no coordinator acknowledged yet.
    pub unacked_closes: usize,
    /// Sessions whose abort is kept.
    pub aborted: Vec<SessionKey>,
}

/// See the module.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone))]
pub struct Link {
    identity: Identity,
    random: Random,
    now: BootNanos,
    contact: Contact,
    versions: Versions,
    sessions: BTreeMap<SessionKey, Session>,
    /// The highest request number of any session that was forgotten: none is ever used again.
    forgotten_req_no: u64,
    aborts: BTreeMap<SessionKey, Sticky>,
    /// More aborts than can be kept: nothing may run any more until the log is another one.
    jammed: bool,
    leaving: bool,
    plan_changed: bool,
    unarmed: Vec<Unarmed>,
    closes: Closes,
    lease: Lease,
    outbox: Outbox,
    pending: BTreeMap<Correlation, Pending>,
    last_correlation: u64,
    outputs: VecDeque<Output>,
}

impl Link {
    /// A link that has heard nothing yet. `seed` is for jitter and draws; give every process another one.
    #[must_use]
    pub fn new(identity: Identity, seed: u64) -> Self {
        Self {
            identity,
            random: Random::new(seed),
            now: BootNanos(0),
            contact: Contact::none(),
            versions: Versions::default(),
            sessions: BTreeMap::new(),
            forgotten_req_no: 0,
            aborts: BTreeMap::new(),
            jammed: false,
            leaving: false,
            plan_changed: false,
            unarmed: Vec::new(),
            closes: Closes::default(),
            lease: Lease::none(),
            outbox: Outbox::default(),
            pending: BTreeMap::new(),
            last_correlation: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes over the grant of a dead incarnation: a journal says how many permits it burned (docs/protocol.md, shim rule 6).
    pub fn owe(&mut self, close: Close) {
        self.closes.owe(close, self.now);
    }

    /// Takes in what happened at `now` (`CLOCK_BOOTTIME`), and does what is due.
    pub fn handle(&mut self, now: BootNanos, input: Input, plane: &mut impl Plane) {
        self.now = self.now.max(now);
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => self.disconnected(plane),
            Input::Reply { correlation, result } => self.reply(correlation, result, plane),
            Input::Command(command) => self.command(command, plane),
            Input::Stirred => {
                self.outbox.stirred(self.now);
                self.announce(plane);
            }
            Input::Leave => {
                self.leaving = true;
                self.outbox.say_now(self.now);
            }
            Input::Forked(incarnation) => self.forked(incarnation, plane),
            Input::Tick => {}
        }
        self.settle_gates(plane);
        self.contact_due(plane);
        self.sessions_due(plane);
        // What was counted is said before it is confirmed that nothing more will be.
        if self.confirms_now(plane) {
            self.outbox.say_now(self.now);
        }
        self.evidence_due(plane);
        self.closes_due();
        self.inerts_due(plane);
        self.lease_due(plane);
        self.forget(plane);
    }

    /// The next thing to do; call until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is needed at the latest, and what for.
    #[must_use]
    pub fn next_wake(&self) -> (BootNanos, &'static str) {
        [
            (self.contact_wake(), "say hello or sync"),
            (self.sessions_wake(), "look after asks and grants"),
            (self.closes_wake(), "repeat a close"),
            (self.inerts_wake(), "confirm an abort"),
            (self.lease_wake(), "renew the lease, or end what ran on it"),
            (self.evidence_wake(), "send evidence"),
        ]
        .into_iter()
        .filter_map(|(when, why)| Some((when?, why)))
        .min_by_key(|(when, _)| *when)
        .unwrap_or((BootNanos(u64::MAX), "nothing"))
    }

    /// Whether everything was given back, each abort confirmed, and both acknowledged: after [`Input::Leave`] nothing is left to wait for.
    #[must_use]
    pub fn owes_nothing(&self) -> bool {
        self.closes.len() == 0
            && self.sessions.values().all(|session| session.grant.is_none())
            && !self.owes_inert()
    }

    /// For people.
    #[must_use]
    pub fn status(&self) -> Status {
        let takes_part = |(key, session): (&SessionKey, &Session)| {
            (session.plan.is_some() && session.takes_part).then(|| key.clone())
        };
        Status {
            incarnation: self.identity.incarnation,
            connected: self.contact.connected,
            welcomed: self.contact.welcomed,
            plan: self.versions.version(),
            sessions: self.sessions.iter().filter_map(takes_part).collect(),
            unarmed: self.unarmed.clone(),
            lease_until: self.lease.until(),
            unacked_closes: self.closes.len(),
            aborted: self.aborts.keys().cloned().collect(),
        }
    }

    fn reply(
        &mut self,
        correlation: Correlation,
        result: Result<Reply, Lost>,
        plane: &mut impl Plane,
    ) {
        let pending = self.pending.remove(&correlation);
        match (pending, result) {
            (Some(Pending::Hello { reported }), result) => {
                self.hello_answered(correlation, &reported, result.ok(), plane);
            }
            (Some(Pending::Sync { page, sent }), result) => {
                self.sync_answered(correlation, page, sent, result.ok(), plane);
            }
            (Some(Pending::Ask { session, req_no, sent }), result) => {
                self.ask_answered(correlation, &session, (req_no, sent), result.ok(), plane);
            }
            (Some(Pending::Renew { sent, reported }), result) => {
                self.renew_answered(sent, &reported, result.ok(), plane);
            }
            (Some(Pending::Close(close)), result) => {
                self.close_answered(correlation, &close, result.ok(), plane);
            }
            (Some(Pending::Inert { session, epoch }), result) => {
                self.inert_answered(correlation, &session, epoch, result.ok());
            }
            // An answer that came after its connection was given up: only a grant means anything still.
            (None, Ok(Reply::Grant(grant))) => self.granted(grant, None, plane),
            (None, _) => {}
        }
    }

    fn command(&mut self, command: Command, plane: &mut impl Plane) {
        match command {
            Command::Plan(plan) => self.plan_broadcast(plan, plane),
            Command::Beat(version) => self.beat(version, plane),
            Command::Dry(session) => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.phi.dry(self.now, &mut self.random);
                }
            }
            Command::Refill { session, phi0 } => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.phi.refilled(phi0, self.now);
                }
            }
            Command::Pause { session, plan } => {
                // It takes another connection than plans, so the one that resumes may be here already.
                if self.versions.lacks(&plan)
                    && let Some(session) = self.sessions.get_mut(&session)
                {
                    session.paused_until = session.paused_until.max(Some(plan.sequence));
                }
            }
            Command::Abort { session, epoch } => self.abort(&session, epoch),
            Command::Halt { epoch } => self.halt(epoch),
            Command::Grant(grant) => self.granted(grant, None, plane),
            Command::RollCall => self.roll_call(),
        }
    }

    /// Sends a request, and remembers what its answer will be about.
    fn send(&mut self, pending: Pending, request: Request) -> Correlation {
        self.last_correlation += 1;
        let correlation = Correlation(self.last_correlation);
        self.pending.insert(correlation, pending);
        self.outputs.push_back(Output::Send { correlation, request });
        correlation
    }

    /// Another log: what is known is void, and nothing may run (docs/protocol.md, shim rule 9). Aborts are kept all the same.
    fn new_log(&mut self, log: LogId, plane: &mut impl Plane) {
        self.void(plane);
        self.versions = Versions::of_log(log);
        self.jammed = false;
        self.contact.greet(self.now);
    }

    /// This is another copy of the process (docs/protocol.md, shim rule 5). What was granted, closed or confirmed belongs to
    /// the process that it was copied from.
    fn forked(&mut self, incarnation: Incarnation, plane: &mut impl Plane) {
        self.identity.incarnation = incarnation;
        self.void(plane);
        self.versions = Versions::default();
        self.contact = Contact::none();
    }

    fn void(&mut self, plane: &mut impl Plane) {
        self.lease.end();
        plane.end_lease();
        self.closes.void();
        self.pending.clear();
        self.outputs.clear();
        self.outbox = Outbox::default();
        let sessions = std::mem::take(&mut self.sessions);
        sessions.keys().for_each(|key| plane.stop(key));
        plane.install(&[]);
        for (key, session) in sessions {
            plane.forget(&key);
            self.forgotten_req_no = self.forgotten_req_no.max(session.last_req_no);
        }
        self.outputs.push_back(Output::PlanChanged);
        self.outputs.push_back(Output::WakeDelays);
    }

    /// What the session may do now.
    fn gate(&self, key: &SessionKey, session: &Session) -> Gate {
        if self.jammed || self.aborts.contains_key(key) {
            Gate::Stopped
        } else if self.leaving {
            session.gate_at(self.now).max(Gate::Ended)
        } else {
            session.gate_at(self.now)
        }
    }
}
