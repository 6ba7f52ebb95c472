//! A server's life: open everything, listen, serve, end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use turnwire_log::{
    Log, StoreError,
    cached::Cached,
    kv::{Kv, SqliteKv},
    sqlite::{OpenError, Options, SqliteLog},
};
use turnwire_proto::{Epoch, Scope, Scopes, Selector};

use crate::{
    auth::{Auth, CODE_TTL, ChangeError, PairingCode, local},
    config::Config,
    control::Control,
    deliver::{Front, Reactor, serve},
    door::{Door, DoorError},
    http::{UnderWay, app, guard, otlp::grpc},
    hub::Hub,
    notify::{self, InvalidTarget},
    observe::Metrics,
    retention,
    shutdown::Tasks,
    views::{Folding, Views},
    webhook::{InvalidWebhook, Webhooks},
};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Beyond loopback only on purpose.
    #[error("{0} is not a loopback address: add --allow-remote if others shall reach this server")]
    Remote(SocketAddr),
    /// Beyond loopback only with authentication.
    #[error("{0} is not a loopback address, and without authentication only loopback is listened on")]
    Open(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it met.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// Tokens or views.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command line's token.
    #[error(transparent)]
    Local(#[from] local::LocalError),
    /// A name that no host has, or what is no origin.
    #[error("{flag}: {0}", flag = .0.flag())]
    Policy(#[from] guard::InvalidPolicy),
    /// What is written cannot be kept free of secrets.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// Somebody cannot be notified.
    #[error(transparent)]
    Notify(#[from] InvalidTarget),
    /// A service could not call.
    #[error("webhook: {0}")]
    Webhook(#[from] InvalidWebhook),
    /// A thread or a file.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What it met.
        source: std::io::Error,
    },
}

/// What a running server says of itself.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ready {
    /// Where it listens.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Where its data is.
    pub data_dir: String,
    /// The log's identity.
    pub epoch: Epoch,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Where it takes OTLP over gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<String>,
}

/// The file in the data directory that says where the running server is.
const SERVER_FILE: &str = "server.json";

/// A running server.
#[derive(Debug)]
pub struct Server {
    ready: Ready,
    config: Config,
    auth: Auth,
    tasks: Tasks,
    front: Arc<Front>,
    folding: Folding,
    log: Arc<dyn Log>,
}

impl Server {
    /// Opens the data directory and listens. When it returns, requests are served.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // An address that is taken or refused is met before any file is made.
        let listeners = listen(&config).await?;
        let log = open_log(&config).await?;
        Self::serve(config, listeners, log).await
    }

    /// The same over another log than the one in the data directory.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with(config: Config, log: Arc<dyn Log>) -> Result<Self, StartError> {
        let listeners = listen(&config).await?;
        Self::serve(config, listeners, log).await
    }

    async fn serve(config: Config, listeners: Listeners, log: Arc<dyn Log>) -> Result<Self, StartError> {
        let Listeners { http: listener, grpc } = listeners;
        let address = listener.local_addr().map_err(|source| io("listen", source))?;
        let (tasks, metrics) = (Tasks::default(), Arc::new(Metrics::default()));
        let dir = config.data_dir.clone();
        private_dir(&dir).map_err(|source| io(&format!("make {}", dir.display()), source))?;
        let cached = Cached::new(log, config.limits.ring_bytes).await;
        let cached = Arc::new(cached.map_err(|turnwire_log::ReadError::Store(error)| error)?);
        // From here on there is no log but behind the door.
        let door = Door::open(cached, &dir, &config.redact, metrics.clone())?;
        let (log, kept_door): (Arc<dyn Log>, _) = (Arc::new(door.clone()), door.clone());
        let epoch = log.bounds().await.map_err(|turnwire_log::ReadError::Store(e)| e)?.epoch;
        let targets = config.notify.targets(&format!("http://{address}"))?;
        let webhooks = Webhooks::new(config.webhooks.clone())?;
        let kv = open_kv(&dir).await?;
        let auth = open_auth(&kv, config.auth, &dir).await?.of_log(epoch);
        let tail = || async {
            log.tail(&Selector::all())
                .await
                .map_err(|turnwire_log::ReadError::Store(e)| e)
        };
        let reactor = Reactor::start(tail().await?, &auth, metrics.clone(), config.limits, tasks.clone())
            .map_err(|source| io("start delivery", source))?;
        let (views, folding) = Views::open(&dir, log.clone(), epoch, tail().await?)?;
        let hub = Hub::new(door.clone(), metrics.clone(), reactor.bell());
        let policy = policy(&config, address)?;
        let (limits, log_of_app, kept_views) = (config.limits, log.clone(), views.clone());
        let control = Control::start(door, views.clone(), metrics.clone(), limits, tasks.clone());
        let parts = notify::Parts {
            log: log.clone(),
            views: views.clone(),
            kv: kv.clone(),
            metrics: metrics.clone(),
            epoch,
            limits,
        };
        notify::start(targets, &parts, &tasks);
        let parts = app::Parts {
            hub,
            auth: auth.clone(),
            views,
            control,
            log: log_of_app,
            epoch,
            limits,
            tasks: tasks.clone(),
            kv,
            under_way: UnderWay::default(),
            webhooks,
            checking: tokio::sync::Mutex::default(),
        };
        let (app, reactor) = (app::App::new(parts), Arc::new(reactor));
        let front = |router| {
            Arc::new(Front {
                router,
                reactor: reactor.clone(),
                limits,
                metrics: metrics.clone(),
                tasks: tasks.clone(),
            })
        };
        let mut otlp_grpc = None;
        if let Some(listener) = grpc {
            let address = listener.local_addr().map_err(|source| io("listen", source))?;
            let router = grpc::router(app.clone(), self::policy(&config, address)?);
            tasks.spawn("accept grpc", serve(front(router), listener));
            otlp_grpc = Some(format!("http://{address}"));
        }
        let front = front(app::router(app, policy));
        tasks.spawn("accept", serve(front.clone(), listener));
        tasks.spawn_until_stop("auth", auth.clone().keep());
        tasks.spawn_until_stop(
            "retention",
            retention::keep(kept_door, kept_views, config.retention, metrics),
        );
        let ready = Ready {
            url: format!("http://{address}"),
            pid: std::process::id(),
            data_dir: dir.display().to_string(),
            epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            otlp_grpc,
        };
        write_ready(&dir, &ready).map_err(|source| io(&format!("write {SERVER_FILE}"), source))?;
        Ok(Self {
            ready,
            config,
            auth,
            tasks,
            front,
            folding,
            log,
        })
    }

    /// What it says of itself.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Who may do what.
    #[must_use]
    pub const fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Makes a pairing code for everything: the link that a start prints.
    ///
    /// # Errors
    /// The store cannot keep it, or there is no authentication.
    pub async fn pairing_code(&self) -> Result<PairingCode, ChangeError> {
        self.auth
            .new_pairing_code(None, Scopes(vec![Scope::Admin]), CODE_TTL)
            .await
    }

    /// Ends: takes no more connections, lets streams go one by one, waits for what is under way. Whether all ended in time.
    pub async fn stop(self) -> bool {
        let grace = self.config.limits.shutdown_grace;
        let done = self.tasks.stop(grace).await;
        self.auth.flush().await;
        // The file is of this server only as long as it runs.
        let _ = std::fs::remove_file(self.config.data_dir.join(SERVER_FILE));
        let Self {
            front, folding, log, ..
        } = self;
        let closing = tokio::task::spawn_blocking(move || {
            drop(folding);
            drop(front);
            drop(log);
        });
        // Closing waits for threads; a read that hangs must not keep the process.
        let closed = tokio::time::timeout(Duration::from_secs(5), closing).await.is_ok();
        done && closed
    }
}

