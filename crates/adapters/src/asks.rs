//! Ids of what an agent asks, for vendors whose own are unique in one process only. A driver that answers a question and the
//! adapter that tells of it make the same one.

use turnwire_proto::Name;

/// Of a request of Codex's app server: its requests are numbered anew in each process, its turns have ids of their own.
#[must_use]
pub fn codex(turn_or_thread: &str, request: &str) -> Option<Name> {
    of(&[turn_or_thread, request])
}

/// Of an ACP agent's `session/request_permission`: also its calls may be numbered anew in each process.
#[must_use]
pub fn acp(session: &str, call: &str, request: &str) -> Option<Name> {
    of(&[session, call, request])
}

/// The tool of an ACP agent's call. ACP has a title and a kind; Gemini CLI has the name in the call's id.
#[must_use]
pub fn acp_tool(call: &str, kind: Option<&str>) -> String {
    match call.split_once("__") {
        Some((name, _))
            if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') =>
        {
            name.to_owned()
        }
        _ => kind.unwrap_or("other").to_owned(),
    }
}

fn of(parts: &[&str]) -> Option<Name> {
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_matches('"')).collect();
    Name::lossy(&parts.join("."))
}
