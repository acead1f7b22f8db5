use squall_proto::wire::v1::{Budget, Counts, Session, SessionState};

use super::*;
use crate::cli::drill::judge::{Kind, Outcome};

fn judge() -> Judge {
    let mut judge = Judge::new(20);
    let name = "tenants/acme/sessions/drill-1-0".to_owned();
    let round = judge.begin(name.clone());
    let abort = judge.send(Duration::from_millis(4000), round, Kind::Abort, "a".to_owned());
    let outcome = Outcome::Done { at: Duration::from_millis(4035), revision: 9 };
    judge.answered(abort, outcome);
    let budget = Budget { budget: 20, issued: 22, refunded: 2, ..Budget::default() };
    let session = Session {
        name,
        state: SessionState::Aborted.into(),
        budget: Some(budget),
        counts: Some(Counts { seen: 90, chosen: 50, applied: 20, skipped: 30, not_applicable: 0 }),
        replica: "one".to_owned(),
        owner: "one".to_owned(),
        ..Session::default()
    };
    let at = Duration::from_millis(4100);
    judge.snapshot(at, at, round, "127.0.0.1:7070", &session);
    judge.sign(
        Duration::from_millis(2500),
        Sign::CoordinatorLost,
        "127.0.0.1:7071 doesn't answer".to_owned(),
    );
    judge
}

#[test]
fn a_verdict_says_what_was_seen_and_ends_with_itself() {
    let judge = judge();
    let verdict = Verdict::of(&judge, "drill-1", Vec::new());
    assert_eq!(verdict.verdict, Judgement::Held);
    insta::assert_snapshot!(verdict.draw(Look::PLAIN));
    insta::assert_snapshot!(format!("{:#}", serde_json::to_value(&verdict).unwrap()));
}

#[test]
fn what_was_broken_weighs_more_than_what_was_not_tested() {
    let mut judge = judge();
    judge.settle(true);
    let verdict = Verdict::of(&judge, "drill-1", vec!["a halt may be engaged".to_owned()]);
    assert_eq!(verdict.verdict, Judgement::Violated);
    insta::assert_snapshot!(verdict.draw(Look::PLAIN));
}
