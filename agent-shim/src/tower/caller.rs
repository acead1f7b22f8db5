//! The way of one request past its site: held, answered in the service's place, or sent on, changed or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::tower::{BoxError, Service};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use squall_proto::vocabulary::call::{Point, Shape};
use squall_proto::vocabulary::id::TraceId;
use squall_shim_core::render::{self, Rendered};
use squall_shim_core::{
    Act, Call, Directive, Ended, FailureKind, NotApplied, RequestKey, Site, rewrite,
};
use tokio::time::sleep;

use super::{Answer, Body, Gathered, content};
use crate::Shim;
use crate::hold::LOOK_EVERY;

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
        let held = self.shim.delay(&mut directive).await;
        let turn = self.turn(&directive);
        match turn {
            Err(why) => {
                directive.missed(&self.call(), why, held);
                self.pass(inner, request, Ended::Failed).await
            }
            Ok(Turn::Proceed) => {
                directive.applied(&self.call(), held);
                self.pass(inner, request, Ended::Failed).await
            }
            Ok(Turn::Answer(rendered)) => {
                let response = response(rendered)?;
                self.failed(directive, held);
                Ok(response.map(|body| Body::Right(Gathered::of(body))))
            }
            Ok(Turn::Break) => {
                self.failed(directive, held);
                Err(io::Error::from(io::ErrorKind::ConnectionReset).into())
            }
            Ok(Turn::ChangeInput) => self.change_input(inner, request, directive).await,
            Ok(Turn::ExpectOutput) => self.expect(inner, request, directive).await,
        }
    }

    /// What becomes of a request now: await nothing between this and doing it.
    fn turn(&self, directive: &Directive) -> Result<Turn, NotApplied> {
        self.shim.unharmed(|| {
            Ok(match directive.act()? {
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
        R: BodyExt<Data = Bytes>,
    {
        let response = inner.call(request).await;
        self.observe(&response, failed);
        untouched(response)
    }

    fn observe<R, E>(&self, response: &Result<Response<R>, E>, failed: Ended) {
        let fine = response.as_ref().is_ok_and(|response| response.status().as_u16() < 400);
        self.site.ended(&self.call(), if fine { Ended::Ok } else { failed });
    }

    /// Waits for `work`. A session that stops meanwhile is not kept waiting: its directive is given up.
    async fn while_live<T>(
        &self,
        directive: &mut Option<Directive>,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep(LOOK_EVERY), if directive.is_some() => {
                    let stopped = directive.take_if(|directive| !directive.is_live());
                    self.not_applied(stopped, NotApplied::Dropped);
                }
            }
        }
    }

    /// Waits for `work`, but not after the session stopped: then the directive is given up, and the work dropped.
    async fn until_stopped<T>(
        &self,
        directive: Directive,
        work: impl Future<Output = T>,
    ) -> Option<(Directive, T)> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Some((directive, done)),
                () = sleep(LOOK_EVERY) => {
                    if !directive.is_live() {
                        directive.not_applied(&self.call(), NotApplied::Dropped);
                        return None;
                    }
                }
            }
        }
    }

    /// Gathers the request's body, and makes the call with a changed one.
    async fn change_input<S, B, R>(
        &self,
        inner: S,
        request: Request<B>,
        directive: Directive,
    ) -> Answer<R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: BodyExt + From<Bytes>,
        B::Error: Into<BoxError>,
        R: BodyExt<Data = Bytes>,
    {
        let (mut parts, body) = request.into_parts();
        let shape = match content::shape(&parts.headers, &body) {
            Ok(shape) => shape,
            Err(why) => {
                directive.not_applied(&self.call(), why);
                return self.pass(inner, Request::from_parts(parts, body), Ended::Failed).await;
            }
        };
        let mut directive = Some(directive);
        let whole = match self.while_live(&mut directive, body.collect()).await {
            Ok(whole) => whole.to_bytes(),
            Err(error) => {
                self.not_applied(directive, NotApplied::CallFailed);
                return Err(error.into());
            }
        };
        let change = |act: Act<'_>| match act {
            Act::RewriteInput(cut) => rewrite::input(&cut, self.point(), shape, &whole),
            Act::Proceed | Act::Fail(_) | Act::RewriteOutput(_) => Err(NotApplied::Adapter),
        };
        match self.changed(directive, change) {
            Some((directive, body)) => {
                content::fit(&mut parts.headers, body.len());
                let changed = Request::from_parts(parts, B::from(body));
                self.pass_changed(inner, changed, directive).await
            }
            None => {
                self.pass(inner, Request::from_parts(parts, B::from(whole)), Ended::Failed).await
            }
        }
    }

    /// Makes the call with a changed request, which can't be taken back: it counts unless the service fails to answer.
    async fn pass_changed<S, B, R>(
        &self,
        mut inner: S,
        request: Request<B>,
        directive: Directive,
    ) -> Answer<R>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        R: BodyExt<Data = Bytes>,
    {
        let mut sent = Sent { caller: self, directive: Some(directive) };
        let mut answer = std::pin::pin!(inner.call(request));
        let response = loop {
            tokio::select! {
                biased;
                response = &mut answer => break response,
                () = sleep(LOOK_EVERY), if sent.directive.is_some() => sent.settle_if_stopped(),
            }
        };
        let unheard = response.is_err() && sent.fails();
        drop(sent);
        self.observe(&response, if unheard { Ended::Failed } else { Ended::FailedByInjection });
        untouched(response)
    }

    /// What `change` makes of a body now, if the directive is there and may still act.
    fn changed(
        &self,
        directive: Option<Directive>,
        change: impl FnOnce(Act<'_>) -> Result<Vec<u8>, NotApplied>,
    ) -> Option<(Directive, Bytes)> {
        let directive = directive?;
        match self.shim.unharmed(|| change(directive.act()?)) {
            Ok(changed) => Some((directive, changed.into())),
            Err(why) => {
                directive.not_applied(&self.call(), why);
                None
            }
        }
    }

    /// Makes the call and changes its answer.
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
        let response = self.while_live(&mut directive, inner.call(request)).await;
        let response: Result<_, BoxError> = response.map_err(Into::into);
        self.observe(&response, Ended::Failed);
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
        let mut gathered = Gathered::new(body);
        let Some((directive, whole)) = self.until_stopped(directive, gathered.gather()).await
        else {
            return Ok(Response::from_parts(parts, Body::Right(gathered)));
        };
        let change = |act: Act<'_>| match act {
            Act::RewriteOutput(how) => {
                whole?;
                rewrite::output(&how, self.point(), shape, &gathered.bytes())
            }
            Act::Proceed | Act::Fail(_) | Act::RewriteInput(_) => Err(NotApplied::Adapter),
        };
        let Some((directive, body)) = self.changed(Some(directive), change) else {
            return Ok(Response::from_parts(parts, Body::Right(gathered)));
        };
        directive.applied(&self.call(), Duration::ZERO);
        content::fit(&mut parts.headers, body.len());
        Ok(Response::from_parts(parts, Body::Right(Gathered::of(body))))
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

