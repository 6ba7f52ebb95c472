//! `publish`: standard input through an adapter and the spool to the gateway, line by line as it comes.

use std::{
    io::{self, IsTerminal, Read},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use turnwire_adapters::{Context, Detecting, by_name};
use turnwire_client::{
    publish::{Flushed, Patience, Publisher, Status, drain_orphans},
    spool::{Limits, Meta, Spool, list},
};
use turnwire_proto::Name;

use super::run;
use crate::{
    args::Publish,
    exit, gateway, out,
    record::{self, Ended, Full, Recording},
};

pub(crate) async fn publish(args: Publish) -> anyhow::Result<ExitCode> {
    let root = gateway::spool_root(&args.gateway)?;
    let target = gateway::target(&args.gateway);
    let finder = gateway::Finder::new(&args.gateway);
    let orphans = Orphans::start(&root, &target, &finder);
    if args.drain {
        return drain(&args, &root, &target, orphans).await;
    }
    let (plan, agent) = plan(&args)?;
    if io::stdin().is_terminal() {
        out::say("reading events from the terminal, one a line; Ctrl-D ends");
    }
    let spool = Spool::create(
        &root,
        Meta::new(&target, &format!("{agent}: publish")),
        Limits::default(),
    )?;
    let publisher = Publisher::start(Arc::clone(&spool), finder as _);
    let recording = Recording::start(plan, Arc::clone(&spool), Full::Wait)?;
    let session = recording.session.clone();
    let (read, error) = tokio::select! {
        ended = read_all(&recording)? => (ended, None),
        signal = tokio::signal::ctrl_c() => (Ok(Ok(())), signal.err()),
    };
    if let Some(error) = error {
        tracing::warn!("signals are not heard: {error}");
    }
    let events = tokio::task::spawn_blocking(move || recording.end(Ended::default())).await?;
    let (wait, patience) = patience(&args);
    let flushed = publisher.flush(wait, patience).await;
    if flushed.left == 0 {
        orphans.end(wait, patience).await;
    }
    for line in run::kept(&flushed, &spool) {
        out::say(&line);
    }
    if args.json {
        let session = session.borrow().clone();
        out::print_json(&summary(events, &flushed, session.as_ref(), &spool))?;
    }
    let _ = spool.sync();
    drop(publisher);
    let _ = spool.remove_if_drained();
    read.map_err(|_| anyhow::anyhow!("the reader ended early"))??;
    Ok(code(&flushed.status, flushed.left))
}

const fn patience(args: &Publish) -> (Duration, Patience) {
    match args.wait.wait {
        Some(wait) => (wait, Patience::UntilDeadline),
        None => (run::WAIT, Patience::OneTry),
    }
}

fn plan(args: &Publish) -> anyhow::Result<(record::Plan, Name)> {
    // None for `auto`; other names were refused before.
    let spec = by_name(&args.adapter);
    let context = Context {
        agent: args.agent.clone(),
        session: args.session.clone(),
        ..Context::default()
    };
    let agent = args
        .agent
        .clone()
        .or_else(|| Name::lossy(spec.map_or("publish", |spec| spec.name)))
        .unwrap_or_else(run::fallback);
    let plan = record::Plan {
        adapter: match spec {
            Some(spec) => (spec.make)(context),
            None => Box::new(Detecting::new(context)),
        },
        agent: agent.clone(),
        session: args.session.clone(),
        patience: Duration::ZERO,
        as_they_are: spec.is_some_and(|spec| spec.name == "native"),
        again: false,
        rows: None,
        start: None,
    };
    Ok((plan, agent))
}

/// Reads standard input on a thread of its own: a read of a terminal or a pipe cannot be given up.
fn read_all(recording: &Recording) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (tell, done) = oneshot::channel();
    let feed = recording.feed.clone();
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut input = io::stdin().lock();
        let mut buffer = vec![0; 64 * 1024];
        let ended = loop {
            match input.read(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => feed.stdout(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let _ = tell.send(ended);
    })?;
    Ok(done)
}

fn summary(events: u64, flushed: &Flushed, session: Option<&Name>, spool: &Spool) -> serde_json::Value {
    let status = &flushed.status;
    let mut summary = json!({
        "events": events,
        "written": status.written,
        "duplicates": status.duplicates,
        "rejected": status.rejected,
        "left": flushed.left,
    });
    if let Some(session) = session {
        summary["session_id"] = session.as_str().into();
    }
    if flushed.left > 0 {
        summary["spool"] = spool.dir().to_string_lossy().into();
    }
    summary
}

/// The draining of what dead processes left, beside all else.
struct Orphans {
    status: watch::Receiver<Status>,
    tasks: JoinSet<()>,
}

impl Orphans {
    fn start(root: &Path, target: &str, finder: &Arc<gateway::Finder>) -> Self {
        let (sender, status) = watch::channel(Status::default());
        let (root, target, finder) = (root.to_owned(), target.to_owned(), Arc::clone(finder));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drain_orphans(&root, &target, finder, &sender).await });
        Self { status, tasks }
    }

    /// Waits until it is done, or until there is no hope; answers what it came to.
    async fn end(mut self, wait: Duration, patience: Patience) -> Status {
        let mut failed = self.status.clone();
        let hopeless = async {
            let failed = failed.wait_for(|status| status.failures > 0).await.is_ok();
            if !failed || patience == Patience::UntilDeadline {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.tasks.join_next() => {}
            () = hopeless => {}
            () = tokio::time::sleep(wait) => {}
        }
        self.status.borrow().clone()
    }
}

async fn drain(args: &Publish, root: &Path, target: &str, orphans: Orphans) -> anyhow::Result<ExitCode> {
    let (wait, patience) = patience(args);
    let status = orphans.end(wait, patience).await;
    let mut left = 0;
    for found in list(root)? {
        if !found.live && found.events > 0 && found.meta.target == target {
            left += found.events;
            out::say(&format!("{} events are still in {}", found.events, found.dir.display()));
        }
    }
    if args.json {
        let (written, duplicates) = (status.written, status.duplicates);
        out::print_json(&json!({
            "written": written, "duplicates": duplicates, "rejected": status.rejected, "left": left,
        }))?;
    } else if left == 0 {
        out::say(&format!(
            "{} events sent, nothing is left",
            status.written + status.duplicates
        ));
    }
    Ok(code(&status, left))
}

fn code(status: &Status, left: u64) -> ExitCode {
    match (&status.refused, left) {
        (_, 0) => ExitCode::SUCCESS,
        (Some(_), _) => ExitCode::from(exit::NO_PERMISSION),
        (None, _) => ExitCode::from(exit::KEPT),
    }
}
