//! What a coordinator hears of calls and their answers.

use super::*;
use crate::testing::{Coordinator, plan};

const SECRET: &str = "SECRET";

async fn confide(pair: &Pair) {
    let mut meta = RequestMetaObject::new();
    meta.0.0.insert("squall/requestId".into(), json!(SECRET));
    let mut params = CallToolRequestParams::new("measure");
    params.meta = Some(meta);
    params.arguments = json!({ "text": "a SECRET value" }).as_object().cloned();
    drop(pair.client.call_tool(params).await.unwrap());
}

#[tokio::test]
async fn arguments_and_results_never_leave_the_process() {
    let from = LostPart::Start;
    let truncation = ContextTruncation { fraction: 0.1, from, unit: TruncationUnit::Characters };
    let refused = Fault::Error(ErrorCodes { codes: vec![503], message: None });
    for fault in [Fault::ContextTruncation(truncation), malformed(Damage::Truncate), refused] {
        let (shim, mut coordinator) = Coordinator::with(plan((&fault).into(), "strict"));
        let pair = Pair::over(shim, Counterpart::Tools).await;
        coordinator.until_reported(async || confide(&pair).await).await;
        // The tool answers with what it was sent.
        assert!(pair.seen().iter().any(|(_, text)| text.as_str().unwrap().contains(SECRET)));
        coordinator.assert_never_heard(&pair.shim, SECRET);
    }
}
