//! Replicas on real NATS, with shims that only speak the protocol: one server, and three replicas over three servers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use squall::engine::{Order, OrderError, OrderKind, SessionView, Stage};
use squall::journal::{TailEvent, codec};
use squall_domain::event::CommandRef;
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::message::{Grant, RefusedWhy, Reply};
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec,
};
use squall_tests::coordinator::{Replica, Site};
use squall_tests::nats::{Cluster, Options, Server};
use squall_tests::speaker::Speaker;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::watch;

fn key() -> SessionKey {
    SessionKey { tenant: tenant(), session: "main".parse().expect("a token") }
}

fn tenant() -> TenantId {
    "acme".parse().expect("a token")
}

fn spec(budget: u32) -> SessionSpec {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(100), ..Default::default() }),
        ..Default::default()
    };
    SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        safety: SafetyDraft {
            max_affected_requests: Some(budget),
            max_outstanding: Some(budget),
            ..Default::default()
        },
        ..Default::default()
    }
    .validate()
    .expect("a specification")
}

async fn granted(speaker: &Speaker, req_no: u64, want: u32) -> Result<Option<Grant>> {
    let reply = speaker.ask(&key(), req_no, want).await?;
    if let Reply::Refused(refused) = &reply {
        assert!(matches!(refused.why, RefusedWhy::Dry | RefusedWhy::OutstandingCap), "{refused:?}");
        return Ok(None);
    }
    let Reply::Grant(grant) = reply else { anyhow::bail!("{reply:?}") };
    Ok(Some(grant))
}

