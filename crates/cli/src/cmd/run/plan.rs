//! What will be done with a command: which adapter reads it, and whether its output is tapped at all.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use serde_json::json;
use turnwire_adapters::{Context, Detecting, by_command, by_name};
use turnwire_proto::{EventId, Name, Object};

use super::console;
use crate::{args::Run, record};

/// How long the start of a run waits for the agent's own name of the session: agents say it in their first line, which
/// may be as late as the model's first answer.
const PATIENCE_KNOWN: Duration = Duration::from_secs(60);
/// The same for a command that nothing is known about.
const PATIENCE_UNKNOWN: Duration = Duration::from_secs(2);

/// What the command's standard output and standard error are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tap {
    /// Pipes that are copied and recorded.
    Pipes,
    /// A terminal of its own, copied and recorded.
    Terminal,
    /// Ours, untouched.
    None,
}

pub(super) struct Plan {
    pub(super) tap: Tap,
    pub(super) record: record::Plan,
    pub(super) about: String,
    /// What a person should know about it.
    pub(super) hint: Option<String>,
    /// It may draw on the terminal: nothing is to be said in between.
    pub(super) draws: bool,
}

pub(super) fn plan(args: &Run) -> anyhow::Result<Plan> {
    let argv: Vec<String> = args
        .command
        .iter()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let command = by_command(&argv);
    // None for `auto`; other names were refused before.
    let spec = by_name(&args.adapter).or_else(|| command.as_ref().map(|command| command.spec));
    let base = basename(&args.command[0]);
    let tap = tap(args, spec.is_some());
    let agent = args
        .agent
        .clone()
        .or_else(|| Name::lossy(spec.map_or(base.as_str(), |spec| spec.name)))
        .unwrap_or_else(fallback);
    // Nothing will name the session of a command that is not read.
    let session = args.session.clone().or_else(|| {
        (tap == Tap::None)
            .then(|| Name::lossy(&EventId::new().to_string()))
            .flatten()
    });
    let context = Context {
        agent: Some(agent.clone()),
        session: session.clone(),
        prompt: command.as_ref().and_then(|command| command.prompt.clone()),
        resumed: command.as_ref().is_some_and(|command| command.resumed),
        ..Context::default()
    };
    let adapter = match spec {
        Some(spec) => (spec.make)(context),
        None => Box::new(Detecting::new(context)),
    };
    let start = json!({
        "command": shown(&argv),
        "cwd": env::current_dir().ok().map(|dir| dir.to_string_lossy().into_owned()),
        "adapter": spec.map_or("auto", |spec| spec.name),
        "tapped": tap != Tap::None,
        "pid": std::process::id(),
        "turnwire": env!("CARGO_PKG_VERSION"),
    });
    Ok(Plan {
        tap,
        about: format!(
            "{agent}: {}",
            shown(&argv).join(" ").chars().take(200).collect::<String>()
        ),
        record: record::Plan {
            adapter,
            agent,
            session,
            patience: if spec.is_some() {
                PATIENCE_KNOWN
            } else {
                PATIENCE_UNKNOWN
            },
            as_they_are: false,
            again: false,
            rows: (tap == Tap::Terminal).then(console::rows),
            start: Some(Object::of(&start)),
        },
        draws: tap == Tap::Terminal && spec.is_none_or(|spec| matches!(spec.name, "lines" | "native")),
        hint: (tap == Tap::None).then(|| {
            format!(
                "{base} keeps the terminal, so only its start and end are recorded (--adapter lines records its lines)"
            )
        }),
    })
}

/// What the command prints on. At a terminal, and in its foreground, it gets one of its own, so that it behaves as it
/// would without us.
fn tap(args: &Run, known: bool) -> Tap {
    let both = io::stdin().is_terminal() && io::stdout().is_terminal();
    if args.pty || (both && !args.no_pty && !args.no_stderr && console::foreground()) {
        Tap::Terminal
    } else if io::stdout().is_terminal() && !known {
        Tap::None
    } else {
        Tap::Pipes
    }
}

fn basename(command: &OsString) -> String {
    let path = Path::new(command);
    path.file_name().unwrap_or(command).to_string_lossy().into_owned()
}

/// For what has no name of its own.
pub(crate) fn fallback() -> Name {
    Name::new("agent").expect("a literal name")
}

/// The command as it may be seen by who may read the session: what looks like a secret is left out.
fn shown(argv: &[String]) -> Vec<String> {
    let secret = |flag: &str| {
        let flag = flag.to_ascii_lowercase();
        flag.starts_with('-')
            && ["key", "token", "secret", "password", "passwd", "auth"]
                .iter()
                .any(|word| flag.contains(word))
    };
    let looks = |text: &str| {
        [
            "sk-",
            "ghp_",
            "gho_",
            "github_pat_",
            "xoxb-",
            "glpat-",
            "AKIA",
            "Bearer ",
        ]
        .iter()
        .any(|start| text.starts_with(start) && text.len() > start.len() + 8)
    };
    let mut out: Vec<String> = Vec::with_capacity(argv.len());
    for (at, arg) in argv.iter().enumerate() {
        let after_flag = at > 0 && secret(&argv[at - 1]) && !argv[at - 1].contains('=') && !arg.starts_with('-');
        out.push(match arg.split_once('=') {
            _ if after_flag || looks(arg) => "***".to_owned(),
            Some((name, value)) if secret(name) || secret(&format!("-{name}")) && at == 0 || looks(value) => {
                format!("{name}=***")
            }
            _ => arg.clone(),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_on_the_command_line_are_not_recorded() {
        let argv = [
            "a",
            "--api-key",
            "hunter2",
            "--token=x",
            "-p",
            "key = value",
            "sk-ant-0123456789",
            "--key",
            "--x",
        ];
        let argv: Vec<String> = argv.map(str::to_owned).into();
        assert_eq!(
            shown(&argv),
            [
                "a",
                "--api-key",
                "***",
                "--token=***",
                "-p",
                "key = value",
                "***",
                "--key",
                "--x"
            ]
        );
    }

    #[test]
    fn a_command_is_called_by_its_last_part() {
        assert_eq!(basename(&"/usr/bin/env".into()), "env");
        assert_eq!(basename(&"x".into()), "x");
    }
}
