//! The servers that are measured, and how each is started. All listen on 127.0.0.1 only.

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::cases::Load;
use crate::shell;

/// What is built here.
pub(super) struct Programs {
    pub(super) fanbench: PathBuf,
    pub(super) turnwire: PathBuf,
}

/// What a server is started for.
#[derive(Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) programs: &'a Programs,
    /// Empty at first; a restart finds what was there.
    pub(super) dir: &'a Path,
    pub(super) load: Load,
}

impl Setup<'_> {
    fn replays(&self) -> Option<u64> {
        if let Load::Replay { count } = self.load {
            Some(count)
        } else {
            None
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

/// A server that can be measured.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The program that must be installed, and where it comes from; none for what is built here.
    pub(super) needs: Option<(&'static str, &'static str)>,
    start: fn(&Setup) -> Result<Launch>,
}

const fn here(name: &'static str, start: fn(&Setup) -> Result<Launch>) -> Kind {
    Kind {
        name,
        needs: None,
        start,
    }
}

const fn installed(
    name: &'static str,
    program: &'static str,
    from: &'static str,
    start: fn(&Setup) -> Result<Launch>,
) -> Kind {
    Kind {
        name,
        needs: Some((program, from)),
        start,
    }
}

const NATS: &str = "apt-get install nats-server";
const REDIS: &str = "apt-get install redis-server";

pub(super) const KINDS: &[Kind] = &[
    here("limit", |setup| Ok(limit(setup, &[]))),
    here("coalesce", |setup| Ok(limit(setup, &["--coalesce"]))),
    here("coalesce-durable", |setup| {
        Ok(limit(setup, &["--coalesce", "--log", &setup.path("log"), "--sync"]))
    }),
    here("limit-sqlite", |setup| Ok(limit(setup, &["--replay-from", "sqlite"]))),
    here("turnwire", |setup| Ok(turnwire(setup))),
    installed(
        "durable-streams-rs",
        "durable-streams-server",
        "cargo install durable-streams, or its path in DURABLE_STREAMS_RS",
        |setup| Ok(durable_streams(setup)),
    ),
    installed("nats", "nats-server", NATS, |setup| nats(setup, "nats")),
    installed("jetstream", "nats-server", NATS, |setup| nats(setup, "jetstream")),
    installed("redis-always", "redis-server", REDIS, |setup| {
        Ok(redis(setup, "always"))
    }),
    installed("redis-everysec", "redis-server", REDIS, |setup| {
        Ok(redis(setup, "everysec"))
    }),
    installed("nchan", "nginx", "apt-get install nginx libnginx-mod-nchan", nchan),
];

/// What has to be installed before it can be measured; None when nothing has.
pub(super) fn missing(kind: &Kind) -> Option<String> {
    let (program, from) = kind.needs?;
    let there = if program == "nginx" {
        find(program).is_some() && Path::new(NCHAN_MODULE).is_file()
    } else {
        find(program).is_some()
    };
    (!there).then(|| format!("{program} ({from})"))
}

/// Where a peer's program is.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let named = (program == "durable-streams-server")
        .then(|| env::var_os("DURABLE_STREAMS_RS"))
        .flatten();
    named
        .map(PathBuf::from)
        .or_else(|| shell::find(program))
        // Debian keeps servers where only root looks.
        .or_else(|| Some(Path::new("/usr/sbin").join(program)))
        .filter(|path| path.is_file())
}

/// What is left to do once a server listens; may add to the flags.
type Then = fn(&Setup, &mut Vec<String>) -> Result<()>;

/// How to start a server and how to talk to it.
struct Launch {
    command: Command,
    port: u16,
    /// What the generator is told.
    flags: Vec<String>,
    then: Option<Then>,
    /// Events a request when a store is filled.
    fill_batch: u64,
    /// Whether it makes the events of a replay by itself.
    own_store: bool,
}

impl Launch {
    fn new(program: impl AsRef<Path>, port: u16) -> Self {
        let command = Command::new(program.as_ref());
        Self {
            command,
            port,
            flags: Vec::new(),
            then: None,
            fill_batch: 100,
            own_store: false,
        }
    }

    fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    fn http(mut self, publish: &str, subscribe: &str) -> Self {
        let url = |path: &str| format!("http://127.0.0.1:{}{path}", self.port);
        self.flags = vec![
            "--pub-url".to_owned(),
            url(publish),
            "--sub-url".to_owned(),
            url(subscribe),
        ];
        self
    }

    fn protocol(mut self, proto: &str) -> Self {
        let addr = format!("127.0.0.1:{}", self.port);
        self.flags = vec!["--proto".to_owned(), proto.to_owned(), "--addr".to_owned(), addr];
        self
    }

    fn flags<const N: usize>(mut self, flags: [&str; N]) -> Self {
        self.flags.extend(flags.map(str::to_owned));
        self
    }

    fn then(mut self, then: Then) -> Self {
        self.then = Some(then);
        self
    }
}

fn limit(setup: &Setup, extra: &[&str]) -> Launch {
    let mut launch = Launch::new(&setup.programs.fanbench, 9100).args(["limit", "--listen", "127.0.0.1:9100"]);
    launch.command.args(extra);
    if matches!(setup.load, Load::Ingest { .. }) && !extra.contains(&"--log") {
        launch.command.args(["--log", &setup.path("log"), "--sync"]);
    }
    if let Some(count) = setup.replays() {
        launch
            .command
            .args(["--replay-events", &count.to_string(), "--dir", &setup.path("")]);
    }
    launch.own_store = true;
    launch.http("/p", if setup.replays().is_some() { "/replay" } else { "/s" })
}

/// The server as it comes, with every event on disk before it is acknowledged.
fn turnwire(setup: &Setup) -> Launch {
    let stream = match setup.load {
        Load::Replay { .. } => "/api/events?after=0",
        Load::Sessions { .. } => "/api/sessions/{s}/events",
        _ => "/api/events",
    };
    let item = r#"{"type":"tool_call","source":"bench","session_id":"{s}","data":{p}}"#;
    let mut launch = Launch::new(&setup.programs.turnwire, 9110)
        .args([
            "serve",
            "--data-dir",
            &setup.path("data"),
            "--listen",
            "127.0.0.1:9110",
            "--json",
        ])
        .http("/api/events", stream)
        .flags([
            "--content-type",
            "application/x-ndjson",
            "--batch-style",
            "ndjson",
            "--item",
            item,
        ])
        .then(|setup, flags| {
            let mut token = Command::new(&setup.programs.turnwire);
            token.args(["token", "create", "--data-dir", &setup.path("data"), "--name", "bench"]);
            token.args(["--scope", "read", "--scope", "publish", "--quiet"]);
            flags.extend(["--token".to_owned(), shell::output(&mut token)?.trim().to_owned()]);
            Ok(())
        });
    launch.fill_batch = 1000;
    launch
}

/// Electric's server: a write-ahead log, fdatasync before it acknowledges.
fn durable_streams(setup: &Setup) -> Launch {
    let offset = if setup.replays().is_some() { "-1" } else { "now" };
    let program = find("durable-streams-server").unwrap_or_default();
    Launch::new(program, 9108)
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            "9108",
            "--data-dir",
            &setup.path("data"),
        ])
        .http("/t", &format!("/t?offset={offset}&live=sse"))
        .flags(["--batch-style", "array"])
        .then(|_, _| put(9108, "/t"))
}

/// Core NATS stores nothing; JetStream keeps a file store and by default does not fsync per message.
fn nats(setup: &Setup, protocol: &str) -> Result<Launch> {
    let conf = setup.path("nats.conf");
    let store = setup.path("store");
    let text = format!(
        "listen: \"127.0.0.1:9104\"\nmax_connections: 64000\njetstream {{ store_dir: \"{store}\", max_file_store: 10G }}\n"
    );
    fs::write(&conf, text)?;
    let program = find("nats-server").unwrap_or_default();
    let settle = |_: &Setup, _: &mut Vec<String>| {
        // JetStream answers a little later than the port does.
        sleep(Duration::from_millis(300));
        Ok(())
    };
    Ok(Launch::new(program, 9104)
        .args(["-c", &conf])
        .protocol(protocol)
        .then(settle))
}

