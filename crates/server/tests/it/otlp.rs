//! OTLP over HTTP: what real agents sent, byte for byte, and what nobody should.

use std::{fs, io::Write, path::PathBuf, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use turnwire_adapters::otlp::{Signal, to_protobuf};
use turnwire_log::{faulty::Faulty, memory::MemoryLog};
use turnwire_proto::limits;

use crate::world::{Reply, World, chunked};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

/// One request as it was recorded.
struct Recorded {
    file: String,
    signal: Signal,
    media_type: &'static str,
    body: Vec<u8>,
}

impl Recorded {
    fn url(&self) -> &'static str {
        url(self.signal)
    }
}

const fn url(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/v1/logs",
        Signal::Traces => "/v1/traces",
        Signal::Metrics => "/v1/metrics",
    }
}

fn recorded() -> Vec<Recorded> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../adapters/fixtures");
    let mut all = Vec::new();
    let mut folders: Vec<_> = ["claude-otlp", "codex-otlp", "gemini-otlp", "genai-otlp"]
        .map(|folder| fixtures.join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let signal = match &file {
                file if file.contains("-logs.") => Signal::Logs,
                file if file.contains("-traces.") => Signal::Traces,
                file if file.contains("-metrics.") => Signal::Metrics,
                _ => continue,
            };
            let media_type = match path.extension().unwrap().to_str().unwrap() {
                "json" => JSON,
                "pb" => PROTOBUF,
                _ => continue,
            };
            let body = fs::read(&path).unwrap();
            all.push(Recorded {
                file,
                signal,
                media_type,
                body,
            });
        }
    }
    assert!(all.len() >= 14, "the recordings are there");
    all
}

