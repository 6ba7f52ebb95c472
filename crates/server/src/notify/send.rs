//! How a target is told: a webhook by JSON of our own, ntfy by its JSON (<https://docs.ntfy.sh/publish/#publish-as-json>). A URL and a
//! token are secrets, so an error and a log line have the host alone.

use std::{fmt, net::IpAddr, sync::Once, time::Duration};

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, redirect};
use serde_json::{Value, json};
use turnwire_proto::approval::Approval;

use super::note::Note;

/// How long a target may take.
const TIME: Duration = Duration::from_secs(10);
/// ntfy's priority "high": an agent stands still until it is read.
const PRIORITY: u8 = 4;

/// A secret that is shown to nobody but its target.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Takes a secret.
    #[must_use]
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What cannot be told. It does not repeat the URL, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Not a URL.
    #[error("{0} must be an http or https URL")]
    Url(&'static str),
    /// No topic.
    #[error("--notify-ntfy must be the URL of a topic, such as https://ntfy.sh/my-topic")]
    Topic,
    /// A token that no header can hold.
    #[error("{0} has characters that no header can hold")]
    Token(&'static str),
    /// The machine's certificates cannot be read.
    #[error("the HTTP client for notifications cannot be made")]
    Client,
}

/// A target did not take it.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Failure {
    why: String,
    /// How long it wants to be left alone.
    pub(super) after: Option<Duration>,
}

/// Whom to tell, and how.
pub(crate) struct Target {
    client: Client,
    token: Option<Token>,
    public: Url,
    to: To,
}

enum To {
    Webhook(Url),
    Ntfy { server: Url, topic: String, url: Url },
}

/// A base that links begin with.
pub(super) fn base(url: &str) -> Result<Url, InvalidTarget> {
    parse("--public-url", url)
}

fn parse(flag: &'static str, url: &str) -> Result<Url, InvalidTarget> {
    let url = Url::parse(url).map_err(|_| InvalidTarget::Url(flag))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_http.then_some(url).ok_or(InvalidTarget::Url(flag))
}

impl Target {
    pub(super) fn webhook(url: &str, token: Option<Token>, public: &Url) -> Result<Self, InvalidTarget> {
        let url = parse("--notify-webhook", url)?;
        Self::new(To::Webhook(url), token, "TURNWIRE_WEBHOOK_TOKEN", public)
    }

    pub(super) fn ntfy(url: &str, token: Option<Token>, public: &Url) -> Result<Self, InvalidTarget> {
        let mut url = parse("--notify-ntfy", url)?;
        url.set_query(None);
        url.set_fragment(None);
        let mut segments: Vec<String> = url
            .path_segments()
            .ok_or(InvalidTarget::Topic)?
            .map(str::to_owned)
            .collect();
        if segments.last().is_some_and(String::is_empty) {
            segments.pop();
        }
        let topic = segments
            .pop()
            .filter(|topic| !topic.is_empty())
            .ok_or(InvalidTarget::Topic)?;
        let (mut server, mut own) = (url.clone(), url);
        let path = |url: &mut Url, segments: &[String]| {
            url.path_segments_mut()
                .map(|mut path| {
                    path.clear().extend(segments);
                })
                .map_err(|()| InvalidTarget::Topic)
        };
        path(&mut server, &segments)?;
        segments.push(topic.clone());
        path(&mut own, &segments)?;
        let to = To::Ntfy {
            server,
            topic,
            url: own,
        };
        Self::new(to, token, "TURNWIRE_NTFY_TOKEN", public)
    }