/// The life of a session: started, spent to the last permit, one permit given back and spent again, aborted, proven.
async fn a_session_lives_and_is_stopped(site: &Site, replicas: &[Replica]) -> Result<()> {
    let first = &replicas[0];
    let last = replicas.last().context("no replica")?;
    let mut speakers = Vec::new();
    for number in 1..=12 {
        speakers.push(Speaker::join(site, "acme", number).await?);
    }
    first.create(&key(), spec(10)).await?;
    last.until(&key(), "the session on every replica", |view| view.session.phase == Phase::Draft)
        .await?;
    last.command(&key(), "start", ClientCommand::Start).await?;
    first.until(&key(), "a session that runs", |view| view.session.phase == Phase::Running).await?;

    let asks = speakers.iter().map(|speaker| granted(speaker, 1, 4));
    let grants: Vec<Grant> =
        futures::future::try_join_all(asks).await?.into_iter().flatten().collect();
    let permits: u32 = grants.iter().map(|grant| grant.permits).sum();
    assert!((1..=10).contains(&permits), "{permits} permits of a budget of 10");
    let issued = |view: &SessionView| view.session.ledger.totals().issued == u64::from(permits);
    let view = first.until(&key(), "every grant on every replica", issued).await?;
    assert_eq!(view.session.damage, None);

    let holder = speakers
        .iter()
        .find(|speaker| grants.iter().any(|grant| grant.incarnation == speaker.incarnation()));
    let holder = holder.context("nobody holds a grant")?;
    holder.close(&key(), 1, 0).await?;
    holder.close(&key(), 1, 0).await.context("a repeated close")?;
    assert!(granted(holder, 2, 1).await?.is_some(), "a permit that came back was not issued again");

    last.command(&key(), "abort", ClientCommand::Abort { reason: "enough".into() }).await?;
    let view = first.until(&key(), "an abort", |view| view.stage == Stage::Aborted).await?;
    let epoch = view.session.stop.context("no stop")?.epoch;
    for speaker in &speakers {
        speaker.inert(&key(), epoch).await?;
    }
    let view = last.until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    assert!(view.session.ledger.spent() <= 10);
    for replica in replicas {
        let other =
            replica.until(&key(), "the same proof", |view| view.stage == Stage::Proven).await?;
        assert_eq!(other.session, view.session);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_on_one_server() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site::on_server(&server);
    let replica = Replica::start(&site).await?;
    assert!(replica.coordinator.facts.sync_always);
    a_session_lives_and_is_stopped(&site, &[replica]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_on_three_servers() -> Result<()> {
    let cluster = Cluster::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site::on_cluster(&cluster);
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(&site).await?);
    }
    a_session_lives_and_is_stopped(&site, &replicas).await
}

/// What a client got for a command: done, or rejected, or that nothing was stored. Anything else would leave it in the dark.
async fn answered(replica: &Replica, request: &str, command: ClientCommand) -> Result<bool> {
    let kind = OrderKind::Session { key: key(), command };
    let order = Order { request: request.parse()?, actor: "test".parse()?, kind };
    match replica.handle().order(order).await {
        Ok(_) => Ok(true),
        Err(OrderError::Rejected(_) | OrderError::Unavailable(_)) => Ok(false),
        Err(error) => Err(error).context(request.to_owned()),
    }
}

/// The client commands of the session in the log, in order, after a look at every record: none is there twice.
async fn commands_in_the_log(replica: &Replica) -> Result<Vec<CommandRef>> {
    let journal = &replica.coordinator.journal;
    let last = journal.facts().await?.last_sequence;
    let mut tail = journal.tail(0);
    let (mut appends, mut commands, mut read) = (BTreeSet::new(), Vec::new(), 0);
    while read < last {
        let event = tail.next().await.context("the tail ended")?;
        let TailEvent::Entry(entry) = event else { continue };
        read += 1;
        ensure!(entry.sequence == read, "{} came after {}", entry.sequence, read - 1);
        ensure!(appends.insert(entry.id), "append {:?} is there twice", entry.id);
        if let squall_domain::world::Entry::Session(_, record) =
            codec::decode(&entry.subject, &entry.bytes)?
        {
            commands.extend(record.events.into_iter().filter_map(|recorded| recorded.command));
        }
    }
    Ok(commands)
}

/// All replicas write to one session at once: clients pause and resume it, each command through all three, shims ask for
/// permits, and at the end there is an abort, whose append keeps its id over every lost race.
#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_that_write_to_one_session_at_once_do_each_command_once() -> Result<()> {
    let cluster = Cluster::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site::on_cluster(&cluster);
    let (one, two, three) =
        tokio::try_join!(Replica::start(&site), Replica::start(&site), Replica::start(&site))?;
    let replicas = [one, two, three];
    let mut speakers = Vec::new();
    for number in 1..=4 {
        speakers.push(Speaker::join(&site, "acme", number).await?);
    }
    replicas[0].create(&key(), spec(100)).await?;
    let start = async |_: &_| {
        answered(&replicas[0], "start", ClientCommand::Start).await.ok().filter(|done| *done)
    };
    replicas[0].wait("a start", start).await?;

    let mut done: BTreeMap<String, bool> = BTreeMap::new();
    for round in 0..8 {
        let mut given = Vec::new();
        for replica in &replicas {
            let (pause, resume) = (format!("pause-{round}"), format!("resume-{round}"));
            given.push((replica, pause, ClientCommand::Pause));
            given.push((replica, resume, ClientCommand::Resume));
        }
        if round == 7 {
            let abort = ClientCommand::Abort { reason: "enough".into() };
            given.push((&replicas[1], "abort".to_owned(), abort));
        }
        let commands = given.into_iter().map(async |(replica, request, command)| {
            anyhow::Ok((answered(replica, &request, command).await?, request))
        });
        let session = key();
        let asks = speakers.iter().map(|speaker| speaker.ask(&session, round + 1, 1));
        let (answers, _) = tokio::try_join!(
            futures::future::try_join_all(commands),
            futures::future::try_join_all(asks)
        )?;
        for (ok, request) in answers {
            *done.entry(request).or_default() |= ok;
        }
    }
    assert_eq!(done.get("abort"), Some(&true));

    let commands = commands_in_the_log(&replicas[0]).await?;
    for (request, done) in &done {
        let times = commands.iter().filter(|command| command.request.as_str() == request).count();
        assert_eq!(times, usize::from(*done), "{request} is {times} times in the log");
    }
    let view = replicas[0].until(&key(), "a proof", |view| view.stage == Stage::Proven).await?;
    assert_eq!(view.session.damage, None);
    for replica in &replicas {
        replica.until(&key(), "one state", |other| other.session == view.session).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_loses_nothing_and_another_goes_on() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site::on_server(&server);
    let replica = Replica::start(&site).await?;
    let speaker = Speaker::join(&site, "acme", 1).await?;
    replica.create(&key(), spec(3)).await?;
    replica.command(&key(), "start", ClientCommand::Start).await?;
    let before = granted(&speaker, 1, 1).await?.context("no grant")?;
    replica.kill();
    let next = Replica::start(&site).await?;
    let after = granted(&speaker, 1, 1).await?.context("the grant is gone")?;
    assert_eq!(before.permits, after.permits);
    assert_eq!(next.view(&key()).await?.session.ledger.totals().issued, u64::from(before.permits));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_session_is_refused_on_a_log_that_does_not_sync_unless_the_operator_accepts_it()
-> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let site = Site::on_server(&server);
    let replica = Replica::start(&site).await?;
    let _speaker = Speaker::join(&site, "acme", 1).await?;
    replica.create(&key(), spec(3)).await?;
    let error = replica.command(&key(), "start", ClientCommand::Start).await.unwrap_err();
    assert!(error.to_string().contains("sync_interval: always"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_session_starts_as_soon_as_the_servers_say_how_they_sync() -> Result<()> {
    let server = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let monitoring = Gate::before(&server).await?;
    let site = Site { monitoring: vec![monitoring.url()], ..Site::on_server(&server) };
    let replica = Replica::start(&site).await?;
    assert!(!replica.coordinator.facts.sync_always, "nobody could be asked");
    let _speaker = Speaker::join(&site, "acme", 1).await?;
    replica.create(&key(), spec(3)).await?;
    let start = async || replica.command(&key(), "start", ClientCommand::Start).await;
    let error = start().await.unwrap_err();
    assert!(error.to_string().contains("sync_interval: always"), "{error}");
    monitoring.open();
    replica.wait("a start", async |_| start().await.ok()).await
}

/// Stands before a server's monitoring port, and lets nobody through before it is opened.
struct Gate {
    port: u16,
    is_open: watch::Sender<bool>,
}

impl Gate {
    async fn before(server: &Server) -> Result<Self> {
        let server = server.monitoring_url().trim_start_matches("http://").to_owned();
        let listener = squall_tests::nats::free_port()?;
        let (is_open, opened) = watch::channel(false);
        let gate = Self { port: listener.local_addr()?.port(), is_open };
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                // Whoever comes before it is open is sent away at once.
                if !*opened.borrow() {
                    continue;
                }
                let server = server.clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut caller, &mut server).await
                });
            }
        });
        Ok(gate)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn open(&self) {
        self.is_open.send_replace(true);
    }
}
