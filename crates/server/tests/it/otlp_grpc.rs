//! OTLP over gRPC: what its port answers to calls that no SDK makes. SDKs themselves are in `cli/tests/sdks`.

use std::{net::SocketAddr, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use tokio::net::TcpStream;
use turnwire_adapters::otlp::{Signal, to_protobuf};
use turnwire_log::{Log, faulty::Faulty, memory::MemoryLog};
use turnwire_proto::limits;

use crate::world::{World, within};

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// What came of a call.
#[derive(Debug)]
struct Answer {
    http: u16,
    /// Those of the head, and those behind the body.
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.headers["grpc-status"].to_str().unwrap()
    }

    fn message(&self) -> &str {
        self.headers["grpc-message"].to_str().unwrap()
    }
}

/// A server with a port for gRPC, and that port.
async fn served() -> (World, SocketAddr) {
    served_over(|_| None).await
}

/// The same over another log.
async fn served_over(log: impl FnOnce(&Path) -> Option<Arc<dyn Log>>) -> (World, SocketAddr) {
    let world = World::over(|config| config.otlp_grpc = Some("127.0.0.1:0".parse().unwrap()), log).await;
    let url = world.server().ready().otlp_grpc.clone().unwrap();
    let at = url.strip_prefix("http://").unwrap().parse().unwrap();
    (world, at)
}

