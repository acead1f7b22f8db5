//! A [`tower`](::tower) layer for HTTP-like services into which faults can be injected.
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
//! Bodies are changed only whole: one whose length isn't known beforehand, or is over [`BODY_BYTES_MAX`], stays as it is
//! and the fault counts as not applied. So does one that is encoded (`content-encoding`) or neither JSON nor text.
//! Streams are never gathered.
//!
//! **Who is calling.** Agent and tool are told by the host. The request id, the same over retries, is the header
//! `x-squall-request-id`, else `idempotency-key`; a request with neither is a logical request of its own: then nothing
//! sticks over retries. The trace is the one of the header `traceparent`.

mod content;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tower::{BoxError, Layer, Service};
use bytes::Bytes;
use futures::future::{BoxFuture, Either, FutureExt as _, Map};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::{AgentName, ToolName, TraceId};
use squall_proto::vocabulary::limits::FAULT_DURATION_MS_MAX;
use squall_proto::vocabulary::seam::{Capabilities, Seam};
use squall_shim_core::render::{self, Rendered};
use squall_shim_core::{
    Act, Call, Directive, Ended, FailureKind, NotApplied, RequestKey, Site, rewrite,
};
use tokio::time::sleep;

use crate::Shim;
use crate::hold::{LOOK_EVERY, hold, unharmed};
use crate::traceparent::trace_of;
pub use content::BODY_BYTES_MAX;

/// Where a request says which logical request it belongs to, best first.
const REQUEST_ID_HEADERS: [&str; 2] = ["x-squall-request-id", "idempotency-key"];

/// A response's body: as the service gave it, or in its place.
pub type Body<R> = http_body_util::Either<R, Full<Bytes>>;

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

