//! `doctor redaction`: each kind of secret with a sample that must be replaced, and what is like one and must not be.

use std::{io::Read, path::Path, process::ExitCode};

use serde_json::json;
use turnwire_redact::{Redactor, samples};

use crate::{
    args::Redaction,
    config_file, exit, gateway,
    out::{self, Colour, Paint},
};

pub(crate) fn redaction(args: &Redaction) -> anyhow::Result<ExitCode> {
    let dir = gateway::data_dir(args.data_dir.data_dir.as_deref())?;
    let own = config_file::read(args.config.as_deref(), &dir)?.redact();
    let redactor = Redactor::new(key(&dir), &own).map_err(|error| exit::failure(2, error.to_string()))?;
    if args.text.is_some() {
        return text(&redactor, args.json);
    }
    let outcomes = samples::run(&redactor);
    let failed = outcomes.iter().any(|outcome| !outcome.right);
    let paint = Paint::stdout();
    for outcome in &outcomes {
        let samples::Outcome {
            name,
            secret,
            right,
            text,
        } = outcome;
        let must = if *secret { "replaced" } else { "kept" };
        if args.json {
            out::print_json(&json!({ "sample": name, "must": must, "ok": right, "text": text }))?;
            continue;
        }
        let state = match right {
            true => paint.paint(Colour::Green, "ok  "),
            false => paint.paint(Colour::Red, "fail"),
        };
        let line: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(100)
            .collect();
        out::print(&format!("{state}  {must:<8}  {name:<24} {line}"))?;
    }
    Ok(ExitCode::from(if failed { exit::FAILURE } else { 0 }))
}

/// What would be written of standard input.
fn text(redactor: &Redactor, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (text, kinds) = redactor.text(&text).unwrap_or((text, Vec::new()));
    if as_json {
        let kinds: Vec<&str> = kinds.iter().map(AsRef::as_ref).collect();
        out::print_json(&json!({ "replaced": kinds.len(), "kinds": kinds, "text": text }))?;
    } else {
        out::print(text.strip_suffix('\n').unwrap_or(&text))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The gateway's own, so that markers are those in its log; another one where there is no gateway yet.
fn key(dir: &Path) -> [u8; turnwire_redact::KEY] {
    turnwire_server::known_markers_key(dir).unwrap_or_default()
}
