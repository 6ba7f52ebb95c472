//! What has been streamed of messages that are not whole yet, so that a whole one is not told twice.

use turnwire_proto::TextDelta;

/// Messages that are streamed at once: the agent's own, and its subagents'.
pub(super) const MESSAGES: usize = 16;
/// Bytes of all of them. Beyond, the oldest is forgotten, and told whole when it comes.
const BYTES: usize = 1024 * 1024;

/// What is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    Text,
    Reasoning,
}

/// What is to be told of a message that has come whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Nothing: all of it was.
    Had,
    /// What was not streamed of it.
    Rest(String),
    /// All of it, in place of what was streamed.
    Instead(String),
}

#[derive(Debug)]
struct Piece {
    voice: Voice,
    message_id: Option<String>,
    parent: Option<String>,
    text: String,
    /// Some of it is not here.
    cut: bool,
}

/// See the module. Oldest first.
#[derive(Debug, Default)]
pub(super) struct Streamed(Vec<Piece>);

impl Streamed {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in a piece.
    pub(super) fn add(&mut self, voice: Voice, body: &TextDelta) {
        let known = self.0.iter_mut().find(|piece| {
            piece.voice == voice && piece.message_id == body.message_id && piece.parent == body.parent_tool_call_id
        });
        match known {
            Some(piece) if piece.cut => {}
            Some(piece) => piece.text.push_str(&body.content),
            None => {
                if self.0.len() >= MESSAGES {
                    self.0.remove(0);
                }
                self.0.push(Piece {
                    voice,
                    message_id: body.message_id.clone(),
                    parent: body.parent_tool_call_id.clone(),
                    text: body.content.clone(),
                    cut: false,
                });
            }
        }
        let mut bytes: usize = self.0.iter().map(|piece| piece.text.len()).sum();
        for piece in &mut self.0 {
            if bytes <= BYTES {
                break;
            }
            bytes -= piece.text.len();
            (piece.text, piece.cut) = (String::new(), true);
        }
    }

    /// What is to be told of a message that has come whole. What was streamed of it is let go.
    pub(super) fn whole(&mut self, voice: Voice, body: &TextDelta, content: String) -> Whole {
        let same = |piece: &Piece| piece.voice == voice && piece.parent == body.parent_tool_call_id;
        let exactly = |piece: &Piece| same(piece) && piece.message_id == body.message_id;
        // Some sources name only the pieces, or only the whole; then it is the text that tells.
        let perhaps = |piece: &Piece| {
            same(piece)
                && (piece.message_id.is_none() || body.message_id.is_none())
                && !piece.cut
                && content.starts_with(&piece.text)
        };
        let at = self
            .0
            .iter()
            .position(exactly)
            .or_else(|| self.0.iter().rposition(perhaps));
        let Some(at) = at else {
            return if content.is_empty() {
                Whole::Had
            } else {
                Whole::Rest(content)
            };
        };
        let piece = self.0.remove(at);
        if piece.cut {
            return Whole::Instead(content);
        }
        match content.strip_prefix(&piece.text) {
            Some("") => Whole::Had,
            Some(rest) => Whole::Rest(rest.to_owned()),
            None => match piece.text.strip_prefix(&content) {
                // One of several parts under one id: the others are to come.
                Some(rest) => {
                    let text = rest.to_owned();
                    self.0.insert(at, Piece { text, ..piece });
                    Whole::Had
                }
                None => Whole::Instead(content),
            },
        }
    }
}
