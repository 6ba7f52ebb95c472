//! `watch`: files that agents write, followed until a signal, or read once.

use std::{
    env,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::atomic::Ordering,
    time::Duration,
};

use turnwire_adapters::by_name;
use turnwire_client::publish::{Flushed, Locate, Patience};
use turnwire_watch::{Counts, Known, Source, known};

use super::{run, serve::Ends};
use crate::{
    args::Watch,
    exit,
    follow::{Follower, How, Place, summary},
    gateway, out,
};

/// How often the progress is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Cells of the bar.
const BAR: u64 = 30;

pub(crate) async fn watch(args: Watch) -> anyhow::Result<ExitCode> {
    let mut ends = Ends::catch()?;
    let sources = sources(&args)?;
    for source in &sources {
        if !source.root().is_dir() {
            out::say(&format!(
                "{} is not there: it is followed once it is",
                source.root().display()
            ));
        }
    }
    let finder = gateway::Finder::new(&args.gateway);
    if let (Err(why), false) = (finder.locate(), args.json) {
        out::say(&format!("{why}: what is read is kept until there is one"));
    }
    let how = How {
        import: args.import,
        once: args.once,
        poll: args.poll,
    };
    let place = Place {
        spools: &gateway::spool_root(&args.gateway)?,
        target: &gateway::target(&args.gateway),
        locate: finder,
    };
    let mut follower = Follower::start(sources, how, &place)?;
    let counts = std::sync::Arc::clone(&follower.counts);
    if !args.once && !args.json {
        out::say("following; Ctrl-C ends");
    }
    let drawn = args.import && !args.json && io::stderr().is_terminal();
    let ended = tokio::select! {
        ended = follower.ended() => ended,
        _ = ends.first() => Ok(()),
        () = draw(&counts), if drawn => Ok(()),
    };
    if drawn {
        let _ = io::stderr().write_all(format!("\r\x1b[K{}\n", progress(&counts)).as_bytes());
    }
    let (wait, patience) = match (args.wait.wait, args.once) {
        (Some(wait), _) => (wait, Patience::UntilDeadline),
        // All that was asked for, as long as the gateway takes it.
        (None, true) => (Duration::MAX, Patience::OneTry),
        (None, false) => (run::WAIT, Patience::OneTry),
    };
    let (flushed, spool) = tokio::select! {
        ended = follower.end(wait, patience) => ended?,
        code = ends.first() => std::process::exit(i32::from(code)),
    };
    ended?;
    for line in run::kept(&flushed, &spool) {
        out::say(&line);
    }
    if args.json {
        out::print_json(&summary(&counts, &flushed))?;
    } else if args.once {
        out::say(&told(&counts, &flushed));
    }
    Ok(match (&flushed.status.refused, flushed.left) {
        (_, 0) => ExitCode::SUCCESS,
        (Some(_), _) => ExitCode::from(exit::NO_PERMISSION),
        (None, _) => ExitCode::from(exit::KEPT),
    })
}

fn sources(args: &Watch) -> anyhow::Result<Vec<Source>> {
    let env = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut sources = Vec::new();
    for (wanted, agent) in [
        (args.claude, Known::Claude),
        (args.codex, Known::Codex),
        (args.gemini, Known::Gemini),
        (args.opencode, Known::Opencode),
    ] {
        if wanted || args.all {
            sources.push(known(agent, None, env)?);
        }
    }
    for dir in &args.waza {
        sources.push(known(Known::Waza, Some(dir), env)?);
    }
    for dir in &args.dirs {
        let source = Source::new(dir, &args.pattern, by_name(&args.adapter));
        sources.push(source.map_err(|error| exit::failure(2, error.to_string()))?);
    }
    if sources.is_empty() {
        return Err(exit::failure(
            2,
            "name a directory, or an agent such as --claude, or --all; see `turnwire watch --help`",
        ));
    }
    Ok(sources
        .into_iter()
        .map(|source| source.agent(args.agent.clone()))
        .collect())
}

/// Draws how far it is, for ever.
async fn draw(counts: &Counts) {
    let mut every = tokio::time::interval(DRAW_EVERY);
    loop {
        every.tick().await;
        let _ = io::stderr().write_all(format!("\r\x1b[K{}", progress(counts)).as_bytes());
    }
}

fn progress(counts: &Counts) -> String {
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let (read, total) = (count(&counts.read), count(&counts.total).max(1));
    let full = read.min(total) * BAR / total;
    let bar: String = (0..BAR).map(|cell| if cell < full { '█' } else { '░' }).collect();
    let mb = |bytes: u64| bytes / 1_000_000;
    format!(
        "{bar} {} of {} MB, {} files, {} lines",
        mb(read),
        mb(total),
        count(&counts.files),
        count(&counts.lines)
    )
}

fn told(counts: &Counts, flushed: &Flushed) -> String {
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    format!(
        "{} lines of {} files read, {} events: {} new, {} known already",
        count(&counts.lines),
        count(&counts.files),
        count(&counts.events),
        flushed.status.written,
        flushed.status.duplicates
    )
}
