use proptest::prelude::*;
use serde_json::{Value, json};
use squall_proto::vocabulary::fault::{Damage, LostPart, TruncationUnit};
use squall_proto::vocabulary::named::Named;

use super::leaves::any_json;
use super::*;

fn truncation(fraction: f64, from: LostPart, unit: TruncationUnit) -> ContextTruncation {
    ContextTruncation { fraction, from, unit }
}

fn cut(point: Point, shape: Shape, body: &str) -> Result<String, NotApplied> {
    let truncation = truncation(0.5, LostPart::End, TruncationUnit::Characters);
    let rewrite = InputRewrite { truncation: &truncation };
    input(&rewrite, point, shape, body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
}

fn cut_messages(fraction: f64, from: LostPart, body: &Value) -> Result<Value, NotApplied> {
    let truncation = truncation(fraction, from, TruncationUnit::Messages);
    let rewrite = InputRewrite { truncation: &truncation };
    let body = input(&rewrite, Point::Model, Shape::Json, body.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn damaged(mode: Damage, point: Point, shape: Shape, body: &str) -> Result<String, NotApplied> {
    let fault = MalformedOutput { mode, keep: 0.5 };
    let rewrite = OutputRewrite::Damage { fault: &fault, salt: 7 };
    output(&rewrite, point, shape, body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
}

fn acting(behavior: Behavior, shape: Shape, body: &str) -> Result<String, NotApplied> {
    let rewrite = OutputRewrite::Uncooperative { behavior, text: "No.", keep: 0.5 };
    let body = output(&rewrite, Point::Model, shape, body.as_bytes())?;
    Ok(String::from_utf8(body).unwrap())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

// What goes in.

#[test]
fn a_tools_input_loses_half_of_each_string_and_nothing_else() {
    let body = "{\"query\": \"weather in Rome\", \"n\": 3.10, \"tags\":[\"ab\",\"\"]}";
    assert_eq!(
        cut(Point::Tool, Shape::Json, body).unwrap(),
        "{\"query\": \"weather\", \"n\": 3.10, \"tags\":[\"a\",\"\"]}"
    );
    assert_eq!(cut(Point::Tool, Shape::Text, "12345678").unwrap(), "1234");
}

#[test]
fn a_models_input_loses_what_was_said_and_keeps_how() {
    let body = json!({
        "model": "claude-x", "max_tokens": 10, "system": "be kind!",
        "tools": [{"name": "search", "description": "finds things", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "hello there"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "hi"},
                {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"text": "rome"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
            ]},
        ],
    });
    let mut expected = body.clone();
    expected["system"] = json!("be k");
    expected["messages"][0]["content"] = json!("hello");
    expected["messages"][1]["content"][0]["text"] = json!("h");
    expected["messages"][2]["content"][0]["content"] = json!("su");
    let cut = cut(Point::Model, Shape::Json, &body.to_string()).unwrap();
    assert_eq!(parsed(&cut), expected);
}

#[test]
fn an_mcp_request_loses_arguments_only() {
    let body = r#"{"jsonrpc":"2.0","id":"id-7","method":"tools/call","params":{"name":"search","arguments":{"q":"abcd","deep":[{"x":"yz"}]},"_meta":{"progressToken":"tok"}}}"#;
    let expected = body.replace("abcd", "ab").replace("\"yz\"", "\"y\"");
    assert_eq!(cut(Point::Tool, Shape::McpJsonRpc, body).unwrap(), expected);
}

#[test]
fn an_input_without_text_is_not_applied_and_says_why() {
    let call = |arguments: &str| {
        format!(r#"{{"method":"tools/call","params":{{"name":"n","arguments":{arguments}}}}}"#)
    };
    for (shape, body, why) in [
        (Shape::Text, "", NotApplied::NoText),
        (Shape::Json, r#"{"n":1,"s":""}"#, NotApplied::NoText),
        (Shape::Json, "not json", NotApplied::NotJson),
        (Shape::McpJsonRpc, &call(r#"{"n":1}"#), NotApplied::NoText),
        (Shape::McpJsonRpc, r#"{"method":"tools/list"}"#, NotApplied::Unexpected),
        (Shape::McpJsonRpc, "[]", NotApplied::Unexpected),
    ] {
        assert_eq!(cut(Point::Tool, shape, body), Err(why), "{body}");
    }
    assert_eq!(
        cut(Point::Model, Shape::Json, r#"{"model":"x","stop":"END"}"#),
        Err(NotApplied::NoText),
        "settings of a model are no text"
    );
    let invalid =
        InputRewrite { truncation: &truncation(0.5, LostPart::End, TruncationUnit::Characters) };
    let body = input(&invalid, Point::Tool, Shape::Text, b"\xff\xfe");
    assert_eq!(body, Err(NotApplied::Unexpected));
}

fn conversation(contents: &[(&str, &str)]) -> Value {
    let messages: Vec<Value> =
        contents.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    json!({"model": "m", "messages": messages, "stream": false})
}

#[test]
fn a_share_of_the_messages_is_lost_and_the_system_prompt_stays() {
    let body = conversation(&[
        ("system", "s"),
        ("user", "1"),
        ("assistant", "2"),
        ("user", "3"),
        ("user", "4"),
    ]);
    let left = |fraction, from| -> String {
        let body = cut_messages(fraction, from, &body).unwrap();
        assert_eq!((&body["model"], &body["stream"]), (&json!("m"), &json!(false)));
        let messages = body["messages"].as_array().unwrap();
        messages.iter().map(|message| message["content"].as_str().unwrap()).collect()
    };
    assert_eq!(left(0.5, LostPart::Start), "s34");
    assert_eq!(left(0.5, LostPart::Middle), "s14");
    assert_eq!(left(0.5, LostPart::End), "s12");
    assert_eq!(left(0.01, LostPart::Start), "s234", "at least one");
    assert_eq!(left(1.0, LostPart::Start), "s4", "one stays");
    let one = conversation(&[("system", "s"), ("user", "1")]);
    assert_eq!(cut_messages(0.5, LostPart::End, &one), Err(NotApplied::NothingToDamage));
    assert_eq!(cut_messages(0.5, LostPart::End, &json!({})), Err(NotApplied::Unexpected));
}

// What comes out: text and JSON.

#[test]
fn every_damage_of_plain_text() {
    let text = |mode, body| damaged(mode, Point::Tool, Shape::Text, body);
    assert_eq!(text(Damage::Truncate, "abcdef").unwrap(), "abc");
    assert_eq!(text(Damage::Empty, "abc").unwrap(), "");
    assert_eq!(text(Damage::Encoding, "é").unwrap(), "Ã©");
    assert_eq!(text(Damage::WrongType, "{\"a\":1}").unwrap(), "{\"a\":\"1\"}");
    let broken = text(Damage::JsonBreak, "Result: {\"a\":1}").unwrap();
    assert!(broken.starts_with("Result: "), "{broken}");
    let removed = text(Damage::FieldsRemoved, "{\"a\":1,\"b\":2}").unwrap();
    assert!(["{\"a\":1}", "{\"b\":2}"].contains(&removed.as_str()), "{removed}");
    for mode in Damage::ALL {
        assert_eq!(text(*mode, ""), Err(NotApplied::NoText), "{mode:?}");
    }
    for mode in [Damage::JsonBreak, Damage::FieldsRemoved, Damage::WrongType] {
        assert_eq!(text(mode, "just words"), Err(NotApplied::NotJson), "{mode:?}");
    }
    assert_eq!(text(Damage::FieldsRemoved, "[1]"), Err(NotApplied::NothingToDamage));
}

#[test]
fn every_damage_of_a_json_body() {
    let body = r#"{"title": "abcdef", "n": 1}"#;
    let json = |mode, body| damaged(mode, Point::Tool, Shape::Json, body);
    assert_eq!(json(Damage::Truncate, body).unwrap(), r#"{"title": "abc", "n": 1}"#);
    assert_eq!(json(Damage::Empty, body).unwrap(), "");
    assert_eq!(json(Damage::Encoding, r#"{"t": "é"}"#).unwrap(), r#"{"t": "Ã©"}"#);
    assert_eq!(json(Damage::WrongType, body).unwrap(), r#"{"title":"abcdef","n":"1"}"#);
    assert!(serde_json::from_str::<Value>(&json(Damage::JsonBreak, body).unwrap()).is_err());
    assert_eq!(parsed(&json(Damage::FieldsRemoved, body).unwrap()).as_object().unwrap().len(), 1);
    for mode in [Damage::Truncate, Damage::Encoding, Damage::JsonBreak, Damage::WrongType] {
        assert_eq!(json(mode, "<html>"), Err(NotApplied::NotJson), "{mode:?}");
    }
    assert_eq!(json(Damage::Truncate, "[1]"), Err(NotApplied::NoText));
}

#[test]
fn a_models_answer_is_damaged_in_what_it_says() {
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "abcdef"}}],
    });
    let mut expected = body.clone();
    expected["choices"][0]["message"]["content"] = json!("abc");
    let cut = damaged(Damage::Truncate, Point::Model, Shape::Json, &body.to_string()).unwrap();
    assert_eq!(parsed(&cut), expected);
}

// What comes out: MCP.

fn answer(text: &str, structured: Option<Value>) -> String {
    let mut result = json!({"content": [{"type": "text", "text": text}], "isError": false});
    if let Some(structured) = structured {
        result["structuredContent"] = structured;
    }
    json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string()
}

fn mcp(mode: Damage, text: &str, structured: Option<Value>) -> Result<(String, Value), NotApplied> {
    let body = damaged(mode, Point::Tool, Shape::McpJsonRpc, &answer(text, structured))?;
    let answer = parsed(&body);
    assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &json!(false)));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap().to_owned();
    Ok((text, answer["result"]["structuredContent"].clone()))
}

#[test]
fn text_and_structure_of_a_result_stay_consistent() {
    let structured = json!({"city": "Rome", "days": [1, 2]});
    let text = structured.to_string();
    for mode in [Damage::Truncate, Damage::Encoding, Damage::FieldsRemoved, Damage::WrongType] {
        let (text, after) = mcp(mode, &text, Some(structured.clone())).unwrap();
        assert_eq!(parsed(&text), after, "{mode:?}");
        assert_ne!(after, structured, "{mode:?}");
    }
    for mode in [Damage::JsonBreak, Damage::Empty] {
        let (text, after) = mcp(mode, &text, Some(structured.clone())).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{mode:?}");
        assert_eq!(after, Value::Null, "{mode:?}");
    }
}

#[test]
fn a_wrapped_result_stays_consistent_with_its_text() {
    let (text, after) = mcp(Damage::Truncate, "abcd", Some(json!({"result": "abcd"}))).unwrap();
    assert_eq!((text.as_str(), after), ("ab", json!({"result": "ab"})));
    let (text, after) = mcp(Damage::WrongType, "[1,2]", Some(json!({"result": [1, 2]}))).unwrap();
    assert_eq!(after, json!({"result": parsed(&text)}));
    assert_eq!(text, r#"{"0":"1","1":"2"}"#);
}

#[test]
fn a_structure_beside_prose_is_damaged_too() {
    let structured = Some(json!({"city": "Rome"}));
    let (text, after) = mcp(Damage::Truncate, "In Rome", structured.clone()).unwrap();
    assert_eq!((text.as_str(), after), ("In R", json!({"city": "Ro"})));
    let (text, after) = mcp(Damage::FieldsRemoved, "In Rome", structured.clone()).unwrap();
    assert_eq!((text.as_str(), after), ("In Rome", json!({})));
    assert_eq!(mcp(Damage::JsonBreak, "In Rome", structured), Err(NotApplied::NotJson));
}

#[test]
fn an_answer_that_holds_no_result_is_not_damaged() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"abc"}}"#;
    let image = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"image","data":"AAAA"}]}}"#;
    for mode in Damage::ALL {
        let of = |body| damaged(*mode, Point::Tool, Shape::McpJsonRpc, body);
        assert_eq!(of(error), Err(NotApplied::CallFailed), "{mode:?}");
        assert!(of(image).is_err(), "{mode:?}: an image is no text");
        assert_eq!(of(r#"{"id":1,"result":7}"#), Err(NotApplied::Unexpected), "{mode:?}");
        assert_eq!(of("nothing"), Err(NotApplied::NotJson), "{mode:?}");
        assert!(of(&answer("", None)).is_err(), "{mode:?}: there is no text");
    }
}

#[test]
fn the_tools_own_error_is_damaged_like_any_text_and_stays_an_error() {
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"no such file"}],"isError":true}}"#;
    let cut = damaged(Damage::Truncate, Point::Tool, Shape::McpJsonRpc, body).unwrap();
    assert_eq!(cut, body.replace("no such file", "no suc"));
}

