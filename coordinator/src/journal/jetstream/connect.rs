//! One connection to NATS, with settings for a control plane instead of async-nats' defaults (docs/nats.md, pitfalls 6 and 7).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerInfo};
use tokio::sync::broadcast;

use super::super::RECORD_BYTES_MAX;
use super::{OpenError, chain};
use crate::seldom;

/// Oldest server that works: JetStream's checks of expected sequences before it are not the ones that were tested.
const VERSION_MIN: (u32, u32) = (2, 12);
/// Room for a record's subject and headers beside [`RECORD_BYTES_MAX`]; they stay below 1 KiB.
const HEADERS_BYTES_MAX: usize = 4 * 1024;
/// Longest wait for the first connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead server is noticed after three of these: about as long as JetStream needs for a new leader.
const PING_EVERY: Duration = Duration::from_secs(2);
/// First and longest wait before connecting again; each is drawn from half of it to all of it, so that replicas that
/// lost the same server don't come back together.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LONGEST: Duration = Duration::from_secs(2);
/// Messages that one subscription may hold: twice what a tail asks for at once, so that none is ever dropped.
const SUBSCRIPTION_CAPACITY: usize = 8 * 1024;
/// Publishes that may queue while there is no connection. They go out later, so there must be few.
const SEND_CAPACITY: usize = 256;
/// Server errors that an appender may be late to look at.
const COMPLAINTS_CAPACITY: usize = 64;

