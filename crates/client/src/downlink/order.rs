//! Orders as they arrive. What an order means is read strictly (a session that cannot be read must not become "no session"),
//! what is only said about it leniently, and what is not known is passed over.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use turnwire_proto::{EventId, Json, Name, Object, Seq, Timestamp};

/// What a downlink has to say.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Item {
    /// Something to do, for the first time.
    Order(Order),
    /// The server asks for a report ([`Handle::sync`](super::Handle::sync)): at the beginning, and whenever it wants one.
    Sync {
        /// Why: `connected`, `cursor_unknown`, or a newer server's word; empty when it did not say.
        reason: String,
    },
    /// An order that cannot be understood. It will not come again; nobody hears of it but who is told with
    /// [`Handle::ack`](super::Handle::ack).
    Unreadable {
        /// Its identity, where that at least can be read.
        id: Option<EventId>,
        /// What is wrong.
        why: String,
    },
}

/// An order to this agent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Order {
    /// Its place in the log.
    pub seq: Seq,
    /// Its identity, with which it is acknowledged.
    pub id: EventId,
    /// Whom it is for.
    pub agent: Option<Name>,
    /// Of the agent's sessions, which one; absent when it is about the agent.
    pub session_id: Option<Name>,
    /// What to do: `message`, `cancel`, `hold`, … An agent answers one that it does not know with
    /// [`Said::Failed`](super::Said::Failed).
    pub action: String,
    /// With what.
    pub args: Object,
    /// Who ordered it.
    pub actor: Option<String>,
    /// When.
    pub issued: Option<Timestamp>,
    /// Until when it must have been acknowledged.
    pub expires: Option<Timestamp>,
    /// How far the server knows it to be: `delivered`, or, in the answer to a report, `acked`.
    pub state: Option<String>,
}

/// The fields as they came. One that is `null` is absent.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    agent: Option<&'a RawValue>,
    #[serde(borrow, default)]
    session_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    action: Option<&'a RawValue>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    actor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    issued: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expires: Option<&'a RawValue>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
}

/// What does not fit is not there.
fn lenient<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// What does not fit is an error that names the field.
fn strict<T: DeserializeOwned>(field: &str, raw: Option<&RawValue>) -> Result<Option<T>, String> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|error| format!("{field}: {error}")))
        .transpose()
}

fn required<T: DeserializeOwned>(field: &str, raw: Option<&RawValue>) -> Result<T, String> {
    strict(field, raw)?.ok_or_else(|| format!("{field} is missing"))
}

/// Reads an order. `place` is where the stream is, for one that does not say where it stands.
pub(super) fn order(json: &str, place: Option<Seq>) -> Item {
    match serde_json::from_str::<Wire<'_>>(json) {
        Ok(wire) => read(&wire, place).map_or_else(
            |why| Item::Unreadable {
                id: lenient(wire.id),
                why,
            },
            Item::Order,
        ),
        Err(error) => Item::Unreadable {
            id: None,
            why: error.to_string(),
        },
    }
}

fn read(wire: &Wire<'_>, place: Option<Seq>) -> Result<Order, String> {
    let args = strict("args", wire.args)?.unwrap_or_else(|| Json::of(&Object::empty()));
    Ok(Order {
        seq: lenient(wire.seq).or(place).unwrap_or_default(),
        id: required("id", wire.id)?,
        agent: strict("agent", wire.agent)?,
        session_id: strict("session_id", wire.session_id)?,
        action: required("action", wire.action)?,
        args: Object::new(args).ok_or("args is not an object")?,
        actor: lenient(wire.actor),
        issued: lenient(wire.issued),
        expires: lenient(wire.expires),
        state: lenient(wire.state),
    })
}

/// The reason in a `sync`.
pub(super) fn sync(json: &str) -> Item {
    #[derive(Deserialize)]
    struct Sync<'a> {
        #[serde(borrow, default)]
        reason: Option<&'a RawValue>,
    }
    let reason = serde_json::from_str(json).map_or(None, |Sync { reason }| lenient(reason));
    Item::Sync {
        reason: reason.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap()
    }

    #[test]
    fn an_order_is_read_whatever_else_it_has() {
        let json = format!(
            r#"{{"seq":7,"id":"{ID}","agent":"a","session_id":"s","action":"made_tomorrow","args":{{"x":[1]}},
                "actor":{{"now":"an object"}},"issued":7,"expires":"2026-11-20T08:25:00.123Z","state":"acked","more":[]}}"#
        );
        let Item::Order(read) = order(&json, None) else {
            panic!("not read")
        };
        assert_eq!(read.seq, seq(7));
        assert_eq!(
            (read.action.as_str(), read.args.get()),
            ("made_tomorrow", r#"{"x":[1]}"#)
        );
        assert_eq!((read.actor, read.issued), (None, None));
        assert_eq!(read.state.as_deref(), Some("acked"));
        assert!(read.expires.is_some());
        let Item::Order(least) = order(&format!(r#"{{"id":"{ID}","action":"hold"}}"#), Some(seq(9))) else {
            panic!("not read")
        };
        assert_eq!((least.seq, least.args.get(), least.session_id), (seq(9), "{}", None));
    }

    #[test]
    fn an_order_whose_meaning_cannot_be_read_is_not_guessed() {
        for (rest, why) in [
            (r#""action":"cancel","args":[]"#, "args is not an object"),
            (r#""action":"cancel","session_id":"""#, "session_id: must not be empty"),
            (r#""action":"cancel","session_id":5"#, "session_id: invalid type"),
            (r#""action":7"#, "action: invalid type"),
            (r#""args":{}"#, "action is missing"),
        ] {
            let Item::Unreadable { id, why: said } = order(&format!(r#"{{"id":"{ID}",{rest}}}"#), None) else {
                panic!("{rest} was read");
            };
            assert_eq!(id, ID.parse().ok(), "{rest}");
            assert!(said.starts_with(why), "{rest}: {said}");
        }
        for none in ["", "[]", "7", r#"{"id":"x"}"#, "{\"id\":"] {
            assert!(matches!(order(none, None), Item::Unreadable { id: None, .. }), "{none}");
        }
    }

    #[test]
    fn a_sync_is_one_whatever_it_says() {
        for (json, reason) in [
            (r#"{"reason":"wake"}"#, "wake"),
            ("{}", ""),
            ("", ""),
            (r#"{"reason":1}"#, ""),
        ] {
            let reason = reason.to_owned();
            assert_eq!(sync(json), Item::Sync { reason });
        }
    }
}
