//! A response's body, gathered as far as it came.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use squall_shim_core::NotApplied;

/// Frames of a body that is gathered; one of more is left as it is. The longest body that is gathered
/// ([`BODY_BYTES_MAX`](super::BODY_BYTES_MAX)) has as many if it comes by the KiB. Ever smaller pieces would cost the host
/// more, for what is kept about each, than the body itself.
pub(super) const FRAMES_MAX: usize = 4096;

/// What came of a body, and what is still to come: together the body as the service gives it, or another one in its place.
pub struct Gathered<R: Body> {
    came: VecDeque<Frame<Bytes>>,
    error: Option<R::Error>,
    rest: Option<Pin<Box<R>>>,
}

// Nothing in it is pinned but the box.
impl<R: Body> Unpin for Gathered<R> {}

impl<R: Body> fmt::Debug for Gathered<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").field("came", &self.came).finish_non_exhaustive()
    }
}

impl<R: Body<Data = Bytes>> Gathered<R> {
    /// Of which nothing came yet.
    pub(super) fn new(body: R) -> Self {
        Self { came: VecDeque::new(), error: None, rest: Some(Box::pin(body)) }
    }

    /// That holds these bytes.
    pub(super) fn of(bytes: Bytes) -> Self {
        Self { came: VecDeque::from([Frame::data(bytes)]), error: None, rest: None }
    }

    /// Waits for the rest. When this is dropped or fails, nothing that came is lost.
    ///
    /// # Errors
    /// [`NotApplied::TooLarge`] for a body of too many frames, [`NotApplied::CallFailed`] for one that broke off.
    pub(super) async fn gather(&mut self) -> Result<(), NotApplied> {
        while let Some(rest) = &mut self.rest {
            if self.came.len() > FRAMES_MAX {
                return Err(NotApplied::TooLarge);
            }
            match rest.frame().await {
                Some(Ok(frame)) => self.came.push_back(frame),
                Some(Err(error)) => {
                    self.error = Some(error);
                    self.rest = None;
                }
                None => self.rest = None,
            }
        }
        if self.error.is_none() { Ok(()) } else { Err(NotApplied::CallFailed) }
    }

    /// The bytes that came.
    pub(super) fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.came.iter().filter_map(Frame::data_ref).for_each(|data| bytes.extend_from_slice(data));
        bytes.freeze()
    }
}

impl<R: Body<Data = Bytes>> Body for Gathered<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        if let Some(frame) = self.came.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        self.rest.as_mut().map_or(Poll::Ready(None), |rest| rest.as_mut().poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        let is_over = self.rest.as_ref().is_none_or(|rest| rest.is_end_stream());
        self.came.is_empty() && self.error.is_none() && is_over
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.size_hint());
        let came: u64 =
            self.came.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(came));
        }
        hint.set_lower(rest.lower().saturating_add(came));
        hint
    }
}
