//! Which observers a program has: from a configuration, or from the environment.

use std::{env, fmt, io, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use turnwire_proto::{Name, PUBLIC_SOURCE};

use super::{HookGuard, Log, Noop, Observer, Queued, Tee, Turnwire, hook, turnwire};
use crate::{locate::Place, spool::Limits};

/// How long the end of a program waits for what is still on its way.
pub const LAST_WAIT: Duration = Duration::from_secs(2);
/// The source of events where neither the configuration nor the program's file has a name.
const SOURCE: &str = "harness";

/// One way for events to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Nowhere.
    Noop,
    /// The program's own log.
    Log,
    /// Prometheus metrics; needs the feature `prometheus`.
    Prometheus,
    /// OTLP over HTTP; needs the feature `otel`.
    Otel,
    /// The gateway.
    Turnwire,
}

/// Which observers, and what each needs. Every field may be left out: then it is the gateway on this machine.
///
/// ```
/// use turnwire_client::observe::{Backend, Config};
///
/// let config: Config = serde_json::from_str(
///     r#"{"observers": ["log", "turnwire"], "source": "my-harness", "url": "http://127.0.0.1:8876", "token": "…"}"#,
/// )?;
/// assert_eq!(config.observers, [Backend::Log, Backend::Turnwire]);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where events go: all of these.
    pub observers: Vec<Backend>,
    /// What made the events; the program's name when absent.
    pub source: Option<String>,
    /// The worker of events that name none.
    pub agent: Option<String>,
    /// The gateway's address; the one on this machine when absent.
    pub url: Option<String>,
    /// The token for it: `publish` is enough.
    pub token: Option<String>,
    /// The data directory of a gateway on this machine.
    pub data_dir: Option<PathBuf>,
    /// Where events wait for the gateway.
    pub spool_dir: Option<PathBuf>,
    /// The collector's address, without `/v1/traces`.
    pub otel_endpoint: String,
    /// Headers for it, such as its key.
    pub otel_headers: Vec<(String, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            observers: vec![Backend::Turnwire],
            source: None,
            agent: None,
            url: None,
            token: None,
            data_dir: None,
            spool_dir: None,
            otel_endpoint: "http://localhost:4318".into(),
            otel_headers: Vec::new(),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that a setting cannot have.
    #[error("{setting} {why}")]
    Value {
        /// The variable or field.
        setting: &'static str,
        /// What is wrong, as a phrase that follows its name.
        why: String,
    },
    /// An observer that this program was built without.
    #[error("the observer `{0}` needs the feature `{0}` of turnwire-client")]
    Feature(&'static str),
    /// The gateway's observer could not begin.
    #[error(transparent)]
    Turnwire(#[from] turnwire::StartError),
    /// The collector's address or headers.
    #[error(transparent)]
    Otel(crate::Error),
    /// No thread for a queue.
    #[error("failed to start an observer's thread: {0}")]
    Thread(#[from] io::Error),
}

impl FromStr for Backend {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(match text {
            "noop" => Self::Noop,
            "log" => Self::Log,
            "prometheus" => Self::Prometheus,
            "otel" => Self::Otel,
            "turnwire" => Self::Turnwire,
            other => {
                return Err(ConfigError::Value {
                    setting: "TURNWIRE_OBSERVER",
                    why: format!("has `{other}`: it is a list of noop, log, prometheus, otel, turnwire, with commas"),
                });
            }
        })
    }
}

impl Config {
    /// From `TURNWIRE_OBSERVER` (a list with commas; `turnwire` when it is not set), `TURNWIRE_SOURCE`, `TURNWIRE_AGENT`,
    /// `TURNWIRE_URL`, `TURNWIRE_TOKEN`, `TURNWIRE_DATA_DIR`, and the standard `OTEL_EXPORTER_OTLP_ENDPOINT`,
    /// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`. What is empty is not set.
    ///
    /// # Errors
    /// [`ConfigError::Value`], which names the variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| env::var(name).ok())
    }

    /// The same from other variables than the environment's.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let var = |name| vars(name).filter(|value| !value.is_empty());
        let mut config = Self {
            source: var("TURNWIRE_SOURCE").or_else(|| var("OTEL_SERVICE_NAME")),
            agent: var("TURNWIRE_AGENT"),
            url: var("TURNWIRE_URL"),
            token: var("TURNWIRE_TOKEN"),
            data_dir: var("TURNWIRE_DATA_DIR").map(PathBuf::from),
            ..Self::default()
        };
        if let Some(list) = var("TURNWIRE_OBSERVER") {
            config.observers = list
                .split(',')
                .map(|name| name.trim().parse())
                .collect::<Result<_, _>>()?;
        }
        if let Some(endpoint) = var("OTEL_EXPORTER_OTLP_ENDPOINT") {
            config.otel_endpoint = endpoint;
        }
        for header in var("OTEL_EXPORTER_OTLP_HEADERS")
            .iter()
            .flat_map(|list| list.split(','))
        {
            let (name, value) = header.split_once('=').ok_or_else(|| ConfigError::Value {
                setting: "OTEL_EXPORTER_OTLP_HEADERS",
                why: "is a list of name=value, with commas".into(),
            })?;
            config.otel_headers.push((name.trim().into(), value.trim().into()));
        }
        Ok(config)
    }

    /// Makes the observers. Prometheus metrics go into a registry of their own: `Built::metrics` shows them.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn build(self) -> Result<Built, ConfigError> {
        #[cfg(feature = "prometheus")]
        {
            let mut registry = prometheus_client::registry::Registry::default();
            let observer = self.build_into(&mut registry)?;
            Ok(Built { observer, registry })
        }
        #[cfg(not(feature = "prometheus"))]
        Ok(Built { observer: self.make()? })
    }

    /// The same with Prometheus metrics in the program's own registry.
    ///
    /// # Errors
    /// See [`ConfigError`].
    #[cfg(feature = "prometheus")]
    pub fn build_into(
        self,
        registry: &mut prometheus_client::registry::Registry,
    ) -> Result<Arc<dyn Observer>, ConfigError> {
        self.make(registry)
    }

    /// Makes the observers and installs them for the whole process: the one line.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn install(self) -> Result<Installed, ConfigError> {
        Ok(self.build()?.install())
    }

    fn make(
        self,
        #[cfg(feature = "prometheus")] registry: &mut prometheus_client::registry::Registry,
    ) -> Result<Arc<dyn Observer>, ConfigError> {
        let source = self.source()?;
        let mut members: Vec<Arc<dyn Observer>> = Vec::new();
        let mut done = Vec::new();
        for backend in &self.observers {
            // Twice the same would count twice.
            if done.contains(backend) {
                continue;
            }
            done.push(*backend);
            members.push(match backend {
                Backend::Noop => Arc::new(Noop),
                Backend::Log => Arc::new(Queued::new(Log)?),
                #[cfg(feature = "prometheus")]
                Backend::Prometheus => Arc::new(super::Prometheus::register(registry)),
                #[cfg(not(feature = "prometheus"))]
                Backend::Prometheus => return Err(ConfigError::Feature("prometheus")),
                #[cfg(feature = "otel")]
                Backend::Otel => Arc::new(
                    super::Otel::start(&self.otel_endpoint, &self.otel_headers, source.as_str())
                        .map_err(ConfigError::Otel)?,
                ),
                #[cfg(not(feature = "otel"))]
                Backend::Otel => return Err(ConfigError::Feature("otel")),
                Backend::Turnwire => Arc::new(Turnwire::start(self.turnwire(source.clone())?)?),
            });
        }
        if let [only] = &members[..] {
            return Ok(Arc::clone(only));
        }
        Ok(Arc::new(members.into_iter().fold(Tee::new(), Tee::and_direct)))
    }

    fn turnwire(&self, source: Name) -> Result<turnwire::Options, ConfigError> {
        Ok(turnwire::Options {
            place: Place {
                url: self.url.clone(),
                token: self.token.clone(),
                data_dir: self.data_dir.clone(),
            },
            spool_dir: self.spool_dir.clone(),
            limits: Limits::default(),
            source,
            agent: self.agent.as_deref().map(|agent| name("agent", agent)).transpose()?,
        })
    }

    fn source(&self) -> Result<Name, ConfigError> {
        let source = match &self.source {
            Some(source) => name("source", source)?,
            None => program()
                .or_else(|| Name::lossy(SOURCE))
                .ok_or_else(|| value("source", "is not known".into()))?,
        };
        if source.as_str() == PUBLIC_SOURCE {
            let why = format!(
                "must not be `{PUBLIC_SOURCE}`: every reader of the gateway may read such events, private or not"
            );
            return Err(value("source", why));
        }
        Ok(source)
    }
}