fn one(ending: &str) -> Recorded {
    recorded().into_iter().find(|one| one.file.ends_with(ending)).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

impl World {
    async fn otlp(&self, signal: Signal, media_type: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask(self.request("POST", url(signal), media_type, body)).await
    }

    async fn otlp_packed(&self, signal: Signal, encoding: &str, body: &[u8]) -> Reply {
        let head = self.head("POST", url(signal));
        let mut request = format!(
            "{head}Content-Type: {PROTOBUF}\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.ask(request).await
    }
}

/// An event without what the log gives it.
fn told(mut event: Value) -> Value {
    event.as_object_mut().unwrap().remove("seq");
    event
}

#[tokio::test]
async fn every_recorded_request_gives_the_same_events_in_both_encodings() {
    let (as_sent, other) = (World::start().await, World::start().await);
    for one in recorded() {
        let reply = as_sent.otlp(one.signal, one.media_type, &one.body).await;
        assert_eq!(
            (reply.status, &*reply.headers["content-type"]),
            (200, one.media_type),
            "{}",
            one.file
        );
        assert_eq!(reply.text(), if one.media_type == JSON { "{}" } else { "" });
        // The JSON ones as protobuf, packed; the protobuf ones once more, in pieces.
        let reply = if one.media_type == JSON {
            let body = to_protobuf(one.signal, &one.body).unwrap();
            other.otlp_packed(one.signal, "gzip", &gzip(&body)).await
        } else {
            let head = other.head("POST", one.url());
            let mut request =
                format!("{head}Content-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
            request.extend(chunked(one.body.chunks(1000)));
            other.ask(request).await
        };
        assert_eq!((reply.status, reply.text().as_str()), (200, ""), "{}", one.file);
    }
    let events = |all: Vec<Value>| -> Vec<Value> { all.into_iter().map(told).collect() };
    let (first, second) = (events(as_sent.all().await), events(other.all().await));
    assert!(first.len() > 250, "{}", first.len());
    // An empty record has no time of its own.
    let timeless = |event: &Value| event["data"]["what"] == "log record" && event["data"]["unknown"] == true;
    let compare =
        |events: &[Value]| -> Vec<Value> { events.iter().filter(|event| !timeless(event)).cloned().collect() };
    assert_eq!(compare(&first), compare(&second));
}

#[tokio::test]
async fn a_request_that_comes_again_writes_nothing_and_what_it_tells_is_in_the_session() {
    let world = World::start().await;
    let logs = one("claude-otlp/http-json-details/002-logs.json");
    for _ in 0..2 {
        assert_eq!(world.otlp(Signal::Logs, JSON, &logs.body).await.status, 200);
    }
    let head = world.head_seq().await;
    assert_eq!(world.all().await.len() as u64, head);
    let session = world
        .get("/api/sessions/6579de9f-731a-499b-ad50-d785fde0f992")
        .await
        .ok();
    for (field, value) in [
        ("source", json!("claude-otlp")),
        ("agent", json!("claude-code")),
        ("model", json!("claude-sonnet-4-5")),
        ("tool_calls", json!(4)),
        ("tool_failures", json!(1)),
        ("turns", json!(1)),
        (
            "title",
            json!("Print hello, read notes.txt, write summary.md, then list a missing folder."),
        ),
    ] {
        assert_eq!(session[field], value, "{field}: {session}");
    }
    let calls = world
        .get("/api/sessions/6579de9f-731a-499b-ad50-d785fde0f992/tool-calls")
        .await
        .ok();
    let shown: Vec<_> = calls["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (&call["tool"], &call["outcome"], &call["duration_ms"]))
        .collect();
    // The newest first.
    let expected = [
        ("Bash", "failed", 11),
        ("Write", "ok", 5),
        ("Read", "ok", 9),
        ("Bash", "ok", 30),
    ];
    assert_eq!(json!(shown), json!(expected));
    world.metric("turnwire_otlp_records_total{signal=\"logs\"} 42").await;
}

#[tokio::test]
async fn an_application_by_the_conventions_is_a_turn_with_its_calls() {
    let world = World::start().await;
    let spans = one("genai-otlp/documented/001-traces.json");
    let logs = one("genai-otlp/documented/002-logs.json");
    // In either order: what both tell is told once.
    for one in [&logs, &spans] {
        assert_eq!(world.otlp(one.signal, JSON, &one.body).await.status, 200);
    }
    let session = world.get("/api/sessions/conv_5j66").await.ok();
    assert_eq!(
        (&session["turns"], &session["tool_calls"]),
        (&json!(1), &json!(2)),
        "{session}"
    );
    assert_eq!(session["usage"]["output_tokens"], 52 + 9 + 2, "{session}");
    let turns = world.get("/api/sessions/conv_5j66/turns").await.ok();
    let turn = &turns["turns"][0];
    assert_eq!(
        (&turn["ok"], &turn["prompt"], &turn["duration_ms"]),
        (&json!(true), &json!("What is the weather in Paris?"), &json!(1450)),
        "{turn}"
    );
}

#[tokio::test]
async fn what_a_token_may_not_publish_is_rejected_and_counted_and_the_rest_is_written() {
    let world = World::start().await;
    let token = world.token(&["publish:session:a"]).await;
    let record = |session: &str| {
        json!({"body": {"stringValue": "x"}, "timeUnixNano": "5",
        "attributes": [{"key": "session.id", "value": {"stringValue": session}}]})
    };
    let logs = |records: Value| json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).to_string();
    let both = logs(json!([record("a"), record("b"), record("c")]));
    let reply = world
        .ask(world.request_by(&token, "POST", "/v1/logs", JSON, &both))
        .await;
    let partial = &reply.ok()["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], "2");
    assert!(
        partial["errorMessage"].as_str().unwrap().contains("session c"),
        "{partial}"
    );
    assert_eq!(world.all().await.len(), 1);
    let protobuf = to_protobuf(Signal::Logs, both.as_bytes()).unwrap();
    let reply = world
        .ask(world.request_by(&token, "POST", "/v1/logs", PROTOBUF, &protobuf))
        .await;
    // Field 1 of the response, and in it field 1: two.
    assert_eq!(
        (reply.status, reply.body[0], &reply.body[2..4]),
        (200, 0x0a, &[0x08, 2][..])
    );
    let others = logs(json!([record("b")]));
    let reply = world
        .ask(world.request_by(&token, "POST", "/v1/logs", JSON, &others))
        .await;
    assert_eq!((reply.status, status(&reply)), (403, 7));
}

/// The code of a `google.rpc.Status`, in either encoding.
fn status(reply: &Reply) -> u64 {
    if reply.headers["content-type"] == JSON {
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
        assert_eq!(body["error"]["message"], body["message"]);
        return body["code"].as_u64().unwrap();
    }
    assert_eq!((&*reply.headers["content-type"], reply.body[0]), (PROTOBUF, 0x08));
    assert!(reply.body.len() > 4, "there is a message");
    reply.body[1].into()
}

#[tokio::test]
async fn a_body_that_is_no_request_is_400_in_its_own_encoding_and_nothing_is_written() {
    let world = World::start().await;
    let good = one("claude-otlp/http-protobuf/001-logs.pb").body;
    let json = one("codex-otlp/http-json/004-logs.json").body;
    let deep = [b"{\"resourceLogs\":".as_slice(), &b"[".repeat(5000)].concat();
    let corpus: Vec<(&str, Vec<u8>)> = vec![
        (JSON, b"{".to_vec()),
        (JSON, b"null".to_vec()),
        (JSON, b"[]".to_vec()),
        (JSON, good.clone()),
        (JSON, deep),
        (JSON, json[..json.len() / 2].to_vec()),
        (JSON, br#"{"resourceLogs":{}}"#.to_vec()),
        (
            JSON,
            br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"spanId":"xyz*"}]}]}]}"#.to_vec(),
        ),
        (PROTOBUF, good[..good.len() - 3].to_vec()),
        (PROTOBUF, json.clone()),
        (PROTOBUF, vec![0xff; 64]),
        (PROTOBUF, vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ];
    for (media_type, body) in corpus {
        let reply = world.otlp(Signal::Logs, media_type, &body).await;
        assert_eq!(
            (reply.status, status(&reply)),
            (400, 3),
            "{media_type} {:?}",
            &body[..body.len().min(40)]
        );
    }
    let reply = world.otlp_packed(Signal::Logs, "gzip", &good).await;
    assert_eq!((reply.status, status(&reply)), (400, 3));
    let packed = gzip(&good);
    let reply = world
        .otlp_packed(Signal::Logs, "gzip", &packed[..packed.len() / 2])
        .await;
    assert_eq!((reply.status, status(&reply)), (400, 3));
    assert_eq!(world.head_seq().await, 0);
}

