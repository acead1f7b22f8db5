//! Stops as a person sees them: confirmed, out of contact, proven; watched through the death of a coordinator.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::SESSION;
use crate::program::Dev;
use crate::shim::Shim;

/// A session that runs, and a shim that holds a permit of it.
async fn running(dev: &Dev) -> Result<Shim> {
    running_as(dev, SESSION).await
}

async fn running_as(dev: &Dev, file: &str) -> Result<Shim> {
    dev.squall_with(file, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let start = dev.squall(&["session", "start", "first", "--wait-for-shims", "60s"]);
    let (started, shim) = tokio::join!(start, Shim::connect(dev.nats_url(), 1));
    let (started, shim) = (started?.done()?, shim?);
    assert!(started.contains("tenants/acme/sessions/first is running, until "), "{started}");
    shim.take_permit("first").await?;
    Ok(shim)
}

/// The number of the stop of the session, once it has one.
async fn epoch(dev: &Dev) -> Result<u64> {
    let show = ["session", "show", "first", "--output", "json"];
    let shown = dev.until(&show, |shown| !shown.contains("\"epoch\": \"0\"")).await?;
    let session: serde_json::Value = serde_json::from_str(&shown)?;
    Ok(session["stop"]["epoch"].as_str().context("a text")?.parse()?)
}

#[tokio::test]
async fn an_abort_waits_for_every_holder_and_shows_who_confirmed() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let shim = running(&dev).await?;
    let fleet = dev.squall(&["fleet"]).await?.done()?;
    assert!(fleet.contains("acme/worker-1") && fleet.contains("planner"), "{fleet}");
    let abort = dev.squall(&["session", "abort", "first", "--reason", "seen enough"]);
    let confirm = async { shim.confirm("first", epoch(&dev).await?).await };
    let (aborted, confirmed) = tokio::join!(abort, confirm);
    confirmed?;
    let aborted = aborted?.done()?;
    assert!(
        aborted.contains("acme/worker-1  01010101") && aborted.contains("1.500 s"),
        "{aborted}"
    );
    assert!(aborted.contains(" by acme/worker-1\n"), "{aborted}");
    assert!(
        aborted.ends_with("every holder of permits confirmed: all stopped, proven\n"),
        "{aborted}"
    );
    dev.done().await
}

#[tokio::test]
async fn an_abort_that_is_not_proven_in_time_says_who_is_out_of_contact_and_until_when()
-> Result<()> {
    let dev = Dev::start(&[]).await?;
    let silent = running(&dev).await?;
    let abort = ["session", "abort", "first", "--reason", "seen enough", "--timeout", "2s"];
    let (out, err) = dev.squall(&abort).await?.ended(5)?;
    assert!(out.contains("OUT OF CONTACT") && out.contains("acme/worker-1"), "{out}");
    assert!(!out.contains("all stopped, proven"), "{out}");
    let waits = "aborted, 0 of 1 holders confirmed; out of contact: acme/worker-1";
    assert!(err.starts_with(waits) && err.contains("waiting up to 2.000 s for the proof"), "{err}");
    assert!(err.contains("1 shim out of contact, inert by 2"), "{err}");
    assert!(err.contains("squall session watch tenants/acme/sessions/first"), "{err}");
    // Once more, with as much time as it takes by default: the same abort, and its proof.
    let again = ["session", "abort", "first", "--reason", "really"];
    let again = dev.squall(&again).await?.done()?;
    assert!(again.contains("seen enough") && !again.contains("really"), "{again}");
    assert!(again.ends_with("every lease is over for certain: all stopped, proven\n"), "{again}");
    let watched = dev.squall(&["session", "watch", "first"]).await?.done()?;
    assert!(
        watched.ends_with("every lease is over for certain: all stopped, proven\n"),
        "{watched}"
    );
    assert!(!again.contains(" woke"), "{again}");
    // The process wakes up, and ends what it was about: it was never heard between the abort and the proof.
    silent.confirm_after(Duration::ZERO, "first", epoch(&dev).await?).await?;
    let report = dev.squall(&["session", "report", "first"]).await?.done()?;
    assert!(!report.contains("OUT OF CONTACT"), "{report}");
    assert!(report.contains("after the proof at the latest: acme/worker-1\n"), "{report}");
    assert!(report.contains("in 1 process a fault that had begun before the abort"), "{report}");
    dev.done().await
}

