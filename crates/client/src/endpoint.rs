//! Where the server is and who asks: a base address, a token, and one HTTP client for all requests.

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, Url,
    header::{AUTHORIZATION, HeaderValue},
    redirect,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Refused};

/// What a running server leaves in its data directory for clients on the same machine.
const RUNNING: &str = "server.json";
/// The token for them.
const TOKEN: &str = "local.token";
/// To open a connection: long enough for a far, lossy link (three SYNs), short enough to be told of.
const CONNECT: Duration = Duration::from_secs(10);
/// For a whole request that is not a stream, unless the caller sets another.
const REQUEST: Duration = Duration::from_secs(30);

/// A server, as one principal sees it. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    /// Set where the server is on this machine, and may come back elsewhere.
    local: Option<Arc<Path>>,
    target: Arc<Mutex<Arc<Target>>>,
}

/// Where requests go, and with which proof.
#[derive(PartialEq)]
struct Target {
    /// Ends in a slash, so that a server behind a proxy's prefix is reached too.
    base: Url,
    authorization: Option<HeaderValue>,
}

impl Endpoint {
    /// The server at `address`, such as `http://127.0.0.1:8876`, asked with `token`.
    ///
    /// # Errors
    /// [`Error::Address`] when either cannot be what it should be.
    pub fn new(address: &str, token: Option<&str>) -> Result<Self, Error> {
        let target = Target::new(address, token)?;
        Ok(Self {
            client: client(&target.base)?,
            local: None,
            target: Arc::new(Mutex::new(Arc::new(target))),
        })
    }

    /// The server that runs on this data directory, asked with the token that it leaves there. When it is started again,
    /// perhaps at another port, [`Endpoint::refresh`] finds it.
    ///
    /// # Errors
    /// [`Error::NoServer`] when none runs, [`Error::File`] when what it left cannot be read.
    pub fn local(data_dir: &Path) -> Result<Self, Error> {
        let target = Target::local(data_dir)?;
        Ok(Self {
            client: client(&target.base)?,
            local: Some(data_dir.into()),
            target: Arc::new(Mutex::new(Arc::new(target))),
        })
    }

    /// Looks again where a local server is; whether it is elsewhere, or wants another token. `false` for any other.
    ///
    /// # Errors
    /// As [`Endpoint::local`]; requests still go where they went.
    pub fn refresh(&self) -> Result<bool, Error> {
        let Some(dir) = &self.local else { return Ok(false) };
        let found = Target::local(dir)?;
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = **target != found;
        if changed {
            *target = Arc::new(found);
        }
        Ok(changed)
    }

    /// The base address; it ends in a slash.
    #[must_use]
    pub fn url(&self) -> Url {
        self.target().base.clone()
    }