impl fmt::Debug for Config {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("observers", &self.observers)
            .field("source", &self.source)
            .field("agent", &self.agent)
            .field("url", &self.url)
            .field("data_dir", &self.data_dir)
            .field("spool_dir", &self.spool_dir)
            .field("otel_endpoint", &self.otel_endpoint)
            .finish_non_exhaustive()
    }
}

fn program() -> Option<Name> {
    let path = env::current_exe().ok()?;
    Name::lossy(&path.file_stem()?.to_string_lossy())
}

fn name(setting: &'static str, text: &str) -> Result<Name, ConfigError> {
    Name::new(text).map_err(|error| value(setting, error.to_string()))
}

fn value(setting: &'static str, why: String) -> ConfigError {
    ConfigError::Value { setting, why }
}

/// The observers of a configuration, as one.
pub struct Built {
    observer: Arc<dyn Observer>,
    #[cfg(feature = "prometheus")]
    registry: prometheus_client::registry::Registry,
}

impl Built {
    /// The one observer.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.observer)
    }

    /// What a scrape is answered with: the text of the registry, `application/openmetrics-text; version=1.0.0`.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics(&self) -> String {
        super::prometheus::text(&self.registry)
    }

    /// Installs it for the whole process.
    pub fn install(self) -> Installed {
        Installed {
            _guard: hook(self.observer()),
            built: self,
        }
    }
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Built").field(&self.observer.name()).finish()
    }
}

/// What a configuration installed, until this is dropped: then its observers are removed, and at most [`LAST_WAIT`] is given
/// to what they still hold. For more patience, or where blocking a thread matters: [`Installed::finish`].
#[derive(Debug)]
#[must_use = "dropping it removes the observers"]
pub struct Installed {
    _guard: HookGuard,
    built: Built,
}

impl Installed {
    /// The observers, as one.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.built.observer()
    }

    /// As `Built::metrics`.
    #[cfg(feature = "prometheus")]
    #[must_use]
    pub fn metrics(&self) -> String {
        self.built.metrics()
    }

    /// Waits until all that was told is where it goes, at most so long, without blocking the runtime; whether it is. What the
    /// gateway has not taken is kept in the spool, and sent by the next program that records for it.
    pub async fn finish(&self, within: Duration) -> bool {
        let observer = self.observer();
        tokio::task::spawn_blocking(move || observer.settle(within))
            .await
            .unwrap_or(false)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        super::quietly(&*self.built.observer, |observer| observer.settle(LAST_WAIT));
    }
}
