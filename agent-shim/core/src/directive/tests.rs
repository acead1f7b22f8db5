use std::collections::BTreeSet;

use squall_proto::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, FaultKind, LostPart,
    MalformedOutput, ToolUnavailable, TruncationUnit, Unavailability, UncooperativeAgent,
};
use squall_proto::vocabulary::named::Named;
use squall_proto::vocabulary::session::SessionDraft;

use super::*;
use crate::rewrite::REFUSALS;
use crate::site::Verdict;
use crate::testing::{Process, call, experiment, grant, seam, session, spec};

/// What `fault` does to the requests 0 to 99, each asked twice.
fn effects(fault: Fault, look: impl Fn(&Effect<'_>)) {
    use squall_proto::vocabulary::call::{Point, Shape};

    let process = Process::new();
    let can = |point: &&Point| seam(**point, Shape::Json).supports(&fault).is_ok();
    let point = *[Point::Tool, Point::Agent, Point::Model].iter().find(can).expect("a seam");
    let (agent, tool) = (crate::testing::agent("a"), crate::testing::tool("search"));
    let site = process.registry.site(&agent, &tool, &seam(point, Shape::Json));
    process.registry.install(&[session("s", spec(vec![experiment("e", fault, 1.0)]))]);
    grant(&process.live("s"), 1, 200);
    for n in 0..100 {
        let call = call(&n.to_string());
        let directive = || match site.decide(&call) {
            Verdict::Inject(directive) => directive,
            other @ (Verdict::Pass | Verdict::Claim(_)) => panic!("{other:?}"),
        };
        let (first, retry) = (directive(), directive());
        assert_eq!(first.effect(), retry.effect(), "a retry meets the same fault");
        look(&first.effect());
        first.applied(&call, Duration::ZERO);
        retry.applied(&call, Duration::ZERO);
    }
}

/// Each kind with its defaults, as the shortest session file means it.
fn of_kind(kind: FaultKind) -> Fault {
    let draft = serde_json::json!({
        "experiments": [{"fault": {kind.name(): {}}}],
        "safety": {"max_affected_requests": 1},
    });
    let draft: SessionDraft = serde_json::from_value(draft).unwrap();
    draft.validate().unwrap().experiments[0].fault.clone()
}

#[test]
fn no_kind_lets_a_chosen_call_pass_as_it_was() {
    for kind in FaultKind::ALL {
        effects(of_kind(*kind), |effect| {
            let passes = effect.hold.is_zero() && effect.act == Act::Proceed;
            assert!(!passes, "{} does nothing", kind.name());
        });
    }
}

fn failure<'a>(effect: &'a Effect<'_>) -> &'a Failure<'a> {
    let Act::Fail(failure) = &effect.act else { panic!("{effect:?}") };
    failure
}

#[test]
fn delays_are_drawn_for_each_request() {
    let delay = Delay::Uniform { min_ms: 10, max_ms: 20 };
    let holds = std::cell::RefCell::new(BTreeSet::new());
    let fault = Fault::Latency(squall_proto::vocabulary::fault::Latency { delay });
    effects(fault, |effect| {
        assert_eq!(effect.act, Act::Proceed);
        holds.borrow_mut().insert(effect.hold.as_millis());
    });
    assert_eq!(holds.into_inner(), (10..=20).collect());
}

#[test]
fn a_delay_that_is_counted_is_never_nothing() {
    let delay = Delay::Uniform { min_ms: 0, max_ms: 2 };
    let holds = std::cell::RefCell::new(BTreeSet::new());
    let fault = Fault::Latency(squall_proto::vocabulary::fault::Latency { delay });
    effects(fault, |effect| {
        holds.borrow_mut().insert(effect.hold.as_millis());
    });
    assert_eq!(holds.into_inner(), BTreeSet::from([1, 2]));
}

