//! Which strings of a model's or agent's JSON are what it says, and which are how it is said.
//!
//! Known: OpenAI chat completions and responses, Anthropic messages, Gemini contents, and anything that uses the same
//! words. In other documents every string counts, unless it names a `model`: then it is one that isn't known, and
//! cutting its settings would be another fault than the one that was asked for.

use serde_json::{Map, Value, json};
use squall_proto::vocabulary::call::Point;

use super::leaves::{Document, Step};

/// Keys whose strings are said by someone.
const SAID: [&str; 8] =
    ["content", "text", "prompt", "input", "system", "instructions", "output", "refusal"];
/// Keys under which nothing is said.
const SETTINGS: [&str; 8] = [
    "tools",
    "functions",
    "tool_choice",
    "metadata",
    "response_format",
    "parameters",
    "input_schema",
    "annotations",
];
/// Keys of lists of messages.
const LISTS: [&str; 3] = ["messages", "input", "contents"];

/// Which strings of a document may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    All,
    Said,
    None,
}

impl Texts {
    pub(super) fn of(document: &Document<'_>, point: Point) -> Self {
        if point == Point::Tool {
            return Self::All;
        }
        let mut said = false;
        document.visit(|place| said |= place.string.is_some() && is_said(place.path));
        match said {
            true => Self::Said,
            false if document.value.get("model").is_some() => Self::None,
            false => Self::All,
        }
    }

    pub(super) fn includes(self, path: &[Step]) -> bool {
        match self {
            Self::All => true,
            Self::Said => is_said(path),
            Self::None => false,
        }
    }
}

fn is_said(path: &[Step]) -> bool {
    let last = path.iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let settings = path.iter().any(|step| SETTINGS.iter().any(|key| step.is(key)));
    // The input of a tool call is an object with the tool's own keys.
    let arguments = path.windows(2).any(|two| two[0].is("input") && matches!(two[1], Step::Key(_)));
    last.is_some_and(|key| SAID.contains(&key)) && !settings && !arguments
}

/// The key of a conversation's list of messages.
pub(super) fn messages(value: &Value) -> Option<(&'static str, &Vec<Value>)> {
    LISTS.into_iter().find_map(|key| Some((key, value.get(key)?.as_array()?)))
}

/// Whether a message sets the model up and so stays when the conversation is cut.
pub(super) fn is_instruction(message: &Value) -> bool {
    let role = message.get("role").and_then(Value::as_str);
    role.is_some_and(|role| matches!(role, "system" | "developer"))
}

/// Makes a model's whole answer `text`: no tool is called, and the model stopped by itself. `false` if the document is no
/// answer of a known kind.
pub(super) fn answer_only(value: &mut Value, text: &str) -> bool {
    let Some(root) = value.as_object_mut() else { return false };
    if let Some(choices) = root.get_mut("choices").and_then(Value::as_array_mut) {
        return choices
            .iter_mut()
            .map(|choice| chat_choice(choice, text))
            .fold(false, |a, b| a | b);
    }
    if root.get("type").is_some_and(|kind| kind == "message") && root.contains_key("content") {
        root.insert("content".into(), json!([{"type": "text", "text": text}]));
        replace(root, "stop_reason", json!("end_turn"));
        return true;
    }
    if root.get("object").is_some_and(|kind| kind == "response") && root.contains_key("output") {
        let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
        let message = json!({
            "type": "message", "id": "msg_0", "role": "assistant", "status": "completed", "content": content,
        });
        root.insert("output".into(), json!([message]));
        return true;
    }
    false
}

fn chat_choice(choice: &mut Value, text: &str) -> bool {
    let Some(choice) = choice.as_object_mut() else { return false };
    let Some(message) = choice.get_mut("message").and_then(Value::as_object_mut) else {
        return false;
    };
    message.insert("content".into(), json!(text));
    message.shift_remove("tool_calls");
    message.shift_remove("function_call");
    replace(choice, "finish_reason", json!("stop"));
    true
}

fn replace(object: &mut Map<String, Value>, key: &str, new: Value) {
    if let Some(value) = object.get_mut(key) {
        *value = new;
    }
}
