//! Heads of HTTP/1.1 requests, as far as the lane takes them.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use turnwire_proto::{Code, path};

use crate::http::Refusal;

/// Header lines of one request.
const HEADERS: usize = 64;
/// A publish with a longer body goes to hyper, which streams it.
const LANE_BODY: usize = 256 * 1024;

/// What the first bytes are.
#[derive(Debug)]
pub(super) enum Head {
    /// Not yet all of a head.
    Partial,
    /// A publish whose body has this length and begins after `head` bytes.
    Publish { parts: Parts, head: usize, body: usize },
    /// A request for a stream.
    Stream { parts: Parts, head: usize },
    /// Anything else: hyper's.
    Other,
    /// Not HTTP.
    Bad(Refusal),
}

/// A parsed head.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Whether the connection ends after the answer.
    pub(super) close: bool,
}

/// Looks at what has come so far. Copies nothing before it knows that the request is the lane's.
pub(super) fn parse(input: &BytesMut, limit: usize) -> Head {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let head = match request.parse(input) {
        Ok(httparse::Status::Complete(head)) if head <= limit => head,
        Ok(httparse::Status::Partial) if input.len() < limit => return Head::Partial,
        Ok(_) => {
            return Head::Bad(too_large(
                &format!("the head of the request is longer than {limit} bytes"),
                limit,
            ));
        }
        Err(httparse::Error::TooManyHeaders) => {
            return Head::Bad(too_large(
                &format!("the request has more than {HEADERS} headers"),
                HEADERS,
            ));
        }
        // The preface of HTTP/2.
        Err(_) if input.starts_with(b"PRI ") => return Head::Other,
        Err(error) => {
            return Head::Bad(Refusal::new(
                Code::BadRequest,
                format!("this is not an HTTP/1.1 request: {error}"),
            ));
        }
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Head::Other;
    };
    if request.version != Some(1) {
        return Head::Other;
    }
    let route = target.split_once('?').map_or(target, |(route, _)| route);
    let (publish, stream) = (
        method == "POST" && route == path::EVENTS,
        method == "GET" && is_stream(route),
    );
    let framing = match Framing::of(request.headers) {
        Ok(Some(framing)) => framing,
        Ok(None) => return Head::Other,
        Err(refusal) => return Head::Bad(refusal),
    };
    if !(publish && framing.body.is_some_and(|body| body <= LANE_BODY) || stream && framing.body.is_none()) {
        return Head::Other;
    }
    let Some(parts) = parts(method, target, request.headers, framing.close) else {
        return Head::Other;
    };
    match framing.body {
        Some(body) => Head::Publish { parts, head, body },
        None => Head::Stream { parts, head },
    }
}

fn too_large(text: &str, limit: usize) -> Refusal {
    Refusal::new(Code::HeadTooLarge, text)
        .with("field", "head")
        .with("limit", limit)
}

fn is_stream(route: &str) -> bool {
    let session = || {
        route
            .strip_prefix(path::SESSIONS)?
            .strip_prefix('/')?
            .strip_suffix("/events")
    };
    [path::EVENTS, path::DOWNLINK, path::DOWNLINK_INTERNAL].contains(&route)
        || session().is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// How the request is framed, when it is framed plainly.
struct Framing {
    body: Option<usize>,
    close: bool,
}

impl Framing {
    /// `None` for what hyper should judge: chunks, upgrades, expectations.
    ///
    /// # Errors
    /// The length can be read in two ways. A proxy before us may have read it the other way, so that what follows the body
    /// would be a request that nobody there has seen.
    fn of(headers: &[httparse::Header<'_>]) -> Result<Option<Self>, Refusal> {
        let mut framing = Self {
            body: None,
            close: false,
        };
        let (mut plain, mut coded) = (true, false);
        for line in headers {
            let is = |name: &HeaderName| line.name.eq_ignore_ascii_case(name.as_str());
            if is(&header::CONTENT_LENGTH) {
                let length = length(line.value)
                    .ok_or_else(|| Refusal::field("content-length", "`Content-Length` must be a number of bytes"))?;
                match framing.body.replace(length) {
                    None => {}
                    Some(other) if other == length => plain = false,
                    Some(_) => {
                        let text = "`Content-Length` is there twice with different values";
                        return Err(Refusal::field("content-length", text));
                    }
                }
            } else if is(&header::TRANSFER_ENCODING) {
                coded = true;
            } else if is(&header::UPGRADE) || is(&header::EXPECT) {
                plain = false;
            } else if is(&header::CONNECTION) {
                framing.close |= line.value.eq_ignore_ascii_case(b"close");
            }
        }
        if coded && framing.body.is_some() {
            let text = "`Transfer-Encoding` and `Content-Length` exclude one another";
            return Err(Refusal::field("transfer-encoding", text));
        }
        Ok((plain && !coded).then_some(framing))
    }
}

/// Digits alone: no sign, no list.
fn length(value: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(value).ok()?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn parts(method: &str, target: &str, lines: &[httparse::Header<'_>], close: bool) -> Option<Parts> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(Parts {
        method: method.parse().ok()?,
        uri: target.parse().ok()?,
        headers,
        close,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(&BytesMut::from(text), 1024)
    }

    #[test]
    fn only_plain_publishes_and_streams_are_the_lanes() {
        assert!(matches!(
            head("POST /api/events HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
            Head::Publish { body: 2, .. }
        ));
        for stream in [
            "/api/events",
            "/api/events?after=1",
            "/api/sessions/a%2Fb/events",
            "/api/agent/events",
        ] {
            assert!(
                matches!(head(&format!("GET {stream} HTTP/1.1\r\n\r\n")), Head::Stream { .. }),
                "{stream}"
            );
        }
        for other in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET /api/events HTTP/1.0\r\n\r\n",
            "GET /api/events/history HTTP/1.1\r\n\r\n",
            "GET /api/events HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "POST /api/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /api/events HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            "POST /api/events HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert!(matches!(head(other), Head::Other), "{other}");
        }
    }

    #[test]
    fn a_length_that_can_be_read_in_two_ways_is_refused() {
        for lines in [
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let head = head(&format!("POST /api/events HTTP/1.1\r\n{lines}\r\n"));
            assert!(
                matches!(&head, Head::Bad(refusal) if refusal.code() == Code::BadRequest),
                "{lines}: {head:?}"
            );
        }
    }

    #[test]
    fn a_head_that_is_too_large_or_none_is_refused() {
        assert!(matches!(head("GET /api/ev"), Head::Partial));
        let long = format!("GET /api/events HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2000));
        assert!(matches!(head(&long), Head::Bad(refusal) if refusal.code() == Code::HeadTooLarge));
        let many = format!("GET /api/events HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
        assert!(matches!(head(&many), Head::Bad(refusal) if refusal.code() == Code::HeadTooLarge));
        assert!(matches!(head("\x16\x03\x01 hello\r\n\r\n"), Head::Bad(refusal) if refusal.code() == Code::BadRequest));
    }
}
