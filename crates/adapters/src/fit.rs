//! Events that fit: what is larger than an event may be is cut here, and says so, so that publishing never fails on it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use turnwire_proto::{Json, Object, is_deeper, limits, room};

use crate::view::Obj;

/// Bytes of a text that stands for one that is too large. JSON escapes at most six-fold, so the escaped head stays small.
const HEAD: usize = 8 * 1024;

/// Levels of nesting that a body may have: fewer than [`limits::LEVELS`], beyond which a server refuses, and what most readers that
/// give up early still take. No tool takes half of this.
const LEVELS: usize = 64;

/// What stands in place of a value that is too large.
#[derive(Serialize)]
struct Cut<'a> {
    truncated: bool,
    bytes: usize,
    head: &'a str,
}

/// A body that is taken alone: long strings in it are cut, and `truncated` and `bytes` (before cutting) are added. What a server
/// makes a blob of is not long.
pub(crate) fn body(data: Object) -> Object {
    let data = whole_surrogates(data);
    if is_deeper(data.get(), LEVELS) {
        return by_field(&data);
    }
    if room::fits(data.get(), None) {
        return data;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(data.get()) else {
        return by_field(&data);
    };
    fields.insert("truncated".into(), true.into());
    fields.insert("bytes".into(), data.get().len().into());
    // Half of the limit, then ever less, leaves as much of the longest strings as there is room for.
    let mut longest = limits::INCOMING / 2;
    while longest >= 256 {
        fields.values_mut().for_each(|field| shorten(field, longest));
        let shorter = Object::of(&fields);
        if room::fits(shorter.get(), None) {
            return shorter;
        }
        longest /= 4;
    }
    by_field(&data)
}

/// A vendor's line beside a body.
pub(crate) fn raw(line: &str, body: &Object) -> Option<Json> {
    let json = Some(line)
        .filter(|line| !is_deeper(line, LEVELS))
        .and_then(|line| Json::parse(line).ok());
    let json = json.unwrap_or_else(|| Json::of(line));
    if room::fits(body.get(), Some(json.get())) {
        return Some(json);
    }
    let cut = cut(line, HEAD);
    // A body that fills the event leaves no room; it has itself said that it was cut, or is all of the line.
    room::fits(body.get(), Some(cut.get())).then_some(cut)
}

/// The start of a text, at most `bytes` long.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn cut(text: &str, head_bytes: usize) -> Json {
    Json::of(&Cut {
        truncated: true,
        bytes: text.len(),
        head: head(text, head_bytes),
    })
}

/// A body with its small fields (its ids among them), and of the others what they began with.
fn by_field(data: &Object) -> Object {
    let fields = Obj::parse(data.get()).unwrap_or_default();
    let field = |key: &str, value: &Json| format!("{}:{}", Json::of(key).get(), value.get());
    let mut kept: Vec<String> = Vec::new();
    for (key, value) in fields.entries() {
        let small = value.get().len() <= HEAD && !is_deeper(value.get(), LEVELS - 1);
        let value = if small {
            Json::from_raw(value)
        } else {
            cut(value.get(), HEAD / 4)
        };
        kept.push(field(key, &value));
    }
    kept.push(field("truncated", &Json::of(&true)));
    kept.push(field("bytes", &Json::of(&data.get().len())));
    let kept = Json::parse(&format!("{{{}}}", kept.join(",")))
        .ok()
        .and_then(Object::new);
    kept.filter(|kept| room::fits(kept.get(), None))
        .or_else(|| Object::new(cut(data.get(), HEAD)))
        .unwrap_or_else(Object::empty)
}

fn shorten(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if text.len() > longest => text.truncate(text.floor_char_boundary(longest)),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, longest)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shorten(field, longest)),
        _ => {}
    }
}

/// Half a surrogate pair, which a JavaScript agent makes by cutting a text in the middle of a character, becomes U+FFFD:
/// most readers refuse it, and then the whole event with it. The vendor's line keeps it.
fn whole_surrogates(data: Object) -> Object {
    match mend(data.get()) {
        Cow::Borrowed(_) => data,
        Cow::Owned(text) => Json::parse(&text).ok().and_then(Object::new).unwrap_or(data),
    }
}

