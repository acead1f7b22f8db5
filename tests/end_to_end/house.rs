//! Servers, replicas and agents, and the session that they run.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use squall::engine::{SessionView, Stage, owner};
use squall_domain::session::ClientCommand;
use squall_proto::subject::{EVIDENCE_STREAM, Filter, LOG_STREAM, Partition, Subject};
use squall_proto::vocabulary::blast_radius::Strictness;
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft,
};
use squall_tests::agents::{Agent, Record};
use squall_tests::coordinator::{PATIENCE, Replica, Site};
use squall_tests::nats::{Cluster, Options, Server, connect};
use tokio::time::timeout;

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// Everything but the agents. Ends when it is dropped.
pub(crate) struct House {
    pub(crate) replicas: Vec<Replica>,
    site: Site,
    nats: Nats,
}

enum Nats {
    One(Server),
    Three(Cluster),
}

impl House {
    pub(crate) async fn on_one_server() -> Result<Self> {
        let server = Server::start(&options()).await?;
        let site = Site::on_server(&server);
        let mut house = Self { replicas: Vec::new(), site, nats: Nats::One(server) };
        house.start_replicas(1).await?;
        Ok(house)
    }

    pub(crate) async fn on_three_servers() -> Result<Self> {
        let cluster = Cluster::start(&options()).await?;
        let site = Site::on_cluster(&cluster);
        let mut house = Self { replicas: Vec::new(), site, nats: Nats::Three(cluster) };
        house.start_replicas(3).await?;
        Ok(house)
    }

