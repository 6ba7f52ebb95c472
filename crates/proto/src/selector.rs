//! Which events a read is about: what the reader asked for, within what it may see.

use std::collections::BTreeSet;

use crate::{Kind, Name};

/// What of an event decides who may see it and who asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its `type`.
    pub kind: &'a str,
    /// What made it.
    pub source: &'a str,
    /// The named worker.
    pub agent: Option<&'a str>,
    /// The conversation.
    pub session: Option<&'a str>,
}

/// Events of this source are public though they have a session.
pub const PUBLIC_SOURCE: &str = "observability";

/// What a reader may see. Said once, when it opens; deny by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every session.
    All,
    /// These sessions, and what is public: events without a session, or of source `observability`.
    Sessions(BTreeSet<Name>),
    /// One session and nothing else: a share link.
    Only(Name),
}

impl Visibility {
    /// Whether an event may be seen.
    #[must_use]
    pub fn allows(&self, event: &Subject<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Sessions(granted) => event
                .session
                .is_none_or(|session| event.source == PUBLIC_SOURCE || granted.contains(session)),
            Self::Only(session) => event.session == Some(session.as_str()),
        }
    }

    /// Whether what is of no session may be seen.
    #[must_use]
    pub const fn allows_public(&self) -> bool {
        !matches!(self, Self::Only(_))
    }

    /// Whether a session's events may be seen.
    #[must_use]
    pub fn allows_session(&self, session: &str) -> bool {
        match self {
            Self::All => true,
            Self::Sessions(granted) => granted.contains(session),
            Self::Only(only) => only.as_str() == session,
        }
    }
}

/// Which events a read is about. Every empty list means "any".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// What the reader may see.
    pub visible: Visibility,
    /// Just this session's events.
    pub session: Option<Name>,
    /// Events of these agents.
    pub agents: Vec<Name>,
    /// Events of these kinds.
    pub kinds: Vec<Kind>,
    /// Events of these sources.
    pub sources: Vec<Name>,
    /// Whether deltas are wanted.
    pub deltas: bool,
    /// Whether the vendor's lines are wanted.
    pub raw: bool,
}

impl Selector {
    /// Everything: for the server's own reading, never for a request's.
    #[must_use]
    pub const fn all() -> Self {
        Self::within(Visibility::All)
    }

    /// Everything that may be seen.
    #[must_use]
    pub const fn within(visible: Visibility) -> Self {
        Self {
            visible,
            session: None,
            agents: Vec::new(),
            kinds: Vec::new(),
            sources: Vec::new(),
            deltas: true,
            raw: false,
        }
    }

    /// One session's events.
    #[must_use]
    pub fn session(session: Name) -> Self {
        Self {
            session: Some(session),
            ..Self::all()
        }
    }

    /// Whether it is every event there is, so that nothing needs to be looked at.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.visible == Visibility::All && self.session.is_none() && !self.narrows()
    }

    /// Whether a session's events all belong to it, so that an index by session answers it alone.
    #[must_use]
    pub fn is_whole_session(&self) -> Option<&Name> {
        self.session
            .as_ref()
            .filter(|session| !self.narrows() && self.visible.allows_session(session.as_str()))
    }

    fn narrows(&self) -> bool {
        !(self.agents.is_empty() && self.kinds.is_empty() && self.sources.is_empty() && self.deltas)
    }

    /// Whether it is about this event: the reader may see it and asked for it.
    #[must_use]
    pub fn selects(&self, event: &Subject<'_>) -> bool {
        fn any<T: AsRef<str>>(wanted: &[T], value: Option<&str>) -> bool {
            wanted.is_empty() || value.is_some_and(|value| wanted.iter().any(|w| w.as_ref() == value))
        }
        self.visible.allows(event)
            && self
                .session
                .as_ref()
                .is_none_or(|session| event.session == Some(session.as_str()))
            && any(&self.agents, event.agent)
            && any(&self.sources, Some(event.source))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == event.kind))
            && (self.deltas || !Kind::new(event.kind).is_ok_and(|kind| kind.is_delta()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(session: Option<&'a str>, source: &'a str) -> Subject<'a> {
        Subject {
            kind: "note",
            source,
            agent: None,
            session,
        }
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_session_is_seen_only_by_who_was_granted_it() {
        let mine = Visibility::Sessions([name("mine")].into());
        assert!(mine.allows(&event(Some("mine"), "x")));
        assert!(!mine.allows(&event(Some("other"), "x")));
        assert!(mine.allows(&event(None, "x")), "no session: public");
        assert!(
            mine.allows(&event(Some("other"), "observability")),
            "observability: public"
        );
        let shared = Visibility::Only(name("mine"));
        assert!(shared.allows(&event(Some("mine"), "x")));
        assert!(!shared.allows(&event(None, "x")));
        assert!(!shared.allows(&event(Some("other"), "observability")));
    }

    #[test]
    fn asking_for_a_session_never_widens_what_may_be_seen() {
        let what = Selector {
            session: Some(name("other")),
            ..Selector::within(Visibility::Sessions([name("mine")].into()))
        };
        assert!(!what.selects(&event(Some("other"), "x")));
        assert!(!what.selects(&event(Some("mine"), "x")));
        assert!(what.is_whole_session().is_none());
    }

    #[test]
    fn filters_narrow() {
        let what = Selector {
            kinds: vec![Kind::NOTE],
            deltas: false,
            ..Selector::all()
        };
        assert!(what.selects(&event(None, "x")));
        assert!(!what.selects(&Subject {
            kind: "text_delta",
            ..event(None, "x")
        }));
        assert!(
            !Selector {
                agents: vec![name("a")],
                ..Selector::all()
            }
            .selects(&event(None, "x"))
        );
        assert!(Selector::all().is_everything() && !what.is_everything());
    }
}
