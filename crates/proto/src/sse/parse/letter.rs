//! The standard read to the letter with all of the stream in memory: what the parser must give however the stream is cut.
//! For tests, and for `fuzz/`, which includes this file.

use std::time::Duration;

/// `None` for a comment, else kind, data and last event id.
pub(crate) type Seen = Option<(String, String, String)>;

/// All items, the last event id that a reconnection tells, and the retry time.
pub(crate) fn read(stream: &[u8]) -> (Vec<Seen>, String, Option<Duration>) {
    let text = String::from_utf8_lossy(stream)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // No line end came for the last one.
    let (mut data, mut kind, mut id) = (String::new(), String::new(), String::new());
    let (mut items, mut last_event_id, mut retry) = (Vec::new(), String::new(), None);
    for line in lines {
        if line.is_empty() {
            last_event_id.clone_from(&id);
            if !data.is_empty() {
                data.pop();
                let kind = if kind.is_empty() { "message" } else { &kind };
                items.push(Some((kind.to_owned(), data.clone(), id.clone())));
            }
            data.clear();
            kind.clear();
            continue;
        }
        if line.starts_with(':') {
            items.push(None);
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = value.into(),
            "data" => data += &format!("{value}\n"),
            "id" if !value.contains('\0') => id = value.into(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                retry = Some(Duration::from_millis(value.parse().unwrap_or(u64::MAX)));
            }
            _ => {}
        }
    }
    (items, last_event_id, retry)
}
