//! A stand-in for a vendor's model: speaks Anthropic's Messages API, streamed, and says what a test has written for it.
//!
//! What is due is told by what the user said last, by how many results of tools came since, and by how often the same was asked before.
//! Requests beside the conversation (without tools) get a word.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use serde_json::{Value, json};

/// What the model says next.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It asks for a tool.
    Tool { name: &'static str, input: Value },
    /// It asks for several at once, each with its id.
    Tools(Vec<(&'static str, &'static str, Value)>),
    /// It has done.
    Text(&'static str),
    /// It says the first half, and the second when the gate is opened.
    Halves(&'static str, &'static str, Gate),
    /// It refuses, with this status and this error.
    Error(u16, &'static str, &'static str),
}

/// Where a reply waits for the test.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Mutex<Receiver<()>>>);

impl Gate {
    /// A gate, and who opens it.
    pub(crate) fn new() -> (Self, Sender<()>) {
        let (sender, receiver) = channel();
        (Self(Arc::new(Mutex::new(receiver))), sender)
    }

    fn pass(&self) {
        // A test that is over opens nothing any more.
        let _ = self.0.lock().unwrap().recv();
    }
}

/// What a request asks.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What the user said last.
    pub(crate) prompt: String,
    /// Results of tools since.
    pub(crate) results: usize,
    /// How often the same was asked before.
    pub(crate) times: usize,
    pub(crate) model: String,
    /// Messages of the conversation.
    pub(crate) messages: usize,
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Model {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    times: Mutex<HashMap<(String, usize), usize>>,
}

pub(crate) struct ModelServer {
    pub(crate) url: String,
    model: Arc<Model>,
}

impl ModelServer {
    /// Answers with `replies`, each after the result of the one before.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        Self::script(move |asked| {
            replies
                .get(asked.results)
                .cloned()
                .unwrap_or(Reply::Text("nothing more"))
        })
    }

    /// Answers what the script says.
    pub(crate) fn script(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let model = Arc::new(Model {
            script: Box::new(script),
            asked: Mutex::default(),
            times: Mutex::default(),
        });
        let shared = Arc::clone(&model);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let model = Arc::clone(&shared);
                std::thread::spawn(move || connection(socket.unwrap(), &model));
            }
        });
        Self { url, model }
    }

    /// What was asked so far, of the conversation alone.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.model.asked.lock().unwrap().clone()
    }
}

/// One request after another; an end or nonsense ends it.
fn connection(socket: TcpStream, model: &Model) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut writer = socket;
    loop {
        let (line, body) = request(&mut reader)?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let head = line.starts_with("HEAD ");
        match line.split(['?', ' ']).nth(1) {
            Some("/v1/messages") if asked["stream"] == true => stream(&asked, model, &mut writer)?,
            Some("/v1/messages") => whole(200, &message(&asked, "ok"), head, &mut writer)?,
            Some("/v1/messages/count_tokens") => whole(200, &json!({"input_tokens": 10}), head, &mut writer)?,
            _ => whole(200, &json!({}), head, &mut writer)?,
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if first.is_empty() {
            first = line;
        } else if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn whole(status: u16, body: &Value, head: bool, writer: &mut impl Write) -> Option<()> {
    let body = body.to_string();
    let length = body.len();
    // A vendor's client tries an error again unless it is told not to.
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nx-should-retry: false\r\ncontent-length: {length}\r\n\r\n"
    );
    writer.write_all(answer.as_bytes()).ok()?;
    if head {
        return Some(());
    }
    writer.write_all(body.as_bytes()).ok()
}

fn message(asked: &Value, text: &str) -> Value {
    json!({
        "id": "msg_whole", "type": "message", "role": "assistant", "model": asked["model"],
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 1},
    })
}