#[tokio::test]
async fn a_holder_that_gives_its_permit_back_is_still_waited_for_until_it_confirms() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let shim = running(&dev).await?;
    let abort = ["session", "abort", "first", "--reason", "seen enough", "--timeout", "1ms"];
    dev.squall(&abort).await?.ended(5)?;
    shim.close("first").await?;
    let shown = dev.squall(&["session", "abort", "first", "--reason", "again", "--timeout", "1ms"]);
    let (shown, _) = shown.await?.ended(5)?;
    assert!(shown.contains("OUT OF CONTACT") && shown.contains("acme/worker-1"), "{shown}");
    shim.confirm("first", epoch(&dev).await?).await?;
    let again = dev.squall(&["session", "abort", "first", "--reason", "again"]).await?.done()?;
    assert!(again.ends_with("every holder of permits confirmed: all stopped, proven\n"), "{again}");
    assert!(!again.contains("no shim held"), "{again}");
    dev.done().await
}

#[tokio::test]
async fn a_halt_proves_the_stop_of_every_session_that_it_hit() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let shim = running(&dev).await?;
    let engage = dev.squall(&["halt", "engage", "--all", "--reason", "incident 4711"]);
    let confirm = async { shim.confirm("first", epoch(&dev).await?).await };
    let (halted, confirmed) = tokio::join!(engage, confirm);
    confirmed?;
    let halted = halted?.done()?;
    assert!(
        halted
            .ends_with("sessions/first: every holder of permits confirmed: all stopped, proven\n"),
        "{halted}"
    );
    let listed = dev.squall(&["session", "list", "--state", "aborted"]).await?.done()?;
    assert!(listed.contains("\nfirst "), "{listed}");
    dev.done().await
}

#[tokio::test]
async fn a_report_names_the_agent_that_the_blast_radius_was_bound_to() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let safety = "safety: { blast_radius: single_agent, ";
    let _shim = running_as(&dev, &SESSION.replace("safety: { ", safety)).await?;
    let report = dev.squall(&["session", "report", "first"]).await?.done()?;
    let bound = "single_agent: bound by the log, with its first permit, to agent planner of acme;";
    assert!(report.contains(bound), "{report}");
    assert!(report.contains("at most 120 s promised, still running"), "{report}");
    dev.done().await
}

#[tokio::test]
async fn a_dash_halts_everybody_and_a_halt_of_others_says_what_goes_on() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let shim = running(&dev).await?;
    let others = ["halt", "engage", "--tenant", "globex", "--reason", "their demo"];
    let others = dev.squall(&others).await?.done()?;
    assert!(others.contains("nothing to stop"), "{others}");
    assert!(others.ends_with("going on: 1 session, tenants/acme/sessions/first\n"), "{others}");
    let engage = dev.squall(&["halt", "engage", "--tenant", "-", "--reason", "incident 4711"]);
    let confirm = async { shim.confirm("first", epoch(&dev).await?).await };
    let (halted, confirmed) = tokio::join!(engage, confirm);
    confirmed?;
    let halted = halted?.done()?;
    assert!(halted.contains("everybody") && halted.ends_with("all stopped, proven\n"), "{halted}");
    let status = dev.json(&["halt", "status", "--tenant", "-"]).await?;
    assert_eq!(status["halts"].as_array().map(Vec::len), Some(1));
    dev.squall(&["halt", "release", "--tenant", "-", "--reason", "over"]).await?.done()?;
    dev.done().await
}

#[tokio::test]
async fn a_watch_goes_on_when_its_coordinator_was_killed_and_came_back() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let shim = running(&dev).await?;
    let mut other = dev.serve_beside().await?;
    let mut watch = other.spawn(&["session", "watch", "first"])?;
    let first = watch.line().await?;
    assert!(first.contains(" running: applied 0 of 20"), "{first}");
    other.end(Signal::KILL).await?;
    let back = other.again().await?;
    let abort = dev.squall(&["session", "abort", "first", "--reason", "seen enough"]);
    let confirm = async { shim.confirm("first", epoch(&dev).await?).await };
    let (aborted, confirmed) = tokio::join!(abort, confirm);
    confirmed?;
    aborted?.done()?;
    let rest = watch.rest().await?.done()?;
    assert!(rest.ends_with("all stopped, proven\n"), "{rest}");
    back.done().await?;
    dev.done().await
}