// Agents that don't cooperate.

#[test]
fn every_behavior_in_text() {
    assert_eq!(acting(Behavior::Refuse, Shape::Text, "yes").unwrap(), "No.");
    assert_eq!(acting(Behavior::Refuse, Shape::Text, "No."), Err(NotApplied::NothingToDamage));
    assert_eq!(acting(Behavior::Partial, Shape::Text, "abcdef").unwrap(), "abc");
    assert_eq!(acting(Behavior::WrongFormat, Shape::Text, "hi").unwrap(), r#"{"response":"hi"}"#);
    assert_eq!(
        acting(Behavior::WrongFormat, Shape::Text, r#"{"ok":true,"who":["a","b"],"n":null}"#)
            .unwrap(),
        "Here is what I found: ok is yes, who is a, b, n is nothing."
    );
    assert_eq!(acting(Behavior::Delay, Shape::Text, "x"), Err(NotApplied::NothingToDamage));
    assert_eq!(acting(Behavior::WrongFormat, Shape::Text, " "), Err(NotApplied::NoText));
}

#[test]
fn a_refusing_model_says_no_and_calls_no_tool() {
    let openai = json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function"}]}}]});
    let refused = parsed(&acting(Behavior::Refuse, Shape::Json, &openai.to_string()).unwrap());
    let expected = json!({"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "No."}}]});
    assert_eq!(refused, expected);

    let anthropic = json!({"type": "message", "role": "assistant", "stop_reason": "tool_use", "usage": {"n": 1},
        "content": [{"type": "tool_use", "id": "t", "name": "search", "input": {}}]});
    let refused = parsed(&acting(Behavior::Refuse, Shape::Json, &anthropic.to_string()).unwrap());
    assert_eq!(refused["content"], json!([{"type": "text", "text": "No."}]));
    assert_eq!(
        (&refused["stop_reason"], &refused["usage"]),
        (&json!("end_turn"), &json!({"n": 1}))
    );

    let responses =
        json!({"object": "response", "output": [{"type": "function_call", "name": "x"}]});
    let refused = parsed(&acting(Behavior::Refuse, Shape::Json, &responses.to_string()).unwrap());
    assert_eq!(refused["output"][0]["content"][0]["text"], json!("No."));

    let unknown = r#"{"reply": "the long answer", "status": "ok", "n": 1}"#;
    assert_eq!(
        acting(Behavior::Refuse, Shape::Json, unknown).unwrap(),
        r#"{"reply": "No.", "status": "", "n": 1}"#
    );
    assert_eq!(acting(Behavior::Refuse, Shape::Json, "[1]"), Err(NotApplied::NoText));
}

#[test]
fn a_partial_answer_of_a_model_keeps_its_form() {
    let body = r#"{"type":"message","content":[{"type":"text","text":"abcdef"}],"stop_reason":"end_turn"}"#;
    assert_eq!(
        acting(Behavior::Partial, Shape::Json, body).unwrap(),
        body.replace("abcdef", "abc")
    );
    let prose = acting(Behavior::WrongFormat, Shape::Json, body).unwrap();
    assert_eq!(parsed(&prose)["content"][0]["text"], json!(r#"{"response":"abcdef"}"#));
}

#[test]
fn an_agent_behind_mcp_refuses_with_nothing_of_its_answer_left() {
    let body = answer("the answer", Some(json!({"answer": 42})));
    let refused = parsed(&acting(Behavior::Refuse, Shape::McpJsonRpc, &body).unwrap());
    assert_eq!(
        refused["result"],
        json!({"content": [{"type": "text", "text": "No."}], "isError": false})
    );
    let partial = parsed(&acting(Behavior::Partial, Shape::McpJsonRpc, &body).unwrap());
    assert_eq!(partial["result"]["content"][0]["text"], json!("the a"));
    let wrong = parsed(&acting(Behavior::WrongFormat, Shape::McpJsonRpc, &body).unwrap());
    assert_eq!(wrong["result"]["structuredContent"], Value::Null);
}

#[test]
fn a_body_beyond_the_bound_is_left_alone() {
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(damaged(Damage::Empty, Point::Tool, Shape::Text, &body), Err(NotApplied::TooLarge));
}

// Anything at all.

const POINTS: [Point; 3] = [Point::Tool, Point::Model, Point::Agent];
const SHAPES: [Shape; 3] = [Shape::Text, Shape::Json, Shape::McpJsonRpc];

/// Applies everything to `body`: no panic, no silent no-op, and JSON stays JSON where structure is kept.
fn apply_everything(body: &[u8], share: f64, salt: u32) {
    for (point, shape) in POINTS.into_iter().flat_map(|p| SHAPES.map(|s| (p, s))) {
        for (from, unit) in
            LostPart::ALL.iter().flat_map(|f| TruncationUnit::ALL.iter().map(move |u| (f, u)))
        {
            let truncation = truncation(share, *from, *unit);
            let result = input(&InputRewrite { truncation: &truncation }, point, shape, body);
            check(body, shape != Shape::Text, result);
        }
        for mode in Damage::ALL {
            let fault = MalformedOutput { mode: *mode, keep: share };
            let result = output(&OutputRewrite::Damage { fault: &fault, salt }, point, shape, body);
            let stays_json = match shape {
                Shape::Text => false,
                Shape::Json => !matches!(mode, Damage::JsonBreak | Damage::Empty),
                Shape::McpJsonRpc => true,
            };
            check(body, stays_json, result);
        }
        for behavior in Behavior::ALL {
            let how =
                OutputRewrite::Uncooperative { behavior: *behavior, text: "No.", keep: share };
            check(body, shape != Shape::Text, output(&how, point, shape, body));
        }
    }
}

fn check(before: &[u8], stays_json: bool, result: Result<Vec<u8>, NotApplied>) {
    let Ok(after) = result else { return };
    assert_ne!(before, after, "a silent no-op");
    assert!(std::str::from_utf8(&after).is_ok());
    if stays_json {
        assert!(
            serde_json::from_slice::<Value>(&after).is_ok(),
            "{}",
            String::from_utf8_lossy(&after)
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(body: Vec<u8>, share in 0.0..=1.0, salt: u32) {
        apply_everything(&body, share, salt);
    }

    #[test]
    fn any_text_is_survived(body in "\\PC{0,40}|[\\[\\]{}\",:0-9a\\\\ \n`]{0,40}", share in 0.0..=1.0, salt: u32) {
        apply_everything(body.as_bytes(), share, salt);
    }

    #[test]
    fn any_json_is_survived(body in any_json(), share in 0.0..=1.0, salt: u32, pretty: bool) {
        let body = if pretty { format!("{body:#}") } else { body.to_string() };
        apply_everything(body.as_bytes(), share, salt);
    }
}

#[test]
fn shares_that_are_no_numbers_are_survived() {
    for share in [f64::NAN, f64::INFINITY, -1.0] {
        apply_everything(br#"{"a":"b","result":{"content":[{"text":"{\"a\":1}"}]}}"#, share, 1);
    }
}