/// Streams in an append-only file.
fn redis(setup: &Setup, fsync: &str) -> Launch {
    Launch::new(find("redis-server").unwrap_or_default(), 9106)
        .args([
            "--bind",
            "127.0.0.1",
            "--port",
            "9106",
            "--save",
            "",
            "--dir",
            &setup.path(""),
        ])
        .args([
            "--appendonly",
            "yes",
            "--appendfsync",
            fsync,
            "--protected-mode",
            "no",
            "--maxclients",
            "19900",
        ])
        .args(["--client-output-buffer-limit", "normal", "0", "0", "0"])
        .protocol("redis")
}

const NCHAN_MODULE: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// One worker; in memory.
fn nchan(setup: &Setup) -> Result<Launch> {
    let dir = setup.path("nginx");
    fs::create_dir_all(&dir)?;
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|it| format!("{it}_temp_path {dir}/{it};"));
    let conf = setup.path("nginx.conf");
    let text = format!(
        "load_module {NCHAN_MODULE};
daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/log crit;
events {{ worker_connections 19900; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 1h; {}
  nchan_shared_memory_size 2048M;
  server {{
    listen 127.0.0.1:9101 backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id t; nchan_message_buffer_length 2000; }}
    location = /sub {{ nchan_subscriber eventsource; nchan_channel_id t; nchan_subscriber_first_message newest; nchan_eventsource_ping_interval 0; }}
  }}
}}
",
        temp.join(" ")
    );
    fs::write(&conf, text)?;
    let log = format!("{dir}/log");
    Ok(Launch::new(find("nginx").unwrap_or_default(), 9101)
        .args(["-e", &log, "-c", &conf])
        .http("/pub", "/sub"))
}

/// A running server; stopped when dropped.
pub(super) struct Server {
    child: Child,
    launch: Launch,
    log: PathBuf,
    stopped: bool,
}

impl Server {
    pub(super) fn start(name: &str, setup: &Setup) -> Result<Self> {
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == name)
            .with_context(|| format!("no target {name}"))?;
        let mut launch = (kind.start)(setup)?;
        ensure!(
            TcpStream::connect((Ipv4Addr::LOCALHOST, launch.port)).is_err(),
            "port {} is taken",
            launch.port
        );
        let log = setup.dir.join("log.txt");
        let out = File::create(&log)?;
        launch.command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = launch
            .command
            .spawn()
            .with_context(|| format!("cannot run {}", shell::spell(&launch.command)))?;
        let mut server = Self {
            child,
            launch,
            log,
            stopped: false,
        };
        server.wait_until_it_listens()?;
        if let Some(then) = server.launch.then {
            then(setup, &mut server.launch.flags)?;
        }
        Ok(server)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.launch.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                self.stopped = true;
                bail!("it ended with {status}: {}", self.last_words());
            }
            ensure!(
                Instant::now() < deadline,
                "nothing listens on port {}: {}",
                self.launch.port,
                self.last_words()
            );
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn flags(&self) -> &[String] {
        &self.launch.flags
    }

    pub(super) fn fill_batch(&self) -> u64 {
        self.launch.fill_batch
    }

    pub(super) fn made_its_own_store(&self) -> bool {
        self.launch.own_store
    }

    /// The end of what it printed.
    pub(super) fn last_words(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..])
            .trim()
            .to_owned()
    }

    /// Asks it to stop, and makes it when it has not after ten seconds.
    pub(super) fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("a server did not stop: {error:#}");
        }
    }
}

/// Makes a stream of the Durable Streams protocol.
fn put(port: u16, path: &str) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = "Content-Type: application/json\r\nContent-Length: 0\r\nConnection: close";
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}\r\n\r\n"
    )?;
    let mut reply = [0; 12];
    stream.read_exact(&mut reply)?;
    ensure!(
        reply.starts_with(b"HTTP/1.1 2"),
        "PUT {path}: {}",
        String::from_utf8_lossy(&reply)
    );
    Ok(())
}
