mod evidence;

use proptest::prelude::*;

use super::*;
use crate::strategies::{self, message};
use crate::vocabulary::id::{Incarnation, SessionKey};
use crate::vocabulary::limits::{
    EVIDENCE_ROWS_MAX, GRANT_PERMITS_MAX, PLAN_SESSIONS_MAX, SELECTOR_NAMES_MAX, SPEC_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use crate::vocabulary::message::{Sync, Unavailable};
use crate::vocabulary::session::{
    DelayDraft, ErrorCodesDraft, ExperimentDraft, FaultDraft, SafetyDraft, SessionDraft,
    SessionSpec, UncooperativeDraft,
};
use crate::vocabulary::violation::Violation;

proptest! {
    #[test]
    fn requests_survive_the_wire(request in message::request()) {
        prop_assert_eq!(decode_request(&encode_request(&request)), Ok(request));
    }

    #[test]
    fn replies_survive_the_wire(reply in message::reply()) {
        prop_assert_eq!(decode_reply(&encode_reply(&reply)), Ok(reply));
    }

    #[test]
    fn commands_survive_the_wire(command in message::command()) {
        prop_assert_eq!(decode_command(&encode_command(&command)), Ok(command));
    }

    #[test]
    fn evidence_survives_the_wire(evidence in message::evidence()) {
        prop_assert_eq!(decode_evidence(&encode_evidence(&evidence)), Ok(evidence));
    }

    #[test]
    fn specifications_survive_the_wire(spec in strategies::spec()) {
        prop_assert_eq!(SessionSpec::try_from(v1::SessionSpec::from(&spec)), Ok(spec));
    }

    #[test]
    fn drafts_survive_the_wire(spec in strategies::spec()) {
        let draft = SessionDraft::from(&spec);
        let wire = v1::SessionSpec::try_from(&draft).unwrap();
        prop_assert_eq!(SessionDraft::try_from(wire), Ok(draft));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        read_as_everything(&bytes);
    }

    /// Random bytes seldom get past the first tag; damaged messages get everywhere.
    #[test]
    fn damaged_messages_never_panic(
        sent in prop_oneof![
            message::request().prop_map(|request| encode_request(&request)),
            message::reply().prop_map(|reply| encode_reply(&reply)),
            message::command().prop_map(|command| encode_command(&command)),
            message::evidence().prop_map(|evidence| encode_evidence(&evidence)),
        ],
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sent;
        prop_assume!(!bytes.is_empty());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_as_everything(&bytes);
        read_as_everything(&bytes[..cut.index(bytes.len())]);
    }
}

fn read_as_everything(bytes: &[u8]) {
    for refused in [
        decode_request(bytes).err(),
        decode_reply(bytes).err(),
        decode_command(bytes).err(),
        decode_evidence(bytes).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!refused.0.is_empty(), "was refused without a reason");
    }
}

/// The fields that are named as wrong.
fn fields<T: std::fmt::Debug>(result: Result<T, Violations>) -> Vec<String> {
    let Violations(violations) = result.expect_err("was accepted");
    violations.into_iter().map(|Violation { field, .. }| field).collect()
}

fn key() -> v1::SessionKey {
    v1::SessionKey { tenant: "acme".into(), session: "s1".into() }
}

fn request(request: v1::request::Request) -> Vec<u8> {
    v1::Request { request: Some(request) }.encode_to_vec()
}

fn smallest_spec() -> v1::SessionSpec {
    let experiment = v1::ExperimentSpec {
        fault: Some(v1::FaultSpec {
            latency: Some(v1::DelaySpec::default()),
            ..v1::FaultSpec::default()
        }),
        ..v1::ExperimentSpec::default()
    };
    v1::SessionSpec {
        experiments: vec![experiment],
        safety: Some(v1::SafetySpec {
            max_affected_requests: Some(50),
            ..v1::SafetySpec::default()
        }),
        ..v1::SessionSpec::default()
    }
}

#[test]
fn violations_are_named_with_the_path_of_their_field() {
    let ask = v1::Ask {
        incarnation: vec![1; 15],
        session: Some(v1::SessionKey { tenant: "a.b".into(), ..key() }),
        req_no: 0,
        want: GRANT_PERMITS_MAX + 1,
        scope: None,
        sent_boot_ns: 0,
    };
    assert_eq!(
        fields(decode_request(&request(v1::request::Request::Ask(ask)))),
        ["ask.incarnation", "ask.session.tenant", "ask.req_no", "ask.want", "ask.scope"]
    );
}

