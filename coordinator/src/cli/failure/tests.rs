use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation};

use super::*;

fn text(failure: &Failure) -> String {
    failure.text(Paint::NONE)
}

fn reasoned(code: Code, message: &str, reason: &str, mut details: ErrorDetails) -> Status {
    details.set_error_info(reason, "squall", std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

#[test]
fn every_violation_stands_on_its_own_line_with_its_field() {
    let fields = ["min_ms", "probability"]
        .map(|field| FieldViolation::new(field, "is 7; allowed is 0 to 1"));
    let details = ErrorDetails::with_bad_request(fields);
    let failure =
        Failure::from(reasoned(Code::InvalidArgument, "both", "INVALID_REQUEST", details));
    assert_eq!(failure.exit(), Exit::BadInput);
    insta::assert_snapshot!(text(&failure));
}

#[test]
fn what_no_shim_can_apply_is_named_by_experiment_with_what_to_do() {
    let details = ErrorDetails::with_precondition_failure([PreconditionViolation::new(
        "INAPPLICABLE",
        "experiments/slow",
        "no shim of tenant acme is connected",
    )]);
    let failure = Failure::from(reasoned(
        Code::FailedPrecondition,
        "experiment \"slow\": no shim of tenant acme is connected",
        "INAPPLICABLE",
        details,
    ));
    assert_eq!(failure.exit(), Exit::Failed);
    insta::assert_snapshot!(text(&failure));
}

#[test]
fn a_condition_that_says_what_the_message_says_is_said_once() {
    let message = "the session is running; start needs draft";
    let violation = PreconditionViolation::new("WRONG_STATE", "tenants/a/sessions/b", message);
    let details = ErrorDetails::with_precondition_failure([violation]);
    let failure =
        Failure::from(reasoned(Code::FailedPrecondition, message, "WRONG_STATE", details));
    assert_eq!(text(&failure).matches(message).count(), 1);
}

#[test]
fn a_coordinator_that_is_not_there_is_told_from_one_that_is_not_ready() {
    let nobody = Failure::from(Status::unavailable("tcp connect error"));
    assert!(text(&nobody).contains("squall dev"), "{nobody:?}");
    let starting =
        Failure::from(reasoned(Code::Unavailable, "starting", "NOT_READY", ErrorDetails::new()));
    assert!(!text(&starting).contains("squall dev"), "{starting:?}");
    assert_eq!([nobody.exit(), starting.exit()], [Exit::Unavailable; 2]);
}

#[test]
fn a_change_whose_outcome_is_not_known_can_be_sent_again_and_is_done_once() {
    let unknown =
        reasoned(Code::DeadlineExceeded, "no answer", "OUTCOME_UNKNOWN", ErrorDetails::new());
    assert!(text(&Failure::of_change(&unknown, "id-7")).contains("--request-id id-7"));
    let stop = text(&Failure::of_stop(&unknown, "id-7"));
    assert!(stop.contains("--request-id id-7") && stop.contains("lease of 3 s"), "{stop}");
    let pushed = reasoned(Code::DeadlineExceeded, "no", "PUSHED_NOT_DURABLE", ErrorDetails::new());
    let pushed = text(&Failure::of_stop(&pushed, "id-7"));
    assert!(pushed.contains("recorded") && !pushed.contains("lease"), "{pushed}");
    let refused = Status::not_found("there is no session");
    assert!(!text(&Failure::of_stop(&refused, "id-7")).contains("3 s"));
    assert!(!text(&Failure::of_change(&refused, "id-7")).contains("id-7"));
}

#[test]
fn programs_read_one_object() {
    let failure = Failure::argument("--id", "is empty").next("give one");
    insta::assert_snapshot!(format!("{:#}", failure.json()));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(failure.exit().code(), 0);
    assert_eq!(Failure::from(io::Error::other("full")).exit().code(), 1);
}

#[test]
fn a_connection_that_breaks_is_no_answer_of_a_coordinator() {
    let broken = Status::from_error("connection reset".into());
    assert_eq!(Failure::from(broken).exit(), Exit::Unavailable);
    let answered = Status::unknown("connection reset");
    assert_eq!(Failure::from(answered).exit(), Exit::Failed);
}

#[test]
fn what_a_file_says_moves_no_cursor() {
    let failure =
        Failure::bad("esc.yaml", Violations::one("\u{1b}[31mfoo", "is unknown".to_owned()));
    let text = failure.text(Paint::NONE);
    assert!(text.contains("[31mfoo") && !text.contains('\u{1b}'), "{text:?}");
}
