//! What is written while one line is read.

use serde::Serialize;
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, Empty, ErrorBody, Json, Kind, Message, Name, NewEvent, Note, Object, SessionEnd,
    SessionStart, Timestamp, ToolCall, ToolCallStart, TurnEnd, TurnStart, TurnState, Usage,
};

use super::{
    Call, DOMAIN, ENDED_CALLS, Ended, HELD_BYTES, HELD_EVENTS, Moment, OPEN_CALLS, Question, Scribe, Turn, add, base36,
    money, nothing, with,
};
use crate::{Prompted, fact, fit};

/// One line's events. The first one takes the line with it.
pub(crate) struct Page<'a> {
    pub(crate) scribe: &'a mut Scribe,
    /// The vendor's line, until an event has taken it.
    raw: Option<&'a str>,
    moment: Moment,
    /// The open turn began with this line.
    began: bool,
    /// The call that the next event is the start or the end of.
    call: Option<String>,
    out: &'a mut Vec<NewEvent>,
}

/// Whether an exit code is a shell's word for a signal that ends programs. Codes above are programs' own: Gemini CLI ends with 144 and 173.
const fn is_signal(code: i32) -> bool {
    matches!(code, 129..=143)
}

impl<'a> Page<'a> {
    /// A page for `line`, which came at `at`; no line at the end of the output.
    pub(crate) fn new(
        scribe: &'a mut Scribe,
        line: Option<&'a str>,
        at: Timestamp,
        out: &'a mut Vec<NewEvent>,
    ) -> Self {
        let moment = Moment {
            vendor: None,
            arrival: at,
        };
        if let Some(facts) = &mut scribe.facts {
            (facts.line, facts.events, facts.next) = (None, 0, None);
        }
        Self {
            scribe,
            raw: line,
            moment,
            began: false,
            call: None,
            out,
        }
    }

    /// The vendor's id of the line, which no other line of the session has.
    pub(crate) fn line_is(&mut self, id: &str) {
        if let Some(facts) = self.scribe.facts.as_mut().filter(|_| !id.is_empty()) {
            facts.line = Some(id.to_owned());
        }
    }

    /// The next event is the one in its session that is known by this.
    pub(crate) fn known_by(&mut self, key: &[&str]) {
        let session = self.scribe.session.as_ref().map_or("", Name::as_str);
        let own = [self.scribe.source.as_str(), session];
        let id = fact::id(session, DOMAIN, own.iter().chain(key).copied());
        if let Some(facts) = &mut self.scribe.facts {
            facts.next = Some(id);
        }
    }

    /// The vendor's own time of the line.
    pub(crate) fn at(&mut self, time: Option<Timestamp>) {
        self.moment.vendor = time;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.moment.shown()
    }

    /// The line's session by the vendor's id. What waited for it goes out.
    pub(crate) fn session(&mut self, vendor: &str) {
        let scribe = &mut *self.scribe;
        if vendor.is_empty() || scribe.vendor.as_deref() == Some(vendor) {
            return;
        }
        scribe.vendor = Some(vendor.to_owned());
        if scribe.context.session.is_none() {
            scribe.session = Name::lossy(vendor).or_else(|| scribe.session.take());
        }
        self.release();
    }

    fn release(&mut self) {
        let scribe = &mut *self.scribe;
        let Some(session) = scribe.session.clone() else { return };
        for mut event in scribe.held.drain(..) {
            event.session_id.get_or_insert_with(|| session.clone());
            self.out.push(event);
        }
        scribe.held_bytes = 0;
        if let Some(turn) = &mut scribe.turn {
            turn.session.get_or_insert_with(|| session.clone());
        }
        for call in &mut scribe.calls {
            call.session.get_or_insert_with(|| session.clone());
        }
        for question in &mut scribe.questions {
            question.session.get_or_insert_with(|| session.clone());
        }
        for started in &mut scribe.started {
            started.get_or_insert_with(|| session.clone());
        }
    }

    /// Gives the session a name of our own, where the vendor has named none.
    pub(crate) fn name_session(&mut self) {
        if self.scribe.session.is_none() && !self.scribe.held.is_empty() {
            let made_up = format!(
                "{}-{}",
                self.scribe.source,
                base36(self.scribe.held[0].timestamp.millis())
            );
            self.scribe.session = Name::lossy(&made_up);
            self.release();
        }
    }

