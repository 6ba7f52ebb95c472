//! Which adapter an output asks for by its first lines.

use turnwire_proto::{NewEvent, Timestamp};

use crate::{Adapter, Context, Spec, by_command, by_name, view::Obj};

/// Lines that are held back at most before it is decided. Wrappers of agents say a few words first (a package is fetched,
/// a warning is given); an agent's first object comes within its first lines.
const LINES: usize = 16;
/// Bytes that are held back at most. The largest first line seen (`system/init` with many tools) has about 20 KB.
const BYTES: usize = 256 * 1024;

/// Holds back the first lines until one of them tells whose output it is, then gives all of them to that vendor's adapter.
/// When none tells within 16 lines or 256 KiB, when nothing comes for a while, and at the end, it is `lines`.
pub struct Detecting {
    state: State,
}

enum State {
    Waiting {
        context: Context,
        lines: Vec<(Vec<u8>, Timestamp)>,
        bytes: usize,
    },
    Decided(&'static Spec, Box<dyn Adapter>),
}

impl std::fmt::Debug for Detecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detecting")
            .field("decided", &self.decided())
            .finish_non_exhaustive()
    }
}

impl Detecting {
    /// Waits for the first lines.
    #[must_use]
    pub const fn new(context: Context) -> Self {
        Self {
            state: State::Waiting {
                context,
                lines: Vec::new(),
                bytes: 0,
            },
        }
    }

    /// The adapter for a command line: at once where that tells it, else by the first lines. A prompt or a resumption that
    /// the command line tells is the context's, unless it has one.
    #[must_use]
    pub fn by_command<S: AsRef<str>>(command: &[S], mut context: Context) -> Self {
        let Some(command) = by_command(command) else {
            return Self::new(context);
        };
        context.prompt = context.prompt.or(command.prompt);
        context.resumed |= command.resumed;
        Self {
            state: State::Decided(command.spec, (command.spec.make)(context)),
        }
    }

    /// What it has been decided to be.
    #[must_use]
    pub const fn decided(&self) -> Option<&'static Spec> {
        match &self.state {
            State::Waiting { .. } => None,
            State::Decided(spec, _) => Some(spec),
        }
    }

    fn decide(&mut self, name: &str, out: &mut Vec<NewEvent>) -> &mut Box<dyn Adapter> {
        if let State::Waiting { context, lines, .. } = &mut self.state {
            let spec = by_name(name).expect("a name from the table of adapters");
            let mut adapter = (spec.make)(std::mem::take(context));
            for (line, at) in std::mem::take(lines) {
                adapter.line(&line, at, out);
            }
            self.state = State::Decided(spec, adapter);
        }
        match &mut self.state {
            State::Decided(_, adapter) => adapter,
            State::Waiting { .. } => unreachable!("it has just been decided"),
        }
    }
}

impl Adapter for Detecting {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let (lines, bytes) = match &mut self.state {
            State::Decided(_, adapter) => return adapter.line(line, at, out),
            State::Waiting { lines, bytes, .. } => (lines, bytes),
        };
        lines.push((line.to_vec(), at));
        *bytes += line.len();
        if let Some(name) = whose(line) {
            self.decide(name, out);
        } else if lines.len() >= LINES || *bytes >= BYTES {
            self.decide("lines", out);
        }
    }

    fn end(&mut self, exit: Option<i32>, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.decide("lines", out).end(exit, at, out);
    }

    fn unknown(&self) -> u64 {
        match &self.state {
            State::Decided(_, adapter) => adapter.unknown(),
            State::Waiting { .. } => 0,
        }
    }

    /// Somebody waits to see the lines that are held back.
    fn idle(&mut self, at: Timestamp, out: &mut Vec<NewEvent>) {
        if let State::Waiting { lines, .. } = &self.state
            && lines.is_empty()
        {
            return;
        }
        self.decide("lines", out).idle(at, out);
    }
}

