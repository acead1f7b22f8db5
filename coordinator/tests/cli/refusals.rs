//! What is refused, as a person reads it: the reasons that only a running system can give.

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use squall::journal::jetstream::{Address, JetStream, Settings};
use squall_proto::subject::LOG_STREAM;

use crate::SESSION;
use crate::nats::{Nats, of_version};
use crate::program::{Dev, serve_on, squall};
use crate::shim::Shim;

/// Creates a session of the file, with a shim connected that waits for it.
async fn drafted(dev: &Dev, file: &str) -> Result<Shim> {
    dev.squall_with(file, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    Shim::connect(dev.nats_url(), 1).await
}

/// Waits until the coordinator knows the shim.
async fn known(dev: &Dev) -> Result<()> {
    dev.until(&["fleet"], |fleet| fleet.contains("acme/worker-1")).await.map(drop)
}

/// Why the session's start is refused.
async fn refused_start(dev: &Dev) -> Result<String> {
    let refused = dev.squall(&["session", "start", "first"]).await?.failed(1)?;
    let shown = dev.squall(&["session", "show", "first"]).await?.done()?;
    assert!(shown.contains("draft"), "{shown}");
    Ok(refused)
}

#[tokio::test]
async fn a_session_that_runs_or_is_over_is_not_started_again() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let _shim = drafted(&dev, SESSION).await?;
    dev.squall(&["session", "start", "first", "--wait-for-shims", "60s"]).await?.done()?;
    let again = dev.squall(&["session", "start", "first"]).await?.failed(1)?;
    assert!(again.contains("the session is running; start needs draft"), "{again}");
    dev.squall(&["session", "abort", "first", "--reason", "seen enough"]).await?.done()?;
    let again = dev.squall(&["session", "start", "first"]).await?.failed(1)?;
    assert!(again.contains("the session is aborted; start needs draft"), "{again}");
    dev.done().await
}

#[tokio::test]
async fn an_experiment_that_no_seam_can_apply_is_named_with_each_seam() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    // The shim sits at a tool, and only an agent can be uncooperative.
    let file = SESSION.replace("latency: { min_ms: 200, max_ms: 800 }", "uncooperative_agent: {}");
    let _shim = drafted(&dev, &file).await?;
    known(&dev).await?;
    let refused = refused_start(&dev).await?;
    assert!(refused.contains("slow-search: seam linked of shim worker-1: "), "{refused}");
    assert!(refused.contains("next:"), "{refused}");
    dev.done().await
}

#[tokio::test]
async fn a_target_that_matches_nobody_is_named_with_those_who_are_there() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let _shim = drafted(&dev, &SESSION.replace("[planner]", "[plannner]")).await?;
    known(&dev).await?;
    let refused = refused_start(&dev).await?;
    let why = "the target matches none of the agents of shim worker-1 (planner)";
    assert!(refused.contains(&format!("slow-search: {why}")), "{refused}");
    dev.done().await
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_before_anything_is_sent() -> Result<()> {
    let nowhere = [("SQUALL_SERVER", "127.0.0.1:9"), ("SQUALL_TENANT", "acme")];
    for name in ["a.b", "first*", "tenants/acme/sessions/>", "tenants/a.b/sessions/first", "a/b"] {
        for command in ["show", "start"] {
            let refused = squall(&["session", command, name], &nowhere, "").await?.failed(2)?;
            assert!(refused.contains("\n  - SESSION "), "{command} {name}: {refused}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_lazy_log_is_refused_for_a_strict_session_and_says_both_ways_on() -> Result<()> {
    let nats = Nats::start("sync_interval: \"2m\"").await?;
    let coordinator = serve_on(&nats.url, &["--nats-monitoring", &nats.monitoring]).await?;
    let _shim = drafted(&coordinator, SESSION).await?;
    known(&coordinator).await?;
    let refused = refused_start(&coordinator).await?;
    assert!(refused.contains("sync_interval: always"), "{refused}");
    assert!(refused.contains("safety.accept_lazy_log"), "{refused}");
    coordinator.done().await
}

#[tokio::test]
async fn a_full_log_says_that_nothing_was_stored() -> Result<()> {
    let nats = Nats::start("sync_interval: always").await?;
    // The streams are made with little room first; whoever comes later takes them as they are.
    let cramped = Settings {
        replicas: 1,
        log_bytes_max: Some(256 * 1024),
        ..Settings::new(Address::of([nats.url.clone()]))
    };
    drop(JetStream::open(cramped).await?);
    let coordinator = serve_on(&nats.url, &[]).await?;
    let agents: Vec<_> = (0..256).map(|index| format!("agent{index:0>100}")).collect();
    let large = SESSION.replace("[planner]", &format!("[{}]", agents.join(", ")));
    let mut kept = 0;
    let refused = loop {
        let id = format!("s{kept}");
        let create = ["session", "create", "-f", "-", "--id", &id];
        let created = coordinator.squall_with(&large, &create).await?;
        if created.is_done() {
            kept += 1;
            ensure!(kept < 100, "the log is never full");
        } else {
            break created.failed(1)?;
        }
    };
    assert!(refused.contains("nothing was stored"), "{refused}");
    let listed = coordinator.json(&["session", "list"]).await?;
    assert_eq!(listed["sessions"].as_array().context("a list")?.len(), kept);
    let shown = coordinator.squall(&["session", "show", &format!("s{kept}")]).await?.failed(3)?;
    assert!(shown.contains("no session"), "{shown}");
    coordinator.done().await
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_with_the_way_to_a_newer_one() -> Result<()> {
    let old = of_version("2.11.9").await?;
    let serve = ["serve", "--nats", &old, "--replicas", "1", "--listen", "127.0.0.1:0"];
    let refused = squall(&serve, &[], "").await?.failed(1)?;
    assert!(refused.contains("2.11.9") && refused.contains("Squall needs 2.12"), "{refused}");
    assert!(refused.contains("next: use nats-server 2.12 or newer"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_stream_of_somebody_else_with_our_name_is_refused_and_left_alone() -> Result<()> {
    let nats = Nats::start("sync_interval: always").await?;
    let api = jetstream::new(async_nats::connect(&nats.url).await?);
    let orders = jetstream::stream::Config {
        name: LOG_STREAM.to_owned(),
        subjects: vec!["orders".to_owned()],
        ..Default::default()
    };
    api.create_stream(orders).await?;
    let serve = ["serve", "--nats", &nats.url, "--replicas", "1", "--listen", "127.0.0.1:0"];
    let refused = squall(&serve, &[], "").await?.failed(1)?;
    assert!(
        refused.contains(&format!("stream {LOG_STREAM} exists but is not usable")),
        "{refused}"
    );
    assert!(refused.contains("next: use an account of its own for Squall"), "{refused}");
    let stream = api.get_stream(LOG_STREAM).await?;
    assert_eq!(stream.cached_info().config.subjects, ["orders"]);
    Ok(())
}
