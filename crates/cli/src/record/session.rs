//! Which session an event belongs to, before the agent has said it.

use std::time::Instant;

use turnwire_proto::{EventId, Name, NewEvent};

/// Events that wait at most for a session; then they get one of their own.
const HELD: usize = 1000;

/// Gives every event a session and an agent: an event without a session would be seen by every reader.
///
/// The program's own events (a start, a line of standard error) wait until the agent's output names the session, for a
/// bounded time; then the recording has a session of its own.
#[derive(Debug)]
pub(super) struct Binding {
    agent: Name,
    session: Option<Name>,
    /// What is used when the agent names none.
    own: Name,
    deadline: Instant,
    held: Vec<NewEvent>,
}

impl Binding {
    pub(super) fn new(agent: Name, session: Option<Name>, deadline: Instant) -> Self {
        let own = Name::lossy(&EventId::new().to_string());
        Self {
            // Invariant: the text of a UUID is a name.
            own: own.expect("a UUID is a name"),
            agent,
            session,
            deadline,
            held: Vec::new(),
        }
    }

    pub(super) const fn session(&self) -> Option<&Name> {
        self.session.as_ref()
    }

    /// Until when something waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.held.is_empty()).then_some(self.deadline)
    }

    /// Waits no longer.
    pub(super) fn give_up(&mut self) {
        if self.session.is_none() {
            self.session = Some(self.own.clone());
        }
    }

    /// Moves events on, those that had to wait first.
    pub(super) fn bind(&mut self, events: &mut Vec<NewEvent>, out: &mut Vec<NewEvent>) {
        let first = events.iter().find_map(|event| event.session_id.clone());
        if self.session.is_none() {
            self.session = first;
        }
        if self.session.is_none() && self.held.len() + events.len() > HELD {
            self.give_up();
        }
        let Some(session) = &mut self.session else {
            self.held.append(events);
            return;
        };
        for mut event in self.held.drain(..).chain(events.drain(..)) {
            match &event.session_id {
                Some(named) => session.clone_from(named),
                None => event.session_id = Some(session.clone()),
            }
            if event.agent.is_none() {
                event.agent = Some(self.agent.clone());
            }
            out.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use turnwire_proto::{Kind, Object, Timestamp};

    use super::*;

    fn event(session: Option<&str>) -> NewEvent {
        let source = Name::new("x").unwrap();
        let mut event = NewEvent::new(Kind::NOTE, source, Timestamp::UNIX_EPOCH, Object::empty());
        event.session_id = session.map(|session| Name::new(session).unwrap());
        event
    }

    fn bound(binding: &mut Binding, sessions: &[Option<&str>]) -> Vec<String> {
        let mut out = Vec::new();
        binding.bind(&mut sessions.iter().map(|s| event(*s)).collect(), &mut out);
        assert!(out.iter().all(|event| event.agent.is_some()));
        out.iter()
            .map(|event| event.session_id.as_ref().unwrap().to_string())
            .collect()
    }

    #[test]
    fn what_comes_before_the_session_is_known_waits_for_it() {
        let mut binding = Binding::new(Name::new("a").unwrap(), None, Instant::now());
        assert!(bound(&mut binding, &[None, None]).is_empty());
        assert!(binding.deadline().is_some());
        assert_eq!(bound(&mut binding, &[None, Some("s")]), ["s", "s", "s", "s"]);
        assert!(binding.deadline().is_none());
        assert_eq!(bound(&mut binding, &[None]), ["s"]);
    }

    #[test]
    fn who_waits_in_vain_gets_a_session_of_its_own() {
        let mut binding = Binding::new(Name::new("a").unwrap(), None, Instant::now());
        assert!(bound(&mut binding, &[None]).is_empty());
        binding.give_up();
        assert_eq!(bound(&mut binding, &[None])[0].len(), 36);
        let mut flooded = Binding::new(Name::new("a").unwrap(), None, Instant::now());
        assert_eq!(bound(&mut flooded, &[None; HELD + 1]).len(), HELD + 1);
    }
}
