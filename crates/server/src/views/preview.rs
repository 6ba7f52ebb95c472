//! What a row shows of texts and values that may be large: a bounded part. The whole is in the log.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use turnwire_proto::{Json, Object};

/// Bytes of a prompt, a result, a call's arguments or its output in a row.
pub(super) const PART: usize = 4 * 1024;
/// Bytes of a word: a tool's name, a call's id, a state. As many as a name has.
pub(super) const WORD: usize = 256;
/// Characters of a title, a last text, a note.
const LINE: usize = 160;

/// One line of at most [`LINE`] characters.
pub(super) fn line(text: &str) -> String {
    let mut line = String::new();
    // A text of a megabyte is not walked through for its first words.
    for word in text.split_whitespace().take(LINE) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(head(word, 4 * LINE + 4));
        if line.len() > 4 * LINE {
            break;
        }
    }
    if let Some((end, _)) = line.char_indices().nth(LINE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// As many whole characters as fit so many bytes.
pub(super) fn head(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A text of at most [`PART`] bytes, and how many the whole has where this is a part.
pub(super) fn text(text: &str) -> (String, Option<u32>) {
    let part = head(text, PART);
    (part.to_owned(), (part.len() < text.len()).then(|| size(text)))
}

/// A value of about [`PART`] bytes: itself, or the same with its strings cut and what is behind the bound left out. And how many
/// bytes the whole has where this is a part.
pub(super) fn value(json: &Json) -> (String, Option<u32>) {
    value_within(json, PART)
}

/// The same of about so many bytes.
pub(super) fn value_within(json: &Json, most: usize) -> (String, Option<u32>) {
    let text = json.get();
    if text.len() <= most {
        return (text.to_owned(), None);
    }
    let mut left = most;
    let part = match json.read::<Value>() {
        Ok(Value::String(text)) => Value::String(cut(&text, most, &mut left)),
        // So that one long field leaves room for the others.
        Ok(value) => shrink(value, most / 4, &mut left),
        // It was JSON when it was published.
        Err(_) => Value::Null,
    };
    (part.to_string(), Some(size(text)))
}

/// An event is far smaller than four gigabytes.
fn size(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn shrink(value: Value, string: usize, left: &mut usize) -> Value {
    // Whatever it is, it takes some bytes.
    *left = left.saturating_sub(8);
    match value {
        Value::String(text) => Value::String(cut(&text, string, left)),
        Value::Array(items) => {
            let mut kept = Vec::new();
            for item in items {
                if *left == 0 {
                    break;
                }
                kept.push(shrink(item, string, left));
            }
            Value::Array(kept)
        }
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (key, field) in fields {
                *left = left.saturating_sub(key.len());
                if *left == 0 {
                    break;
                }
                kept.insert(key, shrink(field, string, left));
            }
            Value::Object(kept)
        }
        value => value,
    }
}

/// The start of a text that takes no more bytes than are left, as JSON writes it.
fn cut(text: &str, most: usize, left: &mut usize) -> String {
    let room = most.min(*left);
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        used += match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\x1f' => 6,
            c => c.len_utf8(),
        };
        used > room
    });
    *left -= used.min(*left);
    match end {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A body of a kind, as far as it fits: a field of another type than ours is as good as absent, and does not cost the others.
pub(super) fn body<T: DeserializeOwned + Default>(data: &Object) -> T {
    data.read().unwrap_or_else(|_| {
        let fits = |one: Map<String, Value>| serde_json::from_value::<T>(Value::Object(one)).is_ok();
        let mut fields: Map<String, Value> = data.read().unwrap_or_default();
        fields.retain(|key, field| fits(Map::from_iter([(key.clone(), field.clone())])));
        serde_json::from_value(Value::Object(fields)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use turnwire_proto::ToolCall;

    use super::*;

    #[test]
    fn a_part_is_bounded_and_still_json() {
        let long = "é\"\n\u{1}".repeat(PART);
        let deep = format!("{}\"x\"{}", "[".repeat(90), "]".repeat(90));
        for whole in [
            format!("{long:?}").replace("\\u{1}", "\\u0001"),
            serde_json::json!({"a": long, "b": [long, long], "c": {"d": "short"}}).to_string(),
            serde_json::json!(vec![1; 10_000]).to_string(),
            serde_json::json!(vec![deep; 1000]).to_string(),
            serde_json::json!({(long.as_str()): 1}).to_string(),
        ] {
            let json = Json::parse(&whole).unwrap();
            let (part, bytes) = value(&json);
            assert_eq!(bytes, Some(size(&whole)));
            assert!(part.len() <= 2 * PART, "{}", part.len());
            assert!(serde_json::from_str::<Value>(&part).is_ok(), "{part}");
        }
        let plain = "x\n".repeat(PART);
        let call = serde_json::json!({"file_path": "/a", "new_string": plain, "old_string": plain});
        let (part, _) = value(&Json::of(&call));
        let part: Value = serde_json::from_str(&part).unwrap();
        assert_eq!(part["file_path"], "/a");
        assert!(
            part["old_string"].as_str().unwrap().len() > PART / 8,
            "one long field leaves room for the next"
        );
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        assert_eq!(line("  a\n b "), "a b");
        assert_eq!(line(&"é".repeat(161)), format!("{}…", "é".repeat(160)));
        assert_eq!(line(&"é ".repeat(200)).chars().count(), 161);
    }

    #[test]
    fn a_field_of_another_type_does_not_cost_the_others() {
        let data = r#"{"tool":"Bash","tool_call_id":7,"duration_ms":1.5,"success":true,"output":[1]}"#;
        let call: ToolCall = body(&Object::new(Json::parse(data).unwrap()).unwrap());
        assert_eq!((call.tool.as_str(), call.tool_call_id.as_str()), ("Bash", ""));
        assert_eq!((call.duration_ms, call.success), (None, true));
        assert_eq!(call.output.unwrap().get(), "[1]");
    }
}
