//! What comes on a chat's WebSocket: one JSON object a frame, named by its `type`, read strictly.

use serde::{Deserialize, de::IgnoredAny};
use turnwire_proto::{Epoch, EventId, Name, Object, Seq, command::Action};

use super::{super::body, Refusal};

/// What a client may say.
#[derive(Debug)]
pub(super) enum Inbound {
    Message(Message),
    Command(Command),
    Approval(ApprovalResponse),
    Resume(Resume),
    Ping,
}

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* } with { $($opt:ident: $opt_type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            #[serde(rename = "type")]
            _type: IgnoredAny,
            $(pub(super) $field: $type,)*
            $(#[serde(default)] pub(super) $opt: Option<$opt_type>,)*
        }
    )*};
}

frames! {
    Message {} with {
        content: String,
        message: String,
        session_id: Name,
        agent: Name,
        user_id: Name,
        project_id: Name,
        id: EventId,
    }
    Command {
        action: Action,
    } with {
        args: Object,
        agent: Name,
        session_id: Name,
        id: EventId,
    }
    ApprovalResponse {
        approval_id: Name,
        decision: turnwire_proto::approval::Choice,
    } with {
        message: String,
        arguments: Object,
        always: bool,
    }
    Resume {
        after: Seq,
    } with {
        epoch: Epoch,
        session_id: Name,
    }
    Ping {} with {}
}

/// What a frame says of itself, whatever else is wrong with it, so that an error can say which it is about.
#[derive(Debug, Default)]
pub(super) struct Label {
    pub(super) kind: Option<String>,
    pub(super) id: Option<EventId>,
}

const KINDS: &str = "message, command, approval_response, resume, ping";

/// Reads a frame, and what it says of itself.
pub(super) fn read(text: &str) -> (Label, Result<Inbound, Refusal>) {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "type", default)]
        kind: Option<String>,
        #[serde(default)]
        id: Option<serde_json::Value>,
    }
    let head: Head = match body::parse(text.as_bytes()) {
        Ok(head) => head,
        Err(refusal) => return (Label::default(), Err(refusal)),
    };
    let id = head.id.as_ref().and_then(|id| id.as_str()?.parse().ok());
    let bytes = text.as_bytes();
    let read = match head.kind.as_deref() {
        Some("message") => body::parse(bytes).map(Inbound::Message),
        Some("command") => body::parse(bytes).map(Inbound::Command),
        Some("approval_response") => body::parse(bytes).map(Inbound::Approval),
        Some("resume") => body::parse(bytes).map(Inbound::Resume),
        Some("ping") => body::parse::<Ping>(bytes).map(|_| Inbound::Ping),
        Some(_) => Err(Refusal::field(
            "type",
            format!("`type` is none that is known here; there are {KINDS}"),
        )),
        None => Err(Refusal::field("type", format!("`type` is missing; there are {KINDS}"))),
    };
    let kind = head.kind.map(|kind| kind.chars().take(64).collect());
    (Label { kind, id }, read)
}
