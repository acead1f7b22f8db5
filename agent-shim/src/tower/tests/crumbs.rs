//! An answer that comes in very many pieces.

use std::pin::Pin;

use super::*;
use crate::tower::gathered::FRAMES_MAX;

/// A body of known length that comes byte by byte.
struct Crumbs(Bytes);

impl http_body::Body for Crumbs {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let next = (!self.0.is_empty()).then(|| self.0.split_to(1));
        Poll::Ready(next.map(|byte| Ok(http_body::Frame::data(byte))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.len() as u64)
    }
}

/// What the client reads where the service answers with `body`.
async fn read(client: &Client, body: Bytes) -> Bytes {
    let service = service_fn(move |_: Text| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        std::future::ready(response.body(Crumbs(body.clone())))
    });
    let response = client.layer.layer(service).oneshot(json_request(&hello())).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn an_answer_of_too_many_pieces_is_left_as_it_is_and_loses_none() {
    let body = |bytes: usize| Bytes::from(json!("x".repeat(bytes - 2)).to_string());
    for (bytes, reaches) in [(FRAMES_MAX, true), (FRAMES_MAX + 1, false), (FRAMES_MAX * 2, false)] {
        let client = Client::of(malformed(Damage::Truncate));
        let body = body(bytes);
        assert_eq!(read(&client, body.clone()).await != body, reaches, "{bytes} bytes");
        client.assert_counts(u64::from(reaches), u64::from(!reaches));
    }
}
