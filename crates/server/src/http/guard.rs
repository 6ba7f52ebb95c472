//! The guard before everything: whether a browser has been tricked into asking.
//!
//! A page of another site can make a browser send requests here. Three walls keep them out: the name in `Host` must be this
//! server's, so that no foreign name can be pointed at it (DNS rebinding); an `Origin`, which browsers send with everything
//! that matters, WebSockets among it, must be this server's or an allowed one; and a cookie alone changes nothing unless the
//! browser says that the page is this server's own. Programs send no `Origin` and are not touched by any of this.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, Map, Ready, ready};
use http::{HeaderMap, HeaderName, Method, Request, Uri, header, uri::Authority};
use tower::{Layer, Service};
use turnwire_proto::Code;

use super::Refusal;
use crate::auth::cookie;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whom the guard lets pass.
#[derive(Clone, Debug)]
pub struct Policy {
    bound: SocketAddr,
    /// What `Host` nearly always is, to compare without looking closer.
    usual: [String; 2],
    hosts: Vec<AllowedHost>,
    origins: Vec<String>,
}

#[derive(Clone, Debug)]
struct AllowedHost {
    name: String,
    /// Any, when absent.
    port: Option<u16>,
}

/// What is neither a host nor an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Not a host.
    #[error("`{0}` is not a host: a name or address, with or without a port, such as turnwire.example.com")]
    Host(String),
    /// Not an origin.
    #[error("`{0}` is not an origin: a scheme, a host and perhaps a port, such as https://example.com")]
    Origin(String),
}

impl InvalidPolicy {
    /// The flag of `turnwire serve` that it came by.
    pub(crate) const fn flag(&self) -> &'static str {
        match self {
            Self::Host(_) => "--allow-host",
            Self::Origin(_) => "--allow-origin",
        }
    }
}

impl Policy {
    /// For a server that listens there: loopback names and addresses, and that address itself. Bound to all addresses, any
    /// address: it is names that can be pointed at a server by others, not addresses. Whatever the port: a forwarded one is
    /// another than the one that is listened on, and whose page it is, is for the `Origin` to say, port and all.
    #[must_use]
    pub fn new(bound: SocketAddr) -> Self {
        let port = bound.port();
        Self {
            bound,
            usual: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            hosts: Vec::new(),
            origins: Vec::new(),
        }
    }

    /// Also lets this host pass; without a port, whatever the port.
    ///
    /// # Errors
    /// It is not a host.
    pub fn allow_host(mut self, host: &str) -> Result<Self, InvalidPolicy> {
        let (name, port) = split(host).ok_or_else(|| InvalidPolicy::Host(host.to_owned()))?;
        self.hosts.push(AllowedHost {
            name: name.to_ascii_lowercase(),
            port,
        });
        Ok(self)
    }

    /// Also lets pages of this origin pass.
    ///
    /// # Errors
    /// It is not an origin.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, InvalidPolicy> {
        let origin = origin.strip_suffix('/').unwrap_or(origin);
        let (scheme, host) = origin.split_once("://").unwrap_or_default();
        if !matches!(scheme, "http" | "https") || split(host).is_none() {
            return Err(InvalidPolicy::Origin(origin.to_owned()));
        }
        self.origins.push(origin.to_ascii_lowercase());
        Ok(self)
    }

    fn allows_host(&self, host: &str) -> bool {
        if self.usual.iter().any(|usual| usual == host) {
            return true;
        }
        let Some((name, port)) = split(host) else {
            return false;
        };
        let is_ours = match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback() || ip == self.bound.ip() || self.bound.ip().is_unspecified(),
            Err(_) => is_localhost(name),
        };
        is_ours
            || self.hosts.iter().any(|allowed| {
                allowed.name.eq_ignore_ascii_case(name) && (allowed.port.is_none() || allowed.port == port)
            })
    }

    fn allows_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// RFC 6761 section 6.3: such names are always this machine.
fn is_localhost(name: &str) -> bool {
    let tail = name.len().checked_sub("localhost".len());
    tail.and_then(|at| name.split_at_checked(at))
        .is_some_and(|(front, tail)| {
            tail.eq_ignore_ascii_case("localhost") && (front.is_empty() || front.ends_with('.'))
        })
}

