//! What a message has come to: its command's end, and the turn that it caused, as the views have it. So a reply can be had as often
//! as it is asked for, whoever watched meanwhile.

use serde_json::{Map, Value, json};
use turnwire_formats::chat::{Frame, summary};
use turnwire_log::Limit;
use turnwire_proto::{
    Code, Event, Json, Kind, Message, Name, Selector, Seq, Usage,
    command::{Command, State},
};

use super::{
    super::{App, Refusal},
    named,
};
use crate::views::{
    tools::{self, Brief},
    turns::{self, Turn},
};

/// Tool calls that the end of a turn lists; the session's list has all.
const CALLS: usize = 100;
/// A page of a session's messages, read backwards for the last one of a turn.
const BACK: Limit = Limit {
    events: 100,
    bytes: 1024 * 1024,
};
/// What an agent may report beside the reply, passed on as it is.
const REPORTED: [&str; 4] = ["phase", "project_tag", "seed_id", "evaluation_passed"];

/// What a turn has come to.
#[derive(Debug)]
pub(super) struct Outcome {
    session_id: Name,
    turn_id: Option<String>,
    pub(super) ok: bool,
    note: Option<String>,
    reply: Option<String>,
    duration_ms: Option<i64>,
    usage: Usage,
    cost_usd: Option<f64>,
    calls: Vec<Brief>,
    /// What was said with the message, and what the agent reports: shown beside the rest.
    beside: Map<String, Value>,
}

/// How the views are asked for a turn.
pub(super) enum Which {
    Id(String),
    /// The one whose end stands there.
    EndedAt(Seq),
}

/// The turn, and its calls.
async fn turn(app: &App, session: &Name, which: Which) -> Result<(Option<Turn>, Vec<Brief>), Refusal> {
    app.views().reach(app.log().bounds().await?.head).await;
    let session = session.clone();
    let read = app.views().read(move |db| {
        let turn = match which {
            Which::Id(id) => turns::get(db, session.as_str(), &id)?,
            Which::EndedAt(seq) => turns::ended_at(db, session.as_str(), seq)?,
        };
        let calls = match &turn {
            Some(turn) => tools::of_turn(db, turn.first_seq, CALLS + 1)?,
            None => Vec::new(),
        };
        Ok((turn, calls))
    });
    Ok(read.await?)
}

/// What a turn has come to whose end this is, and the id that it goes by. `None` when another source has told its end before.
pub(super) async fn of_turn(
    app: &App,
    session: &Name,
    event: &Event,
) -> Result<Option<(Option<String>, Outcome)>, Refusal> {
    let (ended, calls) = turn(app, session, Which::EndedAt(event.seq)).await?;
    let id = event.turn_id.as_ref().map(ToString::to_string);
    let Some(ended) = ended else {
        let known = match &id {
            Some(id) => turn(app, session, Which::Id(id.clone())).await?.0,
            None => None,
        };
        let is_told = known.is_some_and(|known| known.end_seq.is_some());
        return Ok((!is_told).then(|| (id.clone(), Outcome::of(session.clone(), id, None, calls))));
    };
    let goes_by = ended.turn_id().map(str::to_owned).or_else(|| id.clone());
    let outcome = Outcome::of(session.clone(), id, Some(&ended), calls);
    Ok(Some((goes_by, outcome.with_reply(app, &ended).await?)))
}

/// What a message has come to that was done.
pub(super) async fn of_command(app: &App, command: &Command) -> Result<Outcome, Refusal> {
    let result: Map<String, Value> = command
        .result
        .as_ref()
        .and_then(|result| result.read().ok())
        .unwrap_or_default();
    let text = |field: &str| result.get(field).and_then(Value::as_str).map(str::to_owned);
    let id = text("turn_id").unwrap_or_else(|| command.id.to_string());
    // A message without a session is nobody's chat.
    let session = command.session_id.clone().ok_or_else(|| none(command))?;
    let (turn, calls) = turn(app, &session, Which::Id(id.clone())).await?;
    let mut outcome = Outcome::of(session, Some(id), turn.as_ref(), calls);
    outcome.ok = result.get("ok").and_then(Value::as_bool).unwrap_or(outcome.ok);
    outcome.note = text("note").or(outcome.note);
    if let Some(usage) = result
        .get("usage")
        .cloned()
        .and_then(|usage| serde_json::from_value(usage).ok())
    {
        outcome.usage = usage;
    }
    let took = command.updated.millis().saturating_sub(command.issued.millis());
    outcome.duration_ms = outcome.duration_ms.or(Some(took));
    for field in REPORTED {
        if let Some(value) = result.get(field) {
            outcome.beside.insert(field.to_owned(), value.clone());
        }
    }
    let args: Map<String, Value> = command.args.read().unwrap_or_default();
    for field in ["user_id", "project_id"] {
        if let Some(value) = args.get(field) {
            outcome.beside.insert(field.to_owned(), value.clone());
        }
    }
    match (text("reply"), &turn) {
        (Some(reply), _) => outcome.reply = Some(reply),
        (None, Some(turn)) => outcome = outcome.with_reply(app, turn).await?,
        (None, None) => {}
    }
    Ok(outcome)
}

fn none(command: &Command) -> Refusal {
    let text = format!(
        "message {} is of no session, so nothing is known of its reply",
        command.id
    );
    Refusal::new(Code::NotFound, text).with("field", "id")
}

impl Outcome {
    fn of(session_id: Name, turn_id: Option<String>, turn: Option<&Turn>, calls: Vec<Brief>) -> Self {
        Self {
            session_id,
            turn_id,
            ok: turn.and_then(|turn| turn.ok).unwrap_or(true),
            note: turn.and_then(|turn| turn.note.clone()),
            reply: None,
            duration_ms: turn.and_then(|turn| turn.duration_ms),
            usage: turn.map(|turn| turn.usage.clone()).unwrap_or_default(),
            cost_usd: turn.map(|turn| turn.cost_usd).filter(|cost| *cost > 0.0),
            calls,
            beside: Map::new(),
        }
    }

