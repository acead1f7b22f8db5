//! Streams: when they end, and what they owe their callers.

use std::time::Duration;

use anyhow::{Context, Result};
use squall_proto::wire::v1;
use squall_tests::speaker::Speaker;
use tonic::{Code, Request};

use crate::house::{House, refused, spec};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_its_callers_deadline() -> Result<()> {
    let mut house = House::open().await?;
    let name = house.create("main", spec(5)).await?.name;
    let mut watch = Request::new(v1::WatchSessionRequest { name: name.clone() });
    watch.set_timeout(Duration::from_millis(300));
    let mut watch = house.sessions.watch_session(watch).await?.into_inner();
    watch.message().await?.context("no first snapshot")?;
    let over = refused(watch.message().await);
    assert_eq!((over.code, over.reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));

    let mut events = Request::new(v1::ListEventsRequest { name, from_sequence: 0, follow: true });
    events.set_timeout(Duration::from_millis(300));
    let mut events = house.sessions.list_events(events).await?.into_inner();
    assert_eq!(events.message().await?.context("no event")?.kind, "created");
    assert_eq!(refused(events.message().await).code, Code::DeadlineExceeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_says_so_to_its_watchers_and_returns() -> Result<()> {
    let mut house = House::open().await?;
    let name = house.create("main", spec(5)).await?.name;
    let mut watch =
        house.sessions.watch_session(v1::WatchSessionRequest { name }).await?.into_inner();
    watch.message().await?.context("no first snapshot")?;
    let parent = "tenants/-".to_owned();
    let mut fleet = house.fleet.watch_fleet(v1::WatchFleetRequest { parent }).await?.into_inner();
    assert_eq!(fleet.message().await?.context("no first snapshot")?.shim_count, 0);
    house.shutdown.cancel();
    for over in [refused(watch.message().await), refused(fleet.message().await)] {
        assert_eq!((over.code, over.reason.as_str()), (Code::Unavailable, "NOT_READY"));
        assert!(over.details.retry_info().is_some());
    }
    house.serving.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_seen_as_it_changes() -> Result<()> {
    let mut house = House::open().await?;
    let parent = "tenants/acme".to_owned();
    let mut fleet = house.fleet.watch_fleet(v1::WatchFleetRequest { parent }).await?.into_inner();
    assert_eq!(fleet.message().await?.context("no first snapshot")?.shim_count, 0);
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    let snapshot = fleet.message().await?.context("no snapshot of the newcomer")?;
    assert_eq!((snapshot.shim_count, snapshot.shims.len()), (1, 1));
    let scope = v1::HaltScope { scope: Some(v1::halt_scope::Scope::All(v1::AllTenants {})) };
    let reason = "fire drill".to_owned();
    let engage = v1::EngageHaltRequest { scope: Some(scope), reason, ..Default::default() };
    house.fleet.engage_halt(engage).await?;
    let snapshot = fleet.message().await?.context("no snapshot of the halt")?;
    assert_eq!(snapshot.halts.len(), 1, "a halt of everybody concerns one tenant too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watchers_of_one_session_all_see_its_end() -> Result<()> {
    let mut house = House::open().await?;
    let name = house.create("main", spec(5)).await?.name;
    let mut watchers = Vec::new();
    for _ in 0..50 {
        let watch = v1::WatchSessionRequest { name: name.clone() };
        let mut watch = house.sessions.watch_session(watch).await?.into_inner();
        watch.message().await?.context("no first snapshot")?;
        watchers.push(watch);
    }
    house.abort(&name).await?;
    for mut watch in watchers {
        let mut last = None;
        while let Some(snapshot) = watch.message().await? {
            last = Some(snapshot);
        }
        let stop = last.and_then(|last| last.stop).context("no stop")?;
        assert_eq!(stop.stage(), v1::StopStage::StoppedProven);
    }
    Ok(())
}