fn io(doing: &str, source: std::io::Error) -> StartError {
    StartError::Io {
        doing: doing.to_owned(),
        source,
    }
}

/// What a server listens on.
struct Listeners {
    http: TcpListener,
    /// OTLP over gRPC.
    grpc: Option<TcpListener>,
}

async fn listen(config: &Config) -> Result<Listeners, StartError> {
    let http = listen_on(config, config.listen).await?;
    let grpc = match config.otlp_grpc {
        Some(address) => Some(listen_on(config, address).await?),
        None => None,
    };
    Ok(Listeners { http, grpc })
}

async fn listen_on(config: &Config, address: SocketAddr) -> Result<TcpListener, StartError> {
    if !address.ip().is_loopback() {
        if !config.auth {
            return Err(StartError::Open(address));
        }
        if !config.allow_remote {
            return Err(StartError::Remote(address));
        }
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Whom the guard lets pass at this address.
fn policy(config: &Config, address: SocketAddr) -> Result<guard::Policy, guard::InvalidPolicy> {
    let mut policy = guard::Policy::new(address);
    for host in &config.allowed_hosts {
        policy = policy.allow_host(host)?;
    }
    for origin in &config.allowed_origins {
        policy = policy.allow_origin(origin)?;
    }
    Ok(policy)
}

async fn open_log(config: &Config) -> Result<Arc<dyn Log>, StartError> {
    let dir = config.data_dir.clone();
    private_dir(&dir).map_err(|source| io(&format!("make {}", dir.display()), source))?;
    let options = Options {
        queue: config.limits.append_queue,
        ..Options::default()
    };
    let store = tokio::task::spawn_blocking(move || SqliteLog::open(&dir, options))
        .await
        .map_err(|e| io("open the log", e.into()))??;
    Ok(Arc::new(store))
}

/// The small state.
async fn open_kv(dir: &Path) -> Result<Arc<dyn Kv>, StartError> {
    let dir = dir.to_owned();
    let kv = tokio::task::spawn_blocking(move || SqliteKv::open(&dir))
        .await
        .map_err(|e| io("open tokens", e.into()))??;
    Ok(Arc::new(kv))
}

async fn open_auth(kv: &Arc<dyn Kv>, wanted: bool, dir: &Path) -> Result<Auth, StartError> {
    if !wanted {
        return Ok(Auth::disabled());
    }
    let auth = Auth::open(kv.clone()).await?;
    local::ensure(&auth, dir).await?;
    Ok(auth)
}

/// The directory is its owner's: other names in it would be read by whoever can list it.
fn private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write_ready(dir: &Path, ready: &Ready) -> std::io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let text = serde_json::to_vec(ready).map_err(std::io::Error::from)?;
    let draft = dir.join(format!("{SERVER_FILE}.new"));
    // A draft that a killed start has left may have another mode.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&text)?;
    std::fs::rename(draft, dir.join(SERVER_FILE))
}
