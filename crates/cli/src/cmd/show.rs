//! `show`: one session as a transcript: what was said, what tools did, what it cost.

mod whole;

use std::{collections::HashSet, process::ExitCode};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use turnwire_client::Endpoint;
use turnwire_proto::{Event, Seq, ToolCall, ToolCallStart, path};

use super::sessions;
use crate::{
    args::Show,
    clean, exit, gateway,
    out::{self, Colour, Paint},
    render,
};

/// Sessions that are looked through for one that begins as was typed.
const LOOKED_THROUGH: u32 = 10_000;
/// Lines of a tool's output that are shown without `--full`.
const OUTPUT: usize = 8;

#[derive(Deserialize)]
struct Page {
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<Seq>,
}

pub(crate) async fn show(args: Show) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let id = find(&endpoint, &args.session).await?;
    let paint = Paint::stdout();
    let mut after = Seq::ZERO;
    let mut said = Shown::default();
    let mut any = false;
    if !args.json {
        out::print(&paint.paint(Colour::Bold, &format!("session {}", clean::line(&id))))?;
    }
    loop {
        let query = [
            ("session_id", id.clone()),
            ("after", after.to_string()),
            ("limit", "1000".to_owned()),
            ("deltas", args.json.to_string()),
        ];
        let request = endpoint.request(Method::GET, path::HISTORY).query(&query);
        let page: Page = endpoint.json(request).await.map_err(exit::from_client)?;
        any |= !page.events.is_empty();
        for raw in &page.events {
            let whole = match args.full {
                true => whole::whole(&endpoint, raw.get()).await?,
                false => None,
            };
            let raw = whole.as_deref().unwrap_or_else(|| raw.get());
            if args.json {
                out::print(raw)?;
                continue;
            }
            let Ok(event) = Event::parse(raw.as_bytes()) else {
                continue;
            };
            if said.repeats(&event) {
                continue;
            }
            if let Some(text) = entry(&event, paint, args.full) {
                out::print(&text)?;
                for line in whole::away(&event) {
                    out::print(&paint.paint(Colour::Dim, &clean::line(&line)))?;
                }
            }
        }
        // A page may be empty and yet not the last one: what was selected may lie further on.
        match page.next.filter(|next| *next > after) {
            Some(next) => after = next,
            None => break,
        }
    }
    if !any {
        return Err(exit::failure(exit::FAILURE, format!("session {id} has no events")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The id that was meant: itself, `last`, or the one that begins like this.
async fn find(endpoint: &Endpoint, typed: &str) -> anyhow::Result<String> {
    if typed == "last" {
        let last = sessions::list(endpoint, 1).await?;
        let last = last.into_iter().next().map(|(row, _)| row.id);
        return last.ok_or_else(|| exit::failure(exit::FAILURE, "there are no sessions yet"));
    }
    let url = turnwire_client::filled(path::SESSION, typed);
    match endpoint
        .json::<sessions::Row>(endpoint.request(Method::GET, &url))
        .await
    {
        Ok(row) => return Ok(row.id),
        Err(error) if error.code() == Some(turnwire_proto::Code::NotFound) => {}
        Err(error) => return Err(exit::from_client(error)),
    }
    let all = sessions::list(endpoint, LOOKED_THROUGH).await?;
    let mut found = all
        .into_iter()
        .map(|(row, _)| row.id)
        .filter(|id| id.starts_with(typed));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(exit::failure(
            exit::FAILURE,
            format!("there is no session {typed}; see `turnwire sessions`"),
        )),
        (Some(one), Some(two)) => Err(exit::failure(
            2,
            format!("{typed} is the beginning of several sessions, such as {one} and {two}"),
        )),
    }
}

/// What a user has said and was shown, so that the other event that says it is passed over: a prompt is said by its turn's start and
/// by a message, in either order.
#[derive(Default)]
struct Shown {
    /// Of the turn that has just begun.
    prompt: Option<String>,
    /// Messages that were given before their turns: a turn has its message's id.
    given: HashSet<String>,
}

impl Shown {
    /// Whether an event says what was shown.
    fn repeats(&mut self, event: &Event) -> bool {
        let text = |key: &str| {
            let body: Option<Value> = event.data.read().ok();
            body.and_then(|body| body.get(key)?.as_str().map(str::to_owned))
        };
        match event.kind.as_str() {
            "turn_start" => {
                let given = event.turn_id.as_ref().is_some_and(|id| self.given.remove(id.as_str()));
                self.prompt = text("body").filter(|body| !body.is_empty());
                given
            }
            "message" => {
                let repeats = self.prompt.take().is_some_and(|prompt| text("content") == Some(prompt));
                if !repeats && text("role").as_deref() == Some("user") {
                    self.given.extend(text("message_id"));
                }
                repeats
            }
            _ => false,
        }
    }
}

/// What a transcript says of an event; nothing of most.
fn entry(event: &Event, paint: Paint, full: bool) -> Option<String> {
    let body: Value = event.data.read().ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let time = event.timestamp.to_string();
    let time = paint.paint(Colour::Dim, time.get(11..19).unwrap_or_default());
    let shown = match event.kind.as_str() {
        "message" => {
            let colour = if text("role") == "user" {
                Colour::Green
            } else {
                Colour::Blue
            };
            let role = paint.paint(colour, &clean::line(text("role")));
            format!("\n{time} {role}\n{}", indent(text("content"), usize::MAX))
        }
        "turn_start" => {
            let from = paint.paint(Colour::Green, &clean::line(text("from")));
            format!("\n{time} {from}\n{}", indent(text("body"), usize::MAX))
        }
        "reasoning" => {
            let title = paint.paint(Colour::Dim, "reasoning");
            let lines = if full { usize::MAX } else { OUTPUT };
            format!(
                "\n{time} {title}\n{}",
                paint.paint(Colour::Dim, &indent(text("content"), lines))
            )
        }
        "tool_call_start" => {
            let start: ToolCallStart = event.data.read().ok()?;
            let tool = paint.paint(Colour::Magenta, &clean::line(&start.tool));
            format!("\n{time} {tool} {}", render::main_argument(start.arguments.as_ref()))
        }
        "tool_call" => {
            let call: ToolCall = event.data.read().ok()?;
            tool(&call, &time, paint, full)
        }
        "turn_end" | "session_start" | "session_end" | "error" | "agent_start" | "agent_end" | "note"
        | "turn_state_changed" | "model_changed" | "approval_request" | "approval_decision" | "command"
        | "command_state" | "task_start" | "task_complete" | "grader_result" | "run_complete" => {
            format!("{time} {}", render::gist_with_kind(event, paint))
        }
        _ => return None,
    };
    Some(shown)
}

fn tool(call: &ToolCall, time: &str, paint: Paint, full: bool) -> String {
    let output = call.output.as_ref().map(render::plain).unwrap_or_default();
    let head = ToolCall {
        output: None,
        ..call.clone()
    };
    let lines = if full { usize::MAX } else { OUTPUT };
    let mut text = format!("{time} {}", render::tool_end(&head, paint));
    if !output.trim().is_empty() {
        text.push('\n');
        text.push_str(&paint.paint(Colour::Dim, &indent(&output, lines)));
    }
    text
}

/// Two spaces before each line, at most `most` lines.
fn indent(text: &str, most: usize) -> String {
    let text = clean::block(text);
    let count = text.trim_end().lines().count();
    let mut lines: Vec<String> = text
        .trim_end()
        .lines()
        .take(most)
        .map(|line| format!("  {line}"))
        .collect();
    if count > most {
        lines.push(format!("  … {} more lines (--full shows them)", count - most));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Json;

    use super::*;

    fn shown(kind: &str, data: &str) -> Option<String> {
        let text = format!(
            r#"{{"seq":1,"id":"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10","type":"{kind}","timestamp":"2026-11-20T08:25:00.123Z","source":"x","data":{data}}}"#
        );
        entry(&Event::parse(text.as_bytes()).unwrap(), Paint::never(), false)
    }

    #[test]
    fn a_transcript_has_what_was_said_and_what_tools_did() {
        assert_eq!(
            shown("message", r#"{"role":"assistant","content":"a\nb\u001b[2J"}"#).unwrap(),
            "\n08:25:00 assistant\n  a\n  b\\x1b[2J"
        );
        assert_eq!(
            shown(
                "tool_call",
                r#"{"tool":"Bash","success":true,"duration_ms":5,"output":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"}"#
            )
            .unwrap(),
            "08:25:00 Bash ok 5ms\n  1\n  2\n  3\n  4\n  5\n  6\n  7\n  8\n  … 2 more lines (--full shows them)"
        );
        assert_eq!(shown("text_delta", r#"{"content":"a"}"#), None);
    }

    #[test]
    fn a_prompt_is_shown_once_whichever_event_says_it_first() {
        let event = |kind: &str, turn: &str, data: &str| {
            let text = format!(
                r#"{{"seq":1,"id":"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10","type":"{kind}","timestamp":"2026-11-20T08:25:00.123Z","source":"x"{turn},"data":{data}}}"#
            );
            Event::parse(text.as_bytes()).unwrap()
        };
        let said = r#"{"role":"user","content":"hi","message_id":"m"}"#;
        let start = r#"{"from":"user","body":"hi","unread":0}"#;
        for (events, repeated) in [
            (
                &[("turn_start", "", start), ("message", "", said)][..],
                &[false, true][..],
            ),
            (
                &[
                    ("message", "", said),
                    ("turn_start", r#","turn_id":"m""#, start),
                    ("message", "", said),
                ],
                &[false, true, true],
            ),
            (
                &[("message", "", said), ("turn_start", r#","turn_id":"other""#, start)],
                &[false, false],
            ),
        ] {
            let mut shown = Shown::default();
            let repeats: Vec<_> = events
                .iter()
                .map(|(kind, turn, data)| shown.repeats(&event(kind, turn, data)))
                .collect();
            assert_eq!(repeats, repeated, "{events:?}");
        }
    }

    #[test]
    fn an_output_of_parts_is_read_as_text() {
        assert_eq!(
            render::plain(&Json::of(&serde_json::json!([{"type":"text","text":"a"}]))),
            "a"
        );
    }
}
