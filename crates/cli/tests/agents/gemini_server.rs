//! Gemini's API, streamed.

use serde_json::{Value, json};

use crate::scripted::{Answer, Reply, Script, Scripted};

pub(crate) fn start(script: Script) -> Scripted {
    Scripted::start(script, answer)
}

fn answer(path: &str, asked: &Value, script: Script) -> Option<Answer> {
    let streamed = path.contains(":streamGenerateContent");
    if !streamed && !path.contains(":generateContent") {
        return path
            .contains(":countTokens")
            .then(|| Answer::json(200, &json!({"totalTokens": 10})));
    }
    let contents = asked["contents"].as_array()?;
    let has = |content: &Value, kind: &str| {
        let parts = content["parts"].as_array();
        parts.is_some_and(|parts| parts.iter().any(|part| part.get(kind).is_some()))
    };
    let last = contents
        .iter()
        .rposition(|content| content["role"] == "user" && has(content, "text"))?;
    let results = contents[last..]
        .iter()
        .filter(|content| has(content, "functionResponse"))
        .count();
    let reply = match asked["tools"].as_array() {
        Some(tools) if !tools.is_empty() => script(&contents[last]["parts"].to_string(), results),
        // Which model is to answer, and the like.
        _ => Reply::Text("{\"reasoning\": \"x\", \"model_choice\": \"flash\", \"next_speaker\": \"user\"}"),
    };
    Some(say(&reply, streamed))
}

fn say(reply: &Reply, streamed: bool) -> Answer {
    let tool = |name: &str, input: &Value| json!({"functionCall": {"name": name, "args": input}});
    let (parts, held) = match reply {
        Reply::Text(text) => (vec![json!({"text": text})], false),
        Reply::Held(half) => (vec![json!({"text": half})], true),
        Reply::Tool(name, input) => (vec![tool(name, input)], false),
        Reply::Tools(all) => (all.iter().map(|(name, input)| tool(name, input)).collect(), false),
        Reply::Refuses(status, error) => return Answer::json(*status, &json!({"error": error})),
    };
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if !held {
        candidate["finishReason"] = json!("STOP");
    }
    let usage = json!({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120});
    let response = json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini"});
    match streamed {
        true => Answer::events(format!("data: {response}\n\n"), held),
        false => Answer::json(200, &response),
    }
}
