//! A harness that reports its own work: one line of set-up, then a turn as usual.
//!
//! ```sh
//! cargo run -p turnwire-client --example observe
//! TURNWIRE_OBSERVER=log,turnwire cargo run -p turnwire-client --example observe
//! ```
//!
//! A gateway need not run: what it did not get is in the spool, and goes with the next program that records for it.

use std::{error::Error, fs, io, time::Duration};

use turnwire_client::observe::{About, Config, Json, Metric, Turn, TurnStart, Usage, record_metric};

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let _observing = Config::from_env()?.install()?;
    work("example-1")?;
    Ok(())
}

/// A turn as a harness has it. It knows nothing of where it is told.
pub(crate) fn work(session: &str) -> io::Result<()> {
    let turn = Turn::start(
        About::session(session).turn("turn-1").agent("example"),
        TurnStart {
            from: "user".into(),
            body: "How long is the manifest?".into(),
            unread: 0,
        },
    );
    let request = turn.llm("acme", "acme-large", 1);
    let (tool, path) = ("read_file", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")); // So said the model.
    request.answered(Usage {
        input_tokens: Some(850),
        output_tokens: Some(31),
        ..Usage::default()
    });

    let call = turn.tool(tool, "call-1", Json::of(path));
    // Had this failed, the call and the turn would still be told their ends.
    let text = fs::read_to_string(path)?;
    call.ok(Json::of(&text));

    record_metric(&Metric::took("time_to_first_token", Duration::from_millis(310)));
    turn.ok();
    Ok(())
}
