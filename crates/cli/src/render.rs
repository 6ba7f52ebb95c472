//! An event in one line for a person: when, where, who, what, and the gist of it. Nothing foreign reaches the terminal raw.

use serde_json::Value;
use turnwire_proto::{Event, Json, Timestamp, ToolCall, ToolCallStart, TurnEnd, Usage};

use crate::{
    clean,
    out::{Colour, Paint},
};

/// Characters of a gist in a line.
const GIST: usize = 160;
/// Characters of a session's id that tell it from others in practice.
const SHORT: usize = 8;

/// The event in one line.
pub(crate) fn line(event: &Event, paint: Paint) -> String {
    let time = event.timestamp.to_string();
    let time = time.get(11..23).unwrap_or(&time).to_owned();
    let session = event
        .session_id
        .as_ref()
        .map_or_else(|| "-".to_owned(), |id| short(id.as_str()));
    let agent = event.agent.as_ref().unwrap_or(&event.source);
    let kind = event.kind.as_str();
    format!(
        "{} {} {} {} {}",
        paint.paint(Colour::Dim, &time),
        paint.paint(Colour::Cyan, &pad(&session, SHORT)),
        pad(&clean::cut(&clean::line(agent.as_str()), 14), 8),
        paint.paint(colour(kind), &pad(kind, 15)),
        gist(event, paint),
    )
    .trim_end()
    .to_owned()
}

/// The kind and the gist.
pub(crate) fn gist_with_kind(event: &Event, paint: Paint) -> String {
    let kind = event.kind.as_str();
    format!("{} {}", paint.paint(colour(kind), kind), gist(event, paint))
        .trim_end()
        .to_owned()
}

/// The part of an id that is shown.
pub(crate) fn short(id: &str) -> String {
    clean::line(id).chars().take(SHORT).collect()
}

fn pad(text: &str, width: usize) -> String {
    let have = text.chars().count();
    let mut text = text.to_owned();
    text.extend(std::iter::repeat_n(' ', width.saturating_sub(have)));
    text
}

fn colour(kind: &str) -> Colour {
    match kind {
        "message" => Colour::Blue,
        "tool_call" | "tool_call_start" => Colour::Magenta,
        "error" => Colour::Red,
        "turn_start" | "turn_end" | "session_start" | "session_end" | "agent_start" | "agent_end" => Colour::Green,
        "approval_request" | "approval_decision" | "command" | "command_state" => Colour::Yellow,
        _ => Colour::Dim,
    }
}

