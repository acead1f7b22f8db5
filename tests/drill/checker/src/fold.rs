//! The fold of the log, written anew from docs/protocol.md: sessions and levers, in stream order.

mod events;

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;
use crate::log::{Command, Entry, Event, Holder, LeverEvent, Radius, Record, Spec};
use crate::verdict::{Rule, Violations};

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    Draft,
    Running,
    Paused,
    Draining,
    Completed,
    Exhausted,
    Aborted,
}

impl Phase {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Draining => "DRAINING",
            Self::Completed => "COMPLETED",
            Self::Exhausted => "EXHAUSTED",
            Self::Aborted => "ABORTED",
        }
    }

    pub(crate) const fn is_live(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Draining => true,
            Self::Draft | Self::Completed | Self::Exhausted | Self::Aborted => false,
        }
    }

    pub(crate) const fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Exhausted | Self::Aborted => true,
            Self::Draft | Self::Running | Self::Paused | Self::Draining => false,
        }
    }
}

/// What a session was from one entry of the log to the next one that changed it.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// Stream sequence of what made it so.
    pub(crate) from: u64,
    /// When the log's server took that, by its wall clock.
    pub(crate) wall_ns: u64,
    /// Newest sequence on the session's own subject.
    pub(crate) revision: u64,
    pub(crate) phase: Phase,
    pub(crate) issued: u64,
    pub(crate) refunded: u64,
    pub(crate) proven: bool,
}

/// An abort, or the halt of a lever.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) wall_ns: u64,
    /// Whether the session's own subject has it.
    recorded: bool,
    holders: BTreeSet<Holder>,
    confirmed: BTreeSet<Holder>,
}

/// What of a session happened without a command of a client: from when on it can have happened, and what it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Internal {
    pub(crate) wall_ns: u64,
    pub(crate) to: Phase,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) spec: Spec,
    pub(crate) phase: Phase,
    pub(crate) ledger: Ledger,
    pub(crate) moments: Vec<Moment>,
    pub(crate) internals: Vec<Internal>,
    /// Request ids of commands, with what they are and where they stand.
    pub(crate) commands: BTreeMap<String, (&'static str, u64)>,
    /// When it was started, by the server's wall clock.
    pub(crate) started_ns: Option<u64>,
    pub(crate) stop: Option<Stop>,
    /// When it ended gracefully.
    pub(crate) ended_ns: Option<u64>,
    /// When its stop was proven.
    pub(crate) proven_ns: Option<u64>,
    pub(crate) bound: Option<(String, String)>,
    revision: u64,
    head: String,
}

/// What a lever's subject holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lever {
    engaged: Option<(u64, u64)>,
    head: String,
    pub(crate) commands: BTreeMap<String, (&'static str, u64)>,
}

/// The whole log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    pub(crate) sessions: BTreeMap<String, Session>,
    pub(crate) levers: BTreeMap<String, Lever>,
}