    /// Writes one event of the line's session and of the turn that is open in it.
    pub(crate) fn tell<T: Serialize>(&mut self, kind: Kind, body: &T) {
        self.write(kind, Object::of(body));
    }

    pub(crate) fn write(&mut self, kind: Kind, body: Object) {
        let session = self.scribe.session.clone();
        let turn = self.scribe.turn.as_ref().filter(|turn| turn.session == session);
        let turn = turn.map(|turn| turn.id.clone()).or_else(|| self.scribe.label.clone());
        self.push(kind, body, self.now(), session, turn);
    }

    fn push(&mut self, kind: Kind, body: Object, time: Timestamp, session: Option<Name>, turn: Option<Name>) {
        let id = self.scribe.fact(&kind, turn.as_ref(), self.call.take().as_deref());
        // What was open before the session had a name may end just after it has got one.
        let session = session.or_else(|| self.scribe.session.clone());
        let data = fit::body(body);
        let raw = self.raw.take().and_then(|line| fit::raw(line, &data));
        let mut event = NewEvent {
            agent: self.scribe.context.agent.clone(),
            session_id: session,
            turn_id: turn,
            raw,
            ..NewEvent::new(kind, self.scribe.source.clone(), time, data)
        };
        event.id = id.unwrap_or(event.id);
        if event.session_id.is_some() {
            self.out.push(event);
            return;
        }
        self.scribe.held_bytes += event.size();
        self.scribe.held.push(event);
        if self.scribe.held.len() >= HELD_EVENTS || self.scribe.held_bytes >= HELD_BYTES {
            self.name_session();
        }
    }