#[test]
fn permits_are_1_to_256_and_a_close_may_have_used_none() {
    let close = |used| {
        let grant = Some(v1::GrantRef { session: Some(key()), req_no: 1 });
        let close = v1::Close { incarnation: vec![0; 16], grant, used };
        decode_request(&request(v1::request::Request::Close(close)))
    };
    assert!(close(0).is_ok() && close(GRANT_PERMITS_MAX).is_ok());
    assert_eq!(fields(close(GRANT_PERMITS_MAX + 1)), ["close.used"]);
    let grant = |permits| {
        let grant = v1::Grant {
            incarnation: vec![0; 16],
            grant: Some(v1::GrantRef { session: Some(key()), req_no: 1 }),
            permits,
            scope: Some(v1::GrantScope::default()),
            ..v1::Grant::default()
        };
        decode_reply(&v1::Reply { reply: Some(v1::reply::Reply::Grant(grant)) }.encode_to_vec())
    };
    assert!(grant(1).is_ok() && grant(GRANT_PERMITS_MAX).is_ok());
    assert_eq!(fields(grant(0)), ["grant.permits"]);
    assert_eq!(fields(grant(GRANT_PERMITS_MAX + 1)), ["grant.permits"]);
}

#[test]
fn a_plan_names_the_field_of_a_session_that_is_wrong() {
    let mut spec = smallest_spec();
    spec.experiments[0].probability = Some(f64::NAN);
    let plan = v1::Plan {
        version: Some(v1::PlanVersion { log: "log".into(), sequence: 7 }),
        previous: Some(6),
        page: 1,
        pages: 2,
        live: vec![v1::PlanSession {
            key: Some(key()),
            spec: Some(spec),
            phi0: 1.5,
            ..v1::PlanSession::default()
        }],
        ended: vec![v1::EndedSession { session: Some(key()), ending: None }],
    };
    let bytes = v1::Command { command: Some(v1::command::Command::Plan(plan)) }.encode_to_vec();
    assert_eq!(
        fields(decode_command(&bytes)),
        [
            "plan.pages",
            "plan.live[0].spec.experiments[0].probability",
            "plan.live[0].phi0",
            "plan.ended[0].ending",
        ]
    );
}

#[test]
fn what_a_newer_sender_says_is_refused_and_not_guessed() {
    assert_eq!(fields(decode_request(&[])), ["request"]);
    assert_eq!(fields(decode_reply(&[])), ["reply"]);
    assert_eq!(fields(decode_command(&[])), ["command"]);
    let refused = v1::Refused {
        grant: Some(v1::GrantRef { session: Some(key()), req_no: 1 }),
        why: 99,
        backoff_ns: 0,
    };
    let reply = v1::Reply { reply: Some(v1::reply::Reply::Refused(refused)) };
    assert_eq!(fields(decode_reply(&reply.encode_to_vec())), ["refused.why"]);
}

#[test]
fn a_list_over_its_limit_is_refused_before_its_items_are_read() {
    let evidence = v1::Evidence {
        incarnation: vec![0; 16],
        rows: vec![v1::CountRow::default(); EVIDENCE_ROWS_MAX + 1],
        ..v1::Evidence::default()
    };
    assert_eq!(fields(decode_evidence(&evidence.encode_to_vec())), ["rows"]);
    let plan = v1::Plan {
        version: Some(v1::PlanVersion { log: "log".into(), sequence: 0 }),
        pages: 1,
        live: vec![v1::PlanSession::default(); PLAN_SESSIONS_MAX + 1],
        ..v1::Plan::default()
    };
    let reply = v1::Reply { reply: Some(v1::reply::Reply::Plan(plan)) };
    assert_eq!(fields(decode_reply(&reply.encode_to_vec())), ["plan.live"]);
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
    let Violations(violations) = decode_request(&bytes).unwrap_err();
    assert_eq!(violations[0].problem, "has 524289 bytes; allowed are 524288");
}

#[test]
fn text_for_people_is_mended_by_the_sender_and_never_trusted_by_the_receiver() {
    let why = format!("line\nbreak {}", "ä".repeat(TEXT_BYTES_MAX));
    let reply = Reply::Unavailable(Unavailable { why, backoff: std::time::Duration::ZERO });
    let Ok(Reply::Unavailable(read)) = decode_reply(&encode_reply(&reply)) else {
        panic!("was refused")
    };
    assert!(read.why.starts_with("line break ä") && read.why.len() <= TEXT_BYTES_MAX);
    let hostile = v1::Unavailable { why: "\u{1b}[2J".into(), backoff_ns: 0 };
    let reply = v1::Reply { reply: Some(v1::reply::Reply::Unavailable(hostile)) };
    assert_eq!(fields(decode_reply(&reply.encode_to_vec())), ["unavailable.why"]);
}

