//! The connection to NATS (docs/nats.md, "Pitfalls", 7 and 8).
//!
//! - Reconnects have jitter, and dead connections are noticed within seconds.
//! - What was queued for a connection that is gone is dropped, not sent later: every queued message carries the number of
//!   the connection that it was meant for. What the client itself still held is dated (`sent`), repeated or cumulative.
//! - Replies come to one inbox for each life of a process, so a request that is never answered leaves nothing behind.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr, StatusCode, Subscriber};
use futures::stream::{SelectAll, select_all};
use futures::{Stream, StreamExt};
use rand::RngExt;
use squall_proto::subject::{Root, TenantSubject};
use squall_proto::vocabulary::id::{Incarnation, ShimId, TenantId};
use squall_shim_core::link::Correlation;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::worker::{Arrival, Wire};

/// Messages on their way out. A link sends far fewer at once; what does not fit counts as lost.
const OUT_MAX: usize = 1024;
/// Commands and replies that wait to be read. A process that is stopped for long loses what is beyond, and syncs.
const IN_MAX: usize = 4096;
/// Commands of the client itself. Small, so that little is held back for a connection that is gone.
const CLIENT_MAX: usize = 128;
/// Dead connections are noticed after two of these.
const PING_EVERY: Duration = Duration::from_secs(5);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// First and longest pause between two tries to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_LONGEST: Duration = Duration::from_secs(5);

/// Where the servers are, and who speaks. Not `Debug`: it holds credentials.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) urls: Vec<String>,
    /// The text of a credentials file.
    pub(crate) credentials: Option<String>,
    pub(crate) certificates: Option<PathBuf>,
    /// In every subject, where one account serves all tenants.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) shim: ShimId,
}

impl Address {
    fn root(&self) -> Root {
        Root::Shim { tenant: self.tenant.clone() }
    }

    /// The first user and password in a URL. async-nats 0.51 parses them and then connects without.
    fn user(&self) -> Option<(String, String)> {
        self.urls.iter().find_map(|url| {
            let url: ServerAddr = url.parse().ok()?;
            Some((url.username()?.to_owned(), url.password()?.to_owned()))
        })
    }
}

/// Why there is no connection, and never will be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to understand the credentials")]
    Credentials(#[source] std::io::Error),
    #[error("failed to use the NATS address")]
    Connect(#[from] async_nats::ConnectError),
    #[error("failed to subscribe to commands")]
    Subscribe(#[from] async_nats::SubscribeError),
}

struct Outgoing {
    connection: u64,
    subject: String,
    reply: Option<String>,
    payload: Vec<u8>,
}

/// See the module.
pub(crate) struct Nats {
    client: Client,
    root: Root,
    inbox: String,
    incoming: SelectAll<Pin<Box<dyn Stream<Item = Arrival> + Send>>>,
    events: mpsc::Receiver<Event>,
    /// `None` once the process leaves.
    out: Option<mpsc::Sender<Outgoing>>,
    pump: JoinHandle<()>,
    connected: bool,
    connection: Arc<AtomicU64>,
}

impl Nats {
    /// Starts to connect, and goes on until it succeeds.
    pub(crate) async fn connect(address: &Address, life: Incarnation) -> Result<Self, Error> {
        let (event, events) = mpsc::channel(64);
        let root = address.root();
        let options = options(address, event)?;
        let client = options.connect(address.urls.as_slice()).await?;
        let shim = address.shim.clone();
        // Not the client's: its generator is copied by a fork, and siblings would get each other's answers.
        let inbox = format!("_INBOX_{shim}.{life}");
        let command = |subscriber: Subscriber| -> Pin<Box<dyn Stream<Item = Arrival> + Send>> {
            Box::pin(subscriber.map(|message| Arrival::Command(message.payload.into())))
        };
        let all = client.subscribe(root.encode(&TenantSubject::CommandAll)).await?;
        let mine = client.subscribe(root.encode(&TenantSubject::CommandShim { shim })).await?;
        let replies = client.subscribe(format!("{inbox}.*")).await?;
        let replies = Box::pin(replies.filter_map(async |message| reply(message)));
        let incoming = select_all([command(all), command(mine), replies]);
        let connection = Arc::new(AtomicU64::new(0));
        let (out, queue) = mpsc::channel(OUT_MAX);
        let pump = tokio::spawn(pump(client.clone(), queue, Arc::clone(&connection)));
        let (out, connected) = (Some(out), false);
        Ok(Self { client, root, inbox, incoming, events, out, pump, connected, connection })
    }

    /// What the state of the connection means, compared with what was said of it before. Events may get lost; the state
    /// can't.
    fn level(&mut self) -> Option<Arrival> {
        let connected = self.client.connection_state() == State::Connected;
        if connected == self.connected {
            return None;
        }
        self.connected = connected;
        if connected {
            Some(Arrival::Connected)
        } else {
            self.connection.fetch_add(1, Ordering::AcqRel);
            Some(Arrival::Disconnected)
        }
    }

    fn event(&mut self, event: &Event) -> Option<Arrival> {
        match event {
            // It was gone, even if it is back already; and messages that did not fit are as good as a lost connection.
            Event::Disconnected | Event::SlowConsumer(_) if self.connected => {
                self.connected = false;
                self.connection.fetch_add(1, Ordering::AcqRel);
                Some(Arrival::Disconnected)
            }
            Event::ServerError(error) => {
                tracing::warn!(%error, "the NATS server refused something");
                self.level()
            }
            Event::Connected
            | Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed
            | Event::SlowConsumer(_)
            | Event::ClientError(_) => self.level(),
        }
    }
}

impl Wire for Nats {
    async fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.level() {
                return arrival;
            }
            let arrival = tokio::select! {
                Some(event) = self.events.recv() => self.event(&event),
                Some(arrival) = self.incoming.next() => Some(arrival),
                else => std::future::pending().await,
            };
            if let Some(arrival) = arrival {
                return arrival;
            }
        }
    }

    fn send(
        &mut self,
        subject: &TenantSubject,
        reply: Option<Correlation>,
        payload: Vec<u8>,
    ) -> bool {
        let outgoing = Outgoing {
            connection: self.connection.load(Ordering::Acquire),
            subject: self.root.encode(subject),
            reply: reply.map(|Correlation(number)| format!("{}.{number}", self.inbox)),
            payload,
        };
        self.out.as_ref().is_some_and(|out| out.try_send(outgoing).is_ok())
    }

    async fn leave(&mut self, within: Duration) {
        self.out = None;
        // Time is over: what is left would have been repeated by a process that stays.
        let _ = timeout(within, &mut self.pump).await;
    }
}

