//! Bad input: a clear error with every wrong field at once, and nothing stored.

use anyhow::Result;
use squall::session_file::SessionFile;
use squall_proto::vocabulary::session::SessionDraft;
use squall_proto::vocabulary::violation::Violations;
use squall_proto::wire::v1;
use squall_tests::coordinator::Site;
use squall_tests::nats::{Options, Server};
use squall_tests::speaker::Speaker;
use tonic::Code;

use crate::house::{House, cramped, list, refused, spec};

/// What to make of a good specification, and the fields that are wrong then.
type Case = (&'static str, fn(&mut v1::SessionSpec), &'static [&'static str]);

fn experiment(spec: &mut v1::SessionSpec) -> &mut v1::ExperimentSpec {
    &mut spec.experiments[0]
}

fn safety(spec: &mut v1::SessionSpec) -> &mut v1::SafetySpec {
    spec.safety.as_mut().unwrap()
}

fn latency(delay: v1::DelaySpec) -> Option<v1::FaultSpec> {
    Some(v1::FaultSpec { latency: Some(delay), ..Default::default() })
}

const CASES: &[Case] = &[
    (
        "probability over 1",
        |s| experiment(s).probability = Some(1.1),
        &["spec.experiments[0].probability"],
    ),
    (
        "probability below 0",
        |s| experiment(s).probability = Some(-0.1),
        &["spec.experiments[0].probability"],
    ),
    ("NaN", |s| experiment(s).probability = Some(f64::NAN), &["spec.experiments[0].probability"]),
    (
        "min over max",
        |s| {
            let delay = v1::DelaySpec { min_ms: Some(9), max_ms: Some(3), ..Default::default() };
            experiment(s).fault = latency(delay);
        },
        &["spec.experiments[0].fault.latency.min_ms"],
    ),
    (
        "no kind",
        |s| experiment(s).fault = Some(v1::FaultSpec::default()),
        &["spec.experiments[0].fault"],
    ),
    (
        "an unknown distribution",
        |s| {
            experiment(s).fault =
                latency(v1::DelaySpec { distribution: Some(77), ..Default::default() });
        },
        &["spec.experiments[0].fault.latency.distribution"],
    ),
    ("no experiments", |s| s.experiments.clear(), &["spec.experiments"]),
    (
        "a name twice",
        |s| s.experiments.push(s.experiments[0].clone()),
        &["spec.experiments[1].name"],
    ),
    (
        "an agent of two lines",
        |s| experiment(s).agents = vec!["a\nb".into()],
        &["spec.experiments[0].agents[0]"],
    ),
    ("no budget", |s| s.safety = None, &["spec.safety.max_affected_requests"]),
    (
        "a budget over the limit",
        |s| safety(s).max_affected_requests = Some(1_000_001),
        &["spec.safety.max_affected_requests"],
    ),
    (
        "a session of 8 days",
        |s| safety(s).max_duration_s = Some(8 * 86_400),
        &["spec.safety.max_duration_s"],
    ),
    ("an unknown radius", |s| safety(s).blast_radius = Some(99), &["spec.safety.blast_radius"]),
    (
        "too many experiments",
        |s| {
            let named = |number| v1::ExperimentSpec {
                name: Some(format!("latency-{number}")),
                ..s.experiments[0].clone()
            };
            s.experiments = (0..101).map(named).collect();
        },
        &["spec.experiments"],
    ),
    (
        "a tenant with a wildcard",
        |s| {
            safety(s).blast_radius = Some(v1::BlastRadius::MultiTenant.into());
            s.target = Some(v1::TargetSpec {
                tenants: vec!["a.*".into(), "acme".into()],
                ..Default::default()
            });
        },
        &["spec.target.tenants[0]"],
    ),
    (
        "several things",
        |s| {
            experiment(s).probability = Some(2.0);
            safety(s).max_affected_requests = Some(0);
            s.target = Some(v1::TargetSpec { percentage: Some(7.0), ..Default::default() });
            s.title = "two\nlines".to_owned();
        },
        &[
            "spec.title",
            "spec.experiments[0].probability",
            "spec.safety.max_affected_requests",
            "spec.target.percentage",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_specification_is_refused_with_every_wrong_field_and_nothing_is_stored()
-> Result<()> {
    let mut house = House::open().await?;
    for (what, spoil, fields) in CASES {
        let mut spec = spec(5);
        spoil(&mut spec);
        let refusal = refused(house.create("bad", spec).await);
        assert_eq!(refusal.code, Code::InvalidArgument, "{what}");
        assert_eq!(refusal.reason, "INVALID_REQUEST", "{what}");
        assert_eq!(&refusal.fields(), fields, "{what}: {}", refusal.message);
    }
    for id in ["a.b", "a*", ">", "a b", "ä", &"x".repeat(65)] {
        let refusal = refused(house.create(id, spec(5)).await);
        assert_eq!(refusal.fields(), ["session_id"], "{id:?}");
    }
    assert!(house.sessions.list_sessions(list("tenants/-")).await?.get_ref().sessions.is_empty());
    Ok(())
}

/// The command line reads files with [`SessionFile`] before it sends them, and shows what that finds.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_the_same_errors_as_the_same_request() -> Result<()> {
    let mut house = House::open().await?;
    let mut compared = 0;
    for (what, spoil, _) in CASES {
        let mut spec = spec(5);
        spoil(&mut spec);
        // What no file can hold has its own tests: a list over its limit, a NaN in JSON.
        let Ok(draft) = SessionDraft::try_from(spec.clone()) else { continue };
        if draft.experiments.iter().any(|one| one.probability.is_some_and(f64::is_nan)) {
            continue;
        }
        let request = refused(house.create("bad", spec).await).violations();
        let Violations(file) = SessionFile::parse(&serde_json::to_string(&draft)?).unwrap_err();
        let file = file.into_iter().map(|wrong| (format!("spec.{}", wrong.field), wrong.problem));
        assert_eq!(request, file.collect::<Vec<_>>(), "{what}");
        compared += 1;
    }
    assert!(compared >= 12, "only {compared} cases were compared");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_limit_are_refused_before_they_are_read() -> Result<()> {
    let mut house = House::open().await?;
    let mut large = spec(5);
    large.experiments[0].agents = vec!["x".repeat(120); 256];
    large.experiments = (0..90)
        .map(|index| v1::ExperimentSpec {
            name: Some(format!("e{index}")),
            ..large.experiments[0].clone()
        })
        .collect();
    let status = house.create("large", large).await.expect_err("was accepted");
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    let mut over = spec(5);
    over.title = "x".repeat(140 * 1024);
    let refusal = refused(house.create("over", over).await);
    assert_eq!((refusal.code, refusal.fields()), (Code::InvalidArgument, vec!["spec".to_owned()]));
    assert!(house.sessions.list_sessions(list("tenants/-")).await?.get_ref().sessions.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_do_not_fit_the_session_are_refused_and_change_nothing() -> Result<()> {
    let mut house = House::open().await?;
    let session = house.create("main", spec(5)).await?;
    let refusal = refused(house.create("main", spec(6)).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::AlreadyExists, "SESSION_EXISTS"));

    let abort = v1::AbortSessionRequest { name: "tenants/acme".to_owned(), ..Default::default() };
    let refusal = refused(house.sessions.abort_session(abort).await);
    assert_eq!(refusal.fields(), ["name", "reason"]);
    for reason in ["", " ", "two\nlines", &"x".repeat(1025)] {
        let abort = v1::AbortSessionRequest {
            name: session.name.clone(),
            reason: reason.to_owned(),
            ..Default::default()
        };
        let refusal = refused(house.sessions.abort_session(abort).await);
        assert_eq!(
            (refusal.code, refusal.fields()),
            (Code::InvalidArgument, vec!["reason".to_owned()])
        );
    }

    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    house.start(&session.name).await?;
    let refusal = refused(house.start(&session.name).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::FailedPrecondition, "WRONG_STATE"));
    assert_eq!(refusal.conditions().len(), 1);

    let nobody = "tenants/acme/sessions/nobody";
    let refusal = refused(house.get(nobody).await);
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::NotFound, "SESSION_NOT_FOUND"));
    let resource = refusal.details.resource_info().map(|info| info.resource_name.clone());
    assert_eq!(resource.as_deref(), Some(nobody));
    assert_eq!(refused(house.abort(nobody).await).code, Code::NotFound);
    let watch = v1::WatchSessionRequest { name: nobody.to_owned() };
    assert_eq!(refused(house.sessions.watch_session(watch).await).code, Code::NotFound);

    let unscoped = v1::EngageHaltRequest { reason: String::new(), ..Default::default() };
    let refusal = refused(house.fleet.engage_halt(unscoped).await);
    assert_eq!(refusal.fields(), ["scope", "reason"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_that_no_shim_can_apply_is_refused_with_each_seam_and_its_reason()
-> Result<()> {
    let mut house = House::open().await?;
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    let mut cut = spec(5);
    cut.experiments[0].fault = Some(v1::FaultSpec {
        tool_unavailable: Some(v1::ToolUnavailableSpec {
            mode: Some(v1::Unavailability::Disconnect.into()),
            ..Default::default()
        }),
        ..Default::default()
    });
    let mut nobody = spec(5);
    nobody.target =
        Some(v1::TargetSpec { agents: vec!["somebody else".to_owned()], ..Default::default() });
    for (id, spec, why) in [
        (
            "cut",
            cut,
            "experiments/tool_unavailable: seam rmcp of shim shim-1: the seam can't break the connection",
        ),
        (
            "nobody",
            nobody,
            "experiments/latency: the target matches none of the agents of shim shim-1 (planner)",
        ),
    ] {
        let name = house.create(id, spec).await?.name;
        let refusal = refused(house.start(&name).await);
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::FailedPrecondition, "INAPPLICABLE")
        );
        assert_eq!(refusal.conditions(), [why]);
        assert_eq!(house.get(&name).await?.state(), v1::SessionState::Draft);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_session_does_not_start_on_a_log_that_is_not_written_through() -> Result<()> {
    let mut house = House::on(Server::start(&Options::default()).await?).await?;
    let _agent = Speaker::join(&house.site, "acme", 1).await?;
    let name = house.create("strict", spec(5)).await?.name;
    let refusal = refused(house.start(&name).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "LOG_NOT_SYNCED")
    );
    assert!(refusal.message.contains("accept_lazy_log"), "{}", refusal.message);
    let mut accepted = spec(5);
    safety(&mut accepted).accept_lazy_log = Some(true);
    let name = house.create("accepted", accepted).await?.name;
    assert_eq!(house.start(&name).await?.state(), v1::SessionState::Running);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_refuses_what_it_cannot_keep_and_loses_nothing() -> Result<()> {
    let nats = Server::start(&Options { sync_always: true, ..Options::default() }).await?;
    let site = Site::on_server(&nats);
    // The streams are made with little room first; whoever comes later takes them as they are.
    squall::journal::jetstream::JetStream::open(cramped(&site, 256 * 1024)).await?;
    let mut house = House::on(nats).await?;
    let mut large = spec(5);
    large.title = "x".repeat(1000);
    large.experiments[0].agents = (0..256).map(|index| format!("{index:0>100}")).collect();
    let mut kept = 0;
    let refusal = loop {
        match house.create(&format!("s{kept}"), large.clone()).await {
            Ok(_) => kept += 1,
            refusal => break refused(refusal),
        }
        assert!(kept < 100, "the log is never full");
    };
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::ResourceExhausted, "LOG_FULL"));
    assert!(refusal.message.contains("nothing was stored"), "{}", refusal.message);
    let listed = house.sessions.list_sessions(list("tenants/acme")).await?.into_inner();
    assert_eq!(listed.sessions.len(), kept);
    Ok(())
}
