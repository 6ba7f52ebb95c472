//! `send`: says something to an agent, and prints its reply.

use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
    time::Duration,
};

use reqwest::Method;
use serde_json::{Map, Value};
use turnwire_client::Error;
use turnwire_proto::{Code, EventId, path};

use crate::{args::Send, clean, exit, gateway, out};

/// How much longer than the wait the answer may take to come.
const ROUND: Duration = Duration::from_secs(30);

pub(crate) async fn send(args: Send) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let text = text(&args.text)?;
    // Said under an id of ours, so that the reply can be had later whatever happens to this connection.
    let id = args.id.unwrap_or_default();
    let wait = if args.no_wait { Some(Duration::ZERO) } else { args.wait };
    let mut body = Map::new();
    body.insert("agent".into(), args.agent.as_str().into());
    body.insert("content".into(), text.into());
    body.insert("id".into(), id.to_string().into());
    if let Some(session) = &args.session {
        body.insert("session_id".into(), session.as_str().into());
    }
    if let Some(wait) = wait {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        body.insert("wait_ms".into(), millis.into());
    }
    let mut request = endpoint.stream(Method::POST, path::CHAT);
    if let Some(wait) = wait {
        request = request.timeout(wait + ROUND);
    }
    let request = request
        .header("content-type", "application/json")
        .body(Value::from(body).to_string());
    if !args.no_wait && !args.json {
        out::say(&format!("waiting for {}", clean::line(args.agent.as_str())));
    }
    let answer: Value = match endpoint.json(request).await {
        Ok(answer) => answer,
        Err(error) => return Err(failed(id, error)),
    };
    if args.json {
        out::print_json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&args, id, &answer)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be said: the argument, or standard input.
fn text(given: &str) -> anyhow::Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| exit::failure(exit::FAILURE, format!("failed to read standard input: {error}")))?;
    Ok(text)
}

fn show(args: &Send, id: EventId, answer: &Value) -> anyhow::Result<()> {
    let session = answer["session_id"].as_str().unwrap_or_default();
    match answer["reply"].as_str() {
        Some(reply) if std::io::stdout().is_terminal() => out::print(&clean::block(reply))?,
        Some(reply) => out::print(reply)?,
        None if args.no_wait => {}
        None => out::say("the agent said nothing"),
    }
    let session = clean::line(session);
    if args.no_wait {
        out::say(&format!("message {id} is with the gateway, in session {session}"));
    } else if args.session.is_none() {
        out::say(&format!("session {session}; go on with --session {session}"));
    }
    Ok(())
}

/// An error with its exit code, and what to do where nothing is lost.
fn failed(id: EventId, error: Error) -> anyhow::Error {
    let again = format!("the same with --id {id} has the reply");
    match &error {
        Error::Refused(refused) if error.code() == Some(Code::ReplyTimeout) => {
            let message = refused.message.trim_end_matches(": the reply is had by the same `id`");
            exit::failure(exit::KEPT, format!("{}; {again}", clean::line(message)))
        }
        // The message may be with the server or not; its id makes a second try harmless.
        Error::Unreachable(_) | Error::Silent(_) | Error::Ended => {
            let error = exit::from_client(error);
            exit::failure(exit::UNAVAILABLE, format!("{error}; {again}"))
        }
        _ => exit::from_client(error),
    }
}
