use serde_json::json;

use super::*;

const MS: u64 = 1_000_000;

fn digest(text: &str) -> Digest {
    Digest::of(&json!({ "text": text }))
}

fn call(at_ms: u64, id: &str, text: &str) -> Entry {
    let what = What::Call { id: id.into(), tool: "git_log".into(), message: digest(text) };
    entry(at_ms, what)
}

fn answer(at_ms: u64, id: &str, text: &str) -> Entry {
    let what = What::Answer { id: id.into(), error: false, message: digest(text) };
    entry(at_ms, what)
}

fn entry(at_ms: u64, what: What) -> Entry {
    Entry { at_ns: at_ms * MS, starved_ns: 0, what }
}

/// The same, by a writer that had starved for so long in all.
fn starved(ms: u64, entry: Entry) -> Entry {
    Entry { starved_ns: ms * MS, ..entry }
}

/// The effects on one connection of an agent, with what the operator froze.
fn effects_with(near: Vec<Entry>, far: Vec<Entry>, frozen: &[Frozen]) -> Vec<Effect> {
    let wire = Wire { agent: "planner".into(), near, far };
    let hands = Hands { frozen, aborted_ns: None };
    judge(&[wire], &[], hands).affected.into_iter().map(|affected| affected.effect).collect()
}

fn effects(near: Vec<Entry>, far: Vec<Entry>) -> Vec<Effect> {
    effects_with(near, far, &[])
}

#[test]
fn a_call_of_which_both_sides_tell_the_same_was_left_alone() {
    let near = vec![call(0, "1", "q"), answer(2_020, "1", "a")];
    let far = vec![call(10, "1", "q"), answer(2_010, "1", "a")];
    let wire = Wire { agent: "planner".into(), near, far };
    let judgement = judge(&[wire], &[], Hands::default());
    assert_eq!((judgement.looked_at, judgement.affected.len()), (1, 0));
    assert_eq!(judgement.longest_noise_ns, 10 * MS);
}

#[test]
fn a_slow_server_is_not_taken_for_a_delay_and_a_delay_not_for_a_slow_server() {
    let slow = vec![call(1, "1", "q"), answer(5_000, "1", "a")];
    assert_eq!(effects(vec![call(0, "1", "q"), answer(5_001, "1", "a")], slow), []);
    let late = vec![call(800, "1", "q"), answer(805, "1", "a")];
    assert_eq!(effects(vec![call(0, "1", "q"), answer(806, "1", "a")], late), [Effect::Delayed]);
}

#[test]
fn a_delay_that_the_abort_cut_short_is_a_delay_and_a_short_wait_at_any_other_time_is_not() {
    let effects_of = |received_ms: u64, aborted_ms: u64| {
        let near = vec![call(0, "1", "q"), answer(received_ms + 6, "1", "a")];
        let far = vec![call(received_ms, "1", "q"), answer(received_ms + 5, "1", "a")];
        let wire = Wire { agent: "planner".into(), near, far };
        let hands = Hands { frozen: &[], aborted_ns: Some(aborted_ms * MS) };
        judge(&[wire], &[], hands).affected.into_iter().map(|it| it.effect).collect::<Vec<_>>()
    };
    assert_eq!(effects_of(540, 510), [Effect::Delayed]);
    assert_eq!(effects_of(540, 545), []);
    assert_eq!(effects_of(540, 9_000), []);
    assert_eq!(effects_of(20, 10), []);
}

#[test]
fn a_long_answer_may_take_its_time_to_be_parsed_and_a_short_one_may_not() {
    let back = |text: &str| {
        effects(
            vec![call(0, "1", "q"), answer(1_200, "1", text)],
            vec![call(1, "1", "q"), answer(2, "1", text)],
        )
    };
    assert_eq!(back(&"x".repeat(500_000)), []);
    assert_eq!(back("x"), [Effect::Delayed]);
}

#[test]
fn an_answer_that_no_server_gave_is_seen() {
    assert_eq!(
        effects(vec![call(0, "1", "q"), answer(1, "1", "503")], vec![]),
        [Effect::AnsweredForServer]
    );
}