    /// With the last thing that the agent said in the turn. The views have the beginning of it; what is longer is in the log.
    async fn with_reply(mut self, app: &App, turn: &Turn) -> Result<Self, Refusal> {
        self.reply = match (&turn.result, turn.result_bytes) {
            (Some(result), None) => Some(result.clone()),
            (Some(_), Some(_)) => last_said(app, &self.session_id, turn, self.turn_id.as_deref()).await?,
            (None, _) => None,
        };
        Ok(self)
    }

    /// The frame of the event that ends it.
    pub(super) fn frame(self, event: &Event) -> Frame {
        let frame = Frame::new("done")
            .with("seq", &event.seq)
            .with("timestamp", &event.timestamp);
        let frame = frame
            .with("session_id", &self.session_id)
            .with_some("turn_id", self.turn_id);
        let frame = frame
            .with("ok", &self.ok)
            .with_some("note", self.note)
            .with("reply", &self.reply);
        let frame = frame
            .with_some("duration_ms", self.duration_ms)
            .with("usage", &self.usage);
        let mut frame = frame.with_some("cost_usd", self.cost_usd);
        for (field, value) in &self.beside {
            frame = frame.with(field, value);
        }
        let calls: Vec<_> = self.calls.iter().take(CALLS).map(brief).collect();
        let more = (self.calls.len() > CALLS).then_some(true);
        frame.with("tool_calls", &calls).with_some("more_tool_calls", more)
    }
}

fn brief(call: &Brief) -> Value {
    let mut out = json!({"tool_name": call.tool, "is_error": call.success.map(|success| !success)});
    let mut put = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            out[field] = value;
        }
    };
    put("tool_call_id", call.tool_call_id.clone().map(Value::from));
    put("parent_tool_call_id", call.parent.clone().map(Value::from));
    put("duration_ms", call.duration_ms.map(Value::from));
    put(
        "output_summary",
        summary(call.output.as_ref(), call.error.as_deref()).map(Value::from),
    );
    out
}

/// The last message of the agent's own in a turn, whole.
async fn last_said(app: &App, session: &Name, turn: &Turn, id: Option<&str>) -> Result<Option<String>, Refusal> {
    let what = Selector {
        kinds: vec![Kind::MESSAGE],
        ..Selector::session(session.clone())
    };
    let mut before = turn.end_seq.unwrap_or(turn.last_seq).next();
    loop {
        let page = app.log().read_back(&what, before, BACK).await?;
        let events: Vec<Event> = page.events().filter_map(Result::ok).collect();
        for event in events.into_iter().rev() {
            if event.seq < turn.first_seq {
                return Ok(None);
            }
            let is_its = match (&event.turn_id, id) {
                (Some(of), Some(id)) => of.as_str() == id,
                _ => true,
            };
            let Ok(body) = event.data.read::<Message>() else {
                continue;
            };
            let own = body.role == "assistant" && body.parent_tool_call_id.is_none() && !body.content.is_empty();
            if is_its && own {
                return Ok(Some(body.content));
            }
        }
        if page.cursor <= page.first.max(turn.first_seq) || page.cursor >= before {
            return Ok(None);
        }
        before = page.cursor;
    }
}

/// The answer to a chat whose command has ended.
///
/// # Errors
/// Nothing came of it.
pub(super) async fn answer(app: &App, command: &Command, echo: &str) -> Result<Json, Refusal> {
    if command.state != State::Done {
        return Err(not_done(command));
    }
    let outcome = of_command(app, command).await?;
    if !outcome.ok {
        let text = outcome.note.clone().unwrap_or_else(|| "it does not say why".to_owned());
        let refusal = Refusal::new(Code::TurnFailed, format!("agent {} failed: {text}", command.agent));
        let refusal = named(refusal, command).with("turn_id", outcome.turn_id);
        return Err(match outcome.note {
            Some(note) => refusal.with("note", note),
            None => refusal,
        });
    }
    let mut answer = json!({
        "id": command.id, "echo": echo, "reply": outcome.reply, "session_id": outcome.session_id, "agent": command.agent,
        "turn_id": outcome.turn_id, "duration_ms": outcome.duration_ms, "usage": outcome.usage,
    });
    if let Some(cost) = outcome.cost_usd {
        answer["cost_usd"] = cost.into();
    }
    for (field, value) in outcome.beside {
        answer[field] = value;
    }
    Ok(Json::of(&answer))
}

/// Why nothing came of a message.
pub(super) fn not_done(command: &Command) -> Refusal {
    let (agent, reason) = (&command.agent, command.reason.as_deref());
    let refusal = match (command.state, reason) {
        (State::Failed, Some("no_result")) => {
            let text = format!("agent {agent} took the message on and never said what came of it");
            Refusal::new(Code::TurnFailed, text)
        }
        (State::Failed, reason) => {
            let text = format!(
                "agent {agent} could not do it: {}",
                reason.unwrap_or("it does not say why")
            );
            Refusal::new(Code::TurnFailed, text)
        }
        (State::Expired, _) => {
            let text = format!("the message has expired: agent {agent} did not take it on in time");
            Refusal::new(Code::Conflict, text)
        }
        _ => Refusal::new(Code::Conflict, "the message was withdrawn before its agent took it on"),
    };
    let refusal = named(refusal, command).with("state", command.state.as_str());
    match reason {
        Some(reason) => refusal.with("reason", reason),
        None => refusal,
    }
}
