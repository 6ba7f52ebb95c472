//! OpenAI's Responses API, streamed.

use serde_json::{Value, json};

use crate::scripted::{Answer, Reply, Script, Scripted};

pub(crate) fn start(script: Script) -> Scripted {
    Scripted::start(script, answer)
}

fn answer(path: &str, asked: &Value, script: Script) -> Option<Answer> {
    if !path.split('?').next()?.ends_with("/responses") {
        return None;
    }
    let input = asked["input"].as_array()?;
    let last = input.iter().rposition(|item| item["role"] == "user")?;
    let is_result = |item: &&Value| item["type"].as_str().is_some_and(|kind| kind.ends_with("_output"));
    let results = input[last..].iter().filter(is_result).count();
    Some(say(&script(&input[last].to_string(), results), input.len()))
}

fn say(reply: &Reply, number: usize) -> Answer {
    let id = format!("resp_{number}");
    let message = format!("msg_{number}");
    let start = json!({"type": "response.created", "response": {"id": id}});
    let delta = |text: &str| json!({"type": "response.output_text.delta", "item_id": message, "output_index": 0, "content_index": 0, "delta": text});
    let item = |text: &str| {
        let content = match text {
            "" => json!([]),
            text => json!([{"type": "output_text", "text": text}]),
        };
        json!({"type": "message", "id": message, "role": "assistant", "content": content})
    };
    let added = json!({"type": "response.output_item.added", "output_index": 0, "item": item("")});
    let done = |item: Value| json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    let usage = json!({
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120,
    });
    let end = json!({"type": "response.completed", "response": {"id": id, "usage": usage}});
    let (events, held) = match reply {
        Reply::Tool(name, input) => {
            let call = json!({
                "type": "function_call", "call_id": format!("call_{number}"), "name": name, "arguments": input.to_string(),
            });
            (vec![start, done(call), end], false)
        }
        Reply::Tools(_) => unreachable!("one after another"),
        Reply::Text(text) => (vec![start, added, delta(text), done(item(text)), end], false),
        Reply::Held(half) => (vec![start, added, delta(half)], true),
        Reply::Refuses(200, error) => {
            let failed = json!({"type": "response.failed", "response": {"id": id, "error": error}});
            (vec![start, failed], false)
        }
        Reply::Refuses(status, error) => return Answer::json(*status, &json!({"error": error})),
    };
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    Answer::events(events.iter().map(line).collect(), held)
}
