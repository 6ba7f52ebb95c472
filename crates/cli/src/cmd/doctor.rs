//! `doctor`: looks at everything that a gateway and its recordings need, and says what to do where something is wrong.

mod config;
mod files;
mod redaction;
mod server;

use std::process::ExitCode;

use serde::Serialize;

use crate::{
    args::{Doctor, DoctorOf},
    exit, gateway,
    out::{self, Colour, Paint},
};

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Ok,
            found: found.into(),
            todo: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            check,
            state: State::Warn,
            found: found.into(),
            todo: Some(todo.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            state: State::Fail,
            ..Self::warn(check, found, todo)
        }
    }
}

pub(crate) async fn doctor(args: Doctor) -> anyhow::Result<ExitCode> {
    if let Some(DoctorOf::Redaction(args)) = &args.what {
        return redaction::redaction(args);
    }
    let mut checks = Vec::new();
    let running = if args.gateway.url.is_none() {
        let dir = gateway::data_dir(args.gateway.data_dir.as_deref())?;
        checks.extend(files::data_dir(&dir));
        checks.extend(files::disk(&dir));
        checks.extend(config::config(args.config.as_deref(), &dir));
        let running = server::local(&args, &dir, &mut checks).await;
        if !running {
            checks.extend(files::stores(&dir));
        }
        running
    } else {
        server::remote(&args, &mut checks).await
    };
    let root = gateway::spool_root(&args.gateway)?;
    checks.extend(files::spools(&root, running));
    let failed = checks.iter().any(|check| check.state == State::Fail);
    if args.json {
        for check in &checks {
            out::print_json(check)?;
        }
    } else {
        let paint = Paint::stdout();
        for check in &checks {
            out::print(&line(check, paint))?;
        }
    }
    Ok(ExitCode::from(if failed { exit::FAILURE } else { 0 }))
}

fn line(check: &Check, paint: Paint) -> String {
    let state = match check.state {
        State::Ok => paint.paint(Colour::Green, "ok  "),
        State::Warn => paint.paint(Colour::Yellow, "warn"),
        State::Fail => paint.paint(Colour::Red, "fail"),
    };
    let mut text = format!("{state}  {:<9} {}", check.check, check.found);
    if let Some(todo) = &check.todo {
        text.push_str(&format!("\n      {:<9} → {todo}", ""));
    }
    text
}