async fn connect(at: SocketAddr) -> SendRequest<Bytes> {
    let socket = TcpStream::connect(at).await.unwrap();
    let (client, connection) = handshake(socket).await.unwrap();
    // It ends with the client.
    #[expect(clippy::disallowed_methods, reason = "a test has no server's tasks")]
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

async fn call(at: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut client = connect(at).await;
    let mut request = Request::post(format!("http://{at}{path}")).header("te", "trailers");
    let typed = headers.iter().any(|(name, _)| *name == "content-type");
    if !typed {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    // A server that refuses the head need not take the body.
    let _ = stream.send_data(body.into(), true);
    within("an answer", async {
        let (head, mut body) = response.await.unwrap().into_parts();
        let (mut headers, mut bytes) = (head.headers, Vec::new());
        while let Some(Ok(piece)) = body.data().await {
            let _ = body.flow_control().release_capacity(piece.len());
            bytes.extend_from_slice(&piece);
        }
        headers.extend(body.trailers().await.ok().flatten().unwrap_or_default());
        Answer {
            http: head.status.as_u16(),
            headers,
            body: bytes,
        }
    })
    .await
}

/// A message with its prefix.
fn framed(packed: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![packed];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

fn logs(session: &str) -> Vec<u8> {
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"x"}},"timeUnixNano":"5",
            "attributes":[{{"key":"session.id","value":{{"stringValue":"{session}"}}}}]}}]}}]}}]}}"#
    );
    to_protobuf(Signal::Logs, json.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_call_is_answered_when_it_is_on_disk_and_one_that_comes_again_writes_nothing() {
    let (world, at) = served().await;
    let bearer = format!("Bearer {}", world.admin);
    for _ in 0..2 {
        let answer = call(at, LOGS, &[("authorization", &bearer)], framed(0, &logs("a"))).await;
        assert_eq!((answer.http, answer.status()), (200, "0"), "{answer:?}");
        assert_eq!(answer.body, framed(0, b""));
        assert_eq!(world.head_seq().await, 1);
    }
    // The same over HTTP is the same.
    let request = world.request("POST", "/v1/logs", "application/x-protobuf", logs("a"));
    assert_eq!(world.ask(request).await.status, 200);
    assert_eq!(world.head_seq().await, 1);
}

#[tokio::test]
async fn who_may_not_is_told_and_what_a_token_may_not_publish_is_partial() {
    let (world, at) = served().await;
    let answer = call(at, LOGS, &[], framed(0, &logs("a"))).await;
    assert_eq!((answer.http, answer.status()), (200, "16"), "{answer:?}");
    let reading = format!("Bearer {}", world.token(&["read"]).await);
    let answer = call(at, LOGS, &[("authorization", &reading)], framed(0, &logs("a"))).await;
    assert_eq!(answer.status(), "7");
    let one = format!("Bearer {}", world.token(&["publish:session:a"]).await);
    let both = [logs("a"), logs("b")].concat();
    let answer = call(at, LOGS, &[("authorization", &one)], framed(0, &both)).await;
    assert_eq!(answer.status(), "0");
    // Behind the prefix: field 1, and in it field 1: one.
    assert_eq!(
        (answer.body[5], &answer.body[7..9]),
        (0x0a, &[0x08, 1][..]),
        "{answer:?}"
    );
    assert_eq!(world.all().await.len(), 1);
}

#[tokio::test]
async fn a_call_that_is_none_is_refused_by_its_status_and_nothing_is_written() {
    let (world, at) = served().await;
    let bearer = format!("Bearer {}", world.admin);
    let by = ("authorization", &*bearer);
    let good = framed(0, &logs("a"));
    for (body, status) in [
        (Vec::new(), "3"),
        (good[..3].to_vec(), "3"),
        (good[..good.len() - 1].to_vec(), "3"),
        ([good.clone(), good.clone()].concat(), "3"),
        (framed(7, b""), "3"),
        (framed(0, b"\xff\xff"), "3"),
        // Packed, and nobody says how.
        (framed(1, &logs("a")), "12"),
        (framed(0, &vec![0; limits::OTLP_BYTES + 1]), "8"),
    ] {
        let answer = call(at, LOGS, &[by], body).await;
        assert_eq!((answer.http, answer.status()), (200, status), "{answer:?}");
        assert!(!answer.message().is_empty());
    }
    let answer = call(at, LOGS, &[by, ("grpc-encoding", "gzip")], framed(1, b"no gzip")).await;
    assert_eq!(answer.status(), "3");
    let answer = call(
        at,
        "/opentelemetry.proto.collector.profiles.v1/Export",
        &[by],
        good.clone(),
    )
    .await;
    assert_eq!(answer.status(), "12");
    let answer = call(at, "/api/events", &[by], b"[]".to_vec()).await;
    assert_eq!(answer.status(), "12", "the port answers nothing else");
    let answer = call(at, LOGS, &[by, ("content-type", "application/json")], good).await;
    assert_eq!(answer.http, 415);
    assert_eq!(world.head_seq().await, 0);
}

/// O8, byte by byte: `google.rpc.Status {14, message, [Any {type_url, RetryInfo {Duration {1 s}}}]}`.
#[tokio::test]
async fn a_log_that_is_busy_says_when_to_come_back() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let (world, at) = served_over(|_| Some(Arc::new(log))).await;
    let bearer = format!("Bearer {}", world.admin);
    faults.busy(1);
    let answer = call(at, LOGS, &[("authorization", &bearer)], framed(0, &logs("a"))).await;
    assert_eq!(answer.status(), "14", "{answer:?}");
    let details = STANDARD_NO_PAD
        .decode(&answer.headers["grpc-status-details-bin"])
        .unwrap();
    let (message, url) = (answer.message(), "type.googleapis.com/google.rpc.RetryInfo");
    let any = [
        &[1 << 3 | 2, 40],
        url.as_bytes(),
        &[2 << 3 | 2, 4, 1 << 3 | 2, 2, 1 << 3, 1],
    ]
    .concat();
    let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
    let status = [
        &[1 << 3, 14, 2 << 3 | 2, length(message.as_bytes())],
        message.as_bytes(),
        &[3 << 3 | 2, length(&any)],
        &any,
    ];
    assert_eq!(details, status.concat());
    // What is wrong by itself is not to be sent again.
    let answer = call(at, LOGS, &[("authorization", &bearer)], framed(7, b"")).await;
    assert!(!answer.headers.contains_key("grpc-status-details-bin"), "{answer:?}");
}

#[tokio::test]
async fn its_port_has_the_rules_of_the_other() {
    let mut config = turnwire_server::Config::new(std::env::temp_dir().join("not-made"));
    config.listen.set_port(0);
    config.otlp_grpc = Some("0.0.0.0:0".parse().unwrap());
    let error = turnwire_server::Server::start(config).await.unwrap_err().to_string();
    assert!(error.contains("0.0.0.0") && error.contains("--allow-remote"), "{error}");
    // A foreign name is not pointed at it.
    let (world, at) = served().await;
    let mut client = connect(at).await;
    let bearer = format!("Bearer {}", world.admin);
    let request = Request::post(format!("http://evil.example{LOGS}"))
        .header("content-type", "application/grpc")
        .header("authorization", &bearer);
    let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(within("an answer", response).await.unwrap().status(), 403);
}
