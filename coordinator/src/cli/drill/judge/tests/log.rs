use super::*;

#[test]
fn a_log_that_breaks_the_rules_of_permits_is_seen() {
    let breaks = |place: usize, event: LogEvent| {
        let mut log = log();
        log.insert(place, event);
        Forged::new().sees(&ahead()).reads("here", log).found()
    };
    let rule = [(Promise::Bound, "the log breaks the rules of permits")];
    assert_eq!(breaks(6, issued(10, 3, 1)), rule, "after the abort");
    assert_eq!(breaks(4, issued(6, 3, 19)), rule, "beyond the budget");
    assert_eq!(breaks(4, issued(6, 1, 1)), rule, "twice");
    assert_eq!(breaks(1, issued(3, 9, 1)), rule, "before the start");
    assert_eq!(breaks(4, closed(6, 1, 8)), rule, "closed twice");
    assert_eq!(breaks(4, closed(6, 9, 8)), rule, "closed and never issued");
    assert_eq!(breaks(5, event(7, "paused", "", json!({}))), []);
    let mut paused = log();
    paused.insert(4, event(6, "paused", "", json!({})));
    assert_eq!(Forged::new().sees(&ahead()).reads("here", paused).found(), rule, "in a pause");
}

#[test]
fn an_acknowledged_command_is_in_the_log_once_and_in_order() {
    let reads = |log: Vec<LogEvent>| Forged::new().sees(&ahead()).reads("here", log).found();
    let mut lost = log();
    lost.remove(0);
    assert_eq!(reads(lost), [(Promise::Log, "an acknowledged command is not in the log")]);
    let mut twice = log();
    twice.push(event(13, "aborted", "halt!", json!({})));
    let found = reads(twice);
    assert!(
        found.contains(&(Promise::Log, "a command is in the log more than once, or as another"))
    );
    let mut other = log();
    other[1].request_id = "halt!".to_owned();
    other[5].request_id = "go".to_owned();
    let found = reads(other);
    assert!(
        found.contains(&(Promise::Log, "commands stand in another order than answered")),
        "{found:?}"
    );
    // An abort of what was aborted already leaves no trace of its own.
    let mut before = log();
    before[5].request_id = "another".to_owned();
    assert_eq!(reads(before), []);
    let mut early = Forged::new().sees(&ahead());
    early.judge.answered(2, Outcome::Done { at: at(250), revision: 9 });
    let found = early.reads("here", log()).found();
    assert_eq!(found, [(Promise::Log, "a command was answered before it was in the log")]);
    let mut refused = Forged::new().sees(&ahead());
    refused.judge.answered(2, Outcome::Refused("no".to_owned()));
    let found = refused.reads("here", log()).found();
    assert_eq!(found, [(Promise::Log, "a refused command is in the log")]);
    let mut silent = Forged::new().sees(&ahead());
    silent.judge.answered(2, Outcome::Unanswered);
    assert_eq!(silent.reads("here", log()).found(), []);
}

#[test]
fn coordinators_that_list_different_logs_are_seen_but_not_one_that_is_behind() {
    let both = |other: Vec<LogEvent>| {
        Forged::new().sees(&stopped()).reads("here", log()).reads("there", other).found()
    };
    let mut other = log();
    other[2] = issued(5, 1, 9);
    assert_eq!(both(other), [(Promise::Log, "coordinators list different logs")]);
    assert_eq!(both(log()[..4].to_vec()), []);
    let damaged = with(|session, _, _| session.state = SessionState::LogDamaged.into());
    assert!(broken_by(&damaged).contains(&(Promise::Log, "the log is damaged")));
}

#[test]
fn shown_permits_are_those_of_the_log_and_a_halt_stops_the_session() {
    let mut shown = stopped();
    shown.budget =
        Some(Budget { budget: BUDGET, issued: 12, refunded: 4, available: 12, outstanding: 0 });
    let found = Forged::new().sees(&shown).reads("here", log()).found();
    assert_eq!(found, [(Promise::Log, "permits as shown are not those of the log")]);
    let mut halted = Forged::new().sees(&stopped()).reads("here", log());
    halted.judge.rounds[0].halt = Some(9);
    let what = "a halt that was acknowledged did not stop a session";
    assert_eq!(halted.found(), [(Promise::Stop, what)]);
}
