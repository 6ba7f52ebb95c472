//! What an event does to its session, to the turn it is of and to the tool calls: folded together, since each changes what the
//! others are, and since a body is read once.
//!
//! The log's order is taken as it is: an end may come before its start, twice, or never. No event is an error.

mod joining;
mod over;

use std::collections::HashMap;

use rusqlite::Transaction;
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, ErrorBody, Event, Kind, Message, ModelChanged, Note, Seq, SessionRenamed,
    SessionStart, StatusChanged, Timestamp, ToolCall, ToolCallStart, TurnEnd, TurnStart, TurnState, Usage,
};

use super::{
    approvals, loose,
    meter::{Meter, Reach},
    preview, runs,
    sessions::{self, IDLE, RUNNING, STALLED, Session, THINKING},
    silent, told, tools, turns,
    turns::Turn,
    used::Used,
};

/// It waits until somebody allows something.
const NEEDS_APPROVAL: &str = "needs_approval";
/// It waits until somebody answers a question.
const NEEDS_ANSWER: &str = "needs_answer";
/// Why a turn is closed that has not ended.
const NEXT_TURN: &str = "the next turn began before this one ended";
/// The same.
const SESSION_END: &str = "the session ended before this turn did";

/// A session while a page is folded: its row and the turn that was last met are read once and written once.
struct Entry<'a> {
    db: &'a Transaction<'a>,
    session: Session,
    turn: Option<Turn>,
    meter: Meter,
}

/// Folds a page.
pub(super) fn fold(db: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    let mut entries: HashMap<&str, Entry<'_>> = HashMap::new();
    let reach = Reach::from(Timestamp::now());
    reach.purge(db)?;
    for event in events {
        let Some(id) = event.session_id.as_ref().map(AsRef::<str>::as_ref) else {
            // The server alone writes these; they are about all sessions of an agent.
            let agents = match event.kind.as_str() {
                "agent_offline" => sessions::agent_left,
                "agent_online" => sessions::agent_came,
                _ => continue,
            };
            write(db, std::mem::take(&mut entries))?;
            agents(db, event)?;
            continue;
        };
        // The server alone writes it. What the session had is gone, and this does not begin it anew.
        if event.kind == Kind::HISTORY_TRIMMED {
            write(db, std::mem::take(&mut entries))?;
            sessions::erased(db, id)?;
            continue;
        }
        if !entries.contains_key(id) {
            let session = sessions::of(db, id, event)?;
            let entry = Entry {
                db,
                session,
                turn: None,
                meter: Meter::new(reach),
            };
            entries.insert(id, entry);
        }
        if let Some(entry) = entries.get_mut(id) {
            entry.session.saw(event);
            entry.meter.event(event.timestamp);
            entry.take(event)?;
        }
    }
    write(db, entries)
}

fn write(db: &Transaction<'_>, entries: HashMap<&str, Entry<'_>>) -> rusqlite::Result<()> {
    entries.into_values().try_for_each(|mut entry| {
        entry.put_back()?;
        entry.meter.store(db, entry.session.n)?;
        entry.session.store(db)
    })
}

/// What the server says of a session, whether or not anything comes from it: no sign of life.
fn is_of_silence(event: &Event) -> bool {
    match event.kind.as_str() {
        "session_renamed" => true,
        "turn_state_changed" => preview::body::<TurnState>(&event.data).state == STALLED,
        "turn_end" => is_the_servers(event),
        _ => false,
    }
}

/// Whether a turn was closed because nobody was there to end it.
fn is_the_servers(event: &Event) -> bool {
    preview::body::<silent::Closed>(&event.data).by == silent::SERVER
}

