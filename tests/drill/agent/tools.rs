//! The agent's tools: each answers with what it was asked, at once, so that whatever else comes back was injected.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use squall_drill_checker::files::Felt;
use squall_shim::Shim;
use squall_shim::tower::{Body, ChaosLayer};
use squall_shim::vocabulary::call::Point;
use squall_shim::vocabulary::id::{AgentName, ToolName};
use tokio::runtime::Runtime;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use crate::assignment::Assignment;

type Client = BoxCloneService<Request<Full<Bytes>>, Response<Body<Full<Bytes>>>, BoxError>;
/// What the tool received last; nothing while it wasn't called.
type Received = Arc<Mutex<Option<Bytes>>>;

/// What errors of a session begin with; the session's name follows.
const MARK: &str = "drill ";

/// All tools of one life, on a runtime of its own: one that a forked child shares with its parent is of no use to it.
pub(crate) struct Tools {
    runtime: Runtime,
    tools: Vec<(String, Client)>,
    received: Received,
    agent: String,
}

impl Tools {
    pub(crate) fn of(assignment: &Assignment, shim: &Shim) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (agent, received) = (AgentName::new(&assignment.agent)?, Received::default());
        let mut tools = Vec::new();
        for name in &assignment.tools {
            let tool = ToolName::new(name)?;
            let chaos = ChaosLayer::new(shim, agent.clone(), tool, Point::Tool);
            let noted = Arc::clone(&received);
            let echo = service_fn(move |request| echo(Arc::clone(&noted), request));
            let client = chaos.traced().identified().layer(echo);
            tools.push((name.clone(), BoxCloneService::new(client)));
        }
        Ok(Self { runtime, tools, received, agent: assignment.agent.clone() })
    }

    /// The tool of the n-th call.
    pub(crate) fn name(&self, n: u64) -> &str {
        &self.tools[self.place(n)].0
    }

    fn place(&self, n: u64) -> usize {
        usize::try_from(n).unwrap_or_default() % self.tools.len()
    }

    /// Makes the n-th call.
    pub(crate) fn call(&self, n: u64, trace: &str) -> Felt {
        let client = self.tools[self.place(n)].1.clone();
        *self.received.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let body = Bytes::from(format!(
            r#"{{"agent": "{}", "question": "What does call {n} of trace {trace} find?"}}"#,
            self.agent
        ));
        let request = Request::post("http://tools.invalid/")
            .header("x-squall-request-id", format!("{trace}-{n}"))
            .header("traceparent", format!("00-{trace}-{n:016x}-01"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.clone()));
        let answer = match request {
            Ok(request) => self.runtime.block_on(answered(client, request)),
            Err(error) => return Felt::Strange(error.to_string()),
        };
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        felt(&body, received.as_ref(), answer)
    }
}

async fn answered(
    client: Client,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), BoxError> {
    let response = client.oneshot(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// Tells what happened from what was sent, what the tool received, and what came back.
fn felt(
    sent: &Bytes,
    received: Option<&Bytes>,
    answer: Result<(StatusCode, Bytes), BoxError>,
) -> Felt {
    match (received, answer) {
        (Some(received), Ok((StatusCode::OK, answer))) => {
            if received != sent {
                Felt::InputChanged
            } else if answer != received {
                Felt::OutputChanged
            } else {
                Felt::Nothing
            }
        }
        (None, Ok((status, answer))) => match mark(&answer) {
            Some(session) => Felt::Marked(session),
            None if status == StatusCode::GATEWAY_TIMEOUT => Felt::TimedOut,
            None => Felt::Strange(format!("{status} {answer:?}, and the tool was not called")),
        },
        (None, Err(error)) if is_reset(&error) => Felt::Broken,
        (received, answer) => Felt::Strange(format!("{answer:?}, the tool received {received:?}")),
    }
}

fn mark(answer: &Bytes) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    Some(answer["error"]["message"].as_str()?.strip_prefix(MARK)?.to_owned())
}

fn is_reset(error: &BoxError) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

async fn echo(
    received: Received,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    *received.lock().unwrap_or_else(PoisonError::into_inner) = Some(body.clone());
    let mut response = Response::new(Full::from(body));
    response.headers_mut().extend(parts.headers);
    Ok(response)
}