#[test]
fn error_codes_are_drawn_and_say_when_to_come_back() {
    let codes = vec![429, 500, 503, 401];
    let met = std::cell::RefCell::new(BTreeSet::new());
    effects(Fault::Error(ErrorCodes { codes, message: None }), |effect| {
        let failure = failure(effect);
        assert_eq!(failure.message, crate::render::reason(failure.http_status));
        assert_eq!(failure.retry_after.is_some(), matches!(failure.http_status, 429 | 503));
        met.borrow_mut().insert(failure.http_status);
    });
    assert_eq!(met.into_inner(), BTreeSet::from([401, 429, 500, 503]));
    let message = Some(String::from("out of order"));
    effects(Fault::Error(ErrorCodes { codes: vec![500], message }), |effect| {
        assert_eq!(failure(effect).message, "out of order");
    });
}

#[test]
fn an_unavailable_tool_fails_in_its_mode() {
    for (mode, kind, status, hold_ms) in [
        (Unavailability::Error, FailureKind::Unavailable, 503, 0),
        (Unavailability::Timeout, FailureKind::Timeout, 504, 250),
        (Unavailability::NotFound, FailureKind::NotFound, 404, 0),
        (Unavailability::Disconnect, FailureKind::Disconnect, 502, 0),
    ] {
        effects(Fault::ToolUnavailable(ToolUnavailable { mode, timeout_ms: 250 }), |effect| {
            assert_eq!(effect.hold, Duration::from_millis(hold_ms), "{mode:?}");
            assert_eq!((failure(effect).kind, failure(effect).http_status), (kind, status));
        });
    }
}

#[test]
fn an_uncooperative_agent_draws_what_it_does_and_says() {
    let fault = |texts: &[&str]| {
        Fault::UncooperativeAgent(UncooperativeAgent {
            behaviors: vec![Behavior::Refuse, Behavior::Partial, Behavior::Delay],
            texts: texts.iter().map(ToString::to_string).collect(),
            keep: 0.25,
            delay: Delay::Fixed { ms: 70 },
        })
    };
    let met = std::cell::RefCell::new(BTreeSet::new());
    let said = std::cell::RefCell::new(BTreeSet::new());
    let look = |effect: &Effect<'_>| match effect.act {
        Act::Proceed => {
            assert_eq!(effect.hold.as_millis(), 70);
            met.borrow_mut().insert("delay");
        }
        Act::RewriteOutput(OutputRewrite::Uncooperative { behavior, text, keep: 0.25 }) => {
            use squall_proto::vocabulary::named::Named;
            met.borrow_mut().insert(behavior.name());
            said.borrow_mut().insert(text.to_owned());
        }
        Act::Fail(_) | Act::RewriteInput(_) | Act::RewriteOutput(_) => panic!("{effect:?}"),
    };
    effects(fault(&["no", "never"]), look);
    assert_eq!(met.borrow().iter().copied().collect::<Vec<_>>(), ["delay", "partial", "refuse"]);
    assert_eq!(said.take(), BTreeSet::from(["never".to_owned(), "no".to_owned()]));
    effects(fault(&[]), look);
    assert_eq!(said.take(), REFUSALS.iter().map(ToString::to_string).collect());
}

#[test]
fn truncation_changes_the_input_and_damage_the_output() {
    let truncation = ContextTruncation {
        fraction: 0.5,
        from: LostPart::Start,
        unit: TruncationUnit::Characters,
    };
    effects(Fault::ContextTruncation(truncation.clone()), |effect| {
        assert_eq!(effect.act, Act::RewriteInput(InputRewrite { truncation: &truncation }));
    });
    let damage = MalformedOutput { mode: Damage::Encoding, keep: 0.5 };
    let salts = std::cell::RefCell::new(BTreeSet::new());
    effects(Fault::MalformedOutput(damage.clone()), |effect| match effect.act {
        Act::RewriteOutput(OutputRewrite::Damage { fault, salt }) => {
            assert_eq!(*fault, damage);
            salts.borrow_mut().insert(salt);
        }
        Act::Proceed | Act::Fail(_) | Act::RewriteInput(_) | Act::RewriteOutput(_) => {
            panic!("{effect:?}")
        }
    });
    assert_eq!(salts.into_inner().len(), 100);
}
