//! A [`tower`] layer for HTTP-like services into which faults can be injected.
//!
//! [`ChaosLayer`] wraps a client's service that takes an [`http::Request`] and gives an [`http::Response`]. While no
//! session concerns its tool, a request costs one load and goes on unread.
//!
//! | What happens to a request | How it is done here |
//! |---|---|
//! | it is held | in the host's runtime, before the service sees it |
//! | it fails | with the status, headers and JSON body of the failure; the service never sees it |
//! | the connection breaks | [`std::io::ErrorKind::ConnectionReset`]; the service never sees it |
//! | its input is changed | the body is cut; `content-length` is made to fit |
//! | its output is changed | the response's body is damaged; `content-length` is made to fit |
//!
//! Bodies are changed only whole: one whose length isn't known beforehand, that is over [`BODY_BYTES_MAX`], or that comes in
//! thousands of pieces stays as it is, and the fault counts as not applied. So does one that is encoded
//! (`content-encoding`) or neither JSON nor text. Streams are never gathered.
//!
//! Where a session stops while a body is gathered, an answer goes on as far as it came, and the rest as it comes; a request
//! goes on unchanged once it is whole. A changed request counts once it was handed to the service, unless that answers with
//! an error of its own: then it may not have got there.
//!
//! # A whole client
//!
//! Any client that is a [`tower::Service`] of [`http::Request`] is wrapped as it is: here the one of
//! `hyper-util`. A failure needs no server, as the request never gets there.
//!
//! ```
//! use ::tower::{BoxError, Layer as _, ServiceExt as _};
//! use bytes::Bytes;
//! use http::{Request, StatusCode};
//! use http_body_util::{BodyExt as _, Full};
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use squall_shim::Shim;
//! use squall_shim::tower::ChaosLayer;
//! use squall_shim::vocabulary::call::Point;
//! use squall_shim::vocabulary::id::{AgentName, ToolName};
//! # use squall_shim::vocabulary::{fault, id::ExperimentName, session::Experiment, target};
//! # let outage = Experiment {
//! #     name: ExperimentName::new("outage")?,
//! #     fault: fault::Fault::Error(fault::ErrorCodes { codes: vec![503], message: None }),
//! #     probability: target::Probability::ONE,
//! #     selector: target::Selector::default(),
//! # };
//! # let shim_from_env = || Shim::local(vec![outage], 1, 42);
//! # tokio::runtime::Runtime::new()?.block_on(async {
//!
//! // `Shim::from_env()` in an agent.
//! let shim = shim_from_env()?;
//! let chaos = ChaosLayer::new(&shim, AgentName::new("planner")?, ToolName::new("search")?, Point::Tool);
//!
//! // `identified`: each request below has an id, the same when it is tried again.
//! let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! let client = chaos.identified().layer(client);
//!
//! let request = Request::post("http://127.0.0.1:8080/search")
//!     .header("x-squall-request-id", "task-7-search")
//!     .header("content-type", "application/json")
//!     .body(Full::from(r#"{"query": "ships"}"#))?;
//! let response = client.clone().oneshot(request).await?;
//! let status = response.status();
//! let body = response.into_body().collect().await?.to_bytes();
//! assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body:?}");
//! # Ok::<(), BoxError>(())
//! # })?;
//! # Ok::<(), BoxError>(())
//! ```
//!
//! `examples/agent.rs` is a whole agent around such a client.
//!
//! **With reqwest** it takes one function, as its client is a service of requests of its own; its body is one that this
//! layer can change:
//!
//! ```text
//! let client = tower::service_fn(move |request: http::Request<reqwest::Body>| {
//!     let client = client.clone();
//!     async move {
//!         let response = client.execute(request.try_into()?).await?;
//!         Ok::<_, reqwest::Error>(http::Response::<reqwest::Body>::from(response))
//!     }
//! });
//! let client = chaos.layer(client);
//! ```
//!
//! **Who is calling.** Agent and tool are told by the host. The request id, the same over retries, is the header
//! `x-squall-request-id`, else `idempotency-key`; a request with neither is a logical request of its own: then nothing
//! sticks over retries. The trace is the one of the header `traceparent`.

