//! What becomes of an agent's answer under every fault there is.

use std::pin::pin;

use super::*;
use crate::testing::{
    Met, Row, assert_rows, counts, every_fault_that_holds, local, running, until,
};

const PROSE: &str = "Ten of 10 tests pass.";
const JSON: &str = r#"{"summary": "All is well.", "rows": [["a", 1], ["b", true]]}"#;

const OF_PROSE: &[Row] = &[
    ("uncooperative_agent refuse", None, "I would rather not."),
    ("uncooperative_agent partial", None, "Ten of 10 t"),
    ("uncooperative_agent delay", None, PROSE),
    ("uncooperative_agent wrong_format", None, r#"{"response":"Ten of 10 tests pass."}"#),
];
const OF_JSON: &[Row] = &[
    ("uncooperative_agent refuse", None, "I would rather not."),
    ("uncooperative_agent partial", None, r#"{"summary": "All is well.", "r"#),
    ("uncooperative_agent delay", None, JSON),
    (
        "uncooperative_agent wrong_format",
        None,
        "Here is what I found: summary is All is well., rows is a, 1, b, yes.",
    ),
];

async fn answer(shim: &Shim, text: &str) -> String {
    let call = Call { request: RequestKey::of("one"), trace: None };
    shim.answer_to(&planner(), &call, text.to_owned()).await
}

#[tokio::test]
async fn every_fault_reaches_who_asked_as_its_row_says_or_not_at_all() {
    for (text, rows) in [(PROSE, OF_PROSE), (JSON, OF_JSON)] {
        assert_rows(&answer_seam(), ("none", None, text), rows, async |fault| {
            let shim = local(&[(fault, &[])], 1.0);
            let got = answer(&shim, text).await;
            let counts = counts(&shim);
            Met { sent: None, got, counts: (counts.applied, counts.not_applicable) }
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_that_is_held_goes_on_as_it_is_when_its_session_stops() {
    for (name, fault) in every_fault_that_holds(&answer_seam()) {
        let shim = local(&[(fault, &[])], 1.0);
        let mut answered = pin!(answer(&shim, PROSE));
        tokio::select! {
            _ = &mut answered => panic!("{name} held nothing"),
            () = until(|| running(&shim) == 1) => shim.kill(),
        }
        assert_eq!(answered.await, PROSE, "{name}");
        assert_eq!(counts(&shim).applied, 1, "{name}");
    }
}