impl Entry<'_> {
    fn take(&mut self, event: &Event) -> rusqlite::Result<()> {
        let (data, at) = (&event.data, event.timestamp);
        if !is_of_silence(event) {
            self.session.lives(event);
            self.wake(at)?;
        }
        match event.kind.as_str() {
            "session_start" => {
                self.models(preview::body::<SessionStart>(data).model.as_deref());
                if !self.session.is_past(event) {
                    self.go_on_from(&["done", "failed", "offline"], at)?;
                }
            }
            "session_end" => self.session_end(event, &preview::body(data))?,
            "session_renamed" => {
                let title = preview::line(&preview::body::<SessionRenamed>(data).title);
                self.session.title = Some(title).filter(|title| !title.is_empty());
            }
            "run_complete" => {
                runs::complete(self.db, self.session.n, event, &preview::body(data))?;
                self.session.enter("done", at);
            }
            "task_start" => runs::task_start(self.db, self.session.n, event, &preview::body(data))?,
            "task_complete" => runs::task_end(self.db, self.session.n, event, &preview::body(data))?,
            "grader_result" => runs::graded(self.db, self.session.n, event, &preview::body(data))?,
            "model_changed" => self.models(Some(&preview::body::<ModelChanged>(data).model)),
            "turn_start" => self.turn_start(event, &preview::body(data))?,
            "turn_end" => self.turn_end(event, &preview::body(data))?,
            "turn_state_changed" => {
                let body: TurnState = preview::body(data);
                let since = body.since.as_deref().and_then(|since| since.parse().ok());
                let stands = matches!(body.state.as_str(), THINKING | RUNNING) && self.waits()?;
                if !stands && !self.session.is_past(event) {
                    self.session.enter_named(&body.state, since.unwrap_or(at));
                }
            }
            "status_changed" if self.session.is_past(event) => {}
            "status_changed" => self.status(event, &preview::body(data))?,
            "approval_request" => self.asks_for_approval(event, &preview::body(data))?,
            "approval_decision" => self.decided(event, &preview::body(data))?,
            "tool_call_start" => self.call_start(event, &preview::body(data))?,
            "tool_call" => self.call_end(event, &preview::body(data))?,
            "message" => self.message(event, &preview::body(data))?,
            "usage" => self.usage(event, &preview::body(data))?,
            "note" => self.says(event, &preview::body::<Note>(data).text),
            "error" => {
                self.session.errors += 1;
                self.meter.error(at, self.session.model.as_deref());
                let message = preview::body::<ErrorBody>(data).message;
                self.says(event, &message);
                runs::error(self.db, self.session.n, &message)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn models(&mut self, model: Option<&str>) {
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            self.session.model = Some(preview::head(model, preview::WORD).to_owned());
        }
    }

    /// Of this model, or of the session's.
    fn spend(&mut self, at: Timestamp, model: Option<&str>, used: Used) {
        let model = model
            .filter(|model| !model.is_empty())
            .or(self.session.model.as_deref());
        self.meter.spend(at, model, used);
        self.session.spend(used);
    }

    fn says(&mut self, event: &Event, text: &str) {
        self.says_at(event, event.timestamp.millis(), text);
    }

    fn says_at(&mut self, event: &Event, at: i64, text: &str) {
        self.session.says(event, at, preview::line(text));
    }

    fn asks(&mut self, text: &str) {
        if self.session.title.is_none() {
            self.session.title = Some(preview::line(text)).filter(|title| !title.is_empty());
        }
    }

    /// Writes the turn in hand.
    fn put_back(&mut self) -> rusqlite::Result<()> {
        match &mut self.turn {
            Some(turn) => turn.store(self.db),
            None => Ok(()),
        }
    }

    /// Takes this one in hand.
    fn hold(&mut self, turn: Option<Turn>) -> rusqlite::Result<()> {
        self.put_back()?;
        self.turn = turn;
        Ok(())
    }

    /// Whether a turn is open.
    fn open(&mut self) -> rusqlite::Result<bool> {
        if self.turn.as_ref().is_some_and(Turn::is_open) {
            return Ok(true);
        }
        self.put_back()?;
        Ok(turns::newest_open(self.db, self.session.n)?.is_some())
    }

    /// What stood in its way in one of these states is over: it works on its turn again, or has nothing to do.
    fn go_on_from(&mut self, states: &[&str], at: Timestamp) -> rusqlite::Result<()> {
        if states.iter().any(|state| self.session.is(state)) {
            let state = if self.open()? { THINKING } else { IDLE };
            self.session.enter(state, at);
        }
        Ok(())
    }

    /// What is heard of a session that was still: it goes on.
    fn wake(&mut self, at: Timestamp) -> rusqlite::Result<()> {
        if !self.session.is(STALLED) {
            return Ok(());
        }
        if tools::any_open(self.db, self.session.n)? {
            self.session.enter(RUNNING, at);
            return Ok(());
        }
        self.go_on_from(&[STALLED], at)
    }

    /// Whether it stands still until a person decides, whatever else it does meanwhile.
    fn waits(&self) -> rusqlite::Result<bool> {
        let stands = self.session.is(NEEDS_APPROVAL) || self.session.is(NEEDS_ANSWER);
        Ok(stands && approvals::any_pending(self.db, self.session.n)?)
    }

    fn asks_for_approval(&mut self, event: &Event, body: &ApprovalRequest) -> rusqlite::Result<()> {
        let place = self.place_of(event)?;
        let asks = approvals::ask(self.db, place, event, body)? && !self.session.is_past(event);
        if asks && !self.session.is(NEEDS_ANSWER) {
            self.session.enter(NEEDS_APPROVAL, event.timestamp);
        }
        Ok(())
    }

    fn decided(&mut self, event: &Event, body: &ApprovalDecision) -> rusqlite::Result<()> {
        approvals::decide(self.db, self.session.n, event, body)?;
        if approvals::any_pending(self.db, self.session.n)? {
            return Ok(());
        }
        self.go_on_from(&[NEEDS_APPROVAL, NEEDS_ANSWER], event.timestamp)
    }

    /// Takes the turn in hand that an event is of: the newest of its id, else the one that is open. Whether there is one.
    fn find(&mut self, event: &Event) -> rusqlite::Result<bool> {
        let Some(id) = event.turn_id.as_ref().map(AsRef::<str>::as_ref) else {
            return self.find_without_id(event);
        };
        // What is in hand by its id is the newest of it: whoever begins another takes that in hand.
        if !self.turn.as_ref().is_some_and(|turn| turn.is_called(id)) {
            self.put_back()?;
            self.turn = turns::of_id(self.db, self.session.n, id)?;
        }
        Ok(self.turn.is_some())
    }

    /// Takes the newest open turn in hand. That in hand may be an older one: which one it is must not depend on where a page begins.
    /// An event of a source that has not told of that turn is of the one that it has begun, else of the one in whose time it happened.
    fn find_without_id(&mut self, event: &Event) -> rusqlite::Result<bool> {
        self.put_back()?;
        let newest = turns::newest_open(self.db, self.session.n)?;
        if self.turn.as_ref().map(Turn::place) != newest {
            self.turn = match newest {
                Some(place) => turns::at(self.db, place)?,
                None => None,
            };
        }
        let source = event.source.as_str();
        if !self.session.mixed || source == told::SERVER || self.turn.as_ref().is_some_and(|turn| turn.told_by(source))
        {
            return Ok(self.turn.is_some());
        }
        let (db, n) = (self.db, self.session.n);
        let other = match turns::mine(db, n, source)? {
            None => turns::told_by_time(db, n, event)?,
            mine => mine,
        };
        if other.is_some() {
            self.turn = other;
        }
        Ok(self.turn.is_some())
    }

    /// The same; an id that is not known yet begins a turn, of which the start was not seen.
    fn find_or_begin(&mut self, event: &Event) -> rusqlite::Result<Option<&mut Turn>> {
        if !self.find(event)? && event.turn_id.is_some() {
            self.turn = Some(turns::insert(self.db, self.session.n, event)?);
        }
        let is_guess = self.is_guess(event);
        if let Some(turn) = self.turn.as_mut().filter(|_| !is_guess) {
            turn.met(event);
        }
        Ok(self.turn.as_mut())
    }

    fn turn_of(&mut self, event: &Event) -> rusqlite::Result<Option<&mut Turn>> {
        self.find_or_begin(event)?;
        let is_guess = self.is_guess(event);
        if let Some(turn) = self.turn.as_mut().filter(|_| !is_guess) {
            turn.saw(event);
        }
        Ok(self.turn.as_mut())
    }

    /// Where a call happens. Its turn is not written for that: the call's own row says it.
    fn place_of(&mut self, event: &Event) -> rusqlite::Result<tools::Place> {
        let session = self.session.n;
        let turn = self.find_or_begin(event)?;
        Ok(tools::Place {
            session,
            turn: turn.as_ref().map(|turn| turn.place()),
            over: turn.is_some_and(|turn| !turn.is_open()),
        })
    }

    fn turn_start(&mut self, event: &Event, body: &TurnStart) -> rusqlite::Result<()> {
        self.asks(&body.body);
        self.says(event, &body.body);
        let source = event.source.as_str();
        let joins = event.turn_id.is_some()
            && self.find(event)?
            && self.turn.as_ref().is_some_and(|turn| turn.takes_start(source));
        if !joins {
            let turn = turns::insert(self.db, self.session.n, event)?;
            self.hold(Some(turn))?;
        }
        let Some(turn) = &mut self.turn else { return Ok(()) };
        turn.saw(event);
        let is_first = !turn.has_start();
        turn.start(event, body);
        if is_first {
            turn.counted = Some(event.timestamp);
            turn.model.clone_from(&self.session.model);
            self.session.turns += 1;
            self.meter.turn(event.timestamp, self.session.model.as_deref(), 1);
            let place = turn.place();
            if self.session.mixed
                && let Some(partner) = turns::partner(self.db, self.session.n, turn)?
            {
                self.join(event, place, partner)?;
            }
        }
        let is_past = self.session.is_past(event);
        let Some(turn) = &self.turn else { return Ok(()) };
        // A start that comes behind its end begins nothing.
        if turn.is_open() {
            let place = turn.place();
            if !is_past {
                self.session.unread = i64::try_from(body.unread).unwrap_or_default();
            }
            self.close_others(event, Some(place), NEXT_TURN)?;
            if is_past {
                self.overtaken(event)?;
            } else {
                self.session.enter(THINKING, event.timestamp);
            }
        }
        Ok(())
    }

    /// The turn in hand is over as far as anybody knows; its own end, if it comes yet, is what counts.
    fn abandoned(&mut self, event: &Event, body: &TurnEnd) -> rusqlite::Result<()> {
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) else {
            return Ok(());
        };
        turn.close(event, body.note.as_deref().unwrap_or_default());
        let (used, place) = (turn.counts(), turn.place());
        self.spend(event.timestamp, None, used);
        if let Some(mut turn) = self.turn.take() {
            self.claim(&mut turn)?;
            self.turn = Some(turn);
        }
        self.leave_turn(place, event)?;
        if !self.session.is("offline") && !self.open()? {
            self.session.enter("failed", event.timestamp);
        }
        Ok(())
    }

    fn turn_end(&mut self, event: &Event, body: &TurnEnd) -> rusqlite::Result<()> {
        if !self.find(event)? {
            let turn = turns::insert(self.db, self.session.n, event)?;
            self.turn = Some(turn);
        }
        let Some(turn) = &mut self.turn else { return Ok(()) };
        if is_the_servers(event) {
            return self.abandoned(event, body);
        }
        turn.saw(event);
        // It is told twice.
        if turn.ended_by(event.source.as_str()) {
            return Ok(());
        }
        let (before, is_first) = (turn.counts(), !turn.has_end());
        turn.end(event, body);
        let (more, place) = (turn.counts() - before, turn.place());
        self.spend(event.timestamp, None, more);
        if let Some(mut turn) = self.turn.take() {
            self.claim(&mut turn)?;
            self.turn = Some(turn);
        }
        self.leave_turn(place, event)?;
        if is_first && !self.session.is_past(event) && !self.open()? {
            self.session
                .enter(if body.ok { IDLE } else { "failed" }, event.timestamp);
        }
        self.settle()
    }

    /// Closes every open turn but one. The one in hand stays in hand.
    fn close_others(&mut self, event: &Event, but: Option<Seq>, note: &str) -> rusqlite::Result<()> {
        self.put_back()?;
        for place in turns::others_open(self.db, self.session.n, but)? {
            let Some(mut turn) = turns::at(self.db, place)? else {
                continue;
            };
            // Another source that tells late of an earlier turn, or of the end of an earlier process, does not end the one that is open.
            if turn.began_after(event) {
                continue;
            }
            turn.close(event, note);
            self.spend(event.timestamp, None, turn.counts());
            self.claim(&mut turn)?;
            turn.store(self.db)?;
            self.leave_turn(place, event)?;
        }
        Ok(())
    }

    /// What was open in a turn that has ended.
    fn leave_turn(&self, place: Seq, event: &Event) -> rusqlite::Result<()> {
        tools::close_turn(self.db, self.session.n, place, event)?;
        approvals::turn_ended(self.db, self.session.n, place, event)
    }

    fn status(&mut self, event: &Event, body: &StatusChanged) -> rusqlite::Result<()> {
        match body.status.as_str() {
            "rate_limited" => self.session.enter("rate_limited", event.timestamp),
            "offline" => self.session.enter("offline", event.timestamp),
            "online" => self.go_on_from(&["offline", "rate_limited"], event.timestamp)?,
            _ => {}
        }
        Ok(())
    }

    fn call_start(&mut self, event: &Event, body: &ToolCallStart) -> rusqlite::Result<()> {
        let place = self.place_of_call(event)?;
        let change = tools::begin(self.db, place, event, body)?;
        self.count(&change);
        self.same_call(event, place, &change, body.parent_tool_call_id.is_none())?;
        if change.runs && !place.over && !self.session.is_past(event) && !self.waits()? {
            self.session.enter(RUNNING, event.timestamp);
        }
        Ok(())
    }

    fn call_end(&mut self, event: &Event, body: &ToolCall) -> rusqlite::Result<()> {
        let place = self.place_of_call(event)?;
        let change = tools::end(self.db, place, event, body, self.session.model.as_deref())?;
        self.count(&change);
        self.same_call(event, place, &change, body.parent_tool_call_id.is_none())?;
        approvals::call_ended(self.db, self.session.n, &body.tool_call_id, event)?;
        if self.session.is(RUNNING) && !tools::any_open(self.db, self.session.n)? {
            self.go_on_from(&[RUNNING], event.timestamp)?;
        }
        Ok(())
    }

    fn message(&mut self, event: &Event, body: &Message) -> rusqlite::Result<()> {
        let at = turns::said_at(event);
        self.says_at(event, at, &body.content);
        // What a subagent is asked and says is neither this session's prompt nor its result.
        if body.parent_tool_call_id.is_some() {
            return Ok(());
        }
        match body.role.as_str() {
            "user" => {
                self.asks(&body.content);
                if let Some(turn) = self.turn_of(event)? {
                    turn.asked(&body.content);
                }
            }
            "assistant" => {
                if let Some(turn) = self.turn_of(event)? {
                    turn.answered(event, at, &body.content);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn usage(&mut self, event: &Event, body: &Usage) -> rusqlite::Result<()> {
        let used = Used::tokens(body).costing(body.cost_usd);
        if self.session.model.is_none() {
            self.models(body.model.as_deref());
        }
        let count = |tokens: Option<u64>| tokens.and_then(|tokens| i64::try_from(tokens).ok());
        self.session.context_tokens = count(body.context_tokens).or(self.session.context_tokens);
        self.session.context_window = count(body.context_window).or(self.session.context_window);
        let is_known = self.turn_of(event)?.is_some() && !self.is_guess(event);
        let Some(turn) = self.turn.as_mut().filter(|_| is_known) else {
            // No turn's end will say it, unless one is told of later.
            let more = loose::keep(self.db, self.session.n, event, used, self.session.mixed)?;
            self.spend(event.timestamp, body.model.as_deref(), more);
            return Ok(());
        };
        let before = turn.counts();
        turn.spend(event.source.as_str(), used);
        let more = turn.counts() - before;
        self.spend(event.timestamp, body.model.as_deref(), more);
        Ok(())
    }
}
