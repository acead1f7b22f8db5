//! What everybody sees once the log can't be trusted, or doesn't answer.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::TenantId;
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::SESSION;
use crate::program::{Dev, Folder, PATIENCE, free_port, squall};

/// A halt that can't be read may have stopped anything: everything stops.
async fn damage(dev: &Dev) -> Result<()> {
    let client = async_nats::connect(dev.nats_url()).await?;
    let lever = Subject::LeverLog { scope: TenantId::fleet() };
    client.publish(lever.to_string(), "no record".into()).await?;
    Ok(client.flush().await?)
}

fn nats(data: &Folder) -> Result<Pid> {
    let id = std::fs::read_to_string(format!("{}/nats.pid", data.path()))?;
    Pid::from_raw(id.trim().parse()?).context("a process")
}

async fn health(dev: &Dev) -> Result<Streaming<HealthCheckResponse>> {
    let channel = Endpoint::new(dev.url().to_owned())?.connect().await?;
    Ok(HealthClient::new(channel).watch(HealthCheckRequest::default()).await?.into_inner())
}

async fn next(health: &mut Streaming<HealthCheckResponse>) -> Result<ServingStatus> {
    let next = timeout(PATIENCE, health.message()).await.context("health stays as it is")??;
    Ok(next.context("health is told no more")?.status())
}

/// Waits until a coordinator refuses to show anything, and says this.
async fn until_refused(address: &str, why: &str) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let listed = squall(&["session", "list"], &[("SQUALL_SERVER", address)], "").await?;
        match listed.failed(1) {
            Ok(error) if error.contains(why) => return Ok(()),
            other => ensure!(Instant::now() < until, "waited in vain, last for {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_coordinator_whose_log_does_not_answer_is_not_serving_until_it_does() -> Result<()> {
    let data = Folder::new()?;
    let dev = Dev::start(&["--data", data.path()]).await?;
    let mut health = health(&dev).await?;
    assert_eq!(next(&mut health).await?, ServingStatus::Serving);
    let nats = nats(&data)?;
    kill_process(nats, Signal::STOP)?;
    assert_eq!(next(&mut health).await?, ServingStatus::NotServing);
    kill_process(nats, Signal::CONT)?;
    assert_eq!(next(&mut health).await?, ServingStatus::Serving);
    dev.done().await
}

/// A nats-server that can't write answers what is asked, and no publish: here since its files may not grow, as on a full disk.
#[tokio::test]
async fn a_log_that_can_be_read_and_takes_no_writes_is_said_to_be_so_and_what_to_do() -> Result<()>
{
    let data = Folder::new()?;
    let dev = Dev::start(&["--data", data.path()]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let mut health = health(&dev).await?;
    assert_eq!(next(&mut health).await?, ServingStatus::Serving);
    let whole = getrlimit(Resource::Fsize);
    prlimit(Some(nats(&data)?), Resource::Fsize, Rlimit { current: Some(1), ..whole })?;
    let abort = dev.squall(&["session", "abort", "first", "--reason", "enough"]);
    let (aborted, status) = tokio::join!(abort, next(&mut health));
    assert_eq!(status?, ServingStatus::NotServing);
    let err = aborted?.failed(4)?;
    assert!(err.contains("pushed to the shims in reach, not durable yet (the log "), "{err}");
    assert!(err.contains("is a disk of the nats-servers full? after making room"), "{err}");
    let create = dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "second"]);
    let err = create.await?.failed(4)?;
    assert!(err.contains("is a disk of the nats-servers full? after making room"), "{err}");
    Ok(())
}

#[tokio::test]
async fn an_abort_that_the_log_does_not_answer_is_said_to_be_pushed_and_recorded_later()
-> Result<()> {
    let data = Folder::new()?;
    let dev = Dev::start(&["--data", data.path()]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    kill_process(nats(&data)?, Signal::STOP)?;
    let abort = ["session", "abort", "first", "--reason", "enough", "--output", "json"];
    let err = dev.squall(&abort).await?.failed(4)?;
    kill_process(nats(&data)?, Signal::CONT)?;
    assert!(err.contains("not durable yet") && err.contains("as soon as the log answers"), "{err}");
    dev.until(&["session", "show", "first"], |shown| shown.contains("aborted")).await?;
    dev.done().await
}

#[tokio::test]
async fn watchers_of_a_damaged_log_end_with_the_reason_and_health_says_so() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let mut watch = dev.spawn(&["session", "watch", "first"])?;
    assert!(watch.line().await?.contains(" draft"));
    let mut log = dev.spawn(&["session", "log", "first", "--follow"])?;
    assert!(log.line().await?.contains("created"));
    let mut health = health(&dev).await?;
    assert_eq!(next(&mut health).await?, ServingStatus::Serving);

    damage(&dev).await?;
    assert_eq!(next(&mut health).await?, ServingStatus::NotServing);
    for stream in [watch, log] {
        let (_, err) = stream.rest().await?.ended(1)?;
        assert!(err.contains("the log is damaged, every session is stopped: record "), "{err}");
        assert!(err.contains("next: every shim is inert"), "{err}");
    }
    let abort = dev.squall(&["session", "abort", "first", "--reason", "enough"]).await?;
    let abort = abort.failed(1)?;
    assert!(abort.contains("the log is damaged") && abort.contains("nothing can be"), "{abort}");
    // Looking is all that is left, and not even that to a coordinator that comes later.
    let shown = dev.squall(&["session", "show", "first"]).await?.done()?;
    assert!(shown.contains("tenants/acme/sessions/first"), "{shown}");
    let address = format!("127.0.0.1:{}", free_port()?);
    let serve = ["serve", "--nats", dev.nats_url(), "--replicas", "1", "--listen", &address];
    let _later = dev.spawn(&serve)?;
    until_refused(&address, "the log is damaged, every session is stopped: record ").await?;
    dev.done().await?;
    // The server let its watchers go instead of waiting for them: a stream that is cut off ends with an error.
    while health.message().await?.is_some() {}
    Ok(())
}
