//! What everybody sees once the log can't be trusted.

use anyhow::{Context, Result};
use squall_proto::subject::Subject;
use squall_proto::vocabulary::id::TenantId;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::SESSION;
use crate::program::Dev;

/// A halt that can't be read may have stopped anything: everything stops.
async fn damage(dev: &Dev) -> Result<()> {
    let client = async_nats::connect(dev.nats_url()).await?;
    let lever = Subject::LeverLog { scope: TenantId::fleet() };
    client.publish(lever.to_string(), "no record".into()).await?;
    Ok(client.flush().await?)
}

#[tokio::test]
async fn watchers_of_a_damaged_log_end_with_the_reason_and_health_says_so() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let mut watch = dev.spawn(&["session", "watch", "first"])?;
    assert!(watch.line().await?.contains(" draft"));
    let mut log = dev.spawn(&["session", "log", "first", "--follow"])?;
    assert!(log.line().await?.contains("created"));
    let channel = Endpoint::new(dev.url().to_owned())?.connect().await?;
    let mut health =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await?.into_inner();
    let first = health.message().await?.context("no health")?;
    assert_eq!(first.status(), ServingStatus::Serving);

    damage(&dev).await?;
    let then = health.message().await?.context("no other health")?;
    assert_eq!(then.status(), ServingStatus::NotServing);
    for stream in [watch, log] {
        let (_, err) = stream.rest().await?.ended(1)?;
        assert!(err.contains("the log is damaged, every session is stopped: record "), "{err}");
        assert!(err.contains("next: every shim is inert"), "{err}");
    }
    let abort = dev.squall(&["session", "abort", "first", "--reason", "enough"]).await?;
    let abort = abort.failed(1)?;
    assert!(abort.contains("the log is damaged") && abort.contains("nothing can be"), "{abort}");
    // Looking is all that is left.
    let shown = dev.squall(&["session", "show", "first"]).await?.done()?;
    assert!(shown.contains("tenants/acme/sessions/first"), "{shown}");
    dev.done().await?;
    // The server let its watchers go instead of waiting for them: a stream that is cut off ends with an error.
    while health.message().await?.is_some() {}
    Ok(())
}
