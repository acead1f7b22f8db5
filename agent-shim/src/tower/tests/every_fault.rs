//! What service and client meet under every fault there is, at every point: byte for byte.

use std::pin::pin;

use super::*;
use crate::testing::{Met, Row, assert_rows, every_fault_that_holds};

mod rows;

/// One service and one client, and what is to become of their call.
struct Case {
    point: Point,
    content_type: &'static str,
    request: &'static str,
    answer: &'static str,
    clean: &'static str,
    rows: &'static [Row],
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

const CASES: &[Case] = &[
    Case {
        point: Point::Tool,
        content_type: JSON,
        request: rows::TOOL_REQUEST,
        answer: rows::TOOL_ANSWER,
        clean: rows::TOOL_CLEAN,
        rows: rows::TOOL,
    },
    Case {
        point: Point::Tool,
        content_type: TEXT,
        request: rows::TEXT_REQUEST,
        answer: rows::TEXT_ANSWER,
        clean: rows::TEXT_CLEAN,
        rows: rows::TEXT_TOOL,
    },
    Case {
        point: Point::Model,
        content_type: JSON,
        request: rows::MODEL_REQUEST,
        answer: rows::MODEL_ANSWER,
        clean: rows::MODEL_CLEAN,
        rows: rows::MODEL,
    },
    Case {
        point: Point::Agent,
        content_type: JSON,
        request: rows::AGENT_REQUEST,
        answer: rows::AGENT_ANSWER,
        clean: rows::AGENT_CLEAN,
        rows: rows::AGENT,
    },
    Case {
        point: Point::Agent,
        content_type: TEXT,
        request: rows::TEXT_REQUEST,
        answer: rows::TEXT_ANSWER,
        clean: rows::TEXT_CLEAN,
        rows: rows::TEXT_AGENT,
    },
];

impl Case {
    fn client(&self, faults: &[(Fault, &[&str])]) -> Client {
        Client::with(faults, 1.0, self.point)
    }

    /// One call, always of the same logical request, so that every draw is the same.
    async fn call(&'static self, client: &Client) -> String {
        let backend = Arc::clone(&client.backend);
        let service = client.layer.layer(service_fn(move |request: Text| {
            let backend = Arc::clone(&backend);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                assert_eq!(parts.headers[header::CONTENT_LENGTH], body.len().to_string());
                backend.seen.lock().unwrap().push((parts.headers, body));
                let response = Response::builder()
                    .header(header::CONTENT_TYPE, self.content_type)
                    .header(header::CONTENT_LENGTH, self.answer.len());
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(self.answer)).unwrap())
            }
        }));
        let mut request = request(self.content_type, self.request.to_owned());
        request.headers_mut().insert("x-squall-request-id", HeaderValue::from_static("one"));
        match service.oneshot(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                assert_eq!(parts.headers[header::CONTENT_LENGTH], body.len().to_string());
                format!("{} {}", parts.status.as_u16(), String::from_utf8_lossy(&body))
            }
            Err(error) => format!("{:?}", error.downcast::<io::Error>().unwrap().kind()),
        }
    }

    fn sent(client: &Client) -> Option<String> {
        client.seen().pop().map(|body| String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn every_fault_reaches_the_client_as_its_row_says_or_not_at_all() {
    for case in CASES {
        let seam = case.client(&[]).layer.seam;
        let clean = ("none", Some(case.request), case.clean);
        assert_rows(&seam, clean, case.rows, async |fault| {
            let client = case.client(&[(fault, &[])]);
            let got = case.call(&client).await;
            let counts = counts(&client.shim);
            let counts = (counts.applied, counts.not_applicable);
            Met { sent: Case::sent(&client), got, counts }
        })
        .await;
    }
}

#[tokio::test]
async fn a_request_that_is_held_goes_on_as_it_is_when_its_session_stops() {
    for case in CASES {
        for (name, fault) in every_fault_that_holds(&case.client(&[]).layer.seam) {
            let client = case.client(&[(fault, &[])]);
            let mut called = pin!(case.call(&client));
            tokio::select! {
                _ = &mut called => panic!("{name} held nothing"),
                () = until(|| running(&client.shim) == 1) => client.shim.kill(),
            }
            assert_eq!(Case::sent(&client), None, "{name}");
            assert_eq!(called.await, case.clean, "{name}");
            assert_eq!(Case::sent(&client).as_deref(), Some(case.request), "{name}");
            client.assert_counts(1, 0);
        }
    }
}
