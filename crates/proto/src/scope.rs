//! Scopes: what a token may do, and on what.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Name, Visibility};

/// How far a scope reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Everything.
    All,
    /// One session.
    Session(Name),
}

/// One thing that a token may do. Written `read`, `read:session:ID`, `publish`, `control`, `agent:NAME`, `admin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read events and what is folded from them.
    Read(Reach),
    /// Append events.
    Publish(Reach),
    /// Say things to agents.
    Control(Reach),
    /// Be this agent: its downlink and acknowledgements.
    Agent(Name),
    /// Everything, tokens included.
    Admin,
}

/// Not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope: read, publish, control (each also with `:session:ID`), agent:NAME, or admin")]
pub struct InvalidScope(pub String);

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let wrong = || InvalidScope(text.chars().take(80).collect());
        let (verb, rest) = text
            .split_once(':')
            .map_or((text, None), |(verb, rest)| (verb, Some(rest)));
        if verb == "agent" {
            return rest
                .and_then(|name| Name::new(name).ok())
                .map(Self::Agent)
                .ok_or_else(wrong);
        }
        let reach = match rest {
            None => Reach::All,
            Some(rest) => rest
                .strip_prefix("session:")
                .and_then(|id| Name::new(id).ok())
                .map(Reach::Session)
                .ok_or_else(wrong)?,
        };
        match (verb, reach) {
            ("read", reach) => Ok(Self::Read(reach)),
            ("publish", reach) => Ok(Self::Publish(reach)),
            ("control", reach) => Ok(Self::Control(reach)),
            ("admin", Reach::All) => Ok(Self::Admin),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, reach) = match self {
            Self::Read(reach) => ("read", reach),
            Self::Publish(reach) => ("publish", reach),
            Self::Control(reach) => ("control", reach),
            Self::Agent(name) => return write!(f, "agent:{name}"),
            Self::Admin => return f.write_str("admin"),
        };
        match reach {
            Reach::All => f.write_str(verb),
            Reach::Session(id) => write!(f, "{verb}:session:{id}"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// All that a token may do. Nothing is implied but by [`Scope::Admin`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(pub Vec<Scope>);

impl Scopes {
    /// Whether it may do everything.
    #[must_use]
    pub fn admin(&self) -> bool {
        self.0.contains(&Scope::Admin)
    }

    /// What it may read; `None` when nothing.
    #[must_use]
    pub fn visibility(&self) -> Option<Visibility> {
        if self.admin() || self.0.contains(&Scope::Read(Reach::All)) {
            return Some(Visibility::All);
        }
        let sessions: std::collections::BTreeSet<_> = self
            .0
            .iter()
            .filter_map(|scope| {
                if let Scope::Read(Reach::Session(id)) = scope {
                    Some(id.clone())
                } else {
                    None
                }
            })
            .collect();
        (!sessions.is_empty()).then_some(Visibility::Sessions(sessions))
    }

    /// Whether it may append an event of this session.
    #[must_use]
    pub fn may_publish(&self, session: Option<&str>) -> bool {
        self.admin()
            || self.0.iter().any(|scope| match scope {
                Scope::Publish(Reach::All) => true,
                Scope::Publish(Reach::Session(id)) => session == Some(id.as_str()),
                _ => false,
            })
    }

    /// Whether it may append at all.
    #[must_use]
    pub fn may_publish_something(&self) -> bool {
        self.admin() || self.0.iter().any(|scope| matches!(scope, Scope::Publish(_)))
    }

    /// Whether every event may be appended, so that none needs to be looked at.
    #[must_use]
    pub fn may_publish_everything(&self) -> bool {
        self.admin() || self.0.contains(&Scope::Publish(Reach::All))
    }

    /// Whether it may say something in this session, or to an agent as a whole.
    #[must_use]
    pub fn may_control(&self, session: Option<&str>) -> bool {
        self.admin()
            || self.0.iter().any(|scope| match scope {
                Scope::Control(Reach::All) => true,
                Scope::Control(Reach::Session(id)) => session == Some(id.as_str()),
                _ => false,
            })
    }

    /// Whether it may be this agent.
    #[must_use]
    pub fn is_agent(&self, agent: &str) -> bool {
        self.admin()
            || self
                .0
                .iter()
                .any(|scope| matches!(scope, Scope::Agent(own) if own.as_str() == agent))
    }

    /// Whether all that `other` may do, this may do too: who gives a token cannot give more than it has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.admin()
            || other.0.iter().all(|scope| {
                self.0.contains(scope)
                    || match scope {
                        Scope::Read(_) => self.0.contains(&Scope::Read(Reach::All)),
                        Scope::Publish(_) => self.0.contains(&Scope::Publish(Reach::All)),
                        Scope::Control(_) => self.0.contains(&Scope::Control(Reach::All)),
                        Scope::Agent(_) | Scope::Admin => false,
                    }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(list: &[&str]) -> Scopes {
        Scopes(list.iter().map(|s| s.parse().unwrap()).collect())
    }

    #[test]
    fn a_scope_reads_back_as_it_is_written() {
        for text in [
            "read",
            "read:session:a:b",
            "publish",
            "publish:session:s",
            "control",
            "agent:builder",
            "admin",
        ] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "write",
            "read:",
            "read:session:",
            "read:s1",
            "agent",
            "agent:",
            "admin:session:x",
            "READ",
        ] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_implied_but_by_admin() {
        assert_eq!(scopes(&["publish", "control"]).visibility(), None);
        assert!(!scopes(&["read"]).may_publish(None));
        assert!(scopes(&["publish:session:s"]).may_publish(Some("s")));
        assert!(!scopes(&["publish:session:s"]).may_publish(None));
        assert!(scopes(&["admin"]).covers(&scopes(&["read", "agent:x"])));
        assert!(scopes(&["read"]).covers(&scopes(&["read:session:s"])));
        assert!(!scopes(&["read:session:s"]).covers(&scopes(&["read"])));
    }
}
