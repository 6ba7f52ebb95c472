//! Whether an event will be taken: on its way it may be as large as a body, and what stays of it once its long strings have become
//! blobs must be as small as an event.

use crate::limits;

/// Bytes that an entry of a list of blobs has besides its pointer.
const ENTRY: usize = 200;
/// What an array's index may add to a pointer.
const INDEX: usize = 16;
/// Kept free: a marker may be longer than the secret whose place it takes.
const SLACK: usize = limits::PREVIEW;

/// Whether a server with the limits that are the default takes an event with such a body and such a vendor's line.
#[must_use]
pub fn fits(data: &str, raw: Option<&str>) -> bool {
    let raw = raw.unwrap_or_default();
    let size = data.len() + raw.len();
    size <= limits::EVENT || size <= limits::INCOMING && stays(data) + stays(raw) + SLACK <= limits::EVENT
}

/// Bytes of `json` that stay when its strings over [`limits::BLOB`] become blobs: at most so many. What is not JSON stays.
#[must_use]
pub fn stays(json: &str) -> usize {
    if json.len() <= limits::BLOB {
        return json.len();
    }
    let (bytes, mut left, mut at) = (json.as_bytes(), json.len(), 0);
    // What each level adds to the pointer of what is in it.
    let mut path = vec![0];
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => path.push(INDEX),
            b'}' | b']' if path.len() > 1 => drop(path.pop()),
            b'"' => {
                let Some(text) = string(bytes, at + 1) else {
                    return json.len();
                };
                at += text.len() + 1;
                let is_key = bytes[at + 1..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                if is_key && let Some(last) = path.last_mut() {
                    // Escaping may double it.
                    *last = 2 * text.len() + 1;
                } else if text.len() > limits::BLOB
                    && let Some(head) = head(text)
                {
                    left = left - text.len() + head + ENTRY + path.iter().sum::<usize>();
                }
            }
            _ => {}
        }
        at += 1;
    }
    left
}

/// The inside of the string that begins at `start`.
fn string(bytes: &[u8], start: usize) -> Option<&[u8]> {
    let mut end = start;
    loop {
        end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
        if bytes[end] == b'"' {
            return Some(&bytes[start..end]);
        }
        end += 2;
    }
}

/// Bytes, as they are escaped, of the head that stays of a text. `None`: it is no longer than a string that stays, or no text at all
/// (half a surrogate pair), and stays whole.
fn head(text: &[u8]) -> Option<usize> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut at, mut read, mut head) = (0, 0, 0);
    while at < text.len() {
        let plain = memchr::memchr(b'\\', &text[at..]).unwrap_or(text.len() - at);
        if read < limits::PREVIEW {
            head = at + plain.min(limits::PREVIEW - read);
        }
        (at, read) = (at + plain, read + plain);
        if at == text.len() {
            break;
        }
        let (escape, char) = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => (12, 4),
            Some(0xd800..=0xdfff) => return None,
            Some(0..0x80) => (6, 1),
            Some(0x80..0x800) => (6, 2),
            Some(_) => (6, 3),
            None => (2, 1),
        };
        (at, read) = (at + escape, read + char);
        if read <= limits::PREVIEW {
            head = at;
        }
    }
    (read > limits::BLOB).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_its_head_stays_and_of_what_is_short_or_no_text_all() {
        let object = |text: &str| format!(r#"{{"a":{{"b":"{text}"}}}}"#);
        let kept = |text: &str| stays(&object(text)) as isize - object("").len() as isize;
        let short = "x".repeat(limits::BLOB);
        assert_eq!(kept(&short), limits::BLOB as isize);
        let around = limits::PREVIEW as isize..=(limits::PREVIEW + 2 * ENTRY) as isize;
        assert!(around.contains(&kept(&"x".repeat(limits::BLOB + 1))));
        assert!(around.contains(&kept(&"é".repeat(limits::BLOB))));
        // As it is escaped, not as it reads.
        let escaped = "\\u0001".repeat(limits::BLOB);
        assert_eq!(kept(&escaped), escaped.len() as isize);
        let longer = "\\u0001".repeat(limits::BLOB + 1);
        assert!((6 * limits::PREVIEW as isize..7 * limits::PREVIEW as isize).contains(&kept(&longer)));
        let half = format!("\\ud83d{}", "x".repeat(limits::BLOB));
        assert_eq!(kept(&half), half.len() as isize);
        let pair = format!("\\ud83d\\ude00{}", "x".repeat(limits::BLOB));
        assert!(kept(&pair) < 2 * limits::PREVIEW as isize);
    }

    #[test]
    fn keys_and_what_is_not_json_stay() {
        let long = "x".repeat(limits::BLOB + 1);
        for text in [format!(r#"{{"{long}" : 1}}"#), format!("\"{long}"), long.clone()] {
            assert_eq!(stays(&text), text.len());
        }
        let deep = format!(r#"{{"{long}":["{long}"]}}"#);
        assert!(stays(&deep) > 2 * long.len(), "its pointer is in the list");
    }

    #[test]
    fn an_event_fits_by_what_stays_of_it_and_by_what_a_body_may_have() {
        let text = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
        let many = format!("[{}1]", "1,".repeat(limits::EVENT / 2));
        assert!(fits(&text(limits::EVENT - 8), None) && !fits(&many, None));
        assert!(fits(&text(5 * limits::EVENT), Some(&text(5 * limits::EVENT))));
        assert!(fits(&text(limits::INCOMING - 8), None) && !fits(&text(limits::INCOMING), None));
        assert!(!fits(&text(limits::INCOMING - 8), Some(&text(0))) && !fits("{}", Some(&many)));
    }
}