    /// A request for `path` (one of [`turnwire_proto::path`], [`filled`] where it has a place to fill) that may take 30 s,
    /// unless another `timeout` is set on it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.stream(method, path).timeout(REQUEST)
    }

    /// A request whose answer may take for ever.
    pub fn stream(&self, method: Method, path: &str) -> RequestBuilder {
        let target = self.target();
        let mut url = target.base.clone();
        url.set_path(&format!("{}{}", target.base.path(), path.trim_start_matches('/')));
        let request = self.client.request(method, url);
        match &target.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Sends a request; an answer that is not success is [`Error::Refused`] with the server's reasons.
    ///
    /// # Errors
    /// As said, and [`Error::Unreachable`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(Error::Unreachable)?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(Refused::read(response).await)
        }
    }

    /// Sends a request and reads its answer's JSON.
    ///
    /// # Errors
    /// As [`Endpoint::send`], and [`Error::Answer`].
    pub async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(Error::Unreachable)?;
        serde_json::from_slice(&body).map_err(|e| Error::Answer(e.to_string()))
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url().as_str())
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Target {
    fn new(address: &str, token: Option<&str>) -> Result<Self, Error> {
        let wrong = |why: String| Error::Address {
            what: format!("{address:?} as a server's address"),
            why,
        };
        let mut base = Url::parse(address).map_err(|e| wrong(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it does not begin with http:// or https://".into()));
        }
        if base.query().is_some()
            || base.fragment().is_some()
            || base.password().is_some()
            || !base.username().is_empty()
        {
            return Err(wrong("it has more than a host, a port and a path".into()));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let authorization = token.map(bearer).transpose()?;
        Ok(Self { base, authorization })
    }

    fn local(dir: &Path) -> Result<Self, Error> {
        let running = Running::read(dir)?;
        let path = dir.join(TOKEN);
        let token = fs::read_to_string(&path).map_err(|source| Error::File { path, source })?;
        Self::new(&running.url, Some(token.trim()))
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let wrong = |why: &str| Error::Address {
        what: "what was given as a token".into(),
        why: why.into(),
    };
    // The characters of RFC 6750, 2.1. The token itself is never shown.
    if token.is_empty()
        || !token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
    {
        return Err(wrong("it is empty, or has characters that no token has"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong("it does not fit a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What `server.json` says of the server that runs on a data directory.
#[derive(Clone, Debug, Deserialize)]
pub struct Running {
    /// Where it listens.
    pub url: String,
    /// Its process.
    #[serde(default)]
    pub pid: Option<u32>,
    /// The log's identity.
    #[serde(default)]
    pub epoch: Option<turnwire_proto::Epoch>,
    /// The program's version.
    #[serde(default)]
    pub version: Option<String>,
}

impl Running {
    /// Reads it. That the file is there does not prove that the server lives: it may have been killed.
    ///
    /// # Errors
    /// [`Error::NoServer`] when there is none, [`Error::File`] when it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        let path: PathBuf = dir.join(RUNNING);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Error::NoServer { dir: dir.into() }),
            Err(source) => return Err(Error::File { path, source }),
        };
        serde_json::from_slice(&text).map_err(|e| Error::File {
            path,
            source: io::Error::new(io::ErrorKind::InvalidData, e),
        })
    }
}

/// A path of [`turnwire_proto::path`] with `value` in its `{…}`, escaped so that it is one segment whatever it contains
/// (but for `.` and `..`, which no URL has as a segment, however escaped).
#[must_use]
pub fn filled(path: &str, value: &str) -> String {
    let Some((before, (_, after))) = path
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return path.to_owned();
    };
    let mut out = before.to_owned();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out + after
}

fn client(base: &Url) -> Result<Client, Error> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // When the program has installed another already, that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut client = Client::builder()
        .user_agent(concat!("turnwire/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        // A redirected POST would become a GET, and a token would go where nobody sent it.
        .redirect(redirect::Policy::none())
        .tcp_nodelay(true);
    if base.scheme() == "http" {
        // No TLS, so the machine's certificates need not be read.
        client = client.tls_certs_only([]);
    }
    if is_loopback(base) {
        client = client.no_proxy();
    }
    client.build().map_err(Error::Unreachable)
}

/// Whether a proxy could not reach what is meant.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(endpoint: &Endpoint, path: &str) -> reqwest::Request {
        endpoint.request(Method::GET, path).build().unwrap()
    }

    #[test]
    fn a_request_goes_under_the_base_with_the_token_which_is_never_shown() {
        let endpoint = Endpoint::new("https://example.org/turnwire", Some("s3cret-._~+/=")).unwrap();
        let request = request(&endpoint, turnwire_proto::path::EVENTS);
        assert_eq!(request.url().as_str(), "https://example.org/turnwire/api/events");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer s3cret-._~+/=");
        assert!(!format!("{endpoint:?} {request:?}").contains("s3cret"));
    }

    #[test]
    fn what_cannot_be_an_address_or_a_token_is_refused_and_said_why() {
        for (address, why) in [
            ("127.0.0.1:8876", "relative URL"),
            ("ftp://x/", "does not begin with http"),
            ("http://x/#pair=CODE", "more than a host"),
            ("http://x/?ticket=1", "more than a host"),
            ("http://me:pw@x/", "more than a host"),
        ] {
            let error = Endpoint::new(address, None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        for token in ["", "a b", "a\nb", "tökén"] {
            let error = Endpoint::new("http://x", Some(token)).unwrap_err().to_string();
            assert!(
                error.contains("token") && (token.is_empty() || !error.contains(token)),
                "{error}"
            );
        }
    }

    #[test]
    fn an_id_fills_one_segment_whatever_it_contains() {
        let path = turnwire_proto::path::SESSION_EVENTS;
        assert_eq!(filled(path, "a/b?c#d é"), "/api/sessions/a%2Fb%3Fc%23d%20%C3%A9/events");
        let endpoint = Endpoint::new("http://127.0.0.1:1", None).unwrap();
        let url = request(&endpoint, &filled(path, "a/b%2Fc")).url().to_string();
        assert_eq!(url, "http://127.0.0.1:1/api/sessions/a%2Fb%252Fc/events");
    }

    #[test]
    fn a_local_server_is_found_by_what_it_leaves_and_found_again_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Endpoint::local(dir.path()), Err(Error::NoServer { .. })));
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        put(
            RUNNING,
            r#"{"url":"http://127.0.0.1:1","pid":7,"version":"1","more":0}"#,
        );
        assert!(
            matches!(Endpoint::local(dir.path()), Err(Error::File { .. })),
            "no token"
        );
        put(TOKEN, "one\n");
        let endpoint = Endpoint::local(dir.path()).unwrap();
        assert_eq!(endpoint.url().as_str(), "http://127.0.0.1:1/");
        assert!(!endpoint.refresh().unwrap());

        put(RUNNING, r#"{"url":"http://127.0.0.1:2"}"#);
        put(TOKEN, "two");
        let clone = endpoint.clone();
        assert!(clone.refresh().unwrap());
        assert_eq!(
            endpoint.url().as_str(),
            "http://127.0.0.1:2/",
            "a clone is the same endpoint"
        );
        assert_eq!(request(&endpoint, "/").headers()[AUTHORIZATION], "Bearer two");
        fs::remove_file(dir.path().join(RUNNING)).unwrap();
        assert!(matches!(endpoint.refresh(), Err(Error::NoServer { .. })));
    }
}
