//! Anthropic's Messages API, streamed, for agents that are not Anthropic's.

use serde_json::{Value, json};

use crate::scripted::{Answer, Reply, Script, Scripted};

pub(crate) fn start(script: Script) -> Scripted {
    Scripted::start(script, answer)
}

fn answer(path: &str, asked: &Value, script: Script) -> Option<Answer> {
    if !path.split('?').next()?.ends_with("/messages") {
        return None;
    }
    let messages = asked["messages"].as_array()?;
    let has = |message: &Value, kind: &str| {
        let blocks = message["content"].as_array();
        blocks.is_some_and(|blocks| blocks.iter().any(|block| block["type"] == kind))
    };
    let says = |message: &Value| message["role"] == "user" && (message["content"].is_string() || has(message, "text"));
    let last = messages.iter().rposition(says)?;
    let results = messages[last..]
        .iter()
        .filter(|message| has(message, "tool_result"))
        .count();
    // Titles and the like are asked for without tools.
    let reply = match asked["tools"].as_array() {
        Some(tools) if !tools.is_empty() => {
            // What failed is said again with what comes next: only the last counts.
            let said = match messages[last]["content"].as_array() {
                Some(blocks) => blocks.iter().rfind(|block| block["type"] == "text")?["text"].to_string(),
                None => messages[last]["content"].to_string(),
            };
            script(&said, results)
        }
        _ => Reply::Text("A title"),
    };
    Some(say(&reply, &asked["model"], messages.len()))
}

fn say(reply: &Reply, model: &Value, number: usize) -> Answer {
    let begin = |block: Value, delta: Value| {
        let message = json!({
            "id": format!("msg_{number:04}"), "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 100, "output_tokens": 1},
        });
        vec![
            json!({"type": "message_start", "message": message}),
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        ]
    };
    let text = |text: &str| {
        begin(
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
        )
    };
    let end = |reason: &str| {
        [
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 20}}),
            json!({"type": "message_stop"}),
        ]
    };
    let (mut events, reason) = match reply {
        Reply::Text(said) => (text(said), Some("end_turn")),
        Reply::Held(half) => (text(half), None),
        Reply::Tool(name, input) => {
            let block = json!({"type": "tool_use", "id": format!("toolu_{number:04}"), "name": name, "input": {}});
            let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
            (begin(block, delta), Some("tool_use"))
        }
        Reply::Tools(_) => unreachable!("one after another"),
        Reply::Refuses(status, error) => return Answer::json(*status, &json!({"type": "error", "error": error})),
    };
    events.extend(reason.into_iter().flat_map(end));
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    Answer::events(events.iter().map(line).collect(), reason.is_none())
}
