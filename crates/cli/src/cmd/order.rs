//! `order`: tells an agent something other than a message, and waits until it has done it.

use std::{process::ExitCode, time::Duration};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};
use turnwire_client::{Endpoint, Item, Query, Subscriber, filled};
use turnwire_proto::{
    EventId, Kind, Name,
    command::{Command, State},
    path,
};

use crate::{
    args::{Order, What},
    clean, exit, gateway, out,
};

pub(crate) async fn order(args: Order) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    if let Some(id) = args.withdraw {
        let command = withdraw(&endpoint, id).await?;
        return show(&args, &command);
    }
    let (Some(agent), Some(order)) = (&args.agent, args.order) else {
        return Err(exit::failure(2, "which agent, and what?"));
    };
    let (action, _) = order.action();
    let mut body = Map::new();
    body.insert("agent".into(), agent.as_str().into());
    body.insert("action".into(), action.as_str().into());
    body.insert("args".into(), arguments(order, &args.with)?.into());
    // An id of ours, so that a second try after a lost answer is the same order.
    body.insert("id".into(), EventId::default().to_string().into());
    if let Some(session) = &args.session {
        body.insert("session_id".into(), session.as_str().into());
    }
    let request = endpoint
        .request(Method::POST, path::COMMANDS)
        .header("content-type", "application/json")
        .body(Value::from(body).to_string());
    let given: Command = endpoint.json(request).await.map_err(exit::from_client)?;
    if args.no_wait {
        return show(&args, &given);
    }
    let command = ended(&endpoint, agent, &given, args.wait).await?;
    show(&args, &command)
}

/// The action's arguments, of what was typed behind it.
fn arguments(order: What, with: &[String]) -> anyhow::Result<Map<String, Value>> {
    let usage = |text: String| Err(exit::failure(2, text));
    let word = order.action().0;
    let mut args = Map::new();
    match (order.action().1, with) {
        (None | Some((_, false)), []) => {}
        (None, _) => return usage(format!("{word} takes nothing more")),
        (Some((what, true)), []) => return usage(format!("{word} needs its {what}")),
        (Some((what, _)), [first, rest @ ..]) => {
            args.insert(what.into(), first.as_str().into());
            match (order, rest) {
                (_, []) => {}
                (What::Custom, [json]) => match serde_json::from_str(json) {
                    Ok(Value::Object(object)) => _ = args.insert("args".into(), object.into()),
                    _ => return usage("what custom is given behind its name must be a JSON object".to_owned()),
                },
                _ => return usage(format!("{word} takes one thing more, in quotes where it has blanks")),
            }
        }
    }
    Ok(args)
}

async fn withdraw(endpoint: &Endpoint, id: EventId) -> anyhow::Result<Command> {
    let request = endpoint.request(Method::DELETE, &filled_command(id));
    endpoint.json(request).await.map_err(exit::from_client)
}

fn filled_command(id: EventId) -> String {
    filled(path::COMMAND, &id.to_string())
}

/// The order as it stands when it has ended, or when the time is over.
async fn ended(endpoint: &Endpoint, agent: &Name, given: &Command, wait: Duration) -> anyhow::Result<Command> {
    let until = Instant::now() + wait;
    let query = Query {
        after: Some(given.seq),
        agents: vec![agent.clone()],
        kinds: vec![Kind::COMMAND_STATE],
        ..Query::default()
    };
    let mut steps = Subscriber::new(endpoint.clone(), query);
    while let Ok(step) = timeout_at(until, steps.next()).await {
        let Item::Event(event, _) = step.map_err(exit::from_client)? else {
            continue;
        };
        let body: turnwire_proto::CommandState = event.data.read().unwrap_or_default();
        let state: Option<State> = body.state.parse().ok();
        if body.command_id == given.id.to_string() && state.is_some_and(State::is_final) {
            break;
        }
    }
    let request = endpoint.request(Method::GET, &filled_command(given.id));
    endpoint.json(request).await.map_err(exit::from_client)
}

fn show(args: &Order, command: &Command) -> anyhow::Result<ExitCode> {
    if args.json {
        out::print_json(&json!(command))?;
    } else {
        let reason = command.reason.as_deref().map(|why| format!(": {}", clean::line(why)));
        let text = format!(
            "{} for {} is {}{}",
            command.action,
            clean::line(command.agent.as_str()),
            command.state,
            reason.unwrap_or_default()
        );
        if command.state.is_final() {
            out::say(&text);
        } else {
            out::say(&format!("{text}; order {}, until {}", command.id, command.expires));
        }
        if let Some(result) = &command.result {
            out::print(&clean::block(result.get()))?;
        }
    }
    let asked = args.withdraw.is_some() || args.no_wait;
    Ok(match command.state {
        State::Done => ExitCode::SUCCESS,
        State::Withdrawn if args.withdraw.is_some() => ExitCode::SUCCESS,
        state if state.is_final() => ExitCode::from(exit::FAILURE),
        _ if asked => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::KEPT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_behind_an_order_is_its_argument_or_is_refused() {
        let args = |order, with: &[&str]| {
            let with: Vec<String> = with.iter().map(ToString::to_string).collect();
            arguments(order, &with)
                .map(Value::from)
                .map_err(|error| error.to_string())
        };
        assert_eq!(args(What::Interrupt, &[]), Ok(json!({})));
        assert_eq!(args(What::SetModel, &["opus"]), Ok(json!({"model": "opus"})));
        assert_eq!(args(What::Hold, &[]), Ok(json!({})));
        assert_eq!(args(What::Hold, &["freeze"]), Ok(json!({"reason": "freeze"})));
        let custom = args(What::Custom, &["ping", r#"{"n":1}"#]);
        assert_eq!(custom, Ok(json!({"name": "ping", "args": {"n": 1}})));
        for (order, with) in [
            (What::Interrupt, &["now"][..]),
            (What::SetModel, &[]),
            (What::Compact, &["a", "b"]),
            (What::Custom, &["ping", "[1]"]),
        ] {
            assert!(args(order, with).is_err(), "{order:?} {with:?}");
        }
    }
}
