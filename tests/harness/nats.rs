//! Real `nats-server` processes on loopback, one or three, with the means to kill, freeze and restart them.
//!
//! Servers die with the test process whatever happens, and take their folder along when they are dropped. Ports are
//! below 32768: in the ephemeral range a waiting connection can connect to itself and keep a server from starting.
//!
//! Every server has accounts `a0`, `a1`, …, each with a JetStream of its own, so that tests share a server and still have
//! their own streams; whoever gives no user is `a0`. User `sys` is of the system account, and user `r<n>` of account `a<n>`
//! may not publish to the log.

mod config;
mod process;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::Client;
use async_nats::jetstream::context::ContextBuilder;
use futures::future::join_all;
use serde_json::Value;
use squall::journal::jetstream::{Address, Connection, fetch_varz};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use config::{Ports, Routes};
use process::{Process, Store};

/// Longest wait for a server or a cluster to be ready: elections take up to 9 s, restarts less.
const READY_WITHIN: Duration = Duration::from_secs(40);
/// Tries to find ports that nobody took in the meantime.
const START_TRIES: usize = 5;
/// Longest wait for one answer while a server is not ready; it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How servers are set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sync_interval: always`: every write is on disk before its answer.
    pub sync_always: bool,
    /// How many accounts `a<n>` there are.
    pub accounts: usize,
    /// Room for all streams of a server, in bytes.
    pub file_store_bytes_max: Option<u64>,
    /// More configuration, appended as it is.
    pub more: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync_always: false, accounts: 32, file_store_bytes_max: None, more: String::new() }
    }
}

/// One server process with its folder.
#[derive(Debug)]
pub struct Server {
    name: String,
    ports: Ports,
    accounts: usize,
    next_account: AtomicUsize,
    // Before the folder, so that it is dropped first.
    process: Mutex<Option<Process>>,
    store: Store,
}

