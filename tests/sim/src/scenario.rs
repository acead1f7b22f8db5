//! All that a run is made of, as plain data: who takes part, what is wanted, and what goes wrong when.
//!
//! The same scenario is the same run, to the byte. It is drawn from a seed ([`Scenario::draw`]), made smaller by the shrinker,
//! and kept as a file where it once failed. Not here: what any of it means ([`crate::world`]).

mod draw;
mod trouble;

use serde::{Deserialize, Serialize};
use squall_proto::vocabulary::session::SessionDraft;

/// A whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Why it is kept; empty where it was only drawn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Of everything that is drawn while it runs: delays, calls, incarnations.
    pub seed: u64,
    /// How the boot clocks differ.
    pub clocks: Clocks,
    /// Replicas of the coordinator, 1 to 5.
    pub replicas: usize,
    /// Records after which a replica keeps a snapshot.
    pub snapshot_every: u64,
    /// The network on a usual day.
    pub network: Weather,
    /// Places where agent processes run, each with one process at a time.
    pub shims: Vec<Place>,
    /// Sessions, each created and started by a client.
    pub sessions: Vec<Planned>,
    /// Until when things go wrong, in milliseconds. Then everything heals, and what was promised must come true.
    pub trouble_ms: u64,
    /// What goes wrong, and what clients want meanwhile.
    pub happenings: Vec<Happening>,
}

/// How the boot clocks of hosts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clocks {
    /// As the bounds allow for: 500 millionths at most.
    Honest,
    /// Up to 5 % either way. What rests on clocks isn't promised then, and isn't checked: T1, T2, I10, I11 and proofs by time.
    Apart,
}

/// What the network does to each message, in thousandths and microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// Messages lost.
    pub lost: u64,
    /// Messages that arrive twice.
    pub doubled: u64,
    /// Messages that are late by up to `late_us`.
    pub late: u64,
    /// How late.
    pub late_us: u64,
    /// Longest usual delay.
    pub delay_us: u64,
}

/// Where an agent process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Number of its tenant.
    pub tenant: usize,
    /// When its process starts, in milliseconds.
    pub joins_ms: u64,
    /// Whether its processes keep a journal.
    pub journal: bool,
    /// Agents in its process, each calling one tool.
    pub agents: usize,
    /// Time between two calls, about, in milliseconds.
    pub call_every_ms: u64,
    /// Longest time that the called tool takes, in milliseconds.
    pub tool_ms: u64,
}

/// A session that a client wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Number of its tenant; `None` for one over several.
    pub tenant: Option<usize>,
    /// When it is created and started, in milliseconds.
    pub at_ms: u64,
    /// What it does.
    pub draft: SessionDraft,
}

/// Something that happens once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When something happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// So many milliseconds after the beginning.
    At(u64),
    /// So many microseconds after the log stored the record of this number on a session's subject.
    Stored {
        /// Number of the session.
        session: usize,
        /// Of its records, from 1.
        record: u64,
        /// Microseconds.
        after_us: u64,
    },
    /// So many microseconds after the append that would be that record left its replica.
    Sent {
        /// Number of the session.
        session: usize,
        /// Of its appends, from 1.
        append: u64,
        /// Microseconds.
        after_us: u64,
    },
}

/// One end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum End {
    /// Of a shim, to the broker.
    Shim(usize),
    /// Of a replica, to the broker.
    Replica(usize),
    /// Of a replica, to the log.
    Log(usize),
}

/// A direction, seen from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// Nothing arrives there.
    In,
    /// Nothing leaves there.
    Out,
}

/// Trouble of the log's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogTrouble {
    /// No leader: nobody answers, and what was sent may still be stored.
    Leaderless,
    /// Writes take up to a second.
    Slow,
    /// The log has no room, and says so.
    Full,
    /// The disk has no room: no write is answered, and none is stored.
    Silent,
}

/// Somebody's host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Whose {
    /// Of a shim.
    Shim(usize),
    /// Of a replica.
    Replica(usize),
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The whole network is like this for a while.
    Weather(Weather, u64),
    /// One direction of one link is cut for so many milliseconds.
    Cut(End, Way, u64),
    /// A shim's connection breaks and comes back after so many milliseconds.
    Reconnect(usize, u64),
    /// A process dies without a word; another one starts there after so many milliseconds, or none before all heals.
    Crash(usize, Option<u64>),
    /// A process ends as it should; another one starts there after so many milliseconds.
    Leave(usize, u64),
    /// A process forks, and only the child lives on; it notices after so many milliseconds.
    Fork(usize, u64),
    /// A replica dies, and another one starts there after so many milliseconds.
    Restart(usize, u64),
    /// The kept snapshot is gone.
    LoseSnapshot,
    /// The kept snapshot can't be read.
    TearSnapshot,
    /// Trouble of the log for so many milliseconds.
    Log(LogTrouble, u64),
    /// These replicas speak with a leader of the log that was deposed and doesn't know it, for so many milliseconds.
    Depose(Vec<usize>, u64),
    /// No evidence can be read for so many milliseconds.
    Blind(u64),
    /// A host stands still for so many milliseconds.
    Freeze(Whose, u64),
    /// A wall clock is set by so many milliseconds.
    SetWall(Whose, i64),
    /// A client gives a command, to this replica first.
    Command(usize, Command, usize),
    /// A client engages a lever, of a tenant or of all, at this replica first.
    Engage(Option<usize>, usize),
    /// A client releases it.
    Release(Option<usize>, usize),
}

/// A client's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Pause.
    Pause,
    /// Resume.
    Resume,
    /// Stop gracefully.
    Stop,
    /// Abort.
    Abort,
}

impl Scenario {
    /// Leaves out what happens to those that are not there.
    pub fn tidy(&mut self) {
        let (shims, replicas, sessions) = (self.shims.len(), self.replicas, self.sessions.len());
        let end = |end: End| match end {
            End::Shim(shim) => shim < shims,
            End::Replica(replica) | End::Log(replica) => replica < replicas,
        };
        let host = |whose: Whose| match whose {
            Whose::Shim(shim) => shim < shims,
            Whose::Replica(replica) => replica < replicas,
        };
        let is_there = |happening: &Happening| {
            let what = match &happening.what {
                What::Cut(of, ..) => end(*of),
                What::Reconnect(shim, _)
                | What::Crash(shim, _)
                | What::Leave(shim, _)
                | What::Fork(shim, _) => *shim < shims,
                What::Restart(replica, _) => *replica < replicas,
                What::Depose(deposed, _) => deposed.iter().all(|replica| *replica < replicas),
                What::Freeze(whose, _) | What::SetWall(whose, _) => host(*whose),
                What::Command(session, ..) => *session < sessions,
                What::Weather(..)
                | What::LoseSnapshot
                | What::TearSnapshot
                | What::Log(..)
                | What::Blind(_)
                | What::Engage(..)
                | What::Release(..) => true,
            };
            let when = match happening.when {
                When::At(_) => true,
                When::Stored { session, .. } | When::Sent { session, .. } => session < sessions,
            };
            what && when
        };
        self.happenings.retain(is_there);
    }
}