/// Whose line it is, by the fields that only this vendor's lines have together.
fn whose(line: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(line);
    let o = Obj::parse(&text)?;
    let has = |key| o.get(key).is_some();
    let Some(kind) = o.str("type") else { return rpc(&o) };
    match &*kind {
        "thread.started" | "turn.started" | "turn.completed" | "turn.failed" => Some("codex"),
        "item.started" | "item.updated" | "item.completed" if has("item") => Some("codex"),
        kind if has("properties") && kind.contains('.') => Some("opencode-server"),
        _ if has("sessionID") && (has("part") || has("error")) => Some("opencode"),
        "system" if has("subtype") && has("session_id") => Some("claude"),
        "assistant" | "user" if has("message") && has("session_id") => Some("claude"),
        "stream_event" if has("event") => Some("claude"),
        "result" if has("subtype") && has("session_id") => Some("claude"),
        "control_request" | "control_response" if has("request") || has("response") => Some("claude"),
        "rate_limit_event" if has("rate_limit_info") => Some("claude"),
        "init" if has("session_id") && has("model") => Some("gemini"),
        "message" if has("role") && has("content") && has("timestamp") => Some("gemini"),
        "tool_use" | "tool_result" if has("tool_id") => Some("gemini"),
        "result" if has("status") && has("timestamp") => Some("gemini"),
        _ => None,
    }
}

/// Whose message of JSON-RPC it is: the first ones of a connection tell.
fn rpc(o: &Obj<'_>) -> Option<&'static str> {
    let result = o.obj("result").unwrap_or_default();
    let result_has = |key| result.get(key).is_some();
    let method = o.text("method").unwrap_or_default();
    if result_has("protocolVersion") && (result_has("agentCapabilities") || result_has("authMethods")) {
        return Some("acp");
    }
    match method.as_str() {
        "session/update" | "session/request_permission" => Some("acp"),
        "thread/started" | "turn/started" | "configWarning" | "remoteControl/status/changed" => Some("codex-app"),
        _ if result_has("userAgent") && result_has("codexHome") => Some("codex-app"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(detecting: &mut Detecting, lines: &[&str]) -> Vec<NewEvent> {
        let mut out = Vec::new();
        for line in lines {
            detecting.line(line.as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        }
        out
    }

    #[test]
    fn words_before_the_first_object_are_kept_and_do_not_mislead() {
        let mut detecting = Detecting::new(Context::default());
        let out = feed(
            &mut detecting,
            &[
                "npm warn old lockfile",
                "",
                r#"{"type":"thread.started","thread_id":"x"}"#,
            ],
        );
        assert_eq!(detecting.decided().unwrap().name, "codex");
        let kinds: Vec<_> = out.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["raw", "session_start"]);
        assert!(out.iter().all(|event| event.session_id.is_some()));
    }

    #[test]
    fn an_output_that_no_vendor_writes_is_lines_and_none_is_lost() {
        let mut detecting = Detecting::new(Context::default());
        let words: Vec<String> = (0..LINES + 3).map(|n| format!("line {n}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let out = feed(&mut detecting, &words[..LINES - 1]);
        assert!(out.is_empty() && detecting.decided().is_none());
        assert_eq!(feed(&mut detecting, &words[LINES - 1..]).len(), words.len());
        assert_eq!(detecting.decided().unwrap().name, "lines");
    }

    #[test]
    fn what_is_held_back_comes_when_nothing_more_does() {
        for finish in [
            |detecting: &mut Detecting, out: &mut Vec<NewEvent>| detecting.idle(Timestamp::UNIX_EPOCH, out),
            |detecting: &mut Detecting, out: &mut Vec<NewEvent>| detecting.end(Some(0), Timestamp::UNIX_EPOCH, out),
        ] {
            let mut detecting = Detecting::new(Context::default());
            let mut out = feed(&mut detecting, &["one"]);
            assert!(out.is_empty());
            finish(&mut detecting, &mut out);
            assert_eq!(out.len(), 1);
        }
    }

    #[test]
    fn a_command_line_decides_before_the_first_line() {
        let detecting = Detecting::by_command(&["claude", "-p", "x", "--output-format", "json"], Context::default());
        assert_eq!(detecting.decided().unwrap().name, "claude");
        assert!(Detecting::by_command(&["make"], Context::default()).decided().is_none());
    }
}