/// A host's name and port.
fn split(host: &str) -> Option<(&str, Option<u16>)> {
    let authority: Authority = host.parse().ok()?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let name_len = authority.host().len();
    let (name, rest) = host.split_at_checked(name_len)?;
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    Some((name, port))
}

/// Whether a request may go on.
///
/// # Errors
/// 400 for a missing or repeated `Host`; else 403 that names the header and what to do.
pub fn check(method: &Method, headers: &HeaderMap, uri: &Uri, policy: &Policy) -> Result<(), Refusal> {
    let host = host(headers, uri, policy)?;
    let origin = single(headers, &header::ORIGIN)?;
    let allowed_origin = match origin {
        None => false,
        Some(origin) if is_same(origin, host) => true,
        Some(origin) if policy.allows_origin(origin) => true,
        Some(origin) => {
            let message = format!(
                "the page's origin `{}` is neither this server's nor an allowed one: if it should be, add it by --allow-origin",
                short(origin)
            );
            return Err(forbidden("origin", &message));
        }
    };
    let site = headers.get(SEC_FETCH_SITE).map(http::HeaderValue::as_bytes);
    let changes_something = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if changes_something && site == Some(b"cross-site") && !allowed_origin {
        return Err(forbidden(
            "sec-fetch-site",
            "a page of another site may not change anything here",
        ));
    }
    if !allowed_origin && headers.contains_key(header::COOKIE) {
        by_cookie(changes_something, site, headers)?;
    }
    Ok(())
}

/// A browser sends a cookie by itself, so a request that has nothing else needs the browser's word on whose page it was. Pages of
/// the same host on other ports count as the same site for the cookie, but not here.
fn by_cookie(changes_something: bool, site: Option<&[u8]>, headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(header::AUTHORIZATION) || !cookie::is_there(headers) {
        return Ok(());
    }
    if changes_something && site != Some(b"same-origin") {
        let message =
            "a request by cookie that changes something must have an `Origin` or `Sec-Fetch-Site: same-origin`";
        return Err(forbidden("origin", message));
    }
    let from_elsewhere = matches!(site, Some(b"cross-site" | b"same-site"));
    let is_visit = headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode == "navigate");
    if from_elsewhere && !is_visit {
        return Err(forbidden(
            "sec-fetch-site",
            "a page of another origin may not read by this one's cookie",
        ));
    }
    Ok(())
}

/// The name by which the client knows this server; an allowed one.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri, policy: &Policy) -> Result<&'a str, Refusal> {
    let named = single(headers, &header::HOST)?;
    // HTTP/2 and requests with a whole URL have it in the URL; a `Host` beside it must pass as well.
    let authority = uri.authority().map(Authority::as_str);
    let Some(host) = authority.or(named) else {
        return Err(Refusal::field("host", "the request must have a `Host` header"));
    };
    for host in [Some(host), named].into_iter().flatten() {
        if !policy.allows_host(host) {
            let message = format!(
                "the host `{}` in the `Host` header is not this server's: if it should be, add it by --allow-host",
                short(host)
            );
            return Err(forbidden("host", &message));
        }
    }
    Ok(host)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(value), None) => Ok(Some(value)),
        _ => Err(Refusal::field(
            name.as_str(),
            format!("the `{name}` header must be there once, in ASCII"),
        )),
    }
}

/// Whether an origin is that of a page which this server gave under this host name.
fn is_same(origin: &str, host: &str) -> bool {
    let (rest, default) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, ":80"),
        Some(("https", rest)) => (rest, ":443"),
        _ => return false,
    };
    // Browsers leave the scheme's own port out of both; a proxy may put it into the one.
    let plain = |host: &'_ str| -> usize { host.strip_suffix(default).unwrap_or(host).len() };
    rest[..plain(rest)].eq_ignore_ascii_case(&host[..plain(host)])
}

fn forbidden(header: &'static str, message: &str) -> Refusal {
    Refusal::new(Code::Forbidden, message).with("field", header)
}