fn mend(json: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memmem::find(json.as_bytes(), b"\\u") else {
        return Cow::Borrowed(json);
    };
    let unit = |at: usize| {
        let digits = json.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    // Escapes are pairs of bytes, so going back over the backslashes before the first `\u` is not needed when the walk
    // begins at the string's start; it begins at the object's.
    let mut at = json[..first].rfind('"').unwrap_or(0);
    let (mut kept, mut mended) = (0, String::new());
    while let Some(step) = memchr::memchr(b'\\', &json.as_bytes()[at..]) {
        at += step;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&json[kept..at]);
                mended.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
        if at >= json.len() {
            break;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(json);
    }
    mended.push_str(&json[kept..]);
    Cow::Owned(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Object {
        Object::new(Json::parse(json).unwrap()).unwrap()
    }

    #[test]
    fn a_body_that_becomes_small_by_its_blobs_is_whole_and_so_is_its_line() {
        let line = format!(r#"{{"tool":"Bash","output":"{}"}}"#, "é\\n".repeat(limits::EVENT));
        let whole = body(object(&line));
        assert_eq!(whole.get(), line);
        assert_eq!(raw(&line, &whole).unwrap().get(), line);
    }

    #[test]
    fn a_body_over_the_limit_is_cut_and_says_so() {
        let big = object(&format!(
            r#"{{"tool":"Bash","output":"{}"}}"#,
            "é".repeat(limits::INCOMING / 2)
        ));
        let bytes = big.get().len();
        let cut = body(big);
        assert!(room::fits(cut.get(), None));
        let read: Value = cut.read().unwrap();
        assert_eq!(
            (&read["truncated"], &read["bytes"], &read["tool"]),
            (&true.into(), &bytes.into(), &"Bash".into())
        );
        assert!(read["output"].as_str().unwrap().len() > limits::INCOMING / 4);
    }

    #[test]
    fn a_body_of_many_small_things_is_cut_too() {
        for item in ["1,".to_owned(), format!("\"{}\",", "x".repeat(1000))] {
            let items = item.repeat(2 * limits::EVENT / item.len());
            let cut = body(object(&format!(r#"{{"list":[{items}1]}}"#)));
            assert!(cut.get().len() <= limits::EVENT && cut.get().contains("\"truncated\":true"));
        }
    }

    #[test]
    fn a_line_for_which_the_body_leaves_no_room_is_cut() {
        let line = format!("{{\"x\":[{}1]}}", "1,".repeat(limits::EVENT));
        let body = |bytes: usize| object(&format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)));
        let cut = raw(&line, &body(limits::EVENT / 2)).unwrap();
        assert!(cut.get().starts_with("{\"truncated\":true"));
        let whole = body(limits::INCOMING - 8);
        assert!(raw(&line, &whole).is_none());
        assert!(
            raw(whole.get(), &body(9))
                .unwrap()
                .get()
                .starts_with("{\"truncated\":true")
        );
        assert_eq!(raw("{\"x\":1}", &body(0)).unwrap().get(), "{\"x\":1}");
    }

    #[test]
    fn what_is_nested_deeper_than_readers_go_is_a_text() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(body(object(&deep(LEVELS - 1))).get(), deep(LEVELS - 1));
        let cut = body(object(&deep(LEVELS).replacen('{', "{\"id\":7,", 1)));
        assert!(cut.get().starts_with("{\"id\":7,\"a\":{\"truncated\":true") && !is_deeper(cut.get(), LEVELS));
        assert!(raw(&deep(LEVELS), &Object::empty()).unwrap().get().starts_with("\"{"));
        assert!(!is_deeper(&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(LEVELS)), LEVELS));
    }

    #[test]
    fn half_a_surrogate_pair_is_mended_and_a_whole_one_is_kept() {
        for (given, want) in [
            (r#"{"a":"\ud83d"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#),
            (r#"{"a":"\\\ud83d\u0041"}"#, r#"{"a":"\\\ufffd\u0041"}"#),
            (r#"{"a\"":"\uDE00x","b":"\n"}"#, r#"{"a\"":"\ufffdx","b":"\n"}"#),
        ] {
            assert_eq!(mend(given), want);
        }
    }
}
