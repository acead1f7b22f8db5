//! A stop, or a host that gives up, at each place where a fault waits.

use std::pin::Pin;

use super::*;

/// A body whose length is known and whose bytes come later.
fn late_body(bytes: Bytes) -> (tokio::sync::oneshot::Sender<()>, Late) {
    let (open, gate) = tokio::sync::oneshot::channel();
    let length = bytes.len() as u64;
    let arrives = async move {
        gate.await.ok();
        Full::new(bytes)
    };
    (open, Late { body: arrives.boxed(), whole: None, length })
}

struct Late {
    body: BoxFuture<'static, Full<Bytes>>,
    whole: Option<Full<Bytes>>,
    length: u64,
}

impl From<Bytes> for Late {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        Self { body: std::future::ready(Full::new(bytes)).boxed(), whole: None, length }
    }
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if self.whole.is_none() {
            self.whole = Some(std::task::ready!(self.body.as_mut().poll(context)));
        }
        self.whole.as_mut().map_or(Poll::Ready(None), |whole| Pin::new(whole).poll_frame(context))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.length)
    }
}

/// Headers first and a body that takes its time is ordinary HTTP.
#[tokio::test]
async fn an_answer_whose_body_comes_after_the_stop_is_left_alone() {
    let client = Client::of(malformed(Damage::Truncate));
    let body = Bytes::from(hello().to_string());
    let (open, late) = late_body(body.clone());
    let late = Arc::new(Mutex::new(Some(late)));
    let service = service_fn(move |_: Text| {
        let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
        let response = response.body(late.lock().unwrap().take().unwrap()).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = client.layer.layer(service);
    let (got, ()) = tokio::join!(service.oneshot(json_request(&hello())), async {
        until(|| running(&client.shim) == 1).await;
        client.shim.kill();
        until(|| running(&client.shim) == 0).await;
        open.send(()).unwrap();
    });
    assert_eq!(got.unwrap().into_body().collect().await.unwrap().to_bytes(), body);
    client.assert_counts(0, 1);
}

#[tokio::test]
async fn a_request_whose_body_comes_after_the_stop_goes_on_as_it_is() {
    let client = Client::of(truncated());
    let body = Bytes::from(hello().to_string());
    let (open, late) = late_body(body.clone());
    let (seen, heard) = (Arc::new(Mutex::new(Bytes::new())), StatusCode::OK);
    let service = service_fn(|request: Request<Late>| {
        let seen = Arc::clone(&seen);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            *seen.lock().unwrap() = body;
            let response = Response::builder().status(heard).body(Full::new(Bytes::new()));
            Ok::<_, Infallible>(response.unwrap())
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
        open.send(()).unwrap();
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