#[test]
fn a_broken_connection_counts_once_and_only_for_the_call_that_the_server_never_saw() {
    let near = vec![
        call(0, "1", "q"),
        answer(5, "1", "a"),
        call(6, "2", "q"),
        call(7, "3", "q"),
        entry(9, What::Closed),
    ];
    let far = vec![call(1, "1", "q"), answer(4, "1", "a"), call(7, "2", "q")];
    assert_eq!(effects(near, far), [Effect::Broken]);
}

#[test]
fn changed_arguments_and_changed_answers_are_told_apart() {
    let near = vec![call(0, "1", "HEAD"), answer(5, "1", "bad revision")];
    let far = vec![call(1, "1", "HE"), answer(4, "1", "bad revision")];
    assert_eq!(effects(near, far), [Effect::ArgumentsChanged]);
    let near = vec![call(0, "1", "q"), answer(5, "1", "On bra")];
    let far = vec![call(1, "1", "q"), answer(4, "1", "On branch main")];
    assert_eq!(effects(near, far), [Effect::AnswerChanged]);
}

#[test]
fn an_agent_that_gave_up_was_affected_only_if_its_call_was_held_back() {
    let give_up = |at_ms| entry(at_ms, What::Cancel { id: "1".into() });
    let held = vec![call(0, "1", "q"), give_up(5_000)];
    assert_eq!(effects(held, vec![]), [Effect::Delayed]);
    let impatient = vec![call(0, "1", "q"), give_up(5_000)];
    assert_eq!(effects(impatient, vec![call(1, "1", "q")]), []);
    let at_once = vec![call(0, "1", "q"), give_up(2)];
    assert_eq!(effects(at_once, vec![]), []);
}

#[test]
fn the_time_for_which_the_operator_froze_an_agent_is_no_delay() {
    let near = || vec![call(100, "1", "q"), answer(9_000, "1", "a")];
    let frozen =
        |agent: &str| [Frozen { agent: agent.into(), from_ns: 110 * MS, to_ns: 8_990 * MS }];
    let far = || vec![call(101, "1", "q"), answer(104, "1", "a")];
    assert_eq!(effects_with(near(), far(), &frozen("planner")), []);
    assert_eq!(effects_with(near(), far(), &frozen("other")), [Effect::Delayed]);
    let not_sent_before = vec![call(8_995, "1", "q"), answer(8_999, "1", "a")];
    assert_eq!(effects_with(near(), not_sent_before, &frozen("planner")), []);
}

#[test]
fn the_time_for_which_there_was_no_core_is_no_delay() {
    let near = |waited: u64| {
        let sent = starved(5_000, call(0, "1", "q"));
        vec![sent, starved(5_000 + waited, answer(1_300, "1", "a"))]
    };
    let far = |waited: u64| {
        let before = starved(70_000, call(0, "0", "q"));
        vec![before, starved(70_000 + waited, call(1_200, "1", "q")), answer(1_250, "1", "a")]
    };
    assert_eq!(effects(near(0), far(0)), [Effect::Delayed]);
    assert_eq!(effects(near(700), far(0)), []);
    assert_eq!(effects(near(0), far(700)), []);
    assert_eq!(effects(near(100), far(100)), [Effect::Delayed]);
}

#[test]
fn an_agents_own_answer_is_judged_by_what_left_the_process() {
    let round = |sent: &str, done_ms: u64| Round {
        at_ns: 0,
        done_ns: done_ms * MS,
        outcome: crate::round::Outcome::Good,
        draft: digest("done"),
        sent: digest(sent),
    };
    let rounds = vec![round("done", 1), round("I would rather not.", 1), round("done", 1_200)];
    let answers = Answers { agent: "planner".into(), rounds };
    let judgement = judge(&[], &[answers], Hands::default());
    let effects: Vec<_> = judgement.affected.iter().map(|affected| affected.effect).collect();
    assert_eq!(effects, [Effect::AnswerChanged, Effect::Delayed]);
    assert_eq!(judgement.by_effect()[&Effect::Delayed], 1);
}

#[test]
fn digests_see_through_spelling_but_not_through_meaning() {
    let of = |text: &str| Digest::of(&serde_json::from_str(text).unwrap()).hash;
    assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{"b":[2],"_meta":{"x":1},"a":1}"#));
    assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":"1"}"#));
    assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#));
}
