//! `run`: wraps a command. What it prints passes through first and untouched; recording it comes second.

mod child;
mod console;
mod copy;
mod plan;
mod relay;
mod signals;

use std::{
    io::{self, IsTerminal},
    os::fd::OwnedFd,
    process::{self, Command, ExitCode, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::JoinSet};
use turnwire_client::{
    publish::{Flushed, Patience, Publisher, drain_orphans},
    spool::{Limits, Meta, Spool},
};

use crate::{
    args::Run,
    exit, gateway, out,
    record::{Ended, Full, Recording},
};
use child::Child;
use console::{Console, Ends, Restore};
use copy::Copier;
use plan::Tap;
pub(crate) use plan::fallback;
use relay::Relay;
use signals::Signals;

/// How long the end waits for the gateway when nothing else is said.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: Run) -> anyhow::Result<ExitCode> {
    let plan = plan::plan(&args)?;
    if let (Some(hint), false) = (&plan.hint, args.quiet) {
        out::say(hint);
    }
    let (console, ends) = match plan.tap {
        Tap::Terminal => Some(Console::open()?).unzip(),
        Tap::Pipes | Tap::None => (None, None),
    };
    let signals = Signals::catch(console.clone())?;
    // Recording never stands between a person and the command: without a spool it runs all the same.
    let sink = match Sink::open(&args, &plan.about) {
        Ok(sink) => Some(sink),
        Err(error) => {
            out::say(&format!("nothing is recorded: {error:#}"));
            None
        }
    };
    let recording = match &sink {
        Some(sink) => Some(Recording::start(
            plan.record,
            Arc::clone(&sink.spool),
            Full::WaitWhileMoving,
        )?),
        None => None,
    };
    let (mut child, master) = match spawn(&args, plan.tap, ends) {
        Ok(spawned) => spawned,
        Err(error) => return not_run(&args, &error, sink, recording),
    };
    let restore = console.clone().map(Restore);
    if let Some(console) = &console {
        console.enter();
    }
    let mut announcing = JoinSet::new();
    let mut announce = || {
        if let (Some(sink), Some(recording), false) = (&sink, &recording, args.quiet) {
            announcing.spawn(sink.announce(recording));
        }
    };
    if !plan.draws {
        announce();
    }
    let copier = Copier::start(
        &mut child,
        master.zip(console.as_ref()),
        recording.as_ref().map(|recording| &recording.feed),
    )?;
    let child = Child::watch(child, &signals)?;
    let relay = match console {
        Some(console) if io::stdin().is_terminal() => Some(Relay::start(console, signals.target())?),
        _ => None,
    };
    let ended = child.ended().await;
    drop(relay);
    copier.finish(args.quiet).await;
    drop(restore);
    signals.child_is_gone();
    if plan.draws {
        announce();
    }
    if let (Some(sink), Some(recording)) = (sink, recording) {
        let last = Ended {
            code: ended.code,
            signal: ended.signal,
            missed: 0,
        };
        // The recorder has what is left to read; a thread joins it so that signals are still heard.
        let recorded = tokio::task::spawn_blocking(move || recording.end(last));
        let _ = recorded.await;
        sink.close(&args, &signals).await;
        // After a flush that sent something it is done as soon as it is asked.
        tokio::task::yield_now().await;
        drop(announcing);
    }
    Ok(child::exit_as(ended))
}

/// The command, and the other end of its terminal if it has one.
fn spawn(args: &Run, tap: Tap, ends: Option<Ends>) -> io::Result<(process::Child, Option<OwnedFd>)> {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]).stdin(Stdio::inherit());
    if let Some(ends) = ends {
        let (child, master) = ends.spawn(command)?;
        return Ok((child, Some(master)));
    }
    if tap == Tap::Pipes {
        command.stdout(Stdio::piped());
        if !args.no_stderr {
            command.stderr(Stdio::piped());
        }
    }
    Ok((command.spawn()?, None))
}

