//! Three connections, so that nothing stands behind a fan-out: one for requests and their replies, one for broadcasts,
//! and one for stops alone (an abort behind 20 broadcasts to 5000 shims took 466 ms, on a connection of its own 1.6 ms).

use std::collections::{BTreeMap, BTreeSet};

use async_nats::{Client, Message};
use bytes::Bytes;
use futures::StreamExt;
use squall_proto::subject::{Filter, Partition, Subject, TenantSubject, Verb};
use squall_proto::vocabulary::id::{ReplicaId, ShimId, TenantId};
use squall_proto::vocabulary::limits::MESSAGE_BYTES_MAX;
use squall_proto::vocabulary::message::{Command, Reply, Request};
use squall_proto::wire;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::engine::Lane;
use crate::journal::jetstream::{Address, ConnectError, Connection};

/// Messages that wait for the loop: a large fleet that reconnects together. More are dropped, and shims repeat theirs.
const RECEIVED_MAX: usize = 65_536;
/// Messages that wait for a connection. A plan that is dropped is noticed by the next beat.
const OUTGOING_MAX: usize = 65_536;

/// Where a reply goes.
pub type ReplyTo = async_nats::Subject;

/// What came in.
#[derive(Debug)]
pub enum Received {
    /// A shim asks, and waits for a reply.
    Request {
        /// Whose shim: the subject vouches for it.
        tenant: TenantId,
        /// Which shim: the subject vouches for it.
        shim: ShimId,
        /// What it says.
        request: Box<Request>,
        /// Where the reply goes; `None` when another replica answers.
        reply: Option<ReplyTo>,
    },
    /// Another replica lives.
    Alive(ReplicaId),
}

/// Why the bus could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No subscription.
    #[error("subscribing to {filter}: {source}")]
    Subscribe {
        /// What to.
        filter: Filter,
        /// What happened.
        source: async_nats::SubscribeError,
    },
}

/// The connections of one replica.
#[derive(Debug)]
pub struct Bus {
    replica: ReplicaId,
    requests: Client,
    received: mpsc::Sender<Received>,
    replies: mpsc::Sender<(async_nats::Subject, Bytes)>,
    bulk: mpsc::Sender<(async_nats::Subject, Bytes)>,
    urgent: mpsc::Sender<(async_nats::Subject, Bytes)>,
    owned: BTreeMap<Partition, AbortHandle>,
    /// What every replica listens to.
    always: Vec<AbortHandle>,
}

impl Bus {
    /// Connects, and listens to what every replica listens to.
    ///
    /// # Errors
    /// [`Error`] when a server can't be reached.
    pub async fn open(
        address: &Address,
        replica: ReplicaId,
    ) -> Result<(Self, mpsc::Receiver<Received>), Error> {
        let requests = Connection::open(address, "squall requests").await?.client().clone();
        let bulk = Connection::open(address, "squall broadcasts").await?.client().clone();
        let urgent = Connection::open(address, "squall stops").await?.client().clone();
        let (received, incoming) = mpsc::channel(RECEIVED_MAX);
        let mut bus = Self {
            replies: lane(requests.clone(), false),
            bulk: lane(bulk, false),
            urgent: lane(urgent, true),
            replica,
            requests,
            received,
            owned: BTreeMap::new(),
            always: Vec::new(),
        };
        for filter in [Filter::Alive, Filter::Hellos] {
            let task = bus.listen(filter, true).await?;
            bus.always.push(task);
        }
        Ok((bus, incoming))
    }

    /// Listens to the requests of exactly these partitions.
    ///
    /// # Errors
    /// [`Error::Subscribe`]; what was listened to before goes on.
    pub async fn own(&mut self, partitions: &BTreeSet<Partition>) -> Result<(), Error> {
        self.owned.retain(|partition, task| {
            let keep = partitions.contains(partition);
            if !keep {
                task.abort();
            }
            keep
        });
        for partition in partitions {
            if !self.owned.contains_key(partition) {
                let task = self.listen(Filter::Asks(*partition), false).await?;
                self.owned.insert(*partition, task);
            }
        }
        Ok(())
    }

