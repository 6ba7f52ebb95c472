//! `agent`: keeps an agent's program behind the gateway, until a signal ends it.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use turnwire_client::{
    downlink::{Ended, State},
    filled,
};
use turnwire_proto::Name;
use turnwire_runner::{Config, Error, Listener, Notice, Pace, Runner, Setup, Spec, drivers, process};

use crate::{SUPERVISE, args::Agent, exit, gateway, out};

pub(crate) async fn agent(args: Agent) -> anyhow::Result<ExitCode> {
    let mut ends = Ends::catch()?;
    // Invariant: the command line takes no other name.
    let driver = drivers::by_name(&args.adapter).expect("a driver that is in the list");
    let program = program(driver, &args)?;
    let state_dir = match &args.state_dir {
        Some(dir) => dir.clone(),
        None => state_dir(&gateway::data_dir(args.gateway.data_dir.as_deref())?, &args.name),
    };
    let endpoint = gateway::endpoint(&args.gateway)?;
    let url = endpoint.url().to_string();
    let config = Config {
        agent: args.name.clone(),
        endpoint,
        locate: gateway::Finder::new(&args.gateway),
        target: gateway::target(&args.gateway),
        driver,
        setup: setup(&args, driver)?,
        max_live: usize::from(args.max_sessions),
        state_dir: state_dir.clone(),
        pace: Pace::default(),
        tell: listener(args.json, args.quiet),
    };
    let runner = Runner::start(config).await.map_err(anyhow::Error::from)?;
    if args.json {
        out::print_json(&json!({
            "agent": args.name, "adapter": driver.name, "program": program.display().to_string(), "url": url,
            "state_dir": state_dir, "pid": std::process::id(),
        }))?;
    } else if !args.quiet {
        let (name, program) = (&args.name, program.display());
        out::say(&format!(
            "agent {name}: {program} ({}), at {url}#/agent/{}",
            driver.name,
            escaped(name)
        ));
        out::say(&format!("what outlives it is in {}", state_dir.display()));
    }
    let ended = {
        let (json, quiet) = (args.json, args.quiet);
        let mut run = std::pin::pin!(runner.run(async {
            ends.first().await;
            if !json && !quiet {
                out::say("ending; once more ends at once");
            }
            let mut again = ends;
            // A second signal does not wait; the supervisor ends what is left.
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(async move {
                let code = again.first().await;
                std::process::exit(i32::from(code));
            });
            tasks.detach_all();
        }));
        run.as_mut().await
    };
    match ended {
        Ok(stopped) => {
            if stopped.kept > 0 && !args.quiet {
                out::say(&format!(
                    "{} events are kept in {}: the gateway did not take them in time; the next `turnwire agent` of this name sends them",
                    stopped.kept,
                    state_dir.display()
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(Error::Link(why)) => Err(link_ended(&args.name, why)),
        Err(error) => Err(error.into()),
    }
}

fn link_ended(name: &Name, why: Ended) -> anyhow::Error {
    match why {
        Ended::Unauthorized(_) | Ended::Revoked(_) => exit::failure(
            exit::NO_PERMISSION,
            format!("{why}; `turnwire token create --name {name} --scope agent:{name},publish` makes a key for it"),
        ),
        Ended::Replaced => exit::failure(exit::FAILURE, format!("another program is agent {name} now")),
        why => exit::failure(exit::UNAVAILABLE, why.to_string()),
    }
}

/// The program that will be started, which must be there.
fn program(driver: &Spec, args: &Agent) -> anyhow::Result<PathBuf> {
    let named = args.program.clone().or_else(|| match driver.program {
        Some(usual) => Some(usual.into()),
        None => args.args.first().cloned(),
    });
    let Some(named) = named else {
        return Err(exit::failure(
            2,
            "name the program: turnwire agent … --adapter lines -- CMD ARGS",
        ));
    };
    process::find(&named).ok_or_else(|| {
        let hint = if driver.program.is_some() {
            "; name its file with --program"
        } else {
            ""
        };
        let why = format!("{} is not installed, or not in PATH{hint}", named.display());
        exit::failure(exit::NOT_FOUND, why)
    })
}

/// A path of a program holds wherever that works.
fn whole(program: &OsString) -> OsString {
    if Path::new(program).components().count() < 2 {
        return program.clone();
    }
    Path::new(program)
        .canonicalize()
        .map_or_else(|_| program.clone(), Into::into)
}

fn setup(args: &Agent, driver: &Spec) -> anyhow::Result<Setup> {
    let cwd = match &args.cwd {
        Some(dir) => Some(
            dir.canonicalize()
                .map_err(|error| exit::failure(exit::FAILURE, format!("--cwd {}: {error}", dir.display())))?,
        ),
        None => None,
    };
    let pid = std::process::id().to_string();
    let mut more = args.args.clone();
    if let (None, None, Some(first)) = (driver.program, &args.program, more.first_mut()) {
        *first = whole(first);
    }
    Ok(Setup {
        program: args.program.as_ref().map(whole),
        args: more,
        cwd,
        model: args.model.clone(),
        permission_mode: args.permission_mode.clone(),
        conversation: None,
        supervisor: vec![env::current_exe()?.into(), SUPERVISE.into(), OsString::from(pid)],
    })
}

/// One directory below the data directory, whatever the name contains.
fn state_dir(data: &Path, name: &Name) -> PathBuf {
    data.join("agents").join(escaped(name).replace('.', "%2E"))
}

fn escaped(name: &Name) -> String {
    filled("{name}", name.as_str())
}

fn listener(json: bool, quiet: bool) -> Listener {
    Arc::new(move |notice| {
        if json {
            // A reader that has gone away is no reason to end an agent.
            let _ = shown(&notice).map(|line| out::print_json(&line));
        } else if let (false, Some(text)) = (quiet, said(&notice)) {
            out::say(&text);
        } else if let Notice::Trouble(why) = &notice {
            out::say(why);
        }
    })
}

fn said(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Link(State::Connected) => "connected".to_owned(),
        Notice::Link(State::Polling) => "connected by long-poll: the network lets no streams through".to_owned(),
        Notice::Link(State::Waiting { why, .. }) => format!("the gateway is away: {why}"),
        Notice::Order { id, end } => match end {
            Ok(()) => format!("order {id}: done"),
            Err(why) => format!("order {id}: failed: {why}"),
        },
        Notice::TurnBegan { session, turn } => format!("session {session}: turn {turn} begins"),
        Notice::TurnEnded {
            session,
            turn,
            ok,
            note,
        } => {
            let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            let how = if *ok { "ends" } else { "fails" };
            format!("session {session}: turn {turn} {how}{note}")
        }
        Notice::Status { session, status } => format!("session {session}: {status}"),
        Notice::Trouble(why) => why.clone(),
        _ => return None,
    })
}

fn shown(notice: &Notice) -> Option<Value> {
    Some(match notice {
        Notice::Link(state) => {
            let (state, why) = match state {
                State::Connecting => ("connecting", None),
                State::Connected => ("connected", None),
                State::Polling => ("polling", None),
                State::Waiting { why, .. } => ("waiting", Some(why.to_string())),
                State::Ended { why } => ("ended", Some(why.to_string())),
                _ => return None,
            };
            json!({ "link": state, "why": why })
        }
        Notice::Order { id, end } => json!({ "order": id, "ok": end.is_ok(), "why": end.as_ref().err() }),
        Notice::TurnBegan { session, turn } => json!({ "turn": turn, "session": session, "state": "began" }),
        Notice::TurnEnded {
            session,
            turn,
            ok,
            note,
        } => {
            json!({ "turn": turn, "session": session, "state": "ended", "ok": ok, "note": note })
        }
        Notice::Status { session, status } => json!({ "session": session, "status": status }),
        Notice::Trouble(why) => json!({ "trouble": why }),
        _ => return None,
    })
}

/// SIGINT, SIGTERM and SIGHUP.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Ends {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one; answers the exit code that a shell gives it.
    async fn first(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 128 + 2,
            _ = self.terminate.recv() => 128 + 15,
            _ = self.hang_up.recv() => 128 + 1,
        }
    }
}