mod caller;
mod content;
mod gathered;

use std::sync::Arc;
use std::task::{Context, Poll};

use ::tower::{BoxError, Layer, Service};
use bytes::Bytes;
use futures::future::{BoxFuture, Either, FutureExt as _, Map};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, ToolName};
use squall_proto::vocabulary::limits::FAULT_DURATION_MS_MAX;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim_core::{RequestKey, Site};

use crate::Shim;
use crate::traceparent::trace_of;
use caller::{Caller, untouched};
pub use content::BODY_BYTES_MAX;
pub use gathered::Gathered;

/// Where a request says which logical request it belongs to, best first.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-squall-request-id", "idempotency-key"];

/// A response's body: as the service gave it, or in its place.
pub type Body<R> = http_body_util::Either<R, Gathered<R>>;

/// Wraps services of one agent and one tool. See the [module](self).
#[derive(Clone, Debug)]
pub struct ChaosLayer {
    shim: Shim,
    agent: AgentName,
    tool: ToolName,
    seam: Seam,
}

impl ChaosLayer {
    /// For `agent` calling `tool`; `point` says what that is: a tool, a model, or a peer agent.
    #[must_use]
    pub fn new(shim: &Shim, agent: AgentName, tool: ToolName, point: Point) -> Self {
        let capabilities = Capabilities {
            block: true,
            rewrite_in: true,
            rewrite_out: true,
            disconnect: true,
            structural: true,
            max_delay_ms: FAULT_DURATION_MS_MAX,
            knows_trace: false,
            stable_request_id: false,
        };
        let seam = Seam { name: "tower".to_owned(), point, shape: Shape::Json, capabilities };
        Self { shim: shim.clone(), agent, tool, seam }
    }

    /// The host's word that each request carries `traceparent`, so that sessions may rely on it.
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.seam.capabilities.knows_trace = true;
        self
    }

    /// The host's word that each request carries an id that is the same over its retries.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.seam.capabilities.stable_request_id = true;
        self
    }
}

impl<S> Layer<S> for ChaosLayer {
    type Service = ChaosService<S>;

    fn layer(&self, inner: S) -> ChaosService<S> {
        let site = self.shim.site(&self.agent, &self.tool, &self.seam);
        ChaosService { inner, shim: self.shim.clone(), site }
    }
}

/// A service into which faults can be injected. See the [module](self).
#[derive(Clone, Debug)]
pub struct ChaosService<S> {
    inner: S,
    shim: Shim,
    site: Arc<Site>,
}

/// What a [`ChaosService`] resolves to.
type Answer<R> = Result<Response<Body<R>>, BoxError>;
/// A call that nothing is done to.
type Untouched<F, R, E> = Map<F, fn(Result<Response<R>, E>) -> Answer<R>>;

impl<S, B, R> Service<Request<B>> for ChaosService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: BodyExt + From<Bytes> + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError> + Send,
    R: BodyExt<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError> + Send,
{
    type Response = Response<Body<R>>;
    type Error = BoxError;
    type Future = Either<Untouched<S::Future, R, S::Error>, BoxFuture<'static, Answer<R>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.site.is_armed() {
            return Either::Left(self.inner.call(request).map(untouched));
        }
        // The service that was ready makes the call; the clone gets ready anew.
        let unready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, unready);
        let caller = self.caller(request.headers());
        Either::Right(caller.send(inner, request).boxed())
    }
}

impl<S> ChaosService<S> {
    fn caller(&self, headers: &HeaderMap) -> Caller {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let request = REQUEST_ID_HEADERS.iter().find_map(|name| text(name));
        let fresh = || self.shim.registry().fresh_request();
        Caller {
            shim: self.shim.clone(),
            site: Arc::clone(&self.site),
            request: request.map_or_else(fresh, RequestKey::of),
            trace: text("traceparent").and_then(trace_of),
        }
    }
}

#[cfg(test)]
mod tests;