    async fn listen(&self, filter: Filter, overhears: bool) -> Result<AbortHandle, Error> {
        let subscription = self.requests.subscribe(filter.to_string()).await;
        let mut messages = subscription.map_err(|source| Error::Subscribe { filter, source })?;
        let received = self.received.clone();
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let Some(message) = read(message, overhears) else { continue };
                if received.try_send(message).is_err() {
                    tracing::warn!(
                        "a message was dropped: the replica is overloaded; its sender repeats it"
                    );
                }
            }
        });
        Ok(task.abort_handle())
    }

    /// Answers a request.
    pub fn reply(&self, to: ReplyTo, reply: &Reply) {
        send(&self.replies, to, wire::encode_reply(reply));
    }

    /// Tells all shims of a tenant, or one of them.
    pub fn command(&self, tenant: TenantId, shim: Option<ShimId>, lane: Lane, command: &Command) {
        let subject =
            shim.map_or(TenantSubject::CommandAll, |shim| TenantSubject::CommandShim { shim });
        let subject = Subject::Tenant { tenant, subject }.to_string();
        let lane = match lane {
            Lane::Urgent => &self.urgent,
            Lane::Bulk => &self.bulk,
        };
        send(lane, subject.into(), wire::encode_command(command));
    }

    /// Says that this replica lives.
    pub fn alive(&self) {
        let subject = Subject::Alive { replica: self.replica.clone() }.to_string();
        send(&self.urgent, subject.into(), Vec::new());
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for task in self.owned.values().chain(&self.always) {
            task.abort();
        }
    }
}

/// What a message says; garbage is counted in the log and dropped, since nobody honest waits for an answer to it.
fn read(message: Message, overhears: bool) -> Option<Received> {
    let subject: Subject = match message.subject.parse() {
        Ok(subject) => subject,
        Err(error) => {
            tracing::debug!(subject = %message.subject.as_str().escape_default(), %error, "dropped a message");
            return None;
        }
    };
    match subject {
        Subject::Alive { replica } => Some(Received::Alive(replica)),
        Subject::Tenant { tenant, subject: TenantSubject::Ask { shim, verb, .. } } => {
            let request = decode(&message.payload, verb, &tenant, &shim)?;
            let reply = message.reply.filter(|_| !overhears);
            (overhears || reply.is_some()).then_some(Received::Request {
                tenant,
                shim,
                request,
                reply,
            })
        }
        Subject::Tenant {
            subject:
                TenantSubject::CommandAll
                | TenantSubject::CommandShim { .. }
                | TenantSubject::Evidence { .. },
            ..
        }
        | Subject::ClientCommand { .. }
        | Subject::SessionLog { .. }
        | Subject::LeverLog { .. }
        | Subject::BarrierLog { .. }
        | Subject::AuditLog { .. }
        | Subject::TenantLog { .. } => None,
    }
}

fn decode(payload: &[u8], verb: Verb, tenant: &TenantId, shim: &ShimId) -> Option<Box<Request>> {
    match wire::decode_request(payload) {
        Ok(request) if Verb::of(&request) == verb => Some(Box::new(request)),
        Ok(_) => {
            tracing::warn!(%tenant, %shim, "dropped a request under another verb's subject");
            None
        }
        Err(error) => {
            tracing::warn!(%tenant, %shim, %error, "dropped a request that is not one");
            None
        }
    }
}

fn send(
    lane: &mpsc::Sender<(async_nats::Subject, Bytes)>,
    subject: async_nats::Subject,
    bytes: Vec<u8>,
) {
    if bytes.len() > MESSAGE_BYTES_MAX {
        tracing::error!(%subject, bytes = bytes.len(), limit = MESSAGE_BYTES_MAX, "a message is too large to be sent");
        return;
    }
    if lane.try_send((subject, bytes.into())).is_err() {
        tracing::warn!("a message was dropped: its connection is overloaded");
    }
}

/// One task for each connection: a slow server holds up what stands behind it, and never the loop.
fn lane(client: Client, flush: bool) -> mpsc::Sender<(async_nats::Subject, Bytes)> {
    let (sender, mut outgoing) = mpsc::channel::<(async_nats::Subject, Bytes)>(OUTGOING_MAX);
    tokio::spawn(async move {
        while let Some((subject, bytes)) = outgoing.recv().await {
            // While disconnected the client queues what it is given and sends it later: stale by then, so it is dropped here.
            if client.connection_state() != async_nats::connection::State::Connected {
                continue;
            }
            if let Err(error) = client.publish(subject, bytes).await {
                tracing::warn!(%error, "a message was not sent");
            }
            if flush && let Err(error) = client.flush().await {
                tracing::warn!(%error, "a stop was not flushed");
            }
        }
    });
    sender
}
