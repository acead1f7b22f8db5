//! The life of a session as a client sees it.

use anyhow::{Context, Result};
use prost_types::Duration;
use squall_proto::vocabulary::id::SessionKey;
use squall_proto::wire::v1;
use squall_proto::wire::v1::{SessionState, StopStage};
use squall_tests::speaker::Speaker;
use tonic::Code;

use crate::house::{House, list, refused, spec};

fn key(session: &v1::Session) -> SessionKey {
    let id = session.name.rsplit('/').next().unwrap();
    SessionKey { tenant: "acme".parse().unwrap(), session: id.parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_created_started_watched_and_aborted_and_the_stop_is_proven() -> Result<()> {
    let mut house = House::open().await?;
    let session = house.create("main", spec(10)).await?;
    assert_eq!(
        (session.name.as_str(), session.state()),
        ("tenants/acme/sessions/main", SessionState::Draft)
    );
    let safety = session.spec.clone().and_then(|spec| spec.safety).context("no safety")?;
    assert_eq!(safety.max_outstanding, Some(1), "defaults are filled in");

    let agent = Speaker::join(&house.site, "acme", 1).await?;
    assert_eq!(house.start(&session.name).await?.state(), SessionState::Running);
    agent.permit(&key(&session)).await?;
    let watch = v1::WatchSessionRequest { name: session.name.clone() };
    let mut watch = house.sessions.watch_session(watch).await?.into_inner();
    let first = watch.message().await?.context("no first snapshot")?;
    assert_eq!(first.state(), SessionState::Running);
    assert_eq!(first.budget.context("no budget")?.issued, 1);

    let aborted = house.abort(&session.name).await?;
    assert_eq!(aborted.state(), SessionState::Aborted);
    let stop = aborted.stop.context("no stop")?;
    assert_eq!((stop.stage(), stop.reason.as_str()), (StopStage::AbortedDurable, "enough"));
    assert_eq!(stop.out_of_contact.len(), 1, "who holds a permit has not confirmed yet");
    agent.inert(&key(&session), stop.epoch).await?;
    let mut last = first;
    while let Some(snapshot) = watch.message().await? {
        last = snapshot;
    }
    let stop = last.stop.context("no stop")?;
    assert_eq!(stop.stage(), StopStage::StoppedProven);
    assert_eq!(stop.proven_by(), v1::ProvenBy::Confirmations);
    assert_eq!((stop.confirmed.len(), stop.out_of_contact.len()), (1, 0));
    assert_eq!(stop.confirmed[0].shim, "shim-1");
    assert!(stop.confirmed[0].last_injection_ago.is_some() && stop.proven_at.is_some());

    the_log_and_the_report_tell_the_same(&mut house, &session.name).await
}

async fn the_log_and_the_report_tell_the_same(house: &mut House, name: &str) -> Result<()> {
    let events = v1::ListEventsRequest { name: name.to_owned(), from_sequence: 0, follow: true };
    let mut events = house.sessions.list_events(events).await?.into_inner();
    let mut kinds = Vec::new();
    let mut sequences = Vec::new();
    while let Some(event) = events.message().await? {
        assert!(serde_json::from_str::<serde_json::Value>(&event.detail_json)?.is_object());
        assert_eq!(event.actor.is_empty(), event.request_id.is_empty());
        kinds.push(event.kind);
        sequences.push(event.sequence);
    }
    assert_eq!(
        kinds,
        ["created", "started", "grant_issued", "aborted", "inert_confirmed", "stop_proven"]
    );
    assert!(sequences.is_sorted());
    let later =
        v1::ListEventsRequest { name: name.to_owned(), from_sequence: sequences[3], follow: false };
    let mut later = house.sessions.list_events(later).await?.into_inner();
    assert_eq!(later.message().await?.context("no event")?.kind, "aborted");

    let report = v1::GetReportRequest { name: name.to_owned() };
    let report = house.sessions.get_report(report).await?.into_inner();
    assert_eq!((report.overshoot, report.budget.context("no budget")?.issued), (0, 1));
    assert_eq!(report.abort.context("no abort")?.stage(), StopStage::StoppedProven);
    assert!(
        report.bounds.iter().any(|bound| bound.starts_with("max_affected_requests: at most 10"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_shims_as_long_as_it_was_told() -> Result<()> {
    let mut house = House::open().await?;
    let session = house.create("main", spec(5)).await?;
    let refusal = refused(house.start(&session.name).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::FailedPrecondition, "INAPPLICABLE"));
    assert_eq!(refusal.conditions(), ["experiments/latency: no shim of acme is connected"]);

    let agent = Speaker::quiet(&house.site, "acme", 1).await?;
    let start = v1::StartSessionRequest {
        name: session.name.clone(),
        wait_for_shims: Some(Duration { seconds: 60, nanos: 0 }),
        ..Default::default()
    };
    let (started, hello) = tokio::join!(house.sessions.start_session(start), agent.hello());
    hello?;
    assert_eq!(started?.into_inner().state(), SessionState::Running);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_resuming_and_stopping_go_one_way_each() -> Result<()> {
    let mut house = House::open().await?;
    let name = house.create("main", spec(5)).await?.name;
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    house.start(&name).await?;
    let request_id = String::new();
    let pause = v1::PauseSessionRequest { name: name.clone(), request_id: request_id.clone() };
    let paused = house.sessions.pause_session(pause.clone()).await?.into_inner();
    assert_eq!(paused.state(), SessionState::Paused);
    let refusal = refused(house.sessions.pause_session(pause).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    let resume = v1::ResumeSessionRequest { name: name.clone(), request_id: request_id.clone() };
    let resumed = house.sessions.resume_session(resume).await?.into_inner();
    assert_eq!(resumed.state(), SessionState::Running);
    let stop = v1::StopSessionRequest { name: name.clone(), request_id };
    house.sessions.stop_session(stop).await?;
    let watch = v1::WatchSessionRequest { name: name.clone() };
    let mut watch = house.sessions.watch_session(watch).await?.into_inner();
    let mut last = None;
    while let Some(snapshot) = watch.message().await? {
        last = Some(snapshot);
    }
    assert_eq!(last.context("no snapshot")?.state(), SessionState::Completed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_done_once_and_another_body_under_its_id_is_refused() -> Result<()> {
    let mut house = House::open().await?;
    let create = v1::CreateSessionRequest {
        parent: "tenants/acme".to_owned(),
        spec: Some(spec(5)),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    let first = house.sessions.create_session(create.clone()).await?.into_inner();
    let second = house.sessions.create_session(create.clone()).await?.into_inner();
    assert_eq!(first, second);
    assert_eq!(
        house.sessions.list_sessions(list("tenants/acme")).await?.get_ref().sessions.len(),
        1
    );

    let other = v1::CreateSessionRequest { spec: Some(spec(6)), ..create };
    let refusal = refused(house.sessions.create_session(other).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(refusal.fields(), ["request_id"]);
    let pause = v1::StopSessionRequest { name: first.name.clone(), request_id: "once".to_owned() };
    let refusal = refused(house.sessions.stop_session(pause).await);
    assert_eq!(refusal.reason, "REQUEST_ID_REUSED");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_stops_what_runs_and_refuses_what_starts_until_it_is_released() -> Result<()> {
    let mut house = House::open().await?;
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    let runs = house.create("runs", spec(5)).await?.name;
    let waits = house.create("waits", spec(5)).await?.name;
    house.start(&runs).await?;
    let scope = v1::HaltScope { scope: Some(v1::halt_scope::Scope::Tenant("acme".to_owned())) };
    let engage = v1::EngageHaltRequest {
        scope: Some(scope.clone()),
        reason: "fire drill".to_owned(),
        ..Default::default()
    };
    let halt = house.fleet.engage_halt(engage).await?.into_inner();
    assert!(halt.engaged && halt.epoch > 0 && halt.reason == "fire drill");
    let halted = house.get(&runs).await?;
    assert_eq!(halted.state(), SessionState::Aborted);
    assert_eq!(halted.stop.context("no stop")?.epoch, halt.epoch);

    let refusal = refused(house.start(&waits).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::FailedPrecondition, "HALT_ENGAGED"));
    assert!(refusal.message.contains("fire drill"), "{}", refusal.message);
    let release = v1::ReleaseHaltRequest {
        scope: Some(scope.clone()),
        reason: "drill over".to_owned(),
        ..Default::default()
    };
    let halt = house.fleet.release_halt(release.clone()).await?.into_inner();
    assert!(!halt.engaged && halt.epoch == 0);
    assert_eq!(house.start(&waits).await?.state(), SessionState::Running);
    let refusal = refused(house.fleet.release_halt(release).await);
    assert_eq!(refusal.reason, "HALT_NOT_ENGAGED");
    let released = house.fleet.get_halt(v1::GetHaltRequest { scope: Some(scope) }).await?;
    assert!(!released.into_inner().engaged);
    Ok(())
}
