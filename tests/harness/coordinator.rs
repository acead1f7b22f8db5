//! Coordinator replicas in this process, on real NATS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use squall::engine::{Answer, Order, OrderKind, Query, SessionKeyOrScope, SessionView};
use squall::journal::jetstream::{Address, Settings, Witness};
use squall::replica::Handle;
use squall::server::{self, Coordinator};
use squall_domain::session::ClientCommand;
use squall_proto::vocabulary::id::{Actor, RequestId, SessionKey};
use squall_proto::vocabulary::session::SessionSpec;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::nats::{Cluster, Server};

/// Longest wait for anything that a test waits for: an election of the log's leader takes up to 9 s.
/// A busy machine needs several of them.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Where replicas find NATS.
#[derive(Clone, Debug)]
pub struct Site {
    /// URLs of the servers, with user and password.
    pub urls: Vec<String>,
    /// Monitoring ports of the servers.
    pub monitoring: Vec<String>,
    /// Copies of the streams.
    pub copies: usize,
}

impl Site {
    /// In the first account of one server.
    #[must_use]
    pub fn on_server(server: &Server) -> Self {
        let (urls, monitoring) = (vec![server.account_url(0)], vec![server.monitoring_url()]);
        Self { urls, monitoring, copies: 1 }
    }

    /// In the first account of three servers.
    #[must_use]
    pub fn on_cluster(cluster: &Cluster) -> Self {
        let monitoring = cluster.servers().iter().map(Server::monitoring_url).collect();
        Self { urls: cluster.account_urls(0), monitoring, copies: 3 }
    }
}

/// One replica.
pub struct Replica {
    /// What it is put together from.
    pub coordinator: Coordinator,
    shutdown: CancellationToken,
}

impl Replica {
    /// Starts a replica and waits until it has read the log.
    ///
    /// # Errors
    /// When it can't be put together, or doesn't become ready.
    pub async fn start(site: &Site) -> Result<Self> {
        let settings = Settings {
            witness: Witness { system: None, monitoring: site.monitoring.clone() },
            replicas: site.copies,
            ..Settings::new(Address::of(site.urls.clone()))
        };
        let shutdown = CancellationToken::new();
        let coordinator =
            server::start(settings, shutdown.clone()).await.context("starting a replica")?;
        let replica = Self { coordinator, shutdown };
        replica
            .wait("a replica that answers", async |handle| {
                matches!(handle.query(Query::Health).await, Ok(Answer::Health(Ok(()))))
                    .then_some(())
            })
            .await?;
        Ok(replica)
    }

    /// Reaches it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.coordinator.handle
    }

    /// Ends it without a word to anybody.
    pub fn kill(self) {
        self.coordinator.task.abort();
        self.shutdown.cancel();
    }

    /// Does something as a client.
    ///
    /// # Errors
    /// As the coordinator answers.
    pub async fn order(&self, request: &str, kind: OrderKind) -> Result<SessionKeyOrScope> {
        let order =
            Order { request: request.parse::<RequestId>()?, actor: "test".parse::<Actor>()?, kind };
        Ok(self.handle().order(order).await?)
    }

    /// Creates a session.
    ///
    /// # Errors
    /// As the coordinator answers.
    pub async fn create(&self, key: &SessionKey, spec: SessionSpec) -> Result<()> {
        let kind = OrderKind::Create { key: key.clone(), spec: Arc::new(spec), digest: [1; 32] };
        self.order(&format!("create-{}", key.session), kind).await.map(drop)
    }

    /// Gives a session a command.
    ///
    /// # Errors
    /// As the coordinator answers.
    pub async fn command(
        &self,
        key: &SessionKey,
        request: &str,
        command: ClientCommand,
    ) -> Result<()> {
        self.order(request, OrderKind::Session { key: key.clone(), command }).await.map(drop)
    }

    /// What is known of a session.
    ///
    /// # Errors
    /// When there is none, or no answer.
    pub async fn view(&self, key: &SessionKey) -> Result<SessionView> {
        let answer = self.handle().query(Query::Session(key.clone())).await?;
        let Answer::Session(Some(view)) = answer else { bail!("no session {key}: {answer:?}") };
        Ok(*view)
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// When it doesn't in time; `what` says what was waited for.
    pub async fn wait<T>(&self, what: &str, look: impl AsyncFn(&Handle) -> Option<T>) -> Result<T> {
        wait(what, async || look(self.handle()).await).await
    }

    /// Waits until a session's view is as wanted.
    ///
    /// # Errors
    /// When it isn't in time; with the last view.
    pub async fn until(
        &self,
        key: &SessionKey,
        what: &str,
        wanted: impl Fn(&SessionView) -> bool,
    ) -> Result<SessionView> {
        let found =
            self.wait(what, async |_| self.view(key).await.ok().filter(|view| wanted(view))).await;
        match found {
            Ok(view) => Ok(view),
            Err(error) => Err(match self.view(key).await {
                Ok(view) => error.context(format!(
                    "{} with {:?}, stage {:?}, ledger {:?} of {}, {:?}",
                    key,
                    view.session.phase,
                    view.stage,
                    view.session.ledger.totals(),
                    view.session.ledger.budget(),
                    view.sums,
                )),
                Err(view) => error.context(view),
            }),
        }
    }
}

/// Waits until `look` finds something.
///
/// # Errors
/// When it doesn't in time; `what` says what was waited for.
pub async fn wait<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() >= until {
            bail!("waited in vain for {what}");
        }
        sleep(LOOK_EVERY).await;
    }
}