fn options(address: &Address, event: mpsc::Sender<Event>) -> Result<ConnectOptions, Error> {
    let mut options = ConnectOptions::new()
        .name(format!("squall-shim {}", address.shim))
        .retry_on_initial_connect()
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_WITHIN)
        .subscription_capacity(IN_MAX)
        .client_capacity(CLIENT_MAX)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |what| {
            let event = event.clone();
            async move {
                // Full: the state of the connection says the same.
                let _ = event.try_send(what);
            }
        });
    if let Some(text) = &address.credentials {
        options = options.credentials(text).map_err(Error::Credentials)?;
    } else if let Some((user, password)) = address.user() {
        options = options.user_and_password(user, password);
    }
    if let Some(path) = &address.certificates {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    Ok(options)
}

/// Half to one and a half of a pause that doubles: a fleet must not come back as one.
fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let pause = RECONNECT_FIRST.saturating_mul(1 << doublings).min(RECONNECT_LONGEST);
    pause.mul_f64(rand::rng().random_range(0.5..1.5))
}

/// The request that a message on the inbox answers.
fn reply(message: Message) -> Option<Arrival> {
    let number = message.subject.rsplit('.').next()?.parse().ok()?;
    let answered = message.status != Some(StatusCode::NO_RESPONDERS);
    Some(Arrival::Reply(Correlation(number), answered.then(|| message.payload.into())))
}

/// Hands messages to the client, which may have to wait for its socket; the link never does.
async fn pump(client: Client, mut queue: mpsc::Receiver<Outgoing>, connection: Arc<AtomicU64>) {
    while let Some(message) = queue.recv().await {
        let Outgoing { connection: meant_for, subject, reply, payload } = message;
        if meant_for != connection.load(Ordering::Acquire) {
            continue;
        }
        let sent = match reply {
            Some(reply) => client.publish_with_reply(subject, reply, payload.into()).await,
            None => client.publish(subject, payload.into()).await,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "failed to publish");
        }
    }
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "failed to flush");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnects_spread_and_stay_below_their_longest_pause() {
        let delays: Vec<Duration> = (0..100).map(|_| reconnect_delay(30)).collect();
        assert!(delays.iter().all(|delay| *delay <= RECONNECT_LONGEST.mul_f64(1.5)));
        assert!(delays.iter().max() > delays.iter().min(), "no jitter");
        assert!(reconnect_delay(1) <= Duration::from_millis(150));
    }
}