impl Server {
    /// Starts a server and waits until its JetStream is ready.
    ///
    /// # Errors
    /// If there is no binary, no port, or the server doesn't become ready; with the end of its log.
    pub async fn start(options: &Options) -> Result<Self> {
        let mut why = None;
        for _ in 0..START_TRIES {
            let server = Self::new("n0", options, Ports::find()?, None)?;
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(error) => why = Some(error),
            }
        }
        Err(why.context("no try")?)
    }

    fn new(name: &str, options: &Options, ports: Ports, routes: Option<Routes>) -> Result<Self> {
        let store = Store::new()?;
        let text = config::write(name, options, &ports, routes.as_ref(), store.path());
        std::fs::write(store.path().join("nats.conf"), text)?;
        Ok(Self {
            name: name.to_owned(),
            ports,
            accounts: options.accounts,
            next_account: AtomicUsize::new(0),
            process: Mutex::new(None),
            store,
        })
    }

    /// Its name in the cluster: `n0`, `n1`, `n2`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `nats://…` without a user: account `a0`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports.client)
    }

    /// `nats://…` for account `a<account>`.
    #[must_use]
    pub fn account_url(&self, account: usize) -> String {
        self.user_url(&format!("a{account}"))
    }

    /// `nats://…` for user `r<account>`, who may not publish to the log.
    #[must_use]
    pub fn reader_url(&self, account: usize) -> String {
        self.user_url(&format!("r{account}"))
    }

    /// `nats://…` for the system account.
    #[must_use]
    pub fn system_url(&self) -> String {
        self.user_url("sys")
    }

    fn user_url(&self, user: &str) -> String {
        format!("nats://{user}:{user}@127.0.0.1:{}", self.ports.client)
    }

    /// `http://…` of the monitoring port.
    #[must_use]
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.monitoring)
    }

    /// An account that no other caller gets.
    ///
    /// # Panics
    /// If all of them are taken: raise [`Options::accounts`].
    pub fn take_account(&self) -> usize {
        let account = self.next_account.fetch_add(1, Ordering::Relaxed);
        assert!(account < self.accounts, "all {} accounts are taken", self.accounts);
        account
    }

    /// Where its streams are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.store.path()
    }

    /// Ends it at once, as a power loss of the process would (`SIGKILL`), and waits until it is gone.
    pub fn kill(&self) {
        // Dropping a process kills and reaps it.
        self.lock().take();
    }

    /// Asks it to end (`SIGTERM`) and waits until it is gone.
    pub fn stop(&self) {
        if let Some(process) = self.lock().take() {
            process.stop();
        }
    }

    /// Freezes it (`SIGSTOP`): its connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.lock().as_ref().expect("a server that runs").freeze();
    }

    /// Lets it go on after [`Server::freeze`].
    pub fn thaw(&self) {
        self.lock().as_ref().expect("a server that runs").thaw();
    }

    /// Starts it again on the same ports and store, and waits until it is ready.
    ///
    /// # Errors
    /// If it doesn't become ready; with the end of its log.
    pub async fn restart(&self) -> Result<()> {
        self.launch()?;
        self.ready().await
    }

    fn launch(&self) -> Result<()> {
        let folder = self.store.path();
        *self.lock() = Some(Process::start(&binary()?, folder)?);
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        let ready =
            wait_until(READY_WITHIN, || async { !self.is_running() || self.is_ready().await });
        if ready.await && self.is_running() {
            return Ok(());
        }
        bail!("nats-server {} is not ready:\n{}", self.name, self.end_of_log())
    }

    async fn is_ready(&self) -> bool {
        let varz = self.varz().await;
        let meta = &varz["jetstream"]["meta"];
        // Another process may have taken the port. Without a cluster there is no meta group.
        if varz["server_name"] != self.name || meta["leader"] == "" {
            return false;
        }
        let Ok(client) = connect([self.url()]).await else { return false };
        let api = ContextBuilder::new().timeout(ANSWER_WITHIN).build(client);
        api.query_account().await.is_ok()
    }

    /// Whether it leads the cluster and every other server has caught up with it.
    async fn leads_all(&self) -> bool {
        let varz = self.varz().await;
        let meta = &varz["jetstream"]["meta"];
        let replicas = meta["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
        meta["leader"] == self.name
            && replicas.len() == 2
            && replicas.iter().all(|replica| replica["current"] == true)
    }

    async fn varz(&self) -> Value {
        let varz = fetch_varz(&self.monitoring_url()).await.unwrap_or_default();
        serde_json::from_slice(&varz).unwrap_or_default()
    }

    fn is_running(&self) -> bool {
        self.lock().as_mut().is_some_and(Process::is_running)
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(self.store.path().join("nats.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Three servers with JetStream over all of them.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts three servers and waits until streams with three copies can be made.
    ///
    /// # Errors
    /// As for [`Server::start`].
    pub async fn start(options: &Options) -> Result<Self> {
        let mut why = None;
        for _ in 0..START_TRIES {
            match Self::try_start(options).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => why = Some(error),
            }
        }
        Err(why.context("no try")?)
    }

    async fn try_start(options: &Options) -> Result<Self> {
        let ports = [Ports::find()?, Ports::find()?, Ports::find()?];
        let routes: Routes = ports.iter().map(|ports| ports.route).collect();
        let server = |(number, ports)| {
            Server::new(&format!("n{number}"), options, ports, Some(routes.clone()))
        };
        let servers = ports.into_iter().enumerate().map(server).collect::<Result<Vec<_>>>()?;
        for server in &servers {
            server.launch()?;
        }
        let cluster = Self { servers };
        cluster.ready().await?;
        if wait_until(READY_WITHIN, || cluster.is_whole()).await {
            return Ok(cluster);
        }
        bail!("the cluster is not whole:\n{}", cluster.servers[0].end_of_log())
    }

    /// Waits until every server that runs is ready.
    ///
    /// # Errors
    /// If one doesn't become ready; with the end of its log.
    pub async fn ready(&self) -> Result<()> {
        for server in self.servers.iter().filter(|server| server.is_running()) {
            server.ready().await?;
        }
        Ok(())
    }

    async fn is_whole(&self) -> bool {
        join_all(self.servers.iter().map(Server::leads_all)).await.contains(&true)
    }

    /// Its servers, `n0` to `n2`.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// URLs of all servers for account `a<account>`.
    #[must_use]
    pub fn account_urls(&self, account: usize) -> Vec<String> {
        self.servers.iter().map(|server| server.account_url(account)).collect()
    }

    /// An account that no other caller gets.
    ///
    /// # Panics
    /// If all of them are taken: raise [`Options::accounts`].
    pub fn take_account(&self) -> usize {
        self.servers[0].take_account()
    }

    /// The server that leads `stream` of account `a<account>`.
    ///
    /// # Errors
    /// If there is no leader within the time of a few elections.
    pub async fn leader(&self, account: usize, stream: &str) -> Result<&Server> {
        let client = connect(self.account_urls(account)).await?;
        let api = ContextBuilder::new().timeout(ANSWER_WITHIN).build(client);
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            let info = api.get_stream(stream).await.ok().map(|stream| stream.cached_info().clone());
            let leader = info.and_then(|info| info.cluster).and_then(|cluster| cluster.leader);
            let of_that_name = |server: &&Server| Some(&server.name) == leader.as_ref();
            if let Some(server) = self.servers.iter().find(of_that_name) {
                return Ok(server);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("no leader of {stream}")
    }
}

/// Listens on a port that is free, below the ephemeral range.
///
/// # Errors
/// If none was found.
pub fn free_port() -> Result<TcpListener> {
    let (_, listener) = config::free_port()?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// A plain client with the settings of a coordinator's connection, for what a test does on its own.
///
/// # Errors
/// If no server takes it.
pub async fn connect(urls: impl IntoIterator<Item = String>) -> Result<Client> {
    Ok(Connection::open(&Address::of(urls), "test").await?.client().clone())
}

/// Looks at a condition until it holds; `false` if it didn't in time.
async fn wait_until<F: Future<Output = bool>>(within: Duration, holds: impl Fn() -> F) -> bool {
    let until = Instant::now() + within;
    loop {
        if holds().await {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The server's binary: `$SQUALL_NATS_SERVER`, `.tools/nats-server` of this repository, or `nats-server` on the path.
///
/// # Errors
/// If there is none; the text says how to get it.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("SQUALL_NATS_SERVER") {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        bail!("$SQUALL_NATS_SERVER is {}, which is no file", path.display());
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .context("there is no nats-server: run `make tools`, or set $SQUALL_NATS_SERVER")
}
