//! Three connections, so that nothing stands behind a fan-out: one for requests and their replies, one for broadcasts,
//! and one for stops alone (an abort behind 20 broadcasts to 5000 shims took 466 ms, on a connection of its own 1.6 ms).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_nats::{Client, Message};
use bytes::Bytes;
use futures::StreamExt;
use squall_proto::subject::{Filter, Partition, Subject, TenantSubject};
use squall_proto::vocabulary::id::{ReplicaId, ShimId, TenantId};
use squall_proto::vocabulary::limits::MESSAGE_BYTES_MAX;
use squall_proto::vocabulary::message::{Command, Reply, Request};
use squall_proto::wire;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::engine::Lane;
use crate::journal::jetstream::{Address, ConnectError, Connection};
use crate::seldom;

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

/// What is dropped, whoever causes it, as far as it is told.
#[derive(Debug, Default)]
struct Dropped {
    /// What nobody honest sends.
    garbage: seldom::Shared,
    /// What came in and found no room.
    overload: seldom::Shared,
    /// What goes out and found none.
    outgoing: seldom::Shared,
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
    dropped: Arc<Dropped>,
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
            dropped: Arc::default(),
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
        let (received, dropped) = (self.received.clone(), Arc::clone(&self.dropped));
        let task = tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                let Some(message) = read(message, overhears, &dropped) else { continue };
                if received.try_send(message).is_err()
                    && let Some(messages) = dropped.overload.another()
                {
                    tracing::warn!(
                        messages,
                        "dropped: the replica is overloaded; their senders repeat them"
                    );
                }
            }
        });
        Ok(task.abort_handle())
    }

    /// Answers a request.
    pub fn reply(&self, to: ReplyTo, reply: &Reply) {
        self.send(&self.replies, to, wire::encode_reply(reply));
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
        self.send(lane, subject.into(), wire::encode_command(command));
    }

    /// Says that this replica lives.
    pub fn alive(&self) {
        let subject = Subject::Alive { replica: self.replica.clone() }.to_string();
        self.send(&self.urgent, subject.into(), Vec::new());
    }

    fn send(
        &self,
        lane: &mpsc::Sender<(async_nats::Subject, Bytes)>,
        subject: async_nats::Subject,
        bytes: Vec<u8>,
    ) {
        if bytes.len() > MESSAGE_BYTES_MAX {
            tracing::error!(%subject, bytes = bytes.len(), limit = MESSAGE_BYTES_MAX, "a message is too large to be sent");
            return;
        }
        if lane.try_send((subject, bytes.into())).is_err()
            && let Some(messages) = self.dropped.outgoing.another()
        {
            tracing::warn!(messages, "dropped messages: their connection is overloaded");
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for task in self.owned.values().chain(&self.always) {
            task.abort();
        }
    }
}

/// What a message says; garbage is told of and dropped, since nobody honest waits for an answer to it.
fn read(message: Message, overhears: bool, dropped: &Dropped) -> Option<Received> {
    let subject: Subject = match message.subject.parse() {
        Ok(subject) => subject,
        Err(error) => {
            tracing::debug!(subject = %message.subject.as_str().escape_default(), %error, "dropped a message");
            return None;
        }
    };
    match subject {
        Subject::Alive { replica } => Some(Received::Alive(replica)),
        Subject::Tenant { tenant, subject: subject @ TenantSubject::Ask { .. } } => {
            let (shim, request) = decode(&message.payload, &tenant, subject, dropped)?;
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
        | Subject::SessionLog { .. }
        | Subject::LeverLog { .. }
        | Subject::BarrierLog { .. }
        | Subject::AuditLog { .. }
        | Subject::TenantLog { .. } => None,
    }
}

/// A request under its own subject. Another verb's says nothing, and another partition's belongs to another replica: all of
/// them would write to one session.
fn decode(
    payload: &[u8],
    tenant: &TenantId,
    subject: TenantSubject,
    dropped: &Dropped,
) -> Option<(ShimId, Box<Request>)> {
    let TenantSubject::Ask { shim, .. } = &subject else { return None };
    let why = match wire::decode_request(payload) {
        Ok(request) if TenantSubject::ask(tenant, shim, &request) == subject => {
            return Some((shim.clone(), Box::new(request)));
        }
        Ok(_) => "it belongs under another subject".to_owned(),
        Err(error) => error.to_string(),
    };
    if let Some(messages) = dropped.garbage.another() {
        tracing::warn!(messages, %tenant, newest = %subject, %why, "dropped what is no request");
    }
    None
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

#[cfg(test)]
mod stalled;
#[cfg(test)]
mod tests {
    use squall_proto::vocabulary::id::{Incarnation, SessionKey};
    use squall_proto::vocabulary::message::{Close, GrantRef};

    use super::*;

    fn close() -> Request {
        let session = SessionKey { tenant: tenant(), session: "main".parse().unwrap() };
        let grant = GrantRef { session, req_no: 1 };
        Request::Close(Close { incarnation: Incarnation([1; 16]), grant, used: 0 })
    }

    fn tenant() -> TenantId {
        "acme".parse().unwrap()
    }

    fn shim() -> ShimId {
        "shim-1".parse().unwrap()
    }

    fn message(subject: TenantSubject, payload: Vec<u8>) -> Message {
        let subject = Subject::Tenant { tenant: tenant(), subject }.to_string();
        Message {
            length: subject.len() + payload.len(),
            subject: subject.into(),
            reply: Some("inbox".into()),
            payload: payload.into(),
            headers: None,
            status: None,
            description: None,
        }
    }

    #[test]
    fn a_request_is_read_under_its_own_subject() {
        let subject = TenantSubject::ask(&tenant(), &shim(), &close());
        let message = message(subject, wire::encode_request(&close()));
        let read = read(message, false, &Dropped::default());
        let Some(Received::Request { request, .. }) = read else { panic!("{read:?}") };
        assert_eq!(*request, close());
    }

    #[test]
    fn a_request_of_another_partition_or_verb_is_dropped() {
        let own = TenantSubject::ask(&tenant(), &shim(), &close());
        let TenantSubject::Ask { partition: its, verb, .. } = own else { panic!("no ask") };
        let elsewhere = Partition::all()
            .filter(|partition| *partition != its)
            .map(|partition| TenantSubject::Ask { shim: shim(), partition, verb });
        let hello = squall_proto::subject::Verb::Hello;
        let other_verb = TenantSubject::Ask { shim: shim(), partition: its, verb: hello };
        for subject in elsewhere.chain([other_verb]) {
            let message = message(subject.clone(), wire::encode_request(&close()));
            assert!(read(message, false, &Dropped::default()).is_none(), "{subject}");
        }
    }
}
