//! What a coordinator hears of requests and responses.

use super::*;
use crate::testing::{Coordinator, plan};

const SECRET: &str = "SECRET";

fn confidential() -> Text {
    Request::post("http://search.internal/SECRET?key=SECRET")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, "Bearer SECRET")
        .header(header::COOKIE, "session=SECRET")
        .header("x-squall-request-id", "SECRET")
        .body(Full::from(r#"{"SECRET key": "a SECRET value", "tags": ["SECRET"]}"#))
        .unwrap()
}

#[tokio::test]
async fn requests_and_responses_never_leave_the_process() {
    let refused = Fault::Error(ErrorCodes { codes: vec![503], message: None });
    for fault in [truncated(), malformed(Damage::Truncate), refused] {
        let (shim, mut coordinator) = Coordinator::with(plan((&fault).into(), "strict"));
        let client = Client::over(shim, Point::Tool);
        coordinator.until_reported(async || drop(client.send(confidential()).await.unwrap())).await;
        // The service answers with what it was sent.
        assert!(client.seen().iter().any(|body| body.windows(6).any(|w| w == SECRET.as_bytes())));
        coordinator.assert_never_heard(&client.shim, SECRET);
    }
}
