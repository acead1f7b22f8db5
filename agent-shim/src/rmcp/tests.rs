//! What the client really receives, and what the server really sees, for every fault that the seam supports. A real rmcp
//! client and a real rmcp server talk over a duplex pipe.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::{
    FOREVER_MS, counts, latency, local, malformed, planner, running, unavailable, until,
};
use ::rmcp::handler::server::wrapper::Parameters;
use ::rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, ContentBlock,
    RequestMetaObject,
};
use ::rmcp::service::{PeerRequestOptions, RunningService, ServiceError};
use ::rmcp::transport::async_rw::AsyncRwTransport;
use ::rmcp::{RoleClient, ServiceExt, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use squall_proto::vocabulary::fault::{
    Behavior, ContextTruncation, Damage, Delay, ErrorCodes, Fault, LostPart, TruncationUnit,
    Unavailability, UncooperativeAgent,
};

mod every_fault;
mod stops;
mod wire;

/// What the server saw: the tool and its arguments, in order.
type Seen = Arc<Mutex<Vec<(&'static str, Value)>>>;

#[derive(Clone, Debug)]
struct Server {
    seen: Seen,
    /// `slow` answers once it is open.
    gate: Arc<tokio::sync::Notify>,
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Text {
    text: String,
}

#[tool_router]
impl Server {
    #[tool(description = "Says the same.")]
    fn echo(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        self.saw("echo", &text);
        text
    }

    #[tool(description = "Says the same once it may.")]
    async fn slow(&self, Parameters(Text { text }): Parameters<Text>) -> String {
        self.saw("slow", &text);
        self.gate.notified().await;
        text
    }

    #[tool(description = "Measures a text.")]
    fn measure(&self, Parameters(Text { text }): Parameters<Text>) -> CallToolResult {
        self.saw("measure", &text);
        CallToolResult::structured(
            json!({ "words": ["one", "two"], "length": text.len(), "text": text }),
        )
    }

    #[tool(description = "Fails.")]
    fn fail(&self, Parameters(Text { text }): Parameters<Text>) -> CallToolResult {
        self.saw("fail", &text);
        CallToolResult::error(vec![ContentBlock::text("no such revision")])
    }
}

#[tool_handler]
impl ::rmcp::ServerHandler for Server {}

impl Server {
    fn saw(&self, tool: &'static str, text: &str) {
        self.seen.lock().unwrap().push((tool, text.into()));
    }
}

/// A client whose transport injects `fault`.
struct Pair {
    client: RunningService<RoleClient, ()>,
    seen: Seen,
    gate: Arc<tokio::sync::Notify>,
    server: tokio::task::JoinHandle<()>,
    shim: Shim,
}

impl Pair {
    async fn with(counterpart: Counterpart, faults: &[(Fault, &[&str])], p: f64) -> Self {
        Self::over(local(faults, p), counterpart).await
    }

    async fn over(shim: Shim, counterpart: Counterpart) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let seen = Seen::default();
        let gate = Arc::new(tokio::sync::Notify::new());
        let server = Server { seen: Arc::clone(&seen), gate: Arc::clone(&gate) };
        let server = tokio::spawn(async move {
            let running = server.serve(far).await.unwrap();
            running.waiting().await.ok();
        });
        let (read, write) = tokio::io::split(near);
        let inner = AsyncRwTransport::new_client(read, write);
        let transport = ChaosTransport::new(inner, &shim, planner(), counterpart);
        let client = ().serve(transport).await.unwrap();
        Self { client, seen, gate, server, shim }
    }

    async fn tools(fault: Fault) -> Self {
        Self::with(Counterpart::Tools, &[(fault, &[])], 1.0).await
    }

    async fn call(&self, tool: &'static str, text: &str) -> Result<CallToolResult, ServiceError> {
        let arguments = json!({ "text": text }).as_object().cloned();
        let mut params = CallToolRequestParams::new(tool);
        params.arguments = arguments;
        self.client.call_tool(params).await
    }

    fn seen(&self) -> Vec<(&'static str, Value)> {
        self.seen.lock().unwrap().clone()
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

fn text(result: &CallToolResult) -> &str {
    &result.content.first().expect("no content").as_text().expect("no text").text
}

fn uncooperative(behavior: Behavior) -> Fault {
    Fault::UncooperativeAgent(UncooperativeAgent {
        behaviors: vec![behavior],
        texts: vec!["I would rather not.".into()],
        keep: 0.5,
        delay: Delay::Fixed { ms: 5 },
    })
}

#[tokio::test]
async fn a_transport_without_a_session_changes_nothing() {
    let pair = Pair::with(Counterpart::Tools, &[], 1.0).await;
    assert_eq!(pair.client.list_all_tools().await.unwrap().len(), 4);
    assert_eq!(text(&pair.call("echo", "hello").await.unwrap()), "hello");
    let measured = pair.call("measure", "hello").await.unwrap();
    assert_eq!(measured.structured_content.unwrap()["length"], 5);
    assert_eq!(pair.seen(), [("echo", json!("hello")), ("measure", json!("hello"))]);
}

#[tokio::test]
async fn a_listed_tool_is_known_before_it_is_called() {
    let pair = Pair::with(Counterpart::Tools, &[], 1.0).await;
    pair.client.list_all_tools().await.unwrap();
    let announced = pair.shim.registry().announced();
    let tools: HashSet<_> = announced.tools.iter().map(|tool| tool.as_str()).collect();
    assert_eq!(tools, HashSet::from(["echo", "slow", "measure", "fail"]));
    assert_eq!(announced.seams[0].name, "rmcp");
}

#[tokio::test]
async fn a_held_call_is_answered_once_it_may_go_on_and_other_calls_overtake_it() {
    let pair = Pair::with(Counterpart::Tools, &[(latency(FOREVER_MS), &["echo"])], 1.0).await;
    let (held, ()) = tokio::join!(pair.call("echo", "held"), async {
        until(|| running(&pair.shim) == 1).await;
        assert_eq!(pair.call("measure", "other").await.unwrap().is_error, Some(false));
        assert_eq!(pair.seen(), [("measure", json!("other"))]);
        pair.shim.kill();
    });
    assert_eq!(text(&held.unwrap()), "held");
    assert_eq!(pair.seen(), [("measure", json!("other")), ("echo", json!("held"))]);
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn a_hold_that_is_over_lets_its_call_go_on() {
    let pair = Pair::tools(latency(5)).await;
    assert_eq!(text(&pair.call("echo", "held").await.unwrap()), "held");
    assert_eq!(pair.seen(), [("echo", json!("held"))]);
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn a_failing_backend_is_answered_for_and_never_asked() {
    let message = Some("upstream is down".to_owned());
    let pair = Pair::tools(Fault::Error(ErrorCodes { codes: vec![503], message })).await;
    let answer = pair.call("echo", "hello").await;
    assert!(said(&answer).contains("upstream is down"), "{answer:?}");
    assert!(is_error(&answer), "{answer:?}");
    assert_eq!(pair.seen(), []);
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn a_connection_that_breaks_takes_the_client_down_as_a_real_one_would() {
    let pair = Pair::tools(unavailable(Unavailability::Disconnect, 1)).await;
    let answer = pair.call("echo", "hello").await;
    assert!(matches!(answer, Err(ServiceError::TransportClosed)), "{answer:?}");
    assert_eq!(pair.seen(), []);
    pair.assert_counts(1, 0);
    assert!(pair.call("echo", "again").await.is_err());
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn an_input_with_nothing_to_cut_goes_out_as_it_is_and_is_not_counted() {
    let fault =
        ContextTruncation { fraction: 0.5, from: LostPart::End, unit: TruncationUnit::Characters };
    let pair = Pair::tools(Fault::ContextTruncation(fault)).await;
    assert_eq!(text(&pair.call("echo", "").await.unwrap()), "");
    pair.assert_counts(0, 1);
}

#[tokio::test]
async fn a_call_that_fails_by_itself_is_not_damaged_further() {
    let pair = Pair::tools(malformed(Damage::Truncate)).await;
    let answer = pair.call("nonexistent", "x").await;
    assert!(matches!(answer, Err(ServiceError::McpError(_))), "{answer:?}");
    pair.assert_counts(0, 1);
}

#[tokio::test]
async fn faults_of_tools_leave_a_peer_alone_and_those_of_peers_leave_tools_alone() {
    let peer = Pair::with(Counterpart::Agent, &[(latency(FOREVER_MS), &[])], 1.0).await;
    let tools = Pair::tools(uncooperative(Behavior::Refuse)).await;
    for pair in [peer, tools] {
        assert_eq!(text(&pair.call("echo", "hello").await.unwrap()), "hello");
        pair.assert_counts(0, 0);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_while_it_is_held_never_reaches_the_server() {
    let pair = Pair::with(Counterpart::Tools, &[(latency(FOREVER_MS), &["echo"])], 1.0).await;
    let mut params = CallToolRequestParams::new("echo");
    params.arguments = json!({ "text": "late" }).as_object().cloned();
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let options = PeerRequestOptions::no_options();
    let sent = pair.client.send_request_with_option(request, options).await.unwrap();
    until(|| running(&pair.shim) == 1).await;
    sent.cancel(Some("changed my mind".into())).await.unwrap();
    until(|| running(&pair.shim) == 0).await;
    assert!(pair.call("measure", "after").await.is_ok());
    assert_eq!(pair.seen(), [("measure", json!("after"))]);
    // The agent waited for nothing: that is what the fault did to it.
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn a_timeout_that_is_cut_short_by_a_stop_does_not_fail_the_call() {
    let pair = Pair::tools(unavailable(Unavailability::Timeout, FOREVER_MS)).await;
    let (answer, ()) = tokio::join!(pair.call("echo", "held"), async {
        until(|| running(&pair.shim) == 1).await;
        pair.shim.kill();
    });
    assert_eq!(text(&answer.unwrap()), "held");
    pair.assert_counts(1, 0);
}

#[tokio::test]
async fn no_answer_is_changed_after_the_session_stopped_and_a_slow_server_keeps_no_stop_waiting() {
    let pair = Pair::tools(malformed(Damage::Truncate)).await;
    let (answer, ()) = tokio::join!(pair.call("slow", "a long answer"), async {
        until(|| !pair.seen().is_empty()).await;
        assert_eq!(running(&pair.shim), 1);
        pair.shim.kill();
        until(|| running(&pair.shim) == 0).await;
        pair.gate.notify_one();
    });
    assert_eq!(text(&answer.unwrap()), "a long answer");
    pair.assert_counts(0, 1);
}

#[tokio::test]
async fn a_server_that_goes_away_by_itself_is_not_counted() {
    let pair = Pair::tools(malformed(Damage::Truncate)).await;
    let (answer, ()) = tokio::join!(pair.call("slow", "x"), async {
        until(|| !pair.seen().is_empty()).await;
        pair.server.abort();
    });
    assert!(answer.is_err(), "{answer:?}");
    until(|| running(&pair.shim) == 0).await;
    pair.assert_counts(0, 1);
}

#[tokio::test]
async fn answers_keep_the_ids_of_their_calls_under_every_fault_at_once() {
    let faults: &[(Fault, &[&str])] = &[
        (latency(5), &["echo"]),
        (Fault::Error(ErrorCodes { codes: vec![500], message: None }), &["echo"]),
        (malformed(Damage::Encoding), &["echo"]),
    ];
    let pair = Pair::with(Counterpart::Tools, faults, 0.3).await;
    let calls = (0..200).map(|n| {
        let pair = &pair;
        async move {
            let sent = format!("call number {n} ä");
            match pair.call("echo", &sent).await {
                Ok(answer) if answer.is_error == Some(true) => None,
                Ok(answer) => Some(text(&answer).contains(&format!("number {n} "))),
                Err(_) => None,
            }
        }
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().flatten().all(|own| *own), "an answer belongs to another call");
    let counts = counts(&pair.shim);
    assert_eq!(counts.chosen, counts.applied + counts.not_applicable);
    assert_eq!(counts.not_applicable, 0);
    assert!(counts.applied > 60, "{counts:?}");
}

#[tokio::test]
async fn all_attempts_of_one_logical_request_meet_the_same_choice() {
    let fault = Fault::Error(ErrorCodes { codes: vec![500], message: None });
    let pair = Pair::with(Counterpart::Tools, &[(fault, &[])], 0.5).await;
    let mut hit = 0;
    for n in 0..40 {
        let mut attempts = Vec::new();
        for _ in 0..3 {
            let mut meta = RequestMetaObject::new();
            meta.0.0.insert("squall/requestId".into(), json!(format!("request-{n}")));
            let mut params = CallToolRequestParams::new("echo");
            params.meta = Some(meta);
            params.arguments = json!({ "text": "x" }).as_object().cloned();
            attempts.push(is_error(&pair.client.call_tool(params).await));
        }
        assert!(attempts.iter().all(|failed| *failed == attempts[0]), "{attempts:?}");
        hit += u32::from(attempts[0]);
    }
    assert!((8..=32).contains(&hit), "{hit} of 40");
}

fn is_error(answer: &Result<CallToolResult, ServiceError>) -> bool {
    match answer {
        Ok(result) => result.is_error == Some(true),
        Err(error) => matches!(error, ServiceError::McpError(_)),
    }
}

fn said(answer: &Result<CallToolResult, ServiceError>) -> String {
    match answer {
        Ok(result) => text(result).to_owned(),
        Err(error) => error.to_string(),
    }
}