/// What stands before the first record of a subject.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Book {
    pub(crate) fn fold(records: &[Record], wrong: &mut Violations) -> Self {
        let mut book = Self::default();
        let mut appends = BTreeSet::new();
        for (place, record) in records.iter().enumerate() {
            let at = format!("record {} on {}", record.sequence, record.subject);
            wrong.require(record.sequence == place as u64 + 1, Rule::Log, || {
                format!("{at} stands at place {}", place + 1)
            });
            let is_new = record.append.is_empty() || appends.insert(&record.append);
            wrong.require(is_new, Rule::Log, || format!("{at}: its append is there twice"));
            match &record.entry {
                Entry::Session { session, issued, refunded, events } => {
                    book.session(record, session, events, wrong);
                    book.totals(session, (*issued, *refunded), &at, wrong);
                }
                Entry::Lever { scope, events } => book.lever(record, scope, events, wrong),
                Entry::Barrier => {}
                Entry::Unreadable(why) => wrong.add(Rule::Log, format!("{at}: {why}")),
            }
        }
        book
    }

    fn totals(&self, session: &str, said: (u64, u64), at: &str, wrong: &mut Violations) {
        let Some(session) = self.sessions.get(session) else { return };
        let folded = (session.ledger.issued, session.ledger.refunded);
        wrong.require(folded == said, Rule::Log, || {
            format!("{at}: it says issued and refunded {said:?}, the records give {folded:?}")
        });
    }

    fn session(
        &mut self,
        record: &Record,
        name: &str,
        events: &[(Option<Command>, Event)],
        wrong: &mut Violations,
    ) {
        let at = format!("record {} on {}", record.sequence, record.subject);
        if !self.sessions.contains_key(name) {
            let Some((_, Event::Created(spec))) = events.first() else {
                return wrong.add(Rule::Log, format!("{at}: its session doesn't exist"));
            };
            self.sessions.insert(name.to_owned(), Session::new(name, spec));
        }
        let levers = &self.levers;
        let Some(session) = self.sessions.get_mut(name) else { return };
        wrong.require(session.head == record.previous, Rule::Log, || {
            format!("{at}: it doesn't follow the newest record")
        });
        session.head.clone_from(&record.hash);
        let is_first = session.revision == 0;
        session.revision = record.sequence;
        for (place, (command, event)) in events.iter().enumerate() {
            if let Some(command) = command {
                note(&mut session.commands, command, record.sequence, &at, wrong);
            }
            let creates = matches!(event, Event::Created(_));
            wrong.require(creates == (is_first && place == 0), Rule::Log, || {
                format!("{at}: created where it was there, or the other way round")
            });
            session.apply(record, command.is_some(), event, &at, wrong);
        }
        session.moment(record.sequence, record.wall_ns);
        let engaged = levers.iter().filter(|(scope, _)| session.is_covered_by(scope));
        let engaged = engaged.filter_map(|(_, lever)| lever.engaged).min();
        if let Some((_, wall_ns)) = engaged {
            session.halt(record.sequence, wall_ns);
        }
    }

    fn lever(
        &mut self,
        record: &Record,
        scope: &str,
        events: &[(Option<Command>, LeverEvent)],
        wrong: &mut Violations,
    ) {
        let at = format!("record {} on {}", record.sequence, record.subject);
        let fresh = || Lever { head: NO_HASH.to_owned(), ..Lever::default() };
        let lever = self.levers.entry(scope.to_owned()).or_insert_with(fresh);
        wrong.require(lever.head == record.previous, Rule::Log, || {
            format!("{at}: it doesn't follow the newest record")
        });
        lever.head.clone_from(&record.hash);
        let mut halts = false;
        for (command, event) in events {
            if let Some(command) = command {
                note(&mut lever.commands, command, record.sequence, &at, wrong);
            }
            match event {
                LeverEvent::Engaged => {
                    lever.engaged.get_or_insert((record.sequence, record.wall_ns));
                    halts = true;
                }
                LeverEvent::Released => lever.engaged = None,
                LeverEvent::Renewed => {}
            }
        }
        let wall_ns = lever.engaged.map_or(record.wall_ns, |(_, wall_ns)| wall_ns);
        for session in self.sessions.values_mut().filter(|_| halts) {
            if session.is_covered_by(scope) {
                session.halt(record.sequence, wall_ns);
            }
        }
    }
}

fn note(
    commands: &mut BTreeMap<String, (&'static str, u64)>,
    command: &Command,
    sequence: u64,
    at: &str,
    wrong: &mut Violations,
) {
    let before = commands.insert(command.request.clone(), (command.op, sequence));
    wrong.require(before.is_none(), Rule::Acknowledged, || {
        format!("{at}: the command {} is done twice", command.request)
    });
}

impl Session {
    fn new(name: &str, spec: &Spec) -> Self {
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            phase: Phase::Draft,
            ledger: Ledger::default(),
            moments: Vec::new(),
            internals: Vec::new(),
            commands: BTreeMap::new(),
            started_ns: None,
            stop: None,
            ended_ns: None,
            proven_ns: None,
            bound: None,
            revision: 0,
            head: NO_HASH.to_owned(),
        }
    }

    fn tenant(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether shims of `tenant` take part.
    pub(crate) fn covers(&self, tenant: &str) -> bool {
        match self.spec.radius {
            Radius::Tenants => self.spec.tenants.iter().any(|one| one == tenant),
            Radius::Request | Radius::Agent | Radius::Trace | Radius::Tenant => {
                self.tenant() == tenant
            }
        }
    }

    fn is_covered_by(&self, scope: &str) -> bool {
        scope == "_fleet" || self.tenant() == scope || self.covers(scope)
    }

    fn moment(&mut self, from: u64, wall_ns: u64) {
        self.moments.push(Moment {
            from,
            wall_ns,
            revision: self.revision,
            phase: self.phase,
            issued: self.ledger.issued,
            refunded: self.ledger.refunded,
            proven: self.proven_ns.is_some(),
        });
    }

    /// A lever stops it, if it is live.
    fn halt(&mut self, sequence: u64, wall_ns: u64) {
        if !self.phase.is_live() {
            return;
        }
        self.internals.push(Internal { wall_ns, to: Phase::Aborted });
        self.stopped(wall_ns, false);
        self.phase = Phase::Aborted;
        self.moment(sequence, wall_ns);
    }

    fn stopped(&mut self, wall_ns: u64, recorded: bool) {
        let holders = self.ledger.open().map(|kept| kept.grant.holder.clone()).collect();
        let fresh = || Stop { wall_ns, recorded, holders, confirmed: BTreeSet::new() };
        self.stop.get_or_insert_with(fresh).recorded |= recorded;
    }
}
