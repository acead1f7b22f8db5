//! Garbage wherever something can be published: it harms nobody, or, in the log, stops what can't be trusted any more and
//! says so.

use anyhow::{Context, Result};
use async_nats::Client;
use squall::engine::{Answer, Query, Stage};
use squall_domain::session::{ClientCommand, Phase};
use squall_proto::subject::{Partition, SNAPSHOTS_BUCKET, Subject, TenantSubject, Verb};
use squall_proto::vocabulary::id::{SessionKey, TenantId};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::{
    ExperimentDraft, FaultDraft, LatencyDraft, SafetyDraft, SessionDraft, SessionSpec, TargetDraft,
};
use squall_tests::agents::Agent;
use squall_tests::coordinator::{Replica, Site};
use squall_tests::nats::{Options, Server, connect};
use squall_tests::speaker::Speaker;

/// Nothing, noise, the beginning of a message that never ends, and another language.
const GARBAGE: [&[u8]; 4] = [b"", &[0xff; 64], &[0x08; 1000], b"{\"json\": true}"];

fn key(session: &str) -> SessionKey {
    SessionKey { tenant: tenant(), session: session.parse().expect("a token") }
}

fn tenant() -> TenantId {
    "acme".parse().expect("a token")
}

/// A session that is about one agent.
fn spec(agent: &str) -> SessionSpec {
    let fault = FaultDraft {
        latency: Some(LatencyDraft { fixed_ms: Some(20), ..Default::default() }),
        ..Default::default()
    };
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft { fault, ..Default::default() }],
        target: TargetDraft { agents: vec![agent.to_owned()], ..Default::default() },
        safety: SafetyDraft { max_affected_requests: Some(100_000), ..Default::default() },
        ..Default::default()
    };
    draft.validate().expect("a specification")
}

/// What becomes of those who read it.
#[derive(Debug, PartialEq, Eq)]
enum Harm {
    /// It is dropped.
    None,
    /// Its session is damaged, and no other.
    OneSession,
    /// It may have been a halt of everything: everything stops.
    Everything,
}

/// The compiler asks this of every new kind of subject.
fn harm(subject: &Subject) -> Harm {
    match subject {
        Subject::Tenant {
            subject:
                TenantSubject::CommandAll
                | TenantSubject::CommandShim { .. }
                | TenantSubject::Ask { .. }
                | TenantSubject::Evidence { .. },
            ..
        }
        | Subject::Alive { .. }
        | Subject::BarrierLog { .. }
        | Subject::AuditLog { .. }
        | Subject::TenantLog { .. } => Harm::None,
        Subject::SessionLog { .. } => Harm::OneSession,
        Subject::LeverLog { .. } => Harm::Everything,
    }
}

/// Every kind of subject, for the shims and sessions of these tests.
fn subjects() -> Result<Vec<Subject>> {
    let (tenant, shim, partition) =
        (tenant(), "agent-0".parse()?, Partition::of_session(&key("main")));
    let ask =
        |verb| TenantSubject::Ask { shim: "agent-0".parse().expect("a token"), partition, verb };
    let mut of_tenant: Vec<TenantSubject> = Verb::ALL.iter().copied().map(ask).collect();
    of_tenant.extend([
        TenantSubject::CommandAll,
        TenantSubject::CommandShim { shim: "agent-0".parse()? },
        TenantSubject::Evidence { shim, partition },
    ]);
    let mut all: Vec<Subject> = of_tenant
        .into_iter()
        .map(|subject| Subject::Tenant { tenant: tenant.clone(), subject })
        .collect();
    all.extend([
        Subject::Alive { replica: "x".parse()? },
        Subject::SessionLog { session: key("main") },
        Subject::LeverLog { scope: tenant.clone() },
        Subject::LeverLog { scope: TenantId::fleet() },
        Subject::BarrierLog { replica: "x".parse()? },
        Subject::AuditLog { tenant: tenant.clone() },
        Subject::AuditLog { tenant: TenantId::fleet() },
        Subject::TenantLog { tenant },
    ]);
    Ok(all)
}

/// Like subjects of ours, and none: no room of the log is among them.
const STRANGE: [&str; 10] = [
    "tenant._fleet.cmd.all",
    "tenant._fleet.ask.shim-1.3.hello",
    "tenant._fleet.ev.shim-1.3",
    "tenant.acme.ask.shim-1.99.ask",
    "tenant.acme.ask.shim-1.3.dance",
    "tenant.acme.ev.shim-1.99",
    "tenant.a*b.ask.x.3.hello",
    "ctl.alive.",
    "ctl.dance",
    "ctl.cmd.3",
];

async fn throw(client: &Client, subject: &str) -> Result<()> {
    for payload in GARBAGE {
        // A subject that isn't one is refused by the client itself.
        let _refused = client.publish(subject.to_owned(), payload.into()).await;
    }
    Ok(client.flush().await?)
}

async fn house() -> Result<(Server, Site, Replica, Client)> {
    let options = Options { sync_always: true, accounts: 1, ..Options::default() };
    let server = Server::start(&options).await?;
    let site = Site::on_server(&server);
    let replica = Replica::start(&site).await?;
    let client = connect(site.urls.clone()).await?;
    Ok((server, site, replica, client))
}

