//! Turnwire's own events, one JSON object a line, as `POST /api/events` takes them.
//!
//! What a line leaves out (time, agent, session) is filled in. A line that is no event is kept as kind `raw`, with what is
//! wrong with it, and counted. Blank lines are passed over.

use turnwire_proto::{Empty, Incoming, Json, Kind, NewEvent, Timestamp};

use crate::{
    Adapter, Context, fit,
    lines::{event, event_of},
    scribe::with,
};

const SOURCE: &str = "native";

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Native { context, unknown: 0 })
}

#[derive(Debug)]
struct Native {
    context: Context,
    unknown: u64,
}

impl Adapter for Native {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if let Some(event) = event(SOURCE, line, at, &self.context) {
            out.push(event);
            return;
        }
        self.unknown += 1;
        let why = Incoming::parse(line.trim_ascii())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        let fields = [
            ("what", Some(Json::of(fit::head(&why, 512)))),
            ("unknown", Some(Json::of(&true))),
        ];
        let data = with(&Empty {}, &fields);
        let raw = fit::raw(text, &data);
        out.push(event_of(SOURCE, Kind::RAW, data, raw, at, &self.context));
    }

    fn end(&mut self, _exit: Option<i32>, _at: Timestamp, _out: &mut Vec<NewEvent>) {}

    fn unknown(&self) -> u64 {
        self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_is_kept_with_what_is_wrong_and_counted() {
        let mut native = make(Context::default());
        let mut out = Vec::new();
        for line in [
            &b"{\"type\":\"note\",\"seq\":1}"[..],
            b"",
            b"nonsense",
            b"{\"type\":\"note\"}\r",
        ] {
            native.line(line, Timestamp::UNIX_EPOCH, &mut out);
        }
        let kinds: Vec<_> = out.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["raw", "raw", "note"]);
        assert!(out[0].data.get().contains("`seq` is not a field"));
        assert_eq!(out[1].raw.as_ref().unwrap().get(), "\"nonsense\"");
        assert_eq!(native.unknown(), 2);
    }
}