/// What the user said last, and how many results came since. What the program adds by itself is not the user's.
fn last(asked: &Value) -> (String, usize) {
    let mut results = 0;
    for message in asked["messages"].as_array().into_iter().flatten().rev() {
        if message["role"] != "user" {
            continue;
        }
        if let Some(text) = message["content"].as_str() {
            return (text.to_owned(), results);
        }
        for block in message["content"].as_array().into_iter().flatten().rev() {
            let text = block["text"].as_str().unwrap_or_default();
            if block["type"] == "tool_result" {
                results += 1;
            } else if block["type"] == "text" && !text.contains("<system-reminder>") {
                return (text.to_owned(), results);
            }
        }
    }
    (String::new(), results)
}

impl Model {
    fn reply(&self, asked: &Value) -> Reply {
        if asked["tools"].as_array().is_none_or(Vec::is_empty) {
            return Reply::Text("ok");
        }
        let (prompt, results) = last(asked);
        let times = {
            let mut all = self.times.lock().unwrap();
            let times = all.entry((prompt.clone(), results)).or_default();
            *times += 1;
            *times - 1
        };
        let asked = Asked {
            prompt,
            results,
            times,
            model: asked["model"].as_str().unwrap_or_default().to_owned(),
            messages: asked["messages"].as_array().map_or(0, Vec::len),
        };
        self.asked.lock().unwrap().push(asked.clone());
        (self.script)(&asked)
    }
}

fn stream(asked: &Value, model: &Model, writer: &mut impl Write) -> Option<()> {
    let reply = model.reply(asked);
    if let Reply::Error(status, kind, text) = reply {
        let error = json!({"type": "error", "error": {"type": kind, "message": text}});
        return whole(status, &error, false, writer);
    }
    let number = asked["messages"].as_array().map_or(0, Vec::len);
    let said = |pieces: &[&str]| {
        let deltas = pieces.iter().map(|text| json!({"type": "text_delta", "text": text}));
        (json!({"type": "text", "text": ""}), deltas.collect::<Vec<_>>())
    };
    let called = |id: &str, name: &str, input: &Value| {
        let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
        (
            json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
            vec![delta],
        )
    };
    let (blocks, gate, stop) = match &reply {
        Reply::Halves(first, second, gate) => (vec![said(&[first, second])], Some(gate), "end_turn"),
        Reply::Tool { name, input } => (
            vec![called(&format!("toolu_{number:04}"), name, input)],
            None,
            "tool_use",
        ),
        Reply::Tools(calls) => {
            let blocks = calls.iter().map(|(id, name, input)| called(id, name, input));
            (blocks.collect(), None, "tool_use")
        }
        Reply::Text(text) => (vec![said(&[text])], None, "end_turn"),
        Reply::Error(..) => return None,
    };
    let message = json!({
        "id": format!("msg_{number:04}"), "type": "message", "role": "assistant", "model": asked["model"],
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 1},
    });
    writer
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .ok()?;
    event(&json!({"type": "message_start", "message": message}), writer)?;
    for (index, (block, deltas)) in blocks.iter().enumerate() {
        let begin = json!({"type": "content_block_start", "index": index, "content_block": block});
        event(&begin, writer)?;
        for (n, delta) in deltas.iter().enumerate() {
            if let (1, Some(gate)) = (n, gate) {
                gate.pass();
            }
            let piece = json!({"type": "content_block_delta", "index": index, "delta": delta});
            event(&piece, writer)?;
        }
        event(&json!({"type": "content_block_stop", "index": index}), writer)?;
    }
    let end = json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 20}});
    event(&end, writer)?;
    event(&json!({"type": "message_stop"}), writer)?;
    writer.write_all(b"0\r\n\r\n").ok()
}

fn event(event: &Value, writer: &mut impl Write) -> Option<()> {
    let frame = format!("event: {}\ndata: {event}\n\n", event["type"].as_str()?);
    let chunk = format!("{:x}\r\n{frame}\r\n", frame.len());
    writer.write_all(chunk.as_bytes()).ok()?;
    writer.flush().ok()
}
