//! The log as it is stored: read from the stream, and understood by the `.proto` files.

mod decode;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt as _;

use crate::schema::Schema;

/// The stream that holds the log.
const STREAM: &str = "SQUALL_LOG";
/// Longest wait for a record that the stream says it has.
const RECORD_WITHIN: Duration = Duration::from_secs(30);

/// Who holds permits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// Its tenant.
    pub tenant: String,
    /// Its shim.
    pub shim: String,
    /// Its life, 32 hexadecimal digits.
    pub incarnation: String,
}

/// The client's command that caused an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The request id.
    pub request: String,
    /// `create`, `start`, ...
    pub op: &'static str,
}

/// How far a session may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Radius {
    /// One request.
    Request,
    /// One agent.
    Agent,
    /// One trace.
    Trace,
    /// One tenant.
    #[default]
    Tenant,
    /// A list of tenants.
    Tenants,
}

/// What of a specification bounds anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// How far it may reach.
    pub radius: Radius,
    /// Affected requests in all.
    pub budget: u64,
    /// Budgets of tenants.
    pub per_tenant: BTreeMap<String, u32>,
    /// Of any one agent.
    pub per_agent: Option<u32>,
    /// Of any one trace.
    pub per_trace: Option<u32>,
    /// Injections at any time.
    pub concurrent: Option<u32>,
    /// Injections in any window of so many seconds.
    pub rate: Option<(u32, u64)>,
    /// Tenants of a session over several.
    pub tenants: Vec<String>,
    /// Tools that it may hit; empty for all.
    pub tools: Vec<String>,
    /// How long its fault holds a call, in milliseconds; 0 if it doesn't.
    pub hold_ms: u64,
}

/// Permits that were issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub holder: Holder,
    /// The holder's number of the request.
    pub req_no: u64,
    /// How many.
    pub permits: u32,
    /// Whom they are charged to.
    pub agent: String,
    /// The trace that they are charged to.
    pub trace: Option<String>,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It exists.
    Created(Box<Spec>),
    /// It injects.
    Started,
    /// It injects nothing for now.
    Paused,
    /// It injects again.
    Resumed,
    /// No new grants.
    DrainBegan,
    /// It ended: 1 completed, 2 exhausted, 3 expired.
    Ended(u32),
    /// Its radius is bound.
    ScopeBound {
        /// To this tenant.
        tenant: String,
        /// To this agent, trace or request.
        scope: String,
    },
    /// Permits were spent.
    Issued(Grant),
    /// A grant was closed.
    Closed {
        /// By whom.
        holder: Holder,
        /// Which.
        req_no: u64,
        /// Permits that were burned.
        used: u32,
    },
    /// It was stopped for good.
    Aborted {
        /// 1 an operator, 2 a lever, 3 the guard, 4 a shim that kept it.
        cause: u32,
        /// Sequence of the lever.
        lever: u64,
    },
    /// A holder confirmed the stop.
    Inert {
        /// Who.
        holder: Holder,
    },
    /// The stop is certain.
    Proven {
        /// 1 by confirmations, 2 by time.
        by: u32,
        /// Who never confirmed.
        out_of_contact: Vec<Holder>,
    },
    /// A guard tripped.
    GuardTripped,
    /// The log contradicts itself.
    LogDamaged(String),
}

/// What happened to a lever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeverEvent {
    /// Engaged.
    Engaged,
    /// Released.
    Released,
    /// Written again as it is.
    Renewed,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Of a session.
    Session {
        /// `tenant/session`.
        session: String,
        /// Permits issued until here, by the writer.
        issued: u64,
        /// Permits given back until here, by the writer.
        refunded: u64,
        /// What happened.
        events: Vec<(Option<Command>, Event)>,
    },
    /// Of a lever.
    Lever {
        /// A tenant, or `_fleet`.
        scope: String,
        /// What happened.
        events: Vec<(Option<Command>, LeverEvent)>,
    },
    /// Of a replica that shows that it is fresh.
    Barrier,
    /// It can't be read: why.
    Unreadable(String),
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the stream.
    pub sequence: u64,
    /// When the log's server took it, by its wall clock, in nanoseconds.
    pub wall_ns: u64,
    /// Where it stands.
    pub subject: String,
    /// Identity of its append, as hexadecimal digits; empty for barriers.
    pub append: String,
    /// Hash of the record before it on its subject, as the writer says; empty for barriers.
    pub previous: String,
    /// Its own hash.
    pub hash: String,
    /// What it says.
    pub entry: Entry,
}

impl Record {
    /// Events of a session's record; none of any other.
    pub fn session_events(&self) -> impl Iterator<Item = &(Option<Command>, Event)> {
        let events = match &self.entry {
            Entry::Session { events, .. } => events.as_slice(),
            Entry::Lever { .. } | Entry::Barrier | Entry::Unreadable(_) => &[],
        };
        events.iter()
    }
}

/// Reads the whole log.
///
/// # Errors
/// When the stream can't be read to its end.
pub async fn read(client: async_nats::Client, schema: &Schema) -> Result<Vec<Record>> {
    let stream = jetstream::new(client).get_stream(STREAM).await.context("find the log")?;
    let state = &stream.cached_info().state;
    let (first, last) = (state.first_sequence, state.last_sequence);
    anyhow::ensure!(first == 1, "the log begins with record {first}");
    let config = OrderedConfig { deliver_policy: DeliverPolicy::All, ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.messages().await?;
    let mut records = Vec::new();
    while (records.len() as u64) < last {
        let next = tokio::time::timeout(RECORD_WITHIN, messages.next()).await;
        let message = match next {
            Ok(Some(message)) => message?,
            Ok(None) | Err(_) => bail!("record {} of {last} doesn't come", records.len() + 1),
        };
        let about = message.info().map_err(|error| anyhow::anyhow!("{error}"))?;
        let sequence = about.stream_sequence;
        let wall_ns = u64::try_from(about.published.unix_timestamp_nanos())?;
        let subject = message.subject.to_string();
        records.push(schema.record(sequence, wall_ns, &subject, &message.payload));
    }
    Ok(records)
}
