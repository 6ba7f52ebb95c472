//! `tail`: events as they happen, from a place on, across restarts of the gateway.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use turnwire_client::{Error, Item, Query, Subscriber};
use turnwire_proto::GapReason;

use crate::{
    args::Tail,
    exit, gateway,
    out::{self, Paint},
    render,
};

pub(crate) async fn tail(args: Tail) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let query = Query {
        after: args.after,
        tail: args.tail.map(u64::from),
        session: args.session.clone(),
        agents: args.agent.clone(),
        kinds: args.kind.clone(),
        sources: args.source.clone(),
        deltas: !args.no_deltas,
        raw: args.raw,
        ..Query::default()
    };
    let mut subscriber = Subscriber::new(endpoint, query);
    let paint = Paint::stdout();
    let (mut left, mut connected) = (args.count, false);
    while left != Some(0) {
        let item = tokio::select! {
            item = subscriber.next() => item,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(130)),
        };
        match item {
            Ok(Item::Event(event, json)) => {
                let line = if args.json { json } else { render::line(&event, paint) };
                print(&line)?;
                left = left.map(|left| left - 1);
            }
            Ok(Item::Hello { .. }) => connected = true,
            Ok(Item::Gap { after, next, reason }) => out::say(&gap(after, next, reason)),
            Ok(Item::Bye { reason, .. }) => out::say(&format!("the gateway ends the stream: {reason}")),
            Ok(Item::Reconnecting { wait, why }) => {
                // The first try is the answer to what was typed: a gateway that is not there is an error.
                if !connected {
                    return Err(exit::failure(exit::UNAVAILABLE, why));
                }
                out::say(&format!("{why}; trying again in {:.1} s", wait.as_secs_f32()));
            }
            Ok(Item::Connected) => {}
            // One event that cannot be read is no reason to stop.
            Err(error @ Error::Event { .. }) => out::say(&error.to_string()),
            Err(error) => return Err(exit::from_client(error)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn gap(after: turnwire_proto::Seq, next: turnwire_proto::Seq, reason: GapReason) -> String {
    match reason {
        GapReason::Trimmed => format!("events after {after} and before {next} are no longer kept"),
        GapReason::DeltasTrimmed => format!("deltas after {after} and before {next} are no longer kept"),
        GapReason::OtherEpoch => format!("this is another log than before; it goes on before {next}"),
        GapReason::BeyondHead => format!("the log went back; it goes on before {next}"),
    }
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}
