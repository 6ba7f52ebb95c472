//! First login: pairing codes, the cookie of a paired browser, signing out.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, FromRef, FromRequestParts, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, header, request::Parts, uri::Scheme};
use serde::Deserialize;
use serde_json::json;
use turnwire_proto::{Code, Name, Scopes, path};

use super::{
    Refusal,
    body::Json,
    tokens::{change_refused, check_scopes, minted},
};
use crate::auth::{Admin, Auth, CODE_TTL, ChangeError, Grant, PairError, Pairing, TokenKind};

/// The longest life of a code: an hour. It is for a person who is about to type it.
const MAX_TTL_SECS: u64 = 3600;

/// The routes of this file.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Auth: FromRef<S>,
{
    Router::new()
        .route(path::PAIR, post(pair))
        .route(path::PAIRING_CODES, post(make_code))
        .route(path::SIGN_OUT, post(sign_out))
}

/// Where a request comes from, as far as pairing and cookies need it.
pub(super) struct Client {
    address: IpAddr,
    https: bool,
    host: String,
    device: Option<Name>,
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let host = parts.uri.authority().map(http::uri::Authority::as_str);
        Ok(Self {
            // Without an address, all count as one.
            address: address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip()),
            https: is_https(parts),
            host: host.or_else(|| text(header::HOST)).unwrap_or("localhost").to_owned(),
            device: text(header::USER_AGENT).and_then(device),
        })
    }
}

impl Client {
    /// The address of the page, as who asks knows this server.
    pub(super) fn page(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}/", self.host)
    }
}

/// Whether the page came by https, here or at the proxy before. Whoever says so wrongly only spoils their own cookie.
fn is_https(parts: &Parts) -> bool {
    let starts = |name: &str, with: &[u8]| {
        let value = parts.headers.get(name).map(http::HeaderValue::as_bytes);
        value.is_some_and(|value| value.starts_with(with))
    };
    parts.uri.scheme() == Some(&Scheme::HTTPS) || starts("origin", b"https://") || starts("x-forwarded-proto", b"https")
}

/// A name for the device that a browser says it runs on, such as "Firefox on Linux".
fn device(user_agent: &str) -> Option<Name> {
    let first = |list: &[(&str, &'static str)]| {
        let mut list = list.iter();
        list.find_map(|(mark, name)| user_agent.contains(mark).then_some(*name))
    };
    // In this order: each claims to be those after it as well.
    let browser = first(&[
        ("Firefox/", "Firefox"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ])?;
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Macintosh", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    let name = system.map_or_else(|| browser.to_owned(), |system| format!("{browser} on {system}"));
    Name::new(&name).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    code: String,
    #[serde(default)]
    name: Option<Name>,
    #[serde(default)]
    want: Want,
}

/// What a right code gives.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Want {
    /// A cookie, so that no script ever has the token.
    #[default]
    Cookie,
    /// The token itself, for programs.
    Token,
}

async fn pair(State(auth): State<Auth>, client: Client, Json(body): Json<Pair>) -> Result<Response, Refusal> {
    let kind = match body.want {
        Want::Cookie => TokenKind::Browser,
        Want::Token => TokenKind::Token,
    };
    let pairing = Pairing {
        code: &body.code,
        name: body.name,
        device: client.device,
        kind,
        from: client.address,
    };
    let made = auth.pair(pairing).await.map_err(pair_refused)?;
    let mut reply = json!(minted(&made));
    if body.want == Want::Token {
        return Ok(secret_reply(&reply));
    }
    if let Some(reply) = reply.as_object_mut() {
        reply.remove("token");
    }
    let mut response = secret_reply(&reply);
    response
        .headers_mut()
        .insert(header::SET_COOKIE, auth.set_cookie(&made.secret, client.https));
    Ok(response)
}

fn pair_refused(error: PairError) -> Refusal {
    match error {
        PairError::Wrong { left } => Refusal::new(Code::Unauthorized, error.to_string())
            .with("field", "code")
            .with("tries_left", left),
        PairError::LockedOut { wait } => Refusal::new(Code::LockedOut, error.to_string()).after(wait),
        PairError::Change(error) => change_refused(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeCode {
    #[serde(default)]
    name: Option<Name>,
    #[serde(default)]
    scopes: Option<Scopes>,
    #[serde(default)]
    ttl_secs: Option<u64>,
}

async fn make_code(
    State(auth): State<Auth>,
    grant: Grant<Admin>,
    client: Client,
    Json(body): Json<MakeCode>,
) -> Result<Response, Refusal> {
    let ttl = match body.ttl_secs {
        None => CODE_TTL,
        Some(secs) if (1..=MAX_TTL_SECS).contains(&secs) => Duration::from_secs(secs),
        Some(_) => {
            let message = format!("`ttl_secs` must be from 1 to {MAX_TTL_SECS}");
            return Err(Refusal::field("ttl_secs", message).with("limit", MAX_TTL_SECS));
        }
    };
    // Another device of the same person, unless they say less.
    let scopes = body.scopes.unwrap_or_else(|| grant.principal().scopes().clone());
    check_scopes(&grant, &scopes)?;
    let made = auth
        .new_pairing_code_until(body.name, scopes, ttl, grant.principal().expires())
        .await
        .map_err(change_refused)?;
    let reply = json!({
        "code": made.code(),
        "url": format!("{}#pair={}", client.page(), made.code()),
        "expires": made.expires,
    });
    Ok(secret_reply(&reply))
}

/// Ends the sign-in of a cookie, and takes the cookie away whatever it was worth.
async fn sign_out(State(auth): State<Auth>, client: Client, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(secret) = auth.cookie(&headers)
        && let Ok(principal) = auth.authenticate_or_read(secret).await
    {
        match auth.revoke(principal.id()).await {
            Ok(()) | Err(ChangeError::Gone | ChangeError::NotFound | ChangeError::Off) => {}
            Err(error) => return Err(change_refused(error)),
        }
    }
    let mut response = secret_reply(&json!({}));
    response
        .headers_mut()
        .insert(header::SET_COOKIE, auth.remove_cookie(client.https));
    Ok(response)
}

/// A reply that no cache may keep.
pub(super) fn secret_reply(reply: &serde_json::Value) -> Response {
    let mut response = reply.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_named_after_its_device() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Some("Firefox on Linux"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
                Some("Edge on macOS"),
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                Some("Safari on iPhone"),
            ),
            ("curl/8.0", None),
        ] {
            assert_eq!(device(agent).as_ref().map(Name::as_str), name);
        }
    }
}
