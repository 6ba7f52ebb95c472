//! `serve`: a gateway, until a signal ends it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use turnwire_client::publish::Patience;
use turnwire_server::{
    Config, DoorError, Server, StartError,
    config::{NotifyConfig, RetentionConfig, Token},
};
use turnwire_watch::Source;

use crate::{
    args::{self, Serve},
    config_file, exit,
    follow::{Follower, How, Place},
    gateway,
    out::{self, Colour, Paint},
};

/// How long the end waits for what has been read of followed files to be taken.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) async fn serve(args: Serve) -> anyhow::Result<ExitCode> {
    let mut ends = Ends::catch()?;
    let mut config = Config::new(gateway::data_dir(args.data_dir.as_deref())?);
    config.listen = args.listen;
    config.otlp_grpc = args.otlp_grpc;
    config.allow_remote = args.allow_remote;
    config.auth = !args.no_auth;
    config.allowed_hosts.clone_from(&args.allow_host);
    config.allowed_origins = args.allow_origin;
    config.limits = args.limits.limits();
    let file = config_file::read(args.config.as_deref(), &config.data_dir)?;
    config.redact = file.redact();
    config.webhooks = file.webhooks()?;
    config.notify = NotifyConfig {
        webhook: args.notify.notify_webhook,
        webhook_token: token("TURNWIRE_WEBHOOK_TOKEN"),
        ntfy: args.notify.notify_ntfy,
        ntfy_token: token("TURNWIRE_NTFY_TOKEN"),
        public_url: args.notify.public_url,
    };
    config.retention = RetentionConfig {
        deltas: args.keep.keep_deltas.0,
        raw: args.keep.keep_raw.0,
        events: args.keep.keep_events.0,
        max_bytes: args.keep.keep_bytes,
        sessions: args.keep.keep_sessions,
        session_age: args
            .keep
            .keep_days
            .map(|days| std::time::Duration::from_hours(24 * u64::from(days))),
        ..RetentionConfig::default()
    };
    let (sources, data_dir) = (file.watch()?, config.data_dir.clone());
    let server = Server::start(config).await.map_err(not_started)?;
    let follower = follow(sources, &data_dir)?;
    let ready = server.ready();
    if args.json {
        let mut said = json!({
            "url": ready.url, "pid": ready.pid, "data_dir": ready.data_dir, "epoch": ready.epoch,
        });
        if let Some(url) = &ready.otlp_grpc {
            said["otlp_grpc"] = json!(url);
        }
        out::print_json(&said)?;
    } else {
        let link = match args.no_auth {
            true => None,
            false => Some(server.pairing_code().await?.code().to_owned()),
        };
        let base = reachable(&ready.url, args.listen, &args.allow_host);
        let mut greeting = greeting(&base, &ready.data_dir, link.as_deref(), Paint::stdout());
        if let Some(url) = &ready.otlp_grpc {
            greeting.push_str(&format!("\n  otlp    {url} (gRPC)"));
        }
        out::print(&greeting)?;
    }
    let code = ends.first().await;
    if !args.json {
        out::say("ending; once more ends at once");
    }
    if let Some(follower) = follower {
        // Before the server, so that it still takes what has been read; the rest is kept.
        if let Err(error) = follower.end(LAST_WORDS, Patience::OneTry).await {
            tracing::warn!("{error:#}");
        }
    }
    end(server, &mut ends).await;
    tracing::debug!(code, "ended");
    Ok(ExitCode::SUCCESS)
}

/// Follows the files of the configuration, and publishes over loopback as any other program on this machine does.
fn follow(sources: Vec<Source>, data_dir: &Path) -> anyhow::Result<Option<Follower>> {
    if sources.is_empty() {
        return Ok(None);
    }
    let gateway = args::Gateway {
        data_dir: Some(data_dir.to_owned()),
        ..args::Gateway::default()
    };
    let how = How {
        import: false,
        once: false,
        poll: false,
    };
    let place = Place {
        spools: &gateway::spool_root(&gateway)?,
        target: &gateway::target(&gateway),
        locate: gateway::Finder::new(&gateway),
    };
    Follower::start(sources, how, &place).map(Some)
}

/// A secret comes by a variable: a flag would stand in the list of processes.
fn token(variable: &str) -> Option<Token> {
    std::env::var(variable)
        .ok()
        .filter(|token| !token.is_empty())
        .map(Token::new)
}

/// Ends the server gracefully; a second signal ends the process at once.
pub(crate) async fn end(server: Server, ends: &mut Ends) {
    tokio::select! {
        in_time = server.stop() => {
            if !in_time {
                out::say("not everything ended in time");
            }
        }
        code = ends.first() => std::process::exit(i32::from(code)),
    }
}

/// SIGINT and SIGTERM.
pub(crate) struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    /// Catches them from now on.
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; answers the exit code that a shell gives it.
    pub(crate) async fn first(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 128 + 2,
            _ = self.terminate.recv() => 128 + 15,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn not_started(error: StartError) -> anyhow::Error {
    let (code, hint) = match &error {
        StartError::Remote(_)
        | StartError::Open(_)
        | StartError::Policy(_)
        | StartError::Notify(_)
        | StartError::Webhook(_)
        | StartError::Door(DoorError::Pattern(_)) => (2, ""),
        StartError::Listen { .. } => (
            exit::FAILURE,
            "; --listen takes another address, and port 0 any free one",
        ),
        _ => (exit::FAILURE, ""),
    };
    exit::failure(code, format!("{error}{hint}"))
}

/// An address that can be typed: what listens everywhere is reached by a name, or from this machine.
fn reachable(url: &str, listen: SocketAddr, hosts: &[String]) -> String {
    if !listen.ip().is_unspecified() {
        return url.to_owned();
    }
    let port = url.rsplit(':').next().unwrap_or_default();
    let here = match listen.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::LOCALHOST),
    };
    match hosts.first() {
        Some(host) => format!("http://{host}:{port}"),
        None => match here {
            IpAddr::V4(ip) => format!("http://{ip}:{port}"),
            IpAddr::V6(ip) => format!("http://[{ip}]:{port}"),
        },
    }
}

/// What a start says to a person.
fn greeting(url: &str, data_dir: &str, code: Option<&str>, paint: Paint) -> String {
    let mut lines = vec![
        format!("Turnwire {} at {url}", env!("CARGO_PKG_VERSION")),
        format!("  data    {data_dir}"),
    ];
    match code {
        Some(code) => {
            let link = format!("{url}/#pair={code}");
            lines.push(format!("  open    {}", paint.paint(Colour::Cyan, &link)));
            lines.push(
                "          this link signs one browser in, once, within 10 minutes; `turnwire pair` makes another"
                    .into(),
            );
        }
        None => lines.push(format!(
            "  open    {}",
            paint.paint(
                Colour::Yellow,
                &format!("{url}/ (no authentication: who reaches it may do everything)")
            )
        )),
    }
    lines.push("  record  turnwire run -- claude -p '…' --output-format stream-json --verbose".into());
    lines.push("  watch   turnwire tail".into());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_shown_can_be_typed() {
        let shown = |listen: &str, hosts: &[&str]| {
            let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            reachable(&format!("http://{listen}"), listen.parse().unwrap(), &hosts)
        };
        assert_eq!(shown("127.0.0.1:80", &["x.org"]), "http://127.0.0.1:80");
        assert_eq!(shown("0.0.0.0:80", &["x.org"]), "http://x.org:80");
        assert_eq!(shown("[::]:80", &[]), "http://[::1]:80");
    }
}