/// Enough of a foreign header to recognise it.
fn short(text: &str) -> &str {
    // Invariant: it is ASCII, so every byte is a boundary.
    text.get(..text.len().min(100)).unwrap_or_default()
}

/// Puts the guard before a service.
#[derive(Clone, Debug)]
pub struct Guard {
    policy: Arc<Policy>,
}

impl Guard {
    /// A guard of this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy: Arc::new(policy),
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            policy: Arc::clone(&self.policy),
        }
    }
}

/// A service behind the guard.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    policy: Arc<Policy>,
}

impl<S, B, E> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Error = E>,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = E;
    type Future = Either<Ready<Result<Response, E>>, Map<S::Future, fn(Result<S::Response, E>) -> Result<Response, E>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match check(request.method(), request.headers(), request.uri(), &self.policy) {
            Ok(()) => {
                let into_response: fn(Result<S::Response, E>) -> Result<Response, E> =
                    |result| result.map(IntoResponse::into_response);
                Either::Right(futures_util::FutureExt::map(self.inner.call(request), into_response))
            }
            Err(refusal) => Either::Left(ready(Ok(refusal.into_response()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn policy() -> Policy {
        Policy::new("127.0.0.1:8876".parse().unwrap())
    }

    fn asked(policy: &Policy, method: &str, headers: &[(&'static str, &'static str)]) -> Result<(), Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&method.parse().unwrap(), &map, &"/api/events".parse().unwrap(), policy)
    }

    fn host(policy: &Policy, host: &'static str) -> bool {
        asked(policy, "GET", &[("host", host)]).is_ok()
    }

    #[test]
    fn a_loopback_name_or_address_passes_with_whatever_port() {
        for good in [
            "127.0.0.1:8876",
            "localhost:8876",
            "LocalHost:8876",
            "turnwire.localhost:8876",
            "127.1.2.3:8876",
            "[::1]:8876",
            "[::ffff:127.0.0.1]:8876",
            "127.0.0.1:80",
            "127.0.0.1",
            "localhost",
            "localhost:9000",
        ] {
            assert!(host(&policy(), good), "{good}");
        }
    }

    #[test]
    fn a_foreign_host_is_refused() {
        for bad in [
            "evil.example:8876",
            "evil.example",
            "127.0.0.1.evil.example:8876",
            "localhost.evil.example:8876",
            "evillocalhost:8876",
            "192.168.1.5:8876",
            "user@127.0.0.1:8876",
            "127.0.0.1:8876:8876",
            "127.0.0.1:8876/",
            "localhost:99999",
            "[::1:8876",
            "2130706433:8876",
            ":8876",
            "",
        ] {
            let refusal = asked(&policy(), "GET", &[("host", bad)]).unwrap_err();
            assert_eq!(refusal.code(), Code::Forbidden, "{bad}");
            assert!(format!("{refusal:?}").contains("\"field\": String(\"host\")"));
        }
        for headers in [&[][..], &[("host", "localhost:8876"), ("host", "localhost:8876")]] {
            assert_eq!(asked(&policy(), "GET", headers).unwrap_err().code(), Code::BadRequest);
        }
    }

    #[test]
    fn a_whole_url_is_checked_like_the_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:8876"));
        let checked = |uri: &str| check(&Method::GET, &headers, &uri.parse().unwrap(), &policy());
        assert!(checked("http://127.0.0.1:8876/").is_ok());
        assert!(checked("http://evil.example:8876/").is_err());
    }

    #[test]
    fn allowed_hosts_pass() {
        let policy = policy()
            .allow_host("Turnwire.Example.com")
            .unwrap()
            .allow_host("one.example.com:9000")
            .unwrap();
        for good in [
            "turnwire.example.com",
            "TURNWIRE.example.com:8443",
            "one.example.com:9000",
        ] {
            assert!(host(&policy, good), "{good}");
        }
        assert!(!host(&policy, "other.example.com") && !host(&policy, "one.example.com:9001"));
        for bad in ["", "https://example.com", "a b", "u@h", "h:port"] {
            assert!(
                Policy::new("[::1]:1".parse().unwrap()).allow_host(bad).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_address_that_is_bound_passes_and_no_name_does() {
        let one = Policy::new("192.168.1.5:8876".parse().unwrap());
        assert!(host(&one, "192.168.1.5:8876") && host(&one, "localhost:8876") && !host(&one, "192.168.1.6:8876"));
        let all = Policy::new("0.0.0.0:8876".parse().unwrap());
        assert!(host(&all, "192.168.1.6:8876") && !host(&all, "evil.example:8876"));
    }

    #[test]
    fn an_origin_must_be_this_servers_or_an_allowed_one() {
        let policy = policy().allow_origin("https://app.example/").unwrap();
        let from = |origin, method| asked(&policy, method, &[("host", "localhost:8876"), ("origin", origin)]);
        for method in ["GET", "POST", "DELETE"] {
            for good in ["http://localhost:8876", "https://localhost:8876", "https://APP.example"] {
                assert!(from(good, method).is_ok(), "{good}");
            }
            for bad in [
                "http://evil.example",
                "http://localhost:3000",
                "http://127.0.0.1:8876",
                "http://localhost",
                "http://app.example",
                "file://localhost:8876",
                "null",
                "",
            ] {
                let refusal = from(bad, method).unwrap_err();
                assert_eq!(refusal.code(), Code::Forbidden, "{bad}");
            }
        }
        // Through a forwarded port, a page is still of this server only when it came by that port.
        let forwarded = |origin| asked(&policy, "POST", &[("host", "localhost:9000"), ("origin", origin)]);
        assert!(forwarded("http://localhost:9000").is_ok());
        assert!(forwarded("http://localhost:8876").is_err() && forwarded("http://localhost:3000").is_err());
        let default_port = Policy::new("127.0.0.1:80".parse().unwrap());
        assert!(
            asked(
                &default_port,
                "GET",
                &[("host", "localhost:80"), ("origin", "http://localhost")]
            )
            .is_ok()
        );
        for bad in ["", "example.com", "ftp://example.com", "https://", "https://a/b"] {
            assert!(
                Policy::new("[::1]:1".parse().unwrap()).allow_origin(bad).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn another_site_changes_nothing() {
        let with = |method, site| {
            asked(
                &policy(),
                method,
                &[("host", "localhost:8876"), ("sec-fetch-site", site)],
            )
        };
        assert!(with("POST", "cross-site").is_err());
        assert!(with("POST", "same-origin").is_ok());
        assert!(with("POST", "none").is_ok());
        assert!(with("GET", "cross-site").is_ok(), "a link may lead here");
        let policy = policy().allow_origin("https://app.example").unwrap();
        let headers = [
            ("host", "localhost:8876"),
            ("origin", "https://app.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(asked(&policy, "POST", &headers).is_ok(), "it was allowed by name");
    }

    #[test]
    fn a_cookie_alone_changes_nothing_and_reads_nothing_for_other_pages() {
        let with = |method, more: &[(&'static str, &'static str)]| {
            let cookie = [("host", "localhost:8876"), ("cookie", "turnwire_session=x")];
            asked(&policy(), method, &[&cookie, more].concat())
        };
        assert!(with("POST", &[]).is_err());
        assert!(with("POST", &[("sec-fetch-site", "same-site")]).is_err());
        assert!(with("POST", &[("sec-fetch-site", "none")]).is_err());
        assert!(with("POST", &[("sec-fetch-site", "same-origin")]).is_ok());
        assert!(with("POST", &[("origin", "http://localhost:8876")]).is_ok());
        assert!(with("POST", &[("authorization", "Bearer x")]).is_ok());
        assert!(with("GET", &[]).is_ok());
        assert!(with("GET", &[("sec-fetch-site", "same-origin")]).is_ok());
        assert!(with("GET", &[("sec-fetch-site", "none")]).is_ok());
        assert!(with("GET", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")]).is_err());
        assert!(
            with(
                "GET",
                &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]
            )
            .is_ok()
        );
        assert!(asked(&policy(), "POST", &[("host", "localhost:8876"), ("cookie", "other=x")]).is_ok());
    }
}