#[tokio::test]
async fn what_is_too_large_is_413_also_when_it_is_small_until_it_is_unpacked() {
    let world = World::start().await;
    let large = vec![b' '; limits::OTLP_BYTES + 1];
    let bomb = gzip(&large);
    assert!(bomb.len() < 20_000);
    let reply = world.otlp_packed(Signal::Logs, "gzip", &bomb).await;
    assert_eq!((reply.status, status(&reply)), (413, 8));
    let reply = world.otlp(Signal::Logs, JSON, &large).await;
    assert_eq!((reply.status, status(&reply)), (413, 8));
    // Records of two bytes each.
    let many = [
        &[0x0a, 0xa4, 0x93, 0x0c, 0x12, 0xa0, 0x93, 0x0c][..],
        &[0x12, 0].repeat(100_000),
    ]
    .concat();
    let reply = world.otlp(Signal::Logs, PROTOBUF, &many).await;
    assert_eq!((reply.status, status(&reply)), (413, 8));
    assert_eq!(world.head_seq().await, 0);
}

#[tokio::test]
async fn another_type_or_packing_is_415_and_who_may_not_is_told_in_the_encoding() {
    let world = World::start().await;
    for media_type in ["text/plain", "application/x-ndjson", "application/grpc"] {
        let reply = world.otlp(Signal::Logs, media_type, "{}").await;
        reply.refused_field(415, "bad_media_type", "content-type");
    }
    let reply = world.otlp_packed(Signal::Logs, "zstd", b"").await;
    assert_eq!((reply.status, status(&reply)), (415, 3));
    let reading = world.token(&["read"]).await;
    for (token, code, http) in [(&*reading, 7, 403), ("tw_no", 16, 401)] {
        for media_type in [JSON, PROTOBUF] {
            let reply = world
                .ask(world.request_by(token, "POST", "/v1/traces", media_type, "{}"))
                .await;
            assert_eq!((reply.status, status(&reply)), (http, code), "{media_type}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_busy_or_broken_is_503_with_retry_after() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let world = World::over(|_| {}, |_| Some(Arc::new(log))).await;
    let logs = one("claude-otlp/http-protobuf/001-logs.pb").body;
    faults.busy(1);
    let reply = world.otlp(Signal::Logs, PROTOBUF, &logs).await;
    assert_eq!((reply.status, status(&reply)), (503, 14));
    assert_eq!(reply.headers["retry-after"], "1");
    let reply = world.otlp(Signal::Logs, PROTOBUF, &logs).await;
    assert_eq!(reply.status, 200);
}
