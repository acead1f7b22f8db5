//! What the client really receives, and what the service really sees, for every fault that the seam supports.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::{FOREVER_MS, counts, latency, local, malformed, planner, running, until};
use ::tower::{ServiceBuilder, ServiceExt as _, service_fn};
use http::{HeaderValue, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};
use squall_proto::vocabulary::fault::{
    ContextTruncation, Damage, ErrorCodes, Fault, LostPart, TruncationUnit,
};

mod crumbs;
mod every_fault;
mod stops;
mod wire;

type Text = Request<Full<Bytes>>;

/// A service that answers with what it was sent, under the content type that it was sent with.
struct Backend {
    seen: Mutex<Vec<(HeaderMap, Bytes)>>,
    /// If there is one, it answers once that is open.
    gate: Option<tokio::sync::Notify>,
}

impl Backend {
    async fn answer(&self, request: Text) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        self.seen.lock().unwrap().push((parts.headers.clone(), body.clone()));
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let mut response = Response::new(Full::new(body.clone()));
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            if let Some(value) = parts.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
        Ok(response)
    }
}

/// A client of the backend that meets `fault`.
struct Client {
    backend: Arc<Backend>,
    layer: ChaosLayer,
    shim: Shim,
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    fn with(faults: &[(Fault, &[&str])], p: f64, point: Point) -> Self {
        Self::over(local(faults, p), point)
    }

    fn over(shim: Shim, point: Point) -> Self {
        let tool = ToolName::new("search").unwrap();
        let layer = ChaosLayer::new(&shim, planner(), tool, point);
        Self { backend: Arc::new(Backend { seen: Mutex::default(), gate: None }), layer, shim }
    }

    fn of(fault: Fault) -> Self {
        Self::with(&[(fault, &[])], 1.0, Point::Tool)
    }

    async fn send(&self, request: Text) -> Result<Got, BoxError> {
        let backend = Arc::clone(&self.backend);
        let service = ServiceBuilder::new().layer(self.layer.clone()).service(service_fn(
            move |request: Text| {
                let backend = Arc::clone(&backend);
                async move { backend.answer(request).await }
            },
        ));
        let response = service.oneshot(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Got { status: parts.status, headers: parts.headers, body })
    }

    fn seen(&self) -> Vec<Bytes> {
        self.backend.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    #[track_caller]
    fn assert_counts(&self, applied: u64, not_applicable: u64) {
        let counts = counts(&self.shim);
        assert_eq!(
            (counts.applied, counts.not_applicable),
            (applied, not_applicable),
            "{counts:?}"
        );
    }
}

fn json_request(value: &Value) -> Text {
    request("application/json; charset=utf-8", value.to_string())
}

fn request(content_type: &str, body: String) -> Text {
    Request::post("http://search.internal/v1")
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, body.len())
        .body(Full::new(body.into()))
        .unwrap()
}

fn hello() -> Value {
    json!({ "query": "0123456789", "limit": 10, "tags": ["alpha", "beta"] })
}

fn truncated() -> Fault {
    let from = LostPart::End;
    let unit = TruncationUnit::Characters;
    Fault::ContextTruncation(ContextTruncation { fraction: 0.5, from, unit })
}

#[tokio::test]
async fn a_service_without_a_session_is_left_alone() {
    let client = Client::with(&[], 1.0, Point::Tool);
    let got = client.send(json_request(&hello())).await.unwrap();
    assert_eq!(got.body, hello().to_string());
    assert_eq!(client.seen(), [hello().to_string()]);
}

#[tokio::test]
async fn a_hold_that_is_over_lets_its_request_go_on() {
    let client = Client::of(latency(5));
    let got = client.send(json_request(&hello())).await.unwrap();
    assert_eq!((got.status, &got.body[..]), (StatusCode::OK, hello().to_string().as_bytes()));
    client.assert_counts(1, 0);
}

