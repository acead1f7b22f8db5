//! A stop, or a host that gives up, at each place where a fault waits.

use std::pin::Pin;

use super::*;

type Rest = Result<Bytes, io::ErrorKind>;

/// A body whose length is known, of which a first part is there and the rest comes later.
struct Late {
    first: Option<Bytes>,
    rest: BoxFuture<'static, Rest>,
    length: u64,
    ended: bool,
}

fn late_body(bytes: &Bytes) -> (tokio::sync::oneshot::Sender<Rest>, Late) {
    let (give, given) = tokio::sync::oneshot::channel();
    let rest = async move { given.await.unwrap() }.boxed();
    let (first, length) = (Some(bytes.slice(..5)), bytes.len() as u64);
    (give, Late { first, rest, length, ended: false })
}

impl From<Bytes> for Late {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self { first: None, rest: std::future::ready(Ok(bytes)).boxed(), length, ended: false }
    }
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(first))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let rest = std::task::ready!(self.rest.as_mut().poll(context));
        self.ended = true;
        Poll::Ready(Some(rest.map(http_body::Frame::data).map_err(io::Error::from)))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.length)
    }
}

/// Answers once, with `body`.
async fn answer(client: &Client, body: Late) -> Response<Body<Late>> {
    let body = Mutex::new(Some(body));
    let service = service_fn(|_: Text| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        let response = response.body(body.lock().unwrap().take().unwrap()).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let caller = client.layer.layer(()).caller(&HeaderMap::new());
    caller.send(service, json_request(&hello())).await.unwrap()
}

/// Headers first and a body that takes its time is ordinary HTTP.
#[tokio::test]
async fn an_answer_whose_body_comes_after_the_stop_is_left_alone() {
    let client = Client::of(malformed(Damage::Truncate));
    let body = Bytes::from(hello().to_string());
    let (give, late) = late_body(&body);
    let (got, ()) = tokio::join!(answer(&client, late), async {
        until(|| running(&client.shim) == 1).await;
        client.shim.kill();
    });
    client.assert_counts(0, 1);
    give.send(Ok(body.slice(5..))).unwrap();
    assert_eq!(got.into_body().collect().await.unwrap().to_bytes(), body);
}

#[tokio::test]
async fn an_answer_whose_body_breaks_off_breaks_off_where_it_did() {
    let client = Client::of(malformed(Damage::Truncate));
    let body = Bytes::from(hello().to_string());
    let (give, late) = late_body(&body);
    give.send(Err(io::ErrorKind::ConnectionReset)).unwrap();
    let mut got = answer(&client, late).await.into_body();
    assert_eq!(got.frame().await.unwrap().unwrap().into_data().unwrap(), body[..5]);
    assert!(got.frame().await.unwrap().is_err());
    assert!(got.frame().await.is_none());
    client.assert_counts(0, 1);
}

#[tokio::test]
async fn a_request_whose_body_comes_after_the_stop_goes_on_as_it_is() {
    let client = Client::of(truncated());
    let body = Bytes::from(hello().to_string());
    let (give, late) = late_body(&body);
    let (seen, heard) = (Arc::new(Mutex::new(Bytes::new())), StatusCode::OK);
    let service = service_fn(|request: Request<Late>| {
        let seen = Arc::clone(&seen);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            *seen.lock().unwrap() = body;
            let response = Response::builder().status(heard).body(Full::new(Bytes::new()));
            Ok::<_, io::Error>(response.unwrap())
        }
    });
    let request = Request::post("http://search.internal/v1")
        .header(header::CONTENT_TYPE, "application/json")
        .body(late)
        .unwrap();
    let caller = client.layer.layer(()).caller(request.headers());
    let (got, ()) = tokio::join!(caller.send(service, request), async {
        until(|| running(&client.shim) == 1).await;
        client.shim.kill();
        until(|| running(&client.shim) == 0).await;
        give.send(Ok(body.slice(5..))).unwrap();
    });
    assert_eq!(got.unwrap().status(), heard);
    assert_eq!(*seen.lock().unwrap(), body);
    client.assert_counts(0, 1);
}

#[tokio::test]
async fn a_cut_request_that_could_not_be_sent_is_not_counted() {
    let client = Client::of(truncated());
    let service = service_fn(|_: Text| {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        std::future::ready(Err::<Response<Full<Bytes>>, _>(refused))
    });
    let service = client.layer.layer(service);
    assert!(service.oneshot(json_request(&hello())).await.is_err());
    client.assert_counts(0, 1);
}

#[tokio::test]
async fn a_cut_request_that_the_host_no_longer_waits_for_is_counted() {
    let gate = Some(tokio::sync::Notify::new());
    let backend = Arc::new(Backend { seen: Mutex::default(), gate });
    let client = Client { backend, ..Client::of(truncated()) };
    tokio::select! {
        _ = client.send(json_request(&hello())) => panic!("answered"),
        () = until(|| !client.seen().is_empty()) => {}
    }
    client.assert_counts(1, 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_answer_to_a_cut_request() {
    let gate = Some(tokio::sync::Notify::new());
    let backend = Arc::new(Backend { seen: Mutex::default(), gate });
    let client = Client { backend, ..Client::of(truncated()) };
    let (got, ()) = tokio::join!(client.send(json_request(&hello())), async {
        until(|| !client.seen().is_empty()).await;
        client.shim.kill();
        until(|| running(&client.shim) == 0).await;
        client.backend.gate.as_ref().unwrap().notify_one();
    });
    assert_eq!(got.unwrap().status, StatusCode::OK);
    client.assert_counts(1, 0);
}
