//! The way of one request past its site: held, answered in the service's place, or sent on, changed or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::tower::{BoxError, Service};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::TraceId;
use squall_shim_core::render::{self, Rendered};
use squall_shim_core::{
    Act, Call, Directive, Ended, FailureKind, NotApplied, RequestKey, Site, rewrite,
};
use tokio::time::sleep;

use super::{Answer, Body, content};
use crate::Shim;
use crate::hold::{LOOK_EVERY, hold, unharmed};

/// One request at its site.
pub(super) struct Caller {
    pub(super) shim: Shim,
    pub(super) site: Arc<Site>,
    pub(super) request: RequestKey,
    pub(super) trace: Option<TraceId>,
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

    pub(super) async fn send<S, B, R>(self, inner: S, request: Request<B>) -> Answer<R>
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

/// The answer to a call that nothing is done to.
pub(super) fn untouched<R, E: Into<BoxError>>(response: Result<Response<R>, E>) -> Answer<R> {
    response.map(|response| response.map(Body::Left)).map_err(Into::into)
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
