//! What a ticket is for: a path and query in one spelling, and what a query must not have in it.

use std::borrow::Cow;

use super::secret::{Hash, looks_like_token};

/// Bytes of a path and query together. A URL longer than this meets other limits before.
const MAX: usize = 4096;
/// The query parameter of a ticket.
const TICKET: &str = "ticket";

/// Why a text is no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    /// Not a path.
    #[error("must begin with `/` and have neither a host nor a fragment, such as /api/events?after=5")]
    Path,
    /// `.` or `..`: clients resolve them before they ask, so no request would match.
    #[error("must not have `.` or `..` in its path")]
    Dots,
    /// Too long.
    #[error("is longer than {MAX} bytes")]
    Long,
    /// Not a URL's characters.
    #[error("has a character that a URL has only percent-encoded, or a wrong percent-encoding")]
    Character,
}

/// The one spelling of a path and query, without the ticket in it.
///
/// Percent-encodings are undone and made anew, so that `%7E` and `~`, `+` and `%20` are the same; the order of parameters stays,
/// since a page reconnects with the very URL that it opened.
pub(super) fn canonical(path: &str, query: Option<&str>) -> Result<Hash, InvalidResource> {
    if !path.starts_with('/') || path.starts_with("//") || path.contains('#') || query.is_some_and(|q| q.contains('#'))
    {
        return Err(InvalidResource::Path);
    }
    if path.len() + query.map_or(0, str::len) > MAX {
        return Err(InvalidResource::Long);
    }
    let mut out = Vec::with_capacity(path.len() + 32);
    for segment in path[1..].split('/') {
        let segment = decode(segment, false).ok_or(InvalidResource::Character)?;
        if matches!(&*segment, b"." | b"..") {
            return Err(InvalidResource::Dots);
        }
        out.push(b'/');
        encode(&segment, &mut out);
    }
    for (key, value) in pairs(query.unwrap_or_default()) {
        let key = decode(key, true).ok_or(InvalidResource::Character)?;
        if *key == *TICKET.as_bytes() {
            continue;
        }
        out.push(b'&');
        encode(&key, &mut out);
        out.push(b'=');
        encode(&decode(value, true).ok_or(InvalidResource::Character)?, &mut out);
    }
    Ok(Hash::of(&out))
}

/// The ticket of a query, if any; the name of a parameter that has a long-lived token in it, as an error.
pub(super) fn ticket_of(query: Option<&str>) -> Result<Option<Cow<'_, str>>, &'static str> {
    let mut ticket = None;
    for (key, value) in pairs(query.unwrap_or_default()) {
        let (Some(key), Some(value)) = (decode(key, true), decode(value, true)) else {
            continue; // Whoever reads that parameter says what is wrong with it.
        };
        for name in ["token", "access_token"] {
            if key.eq_ignore_ascii_case(name.as_bytes()) {
                return Err(name);
            }
        }
        let is_ticket = *key == *TICKET.as_bytes();
        let value = match value {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        };
        if looks_like_token(&value) && (is_ticket || Hash::of_token(&value).is_some()) {
            return Err(if is_ticket { TICKET } else { "(another)" });
        }
        if is_ticket && ticket.is_none() {
            ticket = Some(value);
        }
    }
    Ok(ticket)
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Undoes percent-encoding; in a query, `+` is a space. `None` when it is wrong or has what a URL cannot have.
fn decode(text: &str, plus: bool) -> Option<Cow<'_, [u8]>> {
    let bytes = text.as_bytes();
    if bytes.iter().any(|b| *b <= b' ' || *b >= 0x7f) {
        return None;
    }
    if !bytes.iter().any(|b| matches!(b, b'%' | b'+')) {
        return Some(Cow::Borrowed(bytes));
    }
    let digit = |byte: Option<u8>| {
        char::from(byte?)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => digit(rest.next())? << 4 | digit(rest.next())?,
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    Some(Cow::Owned(out))
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Result<String, InvalidResource> {
        let (path, query) = url
            .split_once('?')
            .map_or((url, None), |(path, query)| (path, Some(query)));
        canonical(path, query).map(Hash::to_hex)
    }

    #[test]
    fn one_resource_has_many_spellings() {
        for (one, other) in [
            ("/api/events", "/api/events?"),
            ("/api/events?a=1&b=2", "/api/events?a=1&ticket=tk_x&b=2"),
            ("/api/events?s=a%20b", "/api/events?s=a+b"),
            ("/api/events?s=%7e", "/api/events?s=~"),
            ("/api/events?s=a%2cb", "/api/events?s=a,b"),
            ("/api/sessions/a%3Ab/events", "/api/sessions/a:b/events"),
            ("/api/events?raw", "/api/events?raw="),
        ] {
            assert_eq!(of(one).unwrap(), of(other).unwrap(), "{one} {other}");
        }
    }

    #[test]
    fn different_resources_stay_different() {
        let all = [
            "/api/events",
            "/api/events/",
            "/api/Events",
            "/api/events?after=1",
            "/api/events?after=2",
            "/api/events?after=1&tail=2",
            "/api/events?after=1%26tail=2",
            "/api/events&after=1",
            "/api/events?after%3D1",
            "/api/sessions/a/b",
            "/api/sessions/a%2Fb",
            "/api/sessions/a+b",
            "/api/sessions/a%20b",
        ];
        let set: std::collections::BTreeSet<_> = all.iter().map(|url| of(url).unwrap()).collect();
        assert_eq!(set.len(), all.len());
    }

    #[test]
    fn what_no_request_could_match_is_refused() {
        for (url, why) in [
            ("api/events", InvalidResource::Path),
            ("https://evil/api", InvalidResource::Path),
            ("//evil/api", InvalidResource::Path),
            ("/a#b", InvalidResource::Path),
            ("/a?b#c", InvalidResource::Path),
            ("/a/../b", InvalidResource::Dots),
            ("/a/%2e%2E/b", InvalidResource::Dots),
            ("/a b", InvalidResource::Character),
            ("/a%2", InvalidResource::Character),
            ("/a?b=%zz", InvalidResource::Character),
            ("/a\nb", InvalidResource::Character),
            ("/é", InvalidResource::Character),
        ] {
            assert_eq!(of(url), Err(why), "{url}");
        }
        assert_eq!(of(&format!("/{}", "a".repeat(MAX))), Err(InvalidResource::Long));
    }

    #[test]
    fn a_token_in_a_query_is_found_however_it_is_named() {
        let token = format!("tw_{}", "0a".repeat(32));
        assert_eq!(ticket_of(None), Ok(None));
        assert_eq!(ticket_of(Some("a=b&ticket=tk_1&c")), Ok(Some("tk_1".into())));
        assert_eq!(ticket_of(Some("token=x")), Err("token"));
        assert_eq!(ticket_of(Some("%54oken=x")), Err("token"));
        assert_eq!(ticket_of(Some("a=b&access_token=")), Err("access_token"));
        assert_eq!(ticket_of(Some("ticket=tw_1")), Err("ticket"));
        assert_eq!(ticket_of(Some("ticket=%74w_1")), Err("ticket"));
        assert_eq!(ticket_of(Some(&format!("q={token}"))), Err("(another)"));
        assert_eq!(ticket_of(Some("q=tw_1&session_id=token")), Ok(None));
    }
}
