//! What goes into a replica and comes out of it: all that it has of the world.

use std::collections::BTreeSet;
use std::time::Duration;

use squall_domain::event::{Event, Hash, LeverEvent, Record};
use squall_domain::lever::Scope;
use squall_domain::world::Entry;
use squall_proto::subject::Partition;
use squall_proto::vocabulary::id::{AppendId, ReplicaId, SessionKey, ShimId, TenantId};
use squall_proto::vocabulary::message::{Command, Evidence, Hello, Reply, Request};
use squall_proto::vocabulary::time::{BootNanos, UnixMillis};

use super::client::{Answer, Order, OrderError, Query};

/// The time, on both clocks, when an input arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For leases and permits.
    pub boot: BootNanos,
    /// For records and people.
    pub wall: UnixMillis,
}

/// Names the one who waits for an answer; given by the pump, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What can happen to a replica.
#[derive(Debug)]
pub enum Input {
    /// The next record of the log.
    Logged {
        /// Its position.
        sequence: u64,
        /// When the log's server stored it.
        time: UnixMillis,
        /// The append that wrote it.
        append: Option<AppendId>,
        /// What it says.
        entry: Box<Entry>,
        /// BLAKE3 of its bytes.
        hash: Hash,
    },
    /// Nothing newer was known to the log's server.
    CaughtUp,
    /// The log contradicts itself.
    LogDamaged(String),
    /// An append was answered, or was not.
    Appended {
        /// Which.
        id: AppendId,
        /// Its position, or why there is none.
        result: Result<u64, AppendFailure>,
    },
    /// A shim's request; tenant and shim are vouched for by its subject.
    Request {
        /// Who waits.
        token: Token,
        /// Whose shim.
        tenant: TenantId,
        /// Which shim.
        shim: ShimId,
        /// What it says.
        request: Box<Request>,
    },
    /// A shim said Hello to the replica that owns its partition.
    Overheard {
        /// Whose shim.
        tenant: TenantId,
        /// Which shim.
        shim: ShimId,
        /// What it said.
        hello: Box<Hello>,
    },
    /// Evidence from the stream; tenant and shim are vouched for by its subject.
    Evidence {
        /// Its position in the evidence stream.
        sequence: u64,
        /// Whose shim.
        tenant: TenantId,
        /// Which shim.
        shim: ShimId,
        /// What it says.
        evidence: Box<Evidence>,
    },
    /// Evidence can't be read, until [`Self::EvidenceReadable`].
    EvidenceUnreadable {
        /// What came instead.
        why: String,
        /// For how long so far.
        silent: Duration,
    },
    /// Evidence can be read, and was read to its end.
    EvidenceReadable,
    /// A client wants something done.
    Order {
        /// Who waits.
        token: Token,
        /// What.
        order: Box<Order>,
    },
    /// A client wants to know something.
    Query {
        /// Who waits.
        token: Token,
        /// What.
        query: Query,
    },
    /// Another replica lives.
    Alive(ReplicaId),
    /// Time has passed.
    Tick,
}

/// Why an append got no position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFailure {
    /// Another record came first, or this very one did before: the fold will tell.
    Conflict,
    /// No clear answer, `duplicate` included, and what was said instead: the fold will tell.
    Unclear(String),
    /// The log has no room; nothing was stored.
    Full(String),
    /// The log refused it; nothing was stored.
    Refused(String),
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A record of a session, if `expected` is still its revision.
    Session(SessionKey, u64, Record<Event>),
    /// A record of a lever, if `expected` is still its revision.
    Lever(Scope, u64, Record<LeverEvent>),
    /// A barrier of this replica: shows that it is fresh.
    Barrier,
}

/// Which of the replica's connections a command takes: a stop must not stand behind a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Aborts, halts and pauses.
    Urgent,
    /// Everything else.
    Bulk,
}

/// What the pump has to do.
#[derive(Debug)]
pub enum Output {
    /// Append this under this id, once.
    Append(AppendId, Write),
    /// Answer a shim.
    Reply(Token, Box<Reply>),
    /// Answer a client's order.
    Ordered(Token, Result<SessionKeyOrScope, OrderError>),
    /// Answer a client's query.
    Answered(Token, Box<Answer>),
    /// Tell all shims of a tenant, or one.
    Command {
        /// Whose shims.
        tenant: TenantId,
        /// One of them, or all.
        shim: Option<ShimId>,
        /// On which connection.
        lane: Lane,
        /// What.
        command: Box<Command>,
    },
    /// Say that this replica lives.
    Alive,
    /// Listen to the requests of these partitions, and of no others.
    Own(BTreeSet<Partition>),
    /// Watchers of these sessions have something new to see.
    Changed(Vec<SessionKey>),
}

/// What an order was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionKeyOrScope {
    /// A session.
    Session(SessionKey),
    /// A lever.
    Scope(Scope),
}
