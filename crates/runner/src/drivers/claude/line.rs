//! What a line says to the driver. Most say nothing: they are the adapter's. Whatever they hold, nothing here fails.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use turnwire_proto::{Json, Name, Timestamp};

/// A line, as far as it is the driver's.
#[derive(Debug)]
pub(super) enum Line {
    Init {
        session: Option<String>,
        model: Option<Name>,
    },
    Compacting(bool),
    /// A tool waits for a person.
    Asks {
        id: Name,
        tool: String,
        input: Json,
    },
    AskGone(Name),
    /// Another question, with its id.
    OtherRequest(String),
    /// The answer to a control request: its `response`.
    Answer(Value),
    /// The vendor takes nothing, and until when.
    Limit(Option<Duration>),
    /// The vendor's word for what failed.
    ApiError(String),
    Result(Value),
    Other,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
}

/// The arguments of a tool, as they stand.
#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    request: Input<'a>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

impl Line {
    pub(super) fn read(bytes: &[u8]) -> Self {
        // Read twice where it matters, so that the many pieces of text cost little.
        let Ok(Kind { kind: Some(kind) }) = serde_json::from_slice(bytes) else {
            return Self::Other;
        };
        let api_error = || memchr::memmem::find(bytes, b"\"is_api_error_message\"").is_some();
        match kind.get() {
            "\"system\""
            | "\"control_request\""
            | "\"control_response\""
            | "\"control_cancel_request\""
            | "\"result\""
            | "\"rate_limit_event\"" => {}
            "\"assistant\"" if api_error() => {}
            _ => return Self::Other,
        }
        serde_json::from_slice(bytes).map_or(Self::Other, |line| Self::of(line, bytes))
    }

    fn of(mut line: Value, bytes: &[u8]) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match (line["type"].as_str().unwrap_or_default(), line["subtype"].as_str()) {
            ("system", Some("init")) => Self::Init {
                session: text(&line["session_id"]),
                model: line["model"].as_str().and_then(Name::lossy),
            },
            ("system", Some("status")) if line["status"] == "compacting" => Self::Compacting(true),
            ("system", Some("status")) if !line["compact_result"].is_null() || !line["compact_error"].is_null() => {
                Self::Compacting(false)
            }
            ("control_request", _) => {
                let Some(id) = text(&line["request_id"]) else {
                    return Self::Other;
                };
                let request = &line["request"];
                // The id is the event's as it stands: one that is no name is no event's.
                let Ok(name) = Name::new(&id) else {
                    return Self::OtherRequest(id);
                };
                if request["subtype"] != "can_use_tool" {
                    return Self::OtherRequest(id);
                }
                let tool = request["tool_name"].as_str().unwrap_or("unknown").to_owned();
                let asked: Option<Asked<'_>> = serde_json::from_slice(bytes).ok();
                let input = asked.and_then(|asked| asked.request.input).map(Json::from_raw);
                Self::Asks {
                    id: name,
                    tool,
                    input: input.unwrap_or_else(|| Json::of(&serde_json::Map::new())),
                }
            }
            ("control_cancel_request", _) => {
                let id = line["request_id"].as_str().and_then(|id| Name::new(id).ok());
                id.map_or(Self::Other, Self::AskGone)
            }
            ("control_response", _) => Self::Answer(line["response"].take()),
            ("rate_limit_event", _) => {
                let info = &line["rate_limit_info"];
                Self::Limit(
                    (info["status"] == "rejected")
                        .then(|| until(info["resetsAt"].as_i64()))
                        .flatten(),
                )
            }
            ("assistant", _) => text(&line["error"]).map_or(Self::Other, Self::ApiError),
            ("result", _) => Self::Result(line),
            _ => Self::Other,
        }
    }
}

/// From now until a moment in seconds since 1970.
fn until(seconds: Option<i64>) -> Option<Duration> {
    let wait = seconds?.checked_mul(1000)?.checked_sub(Timestamp::now().millis())?;
    u64::try_from(wait).ok().map(Duration::from_millis)
}

/// Whether the vendor does not know the conversation that it was to resume.
pub(super) fn is_lost(result: &Value) -> bool {
    let errors = result["errors"].as_array().into_iter().flatten();
    errors
        .filter_map(Value::as_str)
        .any(|error| error.starts_with("No conversation found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_arguments_stay_as_they_were_written() {
        let line = br#"{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"z":1.50,"a":"x"}}}"#;
        let Line::Asks { id, tool, input } = Line::read(line) else {
            panic!("not a question")
        };
        assert_eq!(
            (id.as_str(), tool.as_str(), input.get()),
            ("r", "Bash", r#"{"z":1.50,"a":"x"}"#)
        );
    }

    #[test]
    fn odd_lines_are_none_of_the_drivers() {
        for line in [
            "",
            "{",
            "[]",
            "7",
            r#"{"type":7}"#,
            r#"{"type":"system"}"#,
            r#"{"type":"control_request"}"#,
            r#"{"type":"control_cancel_request","request_id":7}"#,
            r#"{"type":"assistant","is_api_error_message":true}"#,
            r#"{"type":"rate_limit_event_2"}"#,
        ] {
            assert!(matches!(Line::read(line.as_bytes()), Line::Other), "{line}");
        }
        assert!(matches!(
            Line::read(br#"{"type":"control_request","request_id":"r","request":7}"#),
            Line::OtherRequest(_)
        ));
        assert!(matches!(
            Line::read(br#"{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1e400}}"#),
            Line::Other | Line::Limit(None)
        ));
    }
}
