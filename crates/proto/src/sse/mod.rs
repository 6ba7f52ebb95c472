//! Server-sent events: the encoder for frames that leave, the parser for streams that arrive.

mod encode;
mod parse;

pub use encode::{COMMENT_CONNECTED, COMMENT_HEARTBEAT, control, frame_end, frame_head, json_of, named, place, retry};
pub use parse::{Item, Limits, Message, Oversize, Parser};