fn untouched<R, E: Into<BoxError>>(response: Result<Response<R>, E>) -> Answer<R> {
    response.map(|response| response.map(Body::Left)).map_err(Into::into)
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

/// One request at its site.
struct Caller {
    shim: Shim,
    site: Arc<Site>,
    request: RequestKey,
    trace: Option<TraceId>,
}

/// What an act makes of a request.
enum Turn {
    Proceed,
    Answer(Rendered),
    Break,
    ChangeInput,
    ExpectOutput,
}

impl Caller {
    fn call(&self) -> Call<'_> {
        Call { request: self.request, trace: self.trace.as_ref() }
    }

    async fn send<S, B, R>(self, inner: S, request: Request<B>) -> Answer<R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: BodyExt + From<Bytes>,
        B::Error: Into<BoxError>,
        R: BodyExt<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let Some(mut directive) = self.shim.decide(&self.site, &self.call()).await else {
            return self.pass(inner, request, Ended::Failed).await;
        };
        let held = hold(&self.shim, &mut directive).await;
        // What is cut short does nothing but end.
        let turn = if held.complete { self.turn(&directive) } else { Ok(Turn::Proceed) };
        match turn {
            Err(why) => {
                directive.not_applied(&self.call(), why);
                self.pass(inner, request, Ended::Failed).await
            }
            Ok(Turn::Proceed) => {
                directive.applied(&self.call(), held.time);
                self.pass(inner, request, Ended::Failed).await
            }
            Ok(Turn::Answer(rendered)) => {
                let response = response(rendered)?;
                self.failed(directive, held.time);
                Ok(response.map(Body::Right))
            }
            Ok(Turn::Break) => {
                self.failed(directive, held.time);
                Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
            }
            Ok(Turn::ChangeInput) => {
                let (request, changed) = self.change_input(&directive, request).await?;
                match changed {
                    Ok(()) => directive.applied(&self.call(), held.time),
                    Err(why) => directive.not_applied(&self.call(), why),
                }
                let ended = if changed.is_ok() { Ended::FailedByInjection } else { Ended::Failed };
                self.pass(inner, request, ended).await
            }
            Ok(Turn::ExpectOutput) => self.expect(inner, request, directive).await,
        }
    }

    fn turn(&self, directive: &Directive) -> Result<Turn, NotApplied> {
        unharmed(|| {
            Ok(match directive.effect().act {
                Act::Proceed => Turn::Proceed,
                Act::Fail(failure) if failure.kind == FailureKind::Disconnect => Turn::Break,
                Act::Fail(failure) => {
                    let tool = self.site.tool().as_str();
                    Turn::Answer(render::failure(&failure, Shape::Json, tool, &[]))
                }
                Act::RewriteInput(_) => Turn::ChangeInput,
                Act::RewriteOutput(_) => Turn::ExpectOutput,
            })
        })
    }

    fn failed(&self, directive: Directive, held: Duration) {
        self.site.ended(&self.call(), Ended::FailedByInjection);
        directive.applied(&self.call(), held);
    }

    /// Makes the call as it is; `failed` is what a failure of it means.
    async fn pass<S, B, R>(&self, mut inner: S, request: Request<B>, failed: Ended) -> Answer<R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
    {
        let response = inner.call(request).await;
        self.observe(&response, failed);
        untouched(response)
    }

    fn observe<R, E>(&self, response: &Result<Response<R>, E>, failed: Ended) {
        let fine = response.as_ref().is_ok_and(|response| response.status().as_u16() < 400);
        self.site.ended(&self.call(), if fine { Ended::Ok } else { failed });
    }

    async fn change_input<B>(
        &self,
        directive: &Directive,
        request: Request<B>,
    ) -> Result<(Request<B>, Result<(), NotApplied>), BoxError>
    where
        B: BodyExt + From<Bytes>,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        let shape = match content::shape(&parts.headers, &body) {
            Ok(shape) => shape,
            Err(why) => return Ok((Request::from_parts(parts, body), Err(why))),
        };
        let whole = body.collect().await.map_err(Into::into)?.to_bytes();
        let changed = unharmed(|| match directive.effect().act {
            Act::RewriteInput(cut) => rewrite::input(&cut, self.point(), shape, &whole),
            Act::Proceed | Act::Fail(_) | Act::RewriteOutput(_) => Err(NotApplied::Adapter),
        });
        let changed = changed.map(Bytes::from);
        let outcome = changed.as_ref().map(|_| ()).map_err(|why| *why);
        let body = changed.unwrap_or(whole);
        content::fit(&mut parts.headers, body.len());
        Ok((Request::from_parts(parts, B::from(body)), outcome))
    }

    /// Makes the call and changes its answer; a session that stops meanwhile is not kept waiting for it.
    async fn expect<S, B, R>(
        &self,
        mut inner: S,
        request: Request<B>,
        directive: Directive,
    ) -> Answer<R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        R: BodyExt<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let mut directive = Some(directive);
        let mut answer = std::pin::pin!(inner.call(request));
        let response: Result<_, BoxError> = loop {
            tokio::select! {
                biased;
                response = &mut answer => break response.map_err(Into::into),
                () = sleep(LOOK_EVERY), if directive.is_some() => {
                    let stopped = directive.take_if(|directive| !directive.is_live());
                    self.not_applied(stopped, NotApplied::Dropped);
                }
            }
        };
        self.observe(&response, Ended::Failed);
        let stopped = directive.take_if(|directive| !directive.is_live());
        self.not_applied(stopped, NotApplied::Dropped);
        match (response, directive) {
            (Ok(response), Some(directive)) => self.change_output(directive, response).await,
            (response, directive) => {
                self.not_applied(directive, NotApplied::CallFailed);
                untouched(response)
            }
        }
    }

    async fn change_output<R>(&self, directive: Directive, response: Response<R>) -> Answer<R>
    where
        R: BodyExt<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let (mut parts, body) = response.into_parts();
        let shape = match content::shape(&parts.headers, &body) {
            Ok(shape) => shape,
            Err(why) => {
                directive.not_applied(&self.call(), why);
                return Ok(Response::from_parts(parts, Body::Left(body)));
            }
        };
        let whole = match body.collect().await {
            Ok(whole) => whole.to_bytes(),
            Err(error) => {
                directive.not_applied(&self.call(), NotApplied::CallFailed);
                return Err(error.into());
            }
        };
        let changed = unharmed(|| match directive.effect().act {
            Act::RewriteOutput(how) => rewrite::output(&how, self.point(), shape, &whole),
            Act::Proceed | Act::Fail(_) | Act::RewriteInput(_) => Err(NotApplied::Adapter),
        });
        let body = match changed {
            Ok(changed) => {
                directive.applied(&self.call(), Duration::ZERO);
                changed.into()
            }
            Err(why) => {
                directive.not_applied(&self.call(), why);
                whole
            }
        };
        content::fit(&mut parts.headers, body.len());
        Ok(Response::from_parts(parts, Body::Right(Full::new(body))))
    }

    fn not_applied(&self, directive: Option<Directive>, why: NotApplied) {
        if let Some(directive) = directive {
            directive.not_applied(&self.call(), why);
        }
    }

    fn point(&self) -> Point {
        self.site.seam().point
    }
}

fn response(rendered: Rendered) -> Result<Response<Full<Bytes>>, http::Error> {
    let Rendered { status, headers, content_type, body } = rendered;
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
        .header(header::CONTENT_LENGTH, body.len());
    for (name, value) in headers {
        response = response.header(HeaderName::from_static(name), value);
    }
    response.body(Full::new(body.into()))
}

#[cfg(test)]
mod tests;