    fn new(to: To, token: Option<Token>, variable: &'static str, public: &Url) -> Result<Self, InvalidTarget> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // When the program has installed another already, that one serves.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        if let Some(Token(token)) = &token
            && http::HeaderValue::from_str(token).is_err()
        {
            return Err(InvalidTarget::Token(variable));
        }
        let url = match &to {
            To::Webhook(url) | To::Ntfy { url, .. } => url,
        };
        let mut client = Client::builder()
            .user_agent(concat!("turnwire/", env!("CARGO_PKG_VERSION")))
            .timeout(TIME)
            // A redirected POST would become a GET, and a token would go where nobody sent it.
            .redirect(redirect::Policy::none());
        if url.scheme() == "http" {
            // No TLS, so the machine's certificates need not be read.
            client = client.tls_certs_only([]);
        }
        // A proxy would look for the service on its own machine.
        let host = url.host_str().unwrap_or_default();
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_here = host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback());
        if is_here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|_| InvalidTarget::Client)?;
        Ok(Self {
            client,
            token,
            public: public.clone(),
            to,
        })
    }

    pub(super) const fn name(&self) -> &'static str {
        match self.to {
            To::Webhook(_) => "webhook",
            To::Ntfy { .. } => "ntfy",
        }
    }

    pub(super) fn host(&self) -> &str {
        match &self.to {
            To::Webhook(url) | To::Ntfy { url, .. } => url.host_str().unwrap_or_default(),
        }
    }

    /// Says that somebody is waited for. Whether it was taken; one that never will be is passed over.
    pub(super) async fn asked(&self, note: &Note<'_>) -> Result<bool, Failure> {
        let request = match &self.to {
            To::Webhook(url) => self.post(url, &self.event("approval_request", note)),
            To::Ntfy { server, topic, .. } => self.post(
                server,
                &json!({
                    "topic": topic,
                    "title": note.session,
                    "message": note.line(),
                    "click": self.link(note.approval),
                    "priority": PRIORITY,
                    "sequence_id": note.sequence,
                }),
            ),
        };
        match self.send(request).await? {
            status if status.is_success() => Ok(true),
            // Its operator can mend these: the address, the token, the topic's rights.
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => Err(Failure {
                why: format!("it answered {status}"),
                after: None,
            }),
            status => {
                tracing::warn!(to = self.name(), host = self.host(), %status, "a notification was refused, and is left out");
                Ok(false)
            }
        }
    }

    /// Says that it is over. A target that knows no such thing is left as it is.
    pub(super) async fn over(&self, note: &Note<'_>) -> Result<(), Failure> {
        let request = match &self.to {
            To::Webhook(url) => self.post(url, &self.event("approval_decision", note)),
            To::Ntfy { url, .. } => {
                let mut url = url.clone();
                if let Ok(mut path) = url.path_segments_mut() {
                    path.push(&note.sequence).push("clear");
                }
                self.client.request(Method::PUT, url)
            }
        };
        let status = self.send(request).await?;
        if !status.is_success() {
            tracing::debug!(to = self.name(), host = self.host(), %status, "a notification was not taken back");
        }
        Ok(())
    }

    fn post(&self, url: &Url, body: &Value) -> RequestBuilder {
        let json = http::HeaderValue::from_static("application/json");
        let request = self.client.post(url.clone()).header(http::header::CONTENT_TYPE, json);
        request.body(body.to_string())
    }

    /// An answer that may be another one later is a failure.
    async fn send(&self, request: RequestBuilder) -> Result<StatusCode, Failure> {
        let request = match &self.token {
            Some(Token(token)) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.map_err(|error| Failure {
            why: chain(&error.without_url()),
            after: None,
        })?;
        let status = answer.status();
        let later =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if !later {
            return Ok(status);
        }
        let after = answer.headers().get(http::header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Err(Failure {
            why: format!("it answered {status}"),
            after: after.map(Duration::from_secs),
        })
    }

    fn event(&self, kind: &str, note: &Note<'_>) -> Value {
        json!({
            "kind": kind,
            "approval": note.approval,
            "session": note.session,
            "link": self.link(note.approval),
        })
    }

    /// Where the page shows it.
    fn link(&self, approval: &Approval) -> String {
        let mut url = self.public.clone();
        url.set_query(None);
        let (session, id) = (coded(approval.session_id.as_str()), coded(approval.id.as_str()));
        url.set_fragment(Some(&format!("/session/{session}?approval={id}")));
        url.into()
    }
}

/// As `encodeURIComponent` does it, which the page undoes.
fn coded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// An error and what it came of.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_of_what_it_is_for_and_says_no_more_of_it() {
        let public = base("http://127.0.0.1:8876").unwrap();
        for bad in ["", "ntfy.sh/x", "ftp://ntfy.sh/x", "file:///x"] {
            assert_eq!(
                Target::webhook(bad, None, &public).err(),
                Some(InvalidTarget::Url("--notify-webhook"))
            );
        }
        for bad in ["https://ntfy.sh", "https://ntfy.sh/"] {
            assert_eq!(Target::ntfy(bad, None, &public).err(), Some(InvalidTarget::Topic));
        }
        let token = Token::new("se\ncret".into());
        assert_eq!(format!("{token:?}"), "Token(…)");
        let refused = Target::ntfy("https://ntfy.sh/x", Some(token), &public).err().unwrap();
        assert_eq!(refused, InvalidTarget::Token("TURNWIRE_NTFY_TOKEN"));
    }

    #[test]
    fn a_topic_may_be_below_a_path() {
        let public = base("http://127.0.0.1:8876").unwrap();
        for (url, server, topic) in [
            ("https://ntfy.sh/mine", "https://ntfy.sh/", "mine"),
            ("https://ntfy.sh/mine/?auth=x#y", "https://ntfy.sh/", "mine"),
            ("http://h:1/push/mine", "http://h:1/push", "mine"),
        ] {
            let target = Target::ntfy(url, None, &public).unwrap();
            let To::Ntfy {
                server: to, topic: of, ..
            } = &target.to
            else {
                panic!("not ntfy")
            };
            assert_eq!((to.as_str(), of.as_str()), (server, topic));
        }
    }
}