async fn start(replica: &Replica, key: &SessionKey, agent: &str) -> Result<()> {
    replica.create(key, spec(agent)).await?;
    let request = format!("start-{}", key.session);
    let start = async |_: &_| replica.command(key, &request, ClientCommand::Start).await.ok();
    replica.wait("a start", start).await
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_harmless_subject_is_dropped_by_replicas_and_shims() -> Result<()> {
    let (_server, site, replica, client) = house().await?;
    let agent = Agent::start(&site, &tenant(), "agent-0")?;
    start(&replica, &key("main"), "agent-0").await?;
    let injections = async |more: u64| {
        let wanted = format!("more than {more} injections");
        replica.until(&key("main"), &wanted, |view| view.sums.total.applied > more).await
    };
    let before = injections(5).await?;
    for subject in subjects()?.iter().filter(|subject| harm(subject) == Harm::None) {
        throw(&client, &subject.to_string()).await?;
    }
    for subject in STRANGE {
        throw(&client, subject).await?;
    }
    // Also one that comes now, and reads it all from the streams.
    let late = Replica::start(&site).await?;
    let speaker = Speaker::join(&site, "acme", 1).await?;
    start(&late, &key("other"), "planner").await?;
    speaker.permit(&key("other")).await?;
    injections(before.sums.total.applied + before.session.ledger.open_permits()).await?;
    let status = agent.shim.status();
    assert!(status.unreadable > 0, "the shim read no garbage: {status:?}");
    assert_eq!(status.panics, 0);
    replica
        .command(&key("main"), "abort", ClientCommand::Abort { reason: "enough".into() })
        .await?;
    for replica in [&replica, &late] {
        replica.until(&key("main"), "a proof", |view| view.stage == Stage::Proven).await?;
    }
    let truth = agent.finish().await?.changed.len() as u64;
    for replica in [&replica, &late] {
        let wanted = format!("evidence of {truth}");
        let counts = |view: &squall::engine::SessionView| view.sums.total.applied == truth;
        replica.until(&key("main"), &wanted, counts).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_a_sessions_log_stops_that_session_alone() -> Result<()> {
    let (_server, site, replica, client) = house().await?;
    let speaker = Speaker::join(&site, "acme", 1).await?;
    for session in ["main", "other"] {
        start(&replica, &key(session), "planner").await?;
    }
    for subject in subjects()?.iter().filter(|subject| harm(subject) == Harm::OneSession) {
        throw(&client, &subject.to_string()).await?;
    }
    let damaged = |view: &squall::engine::SessionView| view.session.phase == Phase::LogDamaged;
    let view = replica.until(&key("main"), "damage", damaged).await?;
    let why = view.session.damage.context("no reason")?;
    assert!(why.contains("can't be read"), "{why}");
    assert_eq!(replica.view(&key("other")).await?.session.phase, Phase::Running);
    speaker.permit(&key("other")).await?;
    // Who reads it later says the same.
    let late = Replica::start(&site).await?;
    let view = late.until(&key("main"), "the same damage", damaged).await?;
    assert_eq!(view.session.damage, Some(why));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_under_garbage_is_refused_with_the_reason_and_another_is_free() -> Result<()> {
    let (_server, _site, replica, client) = house().await?;
    throw(&client, &Subject::SessionLog { session: key("main") }.to_string()).await?;
    let error = replica.create(&key("main"), spec("planner")).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("acme/sessions/main") && told.contains("choose another id"), "{told}");
    replica.create(&key("other"), spec("planner")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_where_a_halt_may_have_been_stops_everything_and_says_which_record_it_was()
-> Result<()> {
    let levers = subjects()?.into_iter().filter(|subject| harm(subject) == Harm::Everything);
    let unreadable = levers.map(|subject| (subject.to_string(), "record 1: ".to_owned()));
    let unknown = ["log.dance", "log.s.acme", "log.lever.a.b"]
        .map(|subject| (subject.to_owned(), format!("the record at sequence 1 is on {subject:?}")));
    for (subject, record) in unreadable.chain(unknown) {
        let (_server, _site, replica, client) = house().await?;
        client.publish(subject.clone(), GARBAGE[1].into()).await?;
        client.flush().await?;
        let sick = async |_: &_| match replica.handle().query(Query::Health).await {
            Ok(Answer::Health(Err(why))) => Some(why),
            _ => None,
        };
        let why = replica.wait("a replica that stops", sick).await?;
        let reason = why.strip_prefix("the log is damaged: ").context("another word")?;
        assert!(reason.starts_with(&record), "{subject}: {reason}");
        let error = replica.create(&key("main"), spec("planner")).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{subject}: {error}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_bucket_of_snapshots_is_no_snapshot() -> Result<()> {
    let (_server, site, replica, client) = house().await?;
    let _speaker = Speaker::join(&site, "acme", 1).await?;
    start(&replica, &key("main"), "planner").await?;
    let api = async_nats::jetstream::new(client);
    let bucket = api.get_key_value(SNAPSHOTS_BUCKET).await?;
    for garbage in GARBAGE {
        for place in ["manifest", "chunk.x.0", "dance"] {
            bucket.put(place, garbage.into()).await?;
        }
        let late = Replica::start(&site).await?;
        let running = |view: &squall::engine::SessionView| view.session.phase == Phase::Running;
        late.until(&key("main"), "the session from the log", running).await?;
    }
    Ok(())
}