fn not_run(
    args: &Run,
    error: &io::Error,
    sink: Option<Sink>,
    recording: Option<Recording>,
) -> anyhow::Result<ExitCode> {
    let code = match error.kind() {
        io::ErrorKind::NotFound => exit::NOT_FOUND,
        _ => exit::NOT_RUN,
    };
    if let (Some(sink), Some(recording)) = (sink, recording) {
        // It never began, so there is nothing to tell of.
        recording.abandon();
        sink.abandon();
    }
    Err(exit::failure(code, format!("{}: {error}", args.command[0].display())))
}

/// The spool of this run and who drains it.
struct Sink {
    spool: Arc<Spool>,
    publisher: Publisher,
    finder: Arc<gateway::Finder>,
    _orphans: JoinSet<()>,
}

impl Sink {
    fn open(args: &Run, about: &str) -> anyhow::Result<Self> {
        let root = gateway::spool_root(&args.gateway)?;
        let target = gateway::target(&args.gateway);
        let spool = Spool::create(&root, Meta::new(&target, about), Limits::default())?;
        let finder = gateway::Finder::new(&args.gateway);
        let publisher = Publisher::start(Arc::clone(&spool), Arc::clone(&finder) as _);
        let mut orphans = JoinSet::new();
        let locate = Arc::clone(&finder);
        orphans.spawn(async move {
            drain_orphans(&root, &target, locate, &watch::Sender::default()).await;
        });
        Ok(Self {
            spool,
            publisher,
            finder,
            _orphans: orphans,
        })
    }

    /// Says where to watch, once the gateway has the first events of the session.
    fn announce(&self, recording: &Recording) -> impl Future<Output = ()> + Send + 'static {
        let (mut session, mut status) = (recording.session.clone(), self.publisher.status());
        let finder = Arc::clone(&self.finder);
        async move {
            let Ok(session) = session.wait_for(Option::is_some).await.map(|known| known.clone()) else {
                return;
            };
            if status.wait_for(|status| status.written > 0).await.is_err() {
                return;
            }
            if let Some(link) = session.and_then(|session| finder.link(&session)) {
                out::say(&format!("recording to {link}"));
            }
        }
    }

    /// Gives the gateway a bounded time, and says what it did not get.
    async fn close(self, args: &Run, signals: &Signals) {
        let (wait, patience) = match args.wait.wait {
            Some(wait) => (wait, Patience::UntilDeadline),
            None => (WAIT, Patience::OneTry),
        };
        let flushed = tokio::select! {
            flushed = self.publisher.flush(wait, patience) => flushed,
            () = signals.ended() => self.publisher.flush(Duration::ZERO, Patience::OneTry).await,
        };
        if !args.quiet {
            for line in kept(&flushed, &self.spool) {
                out::say(&line);
            }
        }
        let _ = self.spool.sync();
        drop(self.publisher);
        if let Err(error) = self.spool.remove_if_drained() {
            tracing::warn!("{error}");
        }
    }

    fn abandon(self) {
        drop(self.publisher);
        if let Err(error) = self.spool.abandon() {
            tracing::warn!("{error}");
        }
    }
}

/// What is to be told about a spool that was not drained, or not without rejections.
pub(crate) fn kept(flushed: &Flushed, spool: &Spool) -> Vec<String> {
    let mut lines = Vec::new();
    if spool.rejected() > 0 {
        let (count, dir) = (spool.rejected(), spool.dir().display());
        lines.push(format!(
            "the gateway refused {count} events for good; they are in {dir}.rejected"
        ));
    }
    if flushed.left > 0 {
        let status = &flushed.status;
        let why = match (&status.refused, &status.trouble) {
            (Some(refused), _) => refused.error.message.as_str(),
            (None, Some(trouble)) => trouble,
            (None, None) => "the gateway is slow",
        };
        let start = if why == gateway::NOWHERE {
            " (start one: `turnwire serve`)"
        } else {
            ""
        };
        lines.push(format!(
            "{} {} kept in {}: {why}{start}; the next `turnwire run` or `publish` sends them, or now `turnwire publish --drain`",
            flushed.left,
            if flushed.left == 1 { "event is" } else { "events are" },
            spool.dir().display(),
        ));
    }
    lines
}