#[test]
fn the_shortest_specification_gets_the_documented_defaults() {
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft {
            fault: FaultDraft { latency: Some(DelayDraft::default()), ..FaultDraft::default() },
            ..ExperimentDraft::default()
        }],
        safety: SafetyDraft { max_affected_requests: Some(50), ..SafetyDraft::default() },
        ..SessionDraft::default()
    };
    assert_eq!(SessionSpec::try_from(smallest_spec()), draft.validate());
}

#[test]
fn all_violations_of_a_specification_are_named_at_once() {
    let mut wire = smallest_spec();
    wire.experiments[0].probability = Some(1.5);
    wire.experiments.push(v1::ExperimentSpec::default());
    wire.safety.as_mut().unwrap().blast_radius = Some(99);
    let fault = wire.experiments[0].fault.as_mut().unwrap();
    fault.latency.as_mut().unwrap().distribution = Some(4);
    assert_eq!(
        fields(SessionSpec::try_from(wire)),
        [
            "experiments[0].fault.latency.distribution",
            "experiments[0].probability",
            "experiments[1].fault",
            "safety.blast_radius",
        ]
    );
}

#[test]
fn a_specification_over_a_limit_is_refused() {
    let mut wire = smallest_spec();
    wire.title = "x".repeat(SPEC_BYTES_MAX);
    assert_eq!(fields(SessionDraft::try_from(wire)), [""]);
    let mut wire = smallest_spec();
    wire.experiments[0].agents = vec!["a".into(); SELECTOR_NAMES_MAX + 1];
    wire.experiments[0].fault.as_mut().unwrap().error =
        Some(v1::ErrorCodesSpec { codes: vec![500, 70_000], message: None });
    assert_eq!(
        fields(SessionDraft::try_from(wire)),
        ["experiments[0].fault.error.codes[1]", "experiments[0].agents"]
    );
}

#[test]
fn a_draft_that_would_change_its_meaning_on_the_wire_is_refused() {
    let draft = SessionDraft {
        experiments: vec![ExperimentDraft {
            fault: FaultDraft {
                latency: Some(DelayDraft {
                    distribution: Some("bimodal".into()),
                    ..DelayDraft::default()
                }),
                error: Some(ErrorCodesDraft { codes: Some(vec![]), message: None }),
                uncooperative_agent: Some(UncooperativeDraft {
                    behaviors: Some(vec!["refuse".into(), "sulk".into()]),
                    ..UncooperativeDraft::default()
                }),
                ..FaultDraft::default()
            },
            ..ExperimentDraft::default()
        }],
        safety: SafetyDraft { blast_radius: Some("GALAXY".into()), ..SafetyDraft::default() },
        ..SessionDraft::default()
    };
    assert_eq!(
        fields(v1::SessionSpec::try_from(&draft)),
        [
            "experiments[0].fault.latency.distribution",
            "experiments[0].fault.error.codes",
            "experiments[0].fault.uncooperative_agent.behaviors[1]",
            "safety.blast_radius",
        ]
    );
}

#[test]
fn two_kinds_of_faults_arrive_as_two() {
    let mut draft = SessionDraft::try_from(smallest_spec()).unwrap();
    draft.experiments[0].fault.error = Some(ErrorCodesDraft::default());
    let wire = v1::SessionSpec::try_from(&draft).unwrap();
    assert_eq!(SessionDraft::try_from(wire), Ok(draft));
}

#[test]
fn the_wire_says_nothing_about_its_sender() {
    let request = Request::Sync(Sync { incarnation: Incarnation([7; 16]), page: 0 });
    let bytes = encode_request(&request);
    // Tag of `sync` and its length, tag of `incarnation` and its length, and the 16 bytes: nothing else.
    assert_eq!(bytes, [[18, 18, 10, 16].as_slice(), &[7; 16]].concat());
}

#[test]
fn keys_convert_by_themselves() {
    let key = SessionKey::try_from(key()).unwrap();
    assert_eq!(key.to_string(), "tenants/acme/sessions/s1");
}

#[test]
fn every_file_of_the_contract_is_in_the_descriptor_set() {
    let set = prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let names: Vec<&str> = set.file.iter().map(|file| file.name()).collect();
    for file in ["id", "spec", "seam", "shim", "evidence", "session", "fleet", "peer"] {
        assert!(names.contains(&format!("squall/v1/{file}.proto").as_str()), "{file}: {names:?}");
    }
    assert!(names.contains(&"google/protobuf/timestamp.proto"), "{names:?}");
    assert!(set.file.iter().all(|file| file.source_code_info.is_none()));
}
