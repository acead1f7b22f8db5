//! What server and client meet under every fault there is, at tools and at peers: byte for byte.

use std::pin::pin;

use super::*;
use crate::testing::{Met, Row, assert_rows, every_fault_that_holds};
use squall_proto::vocabulary::seam::Seam;

mod rows;

/// A tool, and what is to become of a call of it.
struct Case {
    counterpart: Counterpart,
    tool: &'static str,
    text: &'static str,
    clean: &'static str,
    rows: &'static [Row],
}

const CASES: &[Case] = &[
    Case {
        counterpart: Counterpart::Tools,
        tool: "measure",
        text: rows::PROSE,
        clean: rows::MEASURED,
        rows: rows::STRUCTURED,
    },
    Case {
        counterpart: Counterpart::Tools,
        tool: "echo",
        text: rows::JSON,
        clean: rows::ECHOED,
        rows: rows::TEXT,
    },
    Case {
        counterpart: Counterpart::Agent,
        tool: "measure",
        text: rows::PROSE,
        clean: rows::MEASURED,
        rows: rows::STRUCTURED_PEER,
    },
    Case {
        counterpart: Counterpart::Agent,
        tool: "echo",
        text: rows::JSON,
        clean: rows::ECHOED,
        rows: rows::PEER,
    },
];

impl Case {
    async fn pair(&self, faults: &[(Fault, &[&str])]) -> Pair {
        Pair::with(self.counterpart, faults, 1.0).await
    }

    async fn seam(&self) -> Seam {
        let pair = self.pair(&[]).await;
        self.call(&pair).await;
        pair.shim.registry().announced().seams.remove(0)
    }

    /// One call, always of the same logical request, so that every draw is the same.
    async fn call(&self, pair: &Pair) -> String {
        let mut meta = RequestMetaObject::new();
        meta.0.0.insert("squall/requestId".into(), json!("one"));
        let mut params = CallToolRequestParams::new(self.tool);
        params.meta = Some(meta);
        params.arguments = json!({ "text": self.text }).as_object().cloned();
        match pair.client.call_tool(params).await {
            Ok(result) => serde_json::to_string(&result).unwrap(),
            Err(ServiceError::McpError(error)) => serde_json::to_string(&error).unwrap(),
            Err(error) => format!("{error:?}"),
        }
    }

    fn sent(&self, pair: &Pair) -> Option<String> {
        let (tool, text) = pair.seen().pop()?;
        assert_eq!(tool, self.tool);
        Some(text.as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn every_fault_reaches_the_client_as_its_row_says_or_not_at_all() {
    for case in CASES {
        let clean = ("none", Some(case.text), case.clean);
        assert_rows(&case.seam().await, clean, case.rows, async |fault| {
            let pair = case.pair(&[(fault, &[])]).await;
            let got = case.call(&pair).await;
            assert!(!pair.client.is_closed() || got == "TransportClosed", "{got}");
            let counts = counts(&pair.shim);
            let counts = (counts.applied, counts.not_applicable);
            Met { sent: case.sent(&pair), got, counts }
        })
        .await;
    }
}

#[tokio::test]
async fn a_call_that_is_held_goes_on_as_it_is_when_its_session_stops() {
    for case in CASES {
        for (name, fault) in every_fault_that_holds(&case.seam().await) {
            let pair = case.pair(&[(fault, &[])]).await;
            let mut called = pin!(case.call(&pair));
            tokio::select! {
                _ = &mut called => panic!("{name} held nothing"),
                () = until(|| running(&pair.shim) == 1) => pair.shim.kill(),
            }
            assert_eq!(case.sent(&pair), None, "{name}");
            assert_eq!(called.await, case.clean, "{name}");
            assert_eq!(case.sent(&pair).as_deref(), Some(case.text), "{name}");
            pair.assert_counts(1, 0);
        }
    }
}
