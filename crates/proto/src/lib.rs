//! What goes over Turnwire's wire: events and their ids, kinds, selectors, scopes, errors, paths, and server-sent events.
//!
//! Serde only: no runtime and no I/O, so that a browser build, a server and an agent share one definition. The contract in
//! prose is `docs/protocol.md`; where a rule has a number there, the item that keeps it cites it.
//!
//! ```
//! use turnwire_proto::{Defaults, Incoming, Timestamp};
//!
//! let line = br#"{"type":"note","session_id":"s1","data":{"text":"hello"}}"#;
//! let event = Incoming::parse(line).unwrap().into_event(&Defaults::new("my-agent", Timestamp::UNIX_EPOCH));
//! assert_eq!(event.kind.as_str(), "note");
//! ```

pub mod approval;
mod blob;
mod body;
pub mod command;
mod control;
mod error;
mod event;
mod id;
mod incoming;
mod json;
mod kind;
pub mod limits;
mod name;
pub mod path;
pub mod room;
mod scope;
mod selector;
pub mod sse;
mod time;
mod words;

pub use blob::{BLOBS, BLOBS_RENAMED, BlobRef, is_hash};
pub use body::{
    AgentEnd, AgentStart, AgentState, ApprovalDecision, ApprovalRequest, CommandBody, CommandState, Empty, ErrorBody,
    GraderResult, HistoryTrimmed,
};
pub use body::{
    LlmRequest, Memory, Message, ModelChanged, Note, RunComplete, SessionEnd, SessionRenamed, SessionStart,
    StatusChanged,
};
pub use body::{
    TaskComplete, TaskStart, TextDelta, ToolCall, ToolCallStart, ToolProgress, TurnEnd, TurnStart, TurnState, Usage,
};
pub use control::{ControlFrame, GapReason};
pub use error::{Code, ErrorInside, ErrorReply};
pub use event::{Event, NewEvent};
pub use id::{Epoch, EventId, InvalidId, Seq};
pub use incoming::{Defaults, Incoming, Invalid};
pub use json::{Json, Object, is_deeper};
pub use kind::Kind;
pub use name::{InvalidName, Name};
pub use scope::{InvalidScope, Reach, Scope, Scopes};
pub use selector::{PUBLIC_SOURCE, Selector, Subject, Visibility};
pub use time::Timestamp;
pub use words::UnknownWord;