    pub(crate) async fn start_replicas(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.replicas.push(Replica::start(&self.site).await?);
        }
        timeout(PATIENCE, self.all_are_heard()).await.context("a replica is silent")?
    }

    /// Waits until every replica, the last one included, said twice that it lives: then each has heard all of them, and only
    /// one takes itself for the owner of a partition.
    async fn all_are_heard(&self) -> Result<()> {
        let client = connect(self.site.urls.clone()).await?;
        let mut voices = client.subscribe(Filter::Alive.to_string()).await?;
        let mut heard: HashMap<Subject, usize> = HashMap::new();
        let subject =
            |replica: &Replica| Subject::Alive { replica: replica.coordinator.replica.clone() };
        while self.replicas.iter().any(|replica| heard.get(&subject(replica)) < Some(&2)) {
            let voice = voices.next().await.context("the connection ended")?;
            *heard.entry(voice.subject.parse()?).or_default() += 1;
        }
        Ok(())
    }

    /// The replica that clients speak to, unless a test wants another one.
    pub(crate) fn first(&self) -> &Replica {
        self.replicas.first().expect("a replica runs")
    }

    /// Another replica, if there is one: what it knows it has from the log.
    pub(crate) fn last(&self) -> &Replica {
        self.replicas.last().expect("a replica runs")
    }

    /// Kills the replica that owns the session: another one has to take over.
    pub(crate) fn kill_owner(&mut self) -> Result<()> {
        let replicas = self.replicas.iter().map(|replica| &replica.coordinator.replica);
        let owner = owner(Partition::of_session(&key()), replicas).context("no replica")?.clone();
        let owns = |replica: &Replica| replica.coordinator.replica == owner;
        let place = self.replicas.iter().position(owns).context("no owner")?;
        self.replicas.remove(place).kill();
        Ok(())
    }

    /// The server that leads the log; the only one if there is one.
    pub(crate) async fn leader_of_the_log(&self) -> Result<&Server> {
        match &self.nats {
            Nats::One(server) => Ok(server),
            Nats::Three(cluster) => cluster.leader(0, LOG_STREAM).await,
        }
    }

    /// Deletes what shims reported, and where it goes.
    pub(crate) async fn delete_evidence(&self) -> Result<()> {
        let api = async_nats::jetstream::new(connect(self.site.urls.clone()).await?);
        let deleted = api.delete_stream(EVIDENCE_STREAM).await?;
        ensure!(deleted.success, "it is still there");
        Ok(())
    }

    /// Whether the log can be written while one server is away.
    pub(crate) fn survives_a_server(&self) -> bool {
        match &self.nats {
            Nats::One(_) => false,
            Nats::Three(_) => true,
        }
    }

    /// Agents of all tenants, by turns.
    pub(crate) fn agents(&self, count: usize) -> Result<Vec<Agent>> {
        let start = |number: usize| {
            let tenant = TENANTS[number % TENANTS.len()].parse()?;
            Agent::start(&self.site, &tenant, &format!("agent-{number}"))
        };
        (0..count).map(start).collect()
    }

    /// Agents of one tenant, whose processes all have the same name.
    pub(crate) fn processes_of_one_name(&self, count: usize) -> Result<Vec<Agent>> {
        let tenant = TENANTS[0].parse()?;
        (0..count).map(|_| Agent::start(&self.site, &tenant, "planner")).collect()
    }

    /// A session that runs. It is refused until the shims were heard, and tried again.
    pub(crate) async fn start(&self, budget: u32) -> Result<()> {
        self.start_as(budget, Strictness::Strict).await
    }

    pub(crate) async fn start_as(&self, budget: u32, strictness: Strictness) -> Result<()> {
        self.first().create(&key(), spec(budget, strictness)).await?;
        self.command(self.first(), "start", ClientCommand::Start).await
    }

    /// Repeats a command until it is done, as a client may: it is done once.
    pub(crate) async fn command(
        &self,
        replica: &Replica,
        request: &str,
        command: ClientCommand,
    ) -> Result<()> {
        let give = async || replica.command(&key(), request, command.clone()).await;
        match replica.wait(request, async |_| give().await.ok()).await {
            Ok(()) => Ok(()),
            Err(error) => Err(give().await.err().map_or(error, |why| why.context("given up"))),
        }
    }

    /// Waits until more than `count` injections were reported.
    pub(crate) async fn injections(&self, count: u64) -> Result<SessionView> {
        let wanted = format!("more than {count} injections");
        self.last().until(&key(), &wanted, |view| view.sums.total.applied > count).await
    }

    /// Aborts through the last replica, and waits for the proof, which every replica has and everybody confirmed.
    pub(crate) async fn abort(&self) -> Result<()> {
        let abort = ClientCommand::Abort { reason: "enough".into() };
        self.command(self.last(), "abort", abort).await?;
        self.proof().await
    }

    /// Waits until every replica has the proof that the session is stopped, by the confirmations of all.
    pub(crate) async fn proof(&self) -> Result<()> {
        for replica in &self.replicas {
            let view = replica.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
            let proof = view.session.stop.and_then(|stop| stop.proof).context("no proof")?;
            ensure!(proof.out_of_contact.is_empty(), "not all confirmed: {proof:?}");
            ensure!(view.session.damage.is_none(), "{:?}", view.session.damage);
        }
        Ok(())
    }

    /// Ends the agents. Every replica then counts exactly what they recorded: that many.
    pub(crate) async fn settle(&self, agents: Vec<Agent>) -> Result<u64> {
        let mut records: Vec<Record> = Vec::new();
        for agent in agents {
            records.push(agent.finish().await?);
        }
        let truth = records.iter().map(|record| record.changed.len() as u64).sum::<u64>();
        for replica in &self.replicas {
            let wanted = format!("evidence of {truth}");
            let view =
                replica.until(&key(), &wanted, |view| view.sums.total.applied == truth).await?;
            let tenants = view.sums.tenants.values().map(|counts| counts.applied);
            ensure!(tenants.sum::<u64>() == truth, "{:?}", view.sums.tenants);
        }
        Ok(truth)
    }
}

fn options() -> Options {
    Options { sync_always: true, accounts: 1, ..Options::default() }
}

/// The session of every scenario.
pub(crate) fn key() -> SessionKey {
    SessionKey { tenant: TenantId::fleet(), session: "main".parse().expect("a token") }
}

/// Every call is chosen: agents want far more than the budget.
fn spec(budget: u32, strictness: Strictness) -> SessionSpec {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(20), ..Default::default() }),
        ..Default::default()
    };
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        target: TargetDraft { tenants: TENANTS.map(str::to_owned).to_vec(), ..Default::default() },
        safety: SafetyDraft {
            blast_radius: Some("multi_tenant".into()),
            max_affected_requests: Some(budget),
            strictness: Some(strictness.name().to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    draft.validate().expect("a specification")
}