/// What the event says, as short as it can be said.
fn gist(event: &Event, paint: Paint) -> String {
    let Ok(body) = event.data.read::<Value>() else {
        return String::new();
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    match event.kind.as_str() {
        "message" => format!("{}: {}", one(text("role")), one(text("content"))),
        "turn_start" => format!("{}: {}", one(text("from")), one(text("body"))),
        "text_delta" | "reasoning_delta" | "reasoning" | "tool_progress" => one(text("content")),
        "note" => one(text("text")),
        "error" => format!("{}: {}", one(text("component")), one(text("message"))),
        "tool_call_start" => event.data.read().map(|start| tool_start(&start)).unwrap_or_default(),
        "tool_call" => event.data.read().map(|call| tool_end(&call, paint)).unwrap_or_default(),
        "turn_end" => event.data.read().map(|end| turn_end(&end, paint)).unwrap_or_default(),
        "usage" => event.data.read().map(|used| usage(&used)).unwrap_or_default(),
        "session_start" => words(&[text("model"), text("cwd")]),
        "agent_start" => one(&command(&body)),
        "agent_end" => agent_end(&body, paint),
        "session_end" => words(&[text("reason"), &agent_end(&body, Paint::never())]),
        "turn_state_changed" => words(&[text("state"), text("note")]),
        "status_changed" => words(&[text("status"), text("note")]),
        "model_changed" => one(text("model")),
        "approval_request" => words(&[text("tool"), text("title"), &arguments(body.get("arguments"))]),
        "approval_decision" => words(&[text("decision"), text("by"), text("message")]),
        "command" => words(&[text("action"), &arguments(body.get("arguments"))]),
        "command_state" => words(&[text("state"), text("reason")]),
        "raw" => event.raw.as_ref().map(|raw| one(raw.get())).unwrap_or_default(),
        _ => one(if event.data.get() == "{}" { "" } else { event.data.get() }),
    }
}

fn one(text: &str) -> String {
    // Cut before cleaning too: a body may have a megabyte.
    let head: String = text.chars().take(GIST * 2).collect();
    clean::cut(clean::line(&head).trim(), GIST)
}

fn words(words: &[&str]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| one(word))
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

fn command(body: &Value) -> String {
    let words = body.get("command").and_then(Value::as_array);
    let words = words.map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    words.unwrap_or_default()
}

fn tool_start(start: &ToolCallStart) -> String {
    words(&[&start.tool, &main_argument(start.arguments.as_ref())])
}

/// The tool's name, its outcome and how long it took.
pub(crate) fn tool_end(call: &ToolCall, paint: Paint) -> String {
    let outcome = if call.success {
        paint.paint(Colour::Green, "ok")
    } else {
        paint.paint(Colour::Red, "failed")
    };
    let mut parts = vec![one(&call.tool), outcome];
    parts.extend(call.duration_ms.map(duration));
    parts.extend(call.error.as_deref().map(one));
    parts.extend(
        call.output
            .as_ref()
            .map(|output| one(&plain(output)))
            .filter(|text| !text.is_empty()),
    );
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn turn_end(end: &TurnEnd, paint: Paint) -> String {
    let mut parts = vec![if end.ok {
        paint.paint(Colour::Green, "ok")
    } else {
        paint.paint(Colour::Red, "failed")
    }];
    parts.extend(end.duration_ms.map(duration));
    parts.extend(end.usage.as_ref().map(usage));
    if end.usage.as_ref().is_none_or(|used| used.cost_usd.is_none()) {
        parts.extend(end.cost_usd.map(cost));
    }
    parts.extend(end.note.as_deref().map(one));
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

fn agent_end(body: &Value, paint: Paint) -> String {
    let number = |key: &str| body.get(key).and_then(Value::as_i64);
    let outcome = match (number("exit_code"), number("signal")) {
        (Some(0), _) => paint.paint(Colour::Green, "exit 0"),
        (Some(code), _) => paint.paint(Colour::Red, &format!("exit {code}")),
        (None, Some(signal)) => paint.paint(Colour::Red, &format!("signal {signal}")),
        (None, None) => String::new(),
    };
    let took = body
        .get("duration_ms")
        .and_then(Value::as_u64)
        .map(duration)
        .unwrap_or_default();
    format!("{outcome} {took}").trim().to_owned()
}

/// `1.2k in, 34 out, 5k cached, $0.0123`.
pub(crate) fn usage(used: &Usage) -> String {
    let mut parts = Vec::new();
    parts.extend(used.input_tokens.map(|n| format!("{} in", count(n))));
    parts.extend(used.output_tokens.map(|n| format!("{} out", count(n))));
    let cached = used.cache_read_input_tokens.unwrap_or(0) + used.cache_creation_input_tokens.unwrap_or(0);
    parts.extend((cached > 0).then(|| format!("{} cached", count(cached))));
    parts.extend(used.cost_usd.map(cost));
    parts.join(", ")
}

/// `950`, `1.2k`, `3.4M`.
pub(crate) fn count(number: u64) -> String {
    let scaled = |unit: u64, name: &str| {
        let tenths = number / (unit / 10);
        format!("{}.{}{name}", tenths / 10, tenths % 10)
    };
    match number {
        0..=999 => number.to_string(),
        1_000..=999_999 => scaled(1_000, "k"),
        _ => scaled(1_000_000, "M"),
    }
}

/// `$0.0123`, `$1.23`.
pub(crate) fn cost(usd: f64) -> String {
    if usd < 1.0 {
        format!("${usd:.4}")
    } else {
        format!("${usd:.2}")
    }
}

/// `42ms`, `1.5s`, `3m12s`, `2h05m`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms}ms"),
        1_000..=59_999 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        60_000..=3_599_999 => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// The argument that says most: what a person would read first.
pub(crate) fn main_argument(arguments: Option<&Json>) -> String {
    let Some(Ok(value)) = arguments.map(Json::read::<Value>) else {
        return String::new();
    };
    const FIRST: [&str; 14] = [
        "command",
        "cmd",
        "file_path",
        "filePath",
        "path",
        "pattern",
        "query",
        "url",
        "prompt",
        "description",
        "absolute_path",
        "dir_path",
        "subject",
        "title",
    ];
    let known = FIRST.iter().find_map(|key| value.get(key));
    let shown = match known {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ if value.as_object().is_some_and(serde_json::Map::is_empty) || value.is_null() => String::new(),
        _ => value.to_string(),
    };
    one(&shown)
}

fn arguments(value: Option<&Value>) -> String {
    value
        .map(|value| main_argument(Some(&Json::of(value))))
        .unwrap_or_default()
}

/// A tool's output as text: a string is itself, the text parts of a list are joined, all else stays JSON.
pub(crate) fn plain(output: &Json) -> String {
    match output.read::<Value>() {
        Ok(Value::String(text)) => text,
        Ok(Value::Array(items)) if items.iter().all(|item| item.get("text").is_some()) => {
            let parts: Vec<_> = items.iter().filter_map(|item| item["text"].as_str()).collect();
            parts.join("\n")
        }
        Ok(Value::Null) => String::new(),
        _ => output.get().to_owned(),
    }
}

/// A UUID is told by its start; any other id is shown as it is.
pub(crate) fn id(id: &str) -> String {
    let uuid = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if uuid {
        id[..13].to_owned()
    } else {
        clean::cut(&clean::line(id), 36)
    }
}

/// `12s ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now.millis() - at.millis()).max(0) / 1000;
    match seconds {
        0..=59 => format!("{seconds}s ago"),
        60..=3599 => format!("{}m ago", seconds / 60),
        3600..=86_399 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Event;

    use super::*;

    fn shown(kind: &str, data: &str) -> String {
        let text = format!(
            r#"{{"seq":1,"id":"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10","type":"{kind}","timestamp":"2026-11-20T08:25:00.123Z",
            "source":"claude-code","agent":"builder","session_id":"8c3c1234-xyz","data":{data}}}"#
        );
        line(&Event::parse(text.as_bytes()).unwrap(), Paint::never())
    }

    #[test]
    fn an_id_is_shown_so_that_it_can_be_typed() {
        assert_eq!(id("0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10"), "0199e0a2-7c1e");
        assert_eq!(id("build-42"), "build-42");
        assert_eq!(id("\x1b[2J"), "\\x1b[2J");
    }

    #[test]
    fn a_line_says_when_where_who_what_and_the_gist() {
        assert_eq!(
            shown(
                "tool_call",
                r#"{"tool":"Bash","tool_call_id":"t","success":false,"duration_ms":1234,"error":"exit 1","output":"no\nsuch"}"#
            ),
            "08:25:00.123 8c3c1234 builder  tool_call       Bash failed 1.2s exit 1 no such"
        );
        assert_eq!(
            shown(
                "tool_call_start",
                r#"{"tool":"Bash","tool_call_id":"t","arguments":{"command":"ls -l","timeout":5}}"#
            ),
            "08:25:00.123 8c3c1234 builder  tool_call_start Bash ls -l"
        );
        assert_eq!(
            shown(
                "turn_end",
                r#"{"ok":true,"duration_ms":62000,"usage":{"input_tokens":1234,"output_tokens":56},"cost_usd":0.0123}"#
            ),
            "08:25:00.123 8c3c1234 builder  turn_end        ok 1m02s 1.2k in, 56 out $0.0123"
        );
        assert_eq!(
            shown("made_up", r#"{"x":1}"#),
            r#"08:25:00.123 8c3c1234 builder  made_up         {"x":1}"#
        );
        assert_eq!(
            shown("agent_end", r#"{"exit_code":3,"duration_ms":5}"#),
            "08:25:00.123 8c3c1234 builder  agent_end       exit 3 5ms"
        );
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal_nor_break_the_line() {
        for (kind, data) in [
            ("turn_start", r#"{"from":"\u001b[2J","body":"\u001bc"}"#),
            ("message", r#"{"role":"\u001b[2J","content":"a\u001b]0;x\u0007\nb"}"#),
            ("note", r#"{"text":"\u009b2J\r"}"#),
            (
                "tool_call",
                r#"{"tool":"\u001bc","success":true,"output":["\u001b[5n"]}"#,
            ),
            (
                "tool_call_start",
                r#"{"tool":"x","arguments":{"command":"\u001b[1m\u202e"}}"#,
            ),
            ("agent_start", r#"{"command":["a\u001b"]}"#),
            ("made_up", "{\"x\":\"\u{9b}\"}"),
        ] {
            let line = shown(kind, data);
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
        }
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([count(999), count(1000), count(1_250_000)], ["999", "1.0k", "1.2M"]);
        assert_eq!([duration(59_999), duration(3_600_000)], ["59.9s", "1h00m"]);
    }
}