    /// Writes events that are not made from this line, such as a whole message of the lines before it.
    pub(crate) fn aside<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        let raw = self.raw.take();
        let done = write(self);
        self.raw = raw;
        done
    }

    /// Writes what happened at another time than the line, and not by it.
    pub(crate) fn aside_at(&mut self, time: Option<Timestamp>, write: impl FnOnce(&mut Self)) {
        let now = std::mem::replace(&mut self.moment.vendor, time);
        self.aside(write);
        self.moment.vendor = now;
    }

    /// The line is understood and has no event of its own.
    pub(crate) fn keep(&mut self, what: &str) {
        if self.raw.is_some() {
            self.write(Kind::RAW, with(&Empty {}, &[("what", Some(Json::of(what)))]));
        }
    }

    /// The line is not understood.
    pub(crate) fn unknown(&mut self, what: &str, more: &[(&'static str, Option<Json>)]) {
        self.scribe.unknown += 1;
        if self.raw.is_some() {
            let mut fields = vec![("what", Some(Json::of(what))), ("unknown", Some(Json::of(&true)))];
            fields.extend_from_slice(more);
            self.write(Kind::RAW, with(&Empty {}, &fields));
        }
    }

    pub(crate) fn note(&mut self, text: &str, more: &[(&'static str, Option<Json>)]) {
        self.write(Kind::NOTE, with(&Note { text: text.to_owned() }, more));
    }

    /// Something failed; the open turn remembers it, should it end without a reason.
    pub(crate) fn error(&mut self, component: &str, message: &str, retry: Option<bool>) {
        let body = ErrorBody {
            component: component.to_owned(),
            message: message.to_owned(),
            retry,
        };
        self.tell(Kind::ERROR, &body);
        if retry != Some(true)
            && let Some(turn) = &mut self.scribe.turn
        {
            turn.error = Some(message.to_owned());
        }
    }

    /// Whether the open turn's last error said this.
    pub(crate) fn has_said(&self, message: &str) -> bool {
        let error = self.scribe.turn.as_ref().and_then(|turn| turn.error.as_deref());
        error == Some(message)
    }

    /// The session's start, with what the vendor says of its surroundings in `more`. Once for each session in a run.
    pub(crate) fn start_session(&mut self, mut body: SessionStart, more: &[(&'static str, Option<Json>)]) {
        if self.scribe.has_started() {
            return;
        }
        // A run has one session, or a few after a reset; what is forgotten costs a second start.
        if self.scribe.started.len() >= 64 {
            self.scribe.started.remove(0);
        }
        self.scribe.started.push(self.scribe.session.clone());
        body.vendor_session_id = self.scribe.vendor.clone();
        self.write(Kind::SESSION_START, with(&body, more));
    }

    /// Begins a turn; one that is open has ended without a word. A prompt is also a message.
    pub(crate) fn start_turn(&mut self, prompt: Option<String>) {
        self.give_up_turn("a new turn began before this one had ended");
        self.start_session(SessionStart::default(), &[]);
        // What the command line asks is the first turn's.
        let asked = self.scribe.context.prompt.take();
        let prompt = prompt.or(asked);
        self.began = true;
        let id = self.scribe.next_turn(self.now());
        self.scribe.turn = Some(Turn {
            id,
            prompted: false,
            session: self.scribe.session.clone(),
            start: self.moment,
            used: Usage::default(),
            cost: None,
            error: None,
            spoke: false,
        });
        let body = TurnStart {
            from: "user".to_owned(),
            body: prompt.clone().unwrap_or_default(),
            unread: 0,
        };
        self.tell(Kind::TURN_START, &body);
        if let Some(content) = prompt.filter(|prompt| !prompt.is_empty()) {
            let message = Message {
                role: "user".to_owned(),
                content,
                ..Message::default()
            };
            self.tell(Kind::MESSAGE, &message);
        }
    }

    /// Begins a turn that the caller has begun. The session's start comes with the vendor's first line.
    pub(crate) fn prompted(&mut self, turn: &Prompted) {
        self.give_up_turn("a new turn began before this one had ended");
        self.scribe.context.prompt = None;
        self.scribe.turn = Some(Turn {
            id: turn.turn_id.clone(),
            prompted: true,
            session: self.scribe.session.clone(),
            start: self.moment,
            used: Usage::default(),
            cost: None,
            error: None,
            spoke: false,
        });
        let body = TurnStart {
            from: turn.from.clone(),
            body: turn.body.clone(),
            unread: turn.unread,
        };
        self.tell(Kind::TURN_START, &body);
    }

    /// Begins a turn unless one is open.
    pub(crate) fn ensure_turn(&mut self) {
        if self.scribe.turn.is_none() {
            self.start_turn(None);
        }
    }

    /// Ends an open turn that the vendor has not ended.
    pub(crate) fn give_up_turn(&mut self, why: &str) {
        if self.scribe.turn.is_some() {
            let error = self.scribe.turn.as_ref().and_then(|turn| turn.error.as_deref());
            let note = Some(error.map_or_else(|| why.to_owned(), |error| format!("{why}; last error: {error}")));
            let body = TurnEnd {
                note,
                ..TurnEnd::default()
            };
            self.aside(|page| page.close_turn(body, true));
        }
    }

    /// Ends the turn that is open, after the calls and questions that are still open in it. Tokens, cost and time that the
    /// vendor does not give are what was seen here.
    pub(crate) fn end_turn(&mut self, body: TurnEnd) {
        self.close_turn(body, false);
    }

    fn close_turn(&mut self, mut body: TurnEnd, given_up: bool) {
        let Some(turn) = &self.scribe.turn else { return };
        let (id, session) = (turn.id.clone(), turn.session.clone());
        let used = turn.used.clone();
        // A turn that is told in one line has no length of its own.
        let measured = (!self.began).then(|| turn.start.until(self.moment));
        body.duration_ms = body.duration_ms.or(measured);
        body.cost_usd = body.cost_usd.or(turn.cost).map(money);
        body.usage = body.usage.or_else(|| (!nothing(&used)).then_some(used));
        // A subagent in the background works on after the turn: its calls stay open.
        let open = |call: &Call| call.turn.as_ref() == Some(&id) && call.parent.is_none();
        let calls: Vec<String> = self
            .scribe
            .calls
            .iter()
            .filter(|c| open(c))
            .map(|c| c.id.clone())
            .collect();
        self.aside(|page| {
            page.close(&calls, "the turn ended without a result of this call");
            page.withdraw(Some(&id));
        });
        if given_up {
            self.known_by(&["unended turn", id.as_str()]);
        }
        self.push(Kind::TURN_END, Object::of(&body), self.now(), session, Some(id));
        self.scribe.turn = None;
        self.scribe.state = None;
    }

    /// Ends calls that have no result.
    fn close(&mut self, calls: &[String], why: &str) {
        for id in calls {
            let error = self.fate(id).unwrap_or_else(|| why.to_owned());
            let ended = Ended {
                error: Some(error),
                ..Ended::default()
            };
            // Not what its own end is known by, which may still be read.
            self.known_by(&["unended", id]);
            self.end_call(id, ended);
        }
    }

    /// Takes back the questions of one turn, or all: nobody waits for an answer any more.
    fn withdraw(&mut self, turn: Option<&Name>) {
        let over = |question: &&Question| turn.is_none() || question.turn.as_ref() == turn;
        let questions: Vec<String> = self
            .scribe
            .questions
            .iter()
            .filter(over)
            .map(|q| q.id.clone())
            .collect();
        for approval_id in questions {
            self.decide(&ApprovalDecision {
                approval_id,
                decision: "withdrawn".to_owned(),
                ..ApprovalDecision::default()
            });
        }
    }

    /// The end of the output.
    pub(crate) fn end(&mut self, exit: Option<i32>) {
        let why = match exit {
            Some(code) if is_signal(code) => format!("killed by signal {} before the turn had ended", code - 128),
            Some(code) => format!("exited with code {code} before the turn had ended"),
            None => "the output ended before the turn had".to_owned(),
        };
        // Before the turn's end: a call belongs to its turn, or to none.
        let calls: Vec<String> = self.scribe.calls.iter().map(|call| call.id.clone()).collect();
        self.close(&calls, &why);
        self.withdraw(None);
        self.give_up_turn(&why);
        if self.scribe.has_started() && !self.scribe.over {
            let reason = match exit {
                Some(code) if is_signal(code) => Some("killed".to_owned()),
                Some(_) => Some("exit".to_owned()),
                None => None,
            };
            self.tell(
                Kind::SESSION_END,
                &SessionEnd {
                    exit_code: exit,
                    reason,
                },
            );
        }
        self.name_session();
    }

    /// The vendor says that the session is over.
    pub(crate) fn end_session(&mut self, body: &SessionEnd) {
        self.scribe.over = true;
        self.tell(Kind::SESSION_END, body);
    }

    /// A tool begins. A call that has begun or ended before is not begun again.
    pub(crate) fn start_call(&mut self, body: &ToolCallStart) -> bool {
        if body.tool_call_id.is_empty()
            || self.scribe.is_open(&body.tool_call_id)
            || self.scribe.has_ended(&body.tool_call_id)
        {
            return false;
        }
        if self.scribe.calls.len() >= OPEN_CALLS {
            let oldest = [self.scribe.calls[0].id.clone()];
            self.aside(|page| page.close(&oldest, "too many calls are open"));
        }
        let turn = self
            .scribe
            .turn
            .as_ref()
            .filter(|turn| turn.session == self.scribe.session);
        self.scribe.calls.push(Call {
            id: body.tool_call_id.clone(),
            tool: body.tool.clone(),
            parent: body.parent_tool_call_id.clone(),
            turn: turn.map(|turn| turn.id.clone()).or_else(|| self.scribe.label.clone()),
            session: self.scribe.session.clone(),
            start: self.moment,
            fate: None,
            shown: 0,
        });
        self.call = Some(body.tool_call_id.clone());
        self.tell(Kind::TOOL_CALL_START, body);
        true
    }

    /// A tool has ended. One whose start was not seen ends all the same; one that has ended does not end again.
    pub(crate) fn end_call(&mut self, id: &str, ended: Ended) -> bool {
        if id.is_empty() || self.scribe.has_ended(id) {
            return false;
        }
        let open = self.scribe.calls.iter().position(|call| call.id == id);
        let call = open.map(|at| self.scribe.calls.remove(at));
        if self.scribe.ended.len() >= ENDED_CALLS {
            self.scribe.ended.pop_front();
        }
        self.scribe.ended.push_back(id.to_owned());
        let measured = call
            .as_ref()
            .filter(|_| !ended.untimed)
            .map(|call| call.start.until(self.moment));
        let body = ToolCall {
            tool: call.as_ref().map_or("unknown", |call| &call.tool).to_owned(),
            tool_call_id: id.to_owned(),
            success: ended.success,
            duration_ms: ended.duration_ms.or(measured),
            output: ended.output,
            error: ended.error,
            parent_tool_call_id: call.as_ref().and_then(|call| call.parent.clone()),
        };
        let more: Vec<_> = ended.more.into_iter().map(|(key, value)| (key, Some(value))).collect();
        let body = with(&body, &more);
        self.call = Some(id.to_owned());
        match call {
            Some(call) => self.push(Kind::TOOL_CALL, body, self.now(), call.session, call.turn),
            None => self.write(Kind::TOOL_CALL, body),
        }
        true
    }

    /// Why a call will fail, told before its end.
    pub(crate) fn doom(&mut self, call: &str, why: &str) {
        if let Some(call) = self.scribe.call(call) {
            call.fate = Some(why.to_owned());
        }
    }

    /// The reason that was told before the call's end.
    pub(crate) fn fate(&mut self, call: &str) -> Option<String> {
        self.scribe.call(call).and_then(|call| call.fate.clone())
    }

    /// A question to a person.
    pub(crate) fn ask(&mut self, body: &ApprovalRequest, more: &[(&'static str, Option<Json>)], state: &str) {
        let id = body.approval_id.clone();
        if id.is_empty() || self.scribe.questions.iter().any(|question| question.id == id) {
            return;
        }
        if self.scribe.questions.len() >= OPEN_CALLS {
            let approval_id = self.scribe.questions[0].id.clone();
            let decision = "withdrawn".to_owned();
            self.aside(|page| {
                page.decide(&ApprovalDecision {
                    approval_id,
                    decision,
                    ..ApprovalDecision::default()
                })
            });
        }
        let turn = self.scribe.turn.as_ref().map(|turn| turn.id.clone());
        self.scribe.questions.push(Question {
            id,
            call: body.tool_call_id.clone(),
            session: self.scribe.session.clone(),
            turn,
        });
        self.write(Kind::APPROVAL_REQUEST, with(body, more));
        self.state(state, None);
    }

    /// The answer to an open question. To any other it is none of ours.
    pub(crate) fn decide(&mut self, body: &ApprovalDecision) -> bool {
        let open = self
            .scribe
            .questions
            .iter()
            .position(|question| question.id == body.approval_id);
        let Some(open) = open else { return false };
        let question = self.scribe.questions.remove(open);
        let body = Object::of(body);
        self.push(
            Kind::APPROVAL_DECISION,
            body,
            self.now(),
            question.session,
            question.turn,
        );
        true
    }

    /// The open question about a call.
    pub(crate) fn question_of(&self, call: &str) -> Option<String> {
        let about = |question: &&Question| question.call.as_deref() == Some(call);
        self.scribe
            .questions
            .iter()
            .find(about)
            .map(|question| question.id.clone())
    }

    /// What the agent does now.
    pub(crate) fn state(&mut self, state: &str, note: Option<String>) {
        let body = TurnState {
            state: state.to_owned(),
            since: None,
            note,
        };
        self.tell(Kind::TURN_STATE_CHANGED, &body);
        self.scribe.state = (state != "thinking").then(|| state.to_owned());
    }

    /// The agent works: what it waited for is over.
    pub(crate) fn works(&mut self) {
        if self.scribe.state.is_some() {
            self.aside(|page| page.state("thinking", None));
        }
    }

    /// Tokens used, and counted for the turn.
    pub(crate) fn usage(&mut self, usage: &Usage) {
        self.usage_of(usage, &[]);
    }

    /// The same, with what says of which request they are.
    pub(crate) fn usage_of(&mut self, usage: &Usage, more: &[(&'static str, Option<Json>)]) {
        let usage = Usage {
            cost_usd: usage.cost_usd.map(money),
            ..usage.clone()
        };
        let Some(turn) = &mut self.scribe.turn else {
            return self.write(Kind::USAGE, with(&usage, more));
        };
        turn.used = add(&turn.used, &usage);
        turn.cost = match (turn.cost, usage.cost_usd) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        // Where the turn is, wherever the line is: they add up.
        let (session, turn) = (turn.session.clone(), Some(turn.id.clone()));
        self.push(Kind::USAGE, with(&usage, more), self.now(), session, turn);
    }
}
