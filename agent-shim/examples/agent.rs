//! An agent to try Squall on: it asks its two tools again and again, and says what it feels of the faults.
//!
//! README's first session runs it; without `SQUALL_ENABLED=true` it feels nothing. Its tools answer in this process, at
//! once and with what they were asked, so that whatever else comes back was injected. Where they are, another agent has
//! an HTTP client: see `squall_shim::tower`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use squall_shim::Shim;
use squall_shim::tower::{Body, ChaosLayer};
use squall_shim::vocabulary::call::Point;
use squall_shim::vocabulary::id::{AgentName, ToolName};
use tokio::time::sleep;
use tower::util::BoxCloneService;
use tower::{BoxError, Layer, ServiceExt, service_fn};

const AGENT: &str = "planner";
const TOOLS: [&str; 2] = ["search", "calendar"];
const PAUSE: Duration = Duration::from_millis(250);
/// The agent tries a call that fails this often, and then does without.
const TRIES: u32 = 3;
/// Nothing here takes this long by itself.
const SLOW: Duration = Duration::from_millis(100);

type Client = BoxCloneService<Request<Full<Bytes>>, Response<Body<Full<Bytes>>>, BoxError>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // An agent works without chaos, too.
    let shim = Shim::from_env().unwrap_or_else(|error| {
        eprintln!("chaos is off: {error}");
        Shim::off()
    });
    let chaos = if shim.status().enabled { "on" } else { "off (SQUALL_ENABLED=true opts in)" };
    println!("{AGENT} is at work; chaos is {chaos}");
    let ended = tokio::select! {
        ended = work(&shim) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(BoxError::from),
    };
    // Gives permits back now; otherwise the session has to wait for them.
    shim.shut_down();
    ended
}

/// One task after the other, each a trace of its own: ask all tools, and answer.
async fn work(shim: &Shim) -> Result<(), BoxError> {
    let agent = AgentName::new(AGENT)?;
    let mut tools = Vec::new();
    for tool in TOOLS {
        let chaos = ChaosLayer::new(shim, agent.clone(), ToolName::new(tool)?, Point::Tool);
        // The host's word on what `ask` does: each request has its trace, and an id that is the same when it is tried again.
        let client = chaos.traced().identified().layer(service_fn(echo));
        tools.push((tool, BoxCloneService::new(client)));
    }
    for task in 1_u64.. {
        for (tool, client) in &tools {
            with_retries(client, tool, task).await?;
        }
        let draft = format!("Task {task} is done, and all of its tools were asked.");
        let answer = shim.answer(&agent, draft.clone()).await;
        if answer != draft {
            println!("task {task}: answered {answer:?}");
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// A tool call as an agent makes it. A line for each try that was not as usual.
async fn with_retries(client: &Client, tool: &str, task: u64) -> Result<(), BoxError> {
    for attempt in 1..=TRIES {
        let start = Instant::now();
        let felt = ask(client, tool, task).await?;
        let took = start.elapsed();
        let line = match &felt {
            Ok(()) if took < SLOW => return Ok(()),
            Ok(()) => "the answer came late".to_owned(),
            Err(problem) => format!("{problem}, at try {attempt} of {TRIES}"),
        };
        println!("task {task}: {tool}: {line}, after {} ms", took.as_millis());
        if felt.is_ok() {
            return Ok(());
        }
    }
    println!("task {task}: {tool}: given up");
    Ok(())
}

/// Asks once. `Err` inside says what the agent doesn't like about the answer.
async fn ask(client: &Client, tool: &str, task: u64) -> Result<Result<(), String>, BoxError> {
    let question = format!(r#"{{"question": "What does {tool} know that task {task} needs?"}}"#);
    let trace = (u128::from(std::process::id()) << 64) | u128::from(task);
    let request = Request::post("http://tools.invalid/")
        .header("x-squall-request-id", format!("{trace:032x}-{tool}"))
        .header("traceparent", format!("00-{trace:032x}-{task:016x}-01"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(question.clone()))?;
    let response = match client.clone().oneshot(request).await {
        Ok(response) => response,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    Ok(match answer {
        _ if !status.is_success() => Err(status.to_string()),
        answer if answer != question => Err(format!("answered {answer:?}")),
        _ => Ok(()),
    })
}

/// What both tools do: answer with the question.
async fn echo(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    response.headers_mut().extend(parts.headers);
    Ok(response)
}