/// A changed request that was handed to the service: from then on it counts, also if the host gives the call up or the
/// session stops, unless it turns out that it did not get there.
struct Sent<'a> {
    caller: &'a Caller,
    directive: Option<Directive>,
}

impl Sent<'_> {
    fn settle_if_stopped(&mut self) {
        if let Some(directive) = self.directive.take_if(|directive| !directive.is_live()) {
            directive.applied(&self.caller.call(), Duration::ZERO);
        }
    }

    /// The service gave no answer. Whether that is in time for it not to count.
    fn fails(&mut self) -> bool {
        let directive = self.directive.take();
        directive
            .map(|sent| sent.not_applied(&self.caller.call(), NotApplied::CallFailed))
            .is_some()
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if let Some(directive) = self.directive.take() {
            directive.applied(&self.caller.call(), Duration::ZERO);
        }
    }
}

/// The answer to a call that nothing is done to.
pub(super) fn untouched<R, E>(response: Result<Response<R>, E>) -> Answer<R>
where
    R: BodyExt<Data = Bytes>,
    E: Into<BoxError>,
{
    response.map(|response| response.map(Body::Left)).map_err(Into::into)
}

fn response(rendered: Rendered) -> Result<Response<Bytes>, http::Error> {
    let Rendered { status, headers, content_type, body } = rendered;
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
        .header(header::CONTENT_LENGTH, body.len());
    for (name, value) in headers {
        response = response.header(HeaderName::from_static(name), value);
    }
    response.body(body.into())
}