/// Where NATS is and who we are there.
#[derive(Clone, Default)]
pub struct Address {
    /// URLs of some servers of the cluster, `nats://` or `tls://`; they tell the others. The first user and password among
    /// them count for all, as written: characters that a URL has to escape don't work here.
    pub servers: Vec<String>,
    /// A `.creds` file: user JWT and seed.
    pub credentials: Option<PathBuf>,
    /// Certificates to trust beside the system's, as PEM.
    pub root_certificates: Option<PathBuf>,
    /// Our certificate and its key, as PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl Address {
    /// Servers that need nothing else.
    #[must_use]
    pub fn of(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { servers: servers.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The first user and password in a URL. async-nats 0.51 parses them and then connects without.
    fn user(&self) -> Option<(String, String)> {
        self.servers.iter().find_map(|url| {
            let url: ServerAddr = url.parse().ok()?;
            Some((url.username()?.to_owned(), url.password()?.to_owned()))
        })
    }

    fn without_passwords(&self) -> String {
        let bare = |url: &String| url.rsplit('@').next().unwrap_or_default().to_owned();
        self.servers.iter().map(bare).collect::<Vec<_>>().join(", ")
    }
}

/// Without user and password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("servers", &self.without_passwords())
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file could not be read.
    #[error("read {}: {source}", .path.display())]
    Credentials {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No server answered, or it refused us.
    #[error("connect to NATS at {servers}: {why}")]
    Refused {
        /// Where, without passwords.
        servers: String,
        /// Why.
        why: String,
    },
}

/// A connection that reconnects by itself, for ever, and tells what the server complains about.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    complaints: broadcast::Sender<String>,
}

impl Connection {
    /// Connects; `name` is how the server lists the connection.
    ///
    /// # Errors
    /// [`ConnectError`]: a first connection is not tried again.
    pub async fn open(address: &Address, name: &str) -> Result<Self, ConnectError> {
        let complaints = broadcast::Sender::new(COMPLAINTS_CAPACITY);
        let options = options(address).await?.name(name);
        let options = options.event_callback(on_event(name.to_owned(), complaints.clone()));
        let client = options.connect(&address.servers).await.map_err(|error| {
            ConnectError::Refused { servers: address.without_passwords(), why: chain(&error) }
        })?;
        Ok(Self { client, complaints })
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether there is a connection right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What the server complains about from here on: refused publishes among it, which return `Ok`.
    #[must_use]
    pub fn complaints(&self) -> broadcast::Receiver<String> {
        self.complaints.subscribe()
    }

    pub(super) fn check_server(&self) -> Result<(), OpenError> {
        let ServerInfo { server_name: server, version, max_payload, jetstream, .. } =
            self.client.server_info();
        let needed = RECORD_BYTES_MAX + HEADERS_BYTES_MAX;
        let why = if !is_supported(&version) {
            format!("Squall needs {}.{} or newer", VERSION_MIN.0, VERSION_MIN.1)
        } else if !jetstream {
            "JetStream is not enabled".to_owned()
        } else if max_payload < needed {
            format!("its max_payload is {max_payload}, Squall needs {needed}")
        } else {
            return Ok(());
        };
        Err(OpenError::Server { server, version, why })
    }
}

/// Whether a server of this version works. What can't be read as a version doesn't.
pub(crate) fn is_supported(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= VERSION_MIN,
        _ => false,
    }
}

async fn options(address: &Address) -> Result<ConnectOptions, ConnectError> {
    let mut options = ConnectOptions::new()
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_EVERY)
        .reconnect_delay_callback(reconnect_delay)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .client_capacity(SEND_CAPACITY);
    if let Some((user, password)) = address.user() {
        options = options.user_and_password(user, password);
    }
    if let Some(path) = &address.credentials {
        let credentials = tokio::fs::read_to_string(path).await;
        let unreadable = |source| ConnectError::Credentials { path: path.clone(), source };
        options = options.credentials(&credentials.map_err(unreadable)?).map_err(unreadable)?;
    }
    if let Some(path) = &address.root_certificates {
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &address.client_certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn reconnect_delay(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    let longest = (RECONNECT_FIRST * 2_u32.pow(doublings)).min(RECONNECT_LONGEST);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

fn on_event(
    name: String,
    complaints: broadcast::Sender<String>,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    let slow = seldom::Shared::default();
    move |event| {
        match event {
            Event::ServerError(error) => {
                let text = error.to_string();
                tracing::error!(
                    connection = name,
                    error = text,
                    "the NATS server refused something"
                );
                // Nobody waits for it: it is in the log.
                let _ = complaints.send(text);
            }
            Event::ClientError(error) => {
                tracing::error!(connection = name, %error, "the NATS client failed");
            }
            Event::SlowConsumer(subscription) => {
                if let Some(messages) = slow.another() {
                    tracing::error!(connection = name, subscription, messages, "dropped: too slow");
                }
            }
            Event::Connected
            | Event::Disconnected
            | Event::LameDuckMode
            | Event::Draining
            | Event::Closed => {
                tracing::info!(connection = name, %event, "the NATS connection changed")
            }
        }
        std::future::ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_are_not_supported() {
        for version in ["2.12.0", "v2.15.1", "2.16.0-RC.1", "3.0.0"] {
            assert!(is_supported(version), "{version}");
        }
        for version in ["2.9.25", "2.11.99", "1.99.0", "", "dev", "2"] {
            assert!(!is_supported(version), "{version:?}");
        }
    }

    #[test]
    fn reconnecting_waits_longer_each_time_with_jitter_and_a_limit() {
        for attempt in 1..40 {
            let delay = reconnect_delay(attempt);
            assert!(delay >= RECONNECT_FIRST / 2 && delay <= RECONNECT_LONGEST, "{delay:?}");
        }
        assert!(reconnect_delay(1) <= RECONNECT_FIRST);
        assert!(reconnect_delay(30) >= RECONNECT_LONGEST / 2);
    }

    #[test]
    fn the_first_user_in_a_url_counts_for_all() {
        let address =
            Address::of(["nats://one:4222", "nats://u:p@two:4222", "nats://v:q@three:4222"]);
        assert_eq!(address.user(), Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(Address::of(["nats://one:4222"]).user(), None);
    }

    #[test]
    fn an_address_never_shows_its_password() {
        let shown = format!("{:?}", Address::of(["nats://user:secret@host:4222"]));
        assert!(shown.contains("host:4222") && !shown.contains("secret"), "{shown}");
    }
}
