//! Exit codes: those of sysexits.h where it has one, those of `env` for a command that could not be run.

use std::{fmt, io, process::ExitCode};

use crate::out;

/// Something failed.
pub(crate) const FAILURE: u8 = 1;
/// The gateway is not there or does not answer.
pub(crate) const UNAVAILABLE: u8 = 69;
/// It is not done, and nothing is lost: what was not sent is in the spool.
pub(crate) const KEPT: u8 = 75;
/// The gateway does not know who asks, or does not permit it.
pub(crate) const NO_PERMISSION: u8 = 77;
/// The command is there and could not be run.
pub(crate) const NOT_RUN: u8 = 126;
/// There is no such command.
pub(crate) const NOT_FOUND: u8 = 127;

/// The text of `--help` about them.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done
  1    failed; doctor: something is wrong
  2    wrong usage
  69   the gateway is not there or does not answer
  75   publish, watch: not all is with the gateway yet, the rest is kept in the spool; send: the reply has not come yet
  77   the gateway does not permit it, or does not know the token
  run: the code of the command; its signal, if one ended it; 126 or 127 if it could not be run";

/// An error that has an exit code of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error with this exit code.
pub(crate) fn failure(code: u8, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Failure {
        code,
        message: message.into(),
    })
}

/// Tells what is wrong with the arguments, and ends. To the agent that calls a hook, 2 would be a verdict.
pub(crate) fn usage(error: &clap::Error) -> ! {
    let hook = std::env::args_os().nth(1).is_some_and(|command| command == "hook");
    if hook && error.use_stderr() {
        let _ = error.print();
        std::process::exit(i32::from(FAILURE));
    }
    error.exit()
}

/// Tells the error on standard error and answers its exit code. A reader that went away (`| head`) is none.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let broken = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if broken {
        return ExitCode::SUCCESS;
    }
    out::say(&format!("error: {error:#}"));
    let code = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>())
        .map_or(FAILURE, |failure| failure.code);
    ExitCode::from(code)
}

/// An error of the client, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn from_client(error: turnwire_client::Error) -> anyhow::Error {
    use turnwire_client::Error;
    let code = match &error {
        Error::NoServer { .. } | Error::Unreachable(_) | Error::Silent(_) | Error::Ended => UNAVAILABLE,
        Error::Refused(refused) if matches!(refused.status, 401 | 403 | 410) => NO_PERMISSION,
        Error::Refused(refused) if refused.retry() => UNAVAILABLE,
        _ => FAILURE,
    };
    let hint = match (code, &error) {
        (_, Error::NoServer { .. }) => "; start one with `turnwire serve`, or name one with --url",
        (NO_PERMISSION, _) => "; name a token with --token or TURNWIRE_TOKEN (`turnwire token create` makes one)",
        _ => "",
    };
    // A refusal is a sentence of the server's; the others say what was tried.
    let tried = if matches!(error, Error::Refused(_)) {
        ""
    } else {
        "failed to "
    };
    failure(code, format!("{tried}{error}{hint}"))
}