#[tokio::test]
async fn a_failing_backend_answers_with_its_status_and_json_and_is_never_asked() {
    let message = Some("upstream is down".to_owned());
    let client = Client::of(Fault::Error(ErrorCodes { codes: vec![503], message }));
    let got = client.send(json_request(&hello())).await.unwrap();
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    assert!(body.to_string().contains("upstream is down"), "{body}");
    assert_eq!(got.headers[header::CONTENT_LENGTH], got.body.len().to_string());
    assert!(got.headers[header::CONTENT_TYPE].to_str().unwrap().contains("json"));
    assert_eq!(client.seen(), Vec::<Bytes>::new());
    client.assert_counts(1, 0);
}

#[tokio::test]
async fn a_cut_request_reaches_the_service_with_a_true_length() {
    let client = Client::of(truncated());
    client.send(json_request(&hello())).await.unwrap();
    let (headers, body) = client.backend.seen.lock().unwrap()[0].clone();
    let seen: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(seen["query"], "01234");
    assert_eq!(seen["limit"], 10, "only text is cut");
    assert_eq!(headers[header::CONTENT_LENGTH], body.len().to_string());
    client.assert_counts(1, 0);
}

#[tokio::test]
async fn bodies_that_can_not_be_changed_whole_go_through_and_say_so() {
    let long = "x".repeat(usize::try_from(BODY_BYTES_MAX).unwrap() + 1);
    let mut encoded = json_request(&hello());
    encoded.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    for fault in [truncated(), malformed(Damage::Truncate)] {
        for sent in [
            request("text/plain", long.clone()),
            encoded.clone(),
            request("application/octet-stream", "bytes".into()),
            request("text/event-stream", "data: x\n\n".into()),
        ] {
            let client = Client::of(fault.clone());
            let body = sent.body().clone().collect().await.unwrap().to_bytes();
            let got = client.send(sent).await.unwrap();
            assert!(got.body == body);
            assert!(client.seen() == [body]);
            client.assert_counts(0, 1);
        }
    }
}

#[tokio::test]
async fn a_session_that_stops_lets_a_held_request_go_on() {
    let client = Client::of(latency(FOREVER_MS));
    let (got, ()) = tokio::join!(client.send(json_request(&hello())), async {
        until(|| running(&client.shim) == 1).await;
        assert_eq!(client.seen(), Vec::<Bytes>::new());
        client.shim.kill();
    });
    assert_eq!(got.unwrap().status, StatusCode::OK);
    client.assert_counts(1, 0);
}

#[tokio::test]
async fn a_session_that_stops_is_not_kept_waiting_by_a_slow_service() {
    let gate = Some(tokio::sync::Notify::new());
    let backend = Arc::new(Backend { seen: Mutex::default(), gate });
    let client = Client { backend, ..Client::of(malformed(Damage::Truncate)) };
    let (got, ()) = tokio::join!(client.send(json_request(&hello())), async {
        until(|| !client.seen().is_empty()).await;
        assert_eq!(running(&client.shim), 1);
        client.shim.kill();
        until(|| running(&client.shim) == 0).await;
        client.backend.gate.as_ref().unwrap().notify_one();
    });
    assert_eq!(got.unwrap().body, hello().to_string());
    client.assert_counts(0, 1);
}

#[tokio::test]
async fn an_idempotency_key_makes_a_choice_stick_to_all_attempts() {
    let fault = Fault::Error(ErrorCodes { codes: vec![500], message: None });
    let client = Client::with(&[(fault, &[])], 0.5, Point::Tool);
    for n in 0..40 {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let mut request = json_request(&hello());
            let key = HeaderValue::from_str(&format!("key-{n}")).unwrap();
            request.headers_mut().insert("idempotency-key", key);
            statuses.push(client.send(request).await.unwrap().status);
        }
        assert!(statuses.iter().all(|status| *status == statuses[0]), "{statuses:?}");
    }
    let counts = counts(&client.shim);
    assert!((8 * 3..=32 * 3).contains(&counts.applied), "{counts:?}");
}
