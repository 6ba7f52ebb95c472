//! HTTP itself: what is not HTTP, what is odd, and what is another version of it.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{World, note, within};

async fn unharmed(world: &World) {
    assert_eq!(world.head_seq().await, 0, "nothing was written");
    world.publish(&note("a", "fine")).await;
}

#[tokio::test]
async fn what_is_not_http_is_answered_400_and_closed() {
    let world = World::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /api/events\r\n\r\n",
        b"GET /api/events HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /api/events HTTP/1.1\r\n: no name\r\n\r\n",
        b"GET /api/events HTTP/1.1\r\nbad name: x\r\n\r\n",
        b"GET /api/\x00events HTTP/1.1\r\n\r\n",
        b"GET /api/events HTTP/9.9\r\n\r\n",
    ] {
        let mut wire = world.wire().await;
        wire.send(bytes).await;
        let reply = wire.reply().await;
        reply.refused(400, "bad_request");
        assert!(wire.rest().await.is_empty(), "the connection ends");
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_431_with_the_limit() {
    let world = World::start().await;
    let head = world.head("GET", "/api/events");
    let long = format!("{head}X: {}\r\n\r\n", "x".repeat(40 * 1024));
    assert_eq!(
        world.ask(&long).await.refused_field(431, "head_too_large", "head")["limit"],
        32 * 1024
    );
    let endless = format!("{head}X: {}", "x".repeat(40 * 1024));
    assert_eq!(
        world.ask(&endless).await.refused_field(431, "head_too_large", "head")["limit"],
        32 * 1024
    );
    let many = format!("{head}{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(
        world.ask(&many).await.refused_field(431, "head_too_large", "head")["limit"],
        64
    );
    let long_url = format!(
        "GET /api/events?q={} HTTP/1.1\r\nHost: x\r\n\r\n",
        "x".repeat(40 * 1024)
    );
    world.ask(&long_url).await.refused(431, "head_too_large");
    unharmed(&world).await;
}

#[tokio::test]
async fn a_length_that_can_be_read_in_two_ways_is_refused() {
    let world = World::start().await;
    let (head, body) = (world.head("POST", "/api/events"), note("a", "x").to_string());
    let length = body.len();
    for (lines, field) in [
        (
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            "transfer-encoding",
        ),
        (
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            "transfer-encoding",
        ),
        (
            format!("Content-Length: {length}\r\nContent-Length: 5\r\n\r\n{body}"),
            "content-length",
        ),
        (
            format!("Content-Length: 5\r\nContent-Length: {length}\r\n\r\n{body}"),
            "content-length",
        ),
        (format!("Content-Length: {length}, 5\r\n\r\n{body}"), "content-length"),
        (format!("Content-Length: +{length}\r\n\r\n{body}"), "content-length"),
        (format!("Content-Length: -1\r\n\r\n{body}"), "content-length"),
        (
            format!("Content-Length: 99999999999999999999999\r\n\r\n{body}"),
            "content-length",
        ),
        (format!("Content-Length: \r\n\r\n{body}"), "content-length"),
    ] {
        let mut wire = world.wire().await;
        wire.send(format!("{head}Content-Type: application/json\r\n{lines}"))
            .await;
        let reply = wire.reply().await;
        reply.refused_field(400, "bad_request", field);
        assert!(wire.rest().await.is_empty(), "the connection ends");
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn a_bad_chunk_writes_nothing() {
    let world = World::start().await;
    let (head, body) = (world.head("POST", "/api/events"), note("a", "x").to_string());
    for chunks in [
        format!("zz\r\n{body}\r\n0\r\n\r\n"),
        format!("{:x}\r\n{body}0\r\n\r\n", body.len()),
        "ffffffffffffffffff\r\n".to_owned() + &body,
        format!("-5\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let mut wire = world.wire().await;
        wire.send(format!(
            "{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ))
        .await;
        wire.end().await;
        let answer = wire.rest().await;
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn http_1_0_is_served() {
    let world = World::start().await;
    let body = note("a", "old").to_string();
    let head = |method: &str, url: &str| world.head(method, url).replace("HTTP/1.1", "HTTP/1.0");
    let mut wire = world.wire().await;
    wire.send(format!(
        "{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        head("POST", "/api/events"),
        body.len()
    ))
    .await;
    assert_eq!(wire.reply().await.ok()["written"], 1);
    let mut wire = world.wire().await;
    wire.send(format!("{}\r\n", head("GET", "/api/events?after=0"))).await;
    let mut stream = crate::world::Stream::open(wire).await;
    assert!(
        !stream.head.headers.contains_key("transfer-encoding"),
        "HTTP/1.0 knows no chunks"
    );
    assert_eq!(stream.event().await["data"]["text"], "old");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let world = World::start().await;
    let body = note("a", "x").to_string();
    let mut wire = world.wire().await;
    let head = world.head("POST", "/api/events");
    wire.send(format!(
        "{head}Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ))
    .await;
    assert_eq!(wire.reply_head().await.unwrap().status, 100);
    wire.send(&body).await;
    assert_eq!(wire.reply().await.ok()["written"], 1);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A header that is neither indexed nor compressed.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127);
        out.push(u8::try_from(text.len()).unwrap());
        out.extend(text.bytes());
    }
    out
}

#[tokio::test]
async fn http_2_without_an_upgrade_is_served() {
    let world = World::start().await;
    world.publish(&note("a", "new")).await;
    let headers = [
        header(":method", "GET"),
        header(":scheme", "http"),
        header(":path", "/api/events?after=0"),
        header(":authority", &world.at.to_string()),
        header("authorization", &format!("Bearer {}", world.admin)),
    ];
    let mut wire = world.wire().await;
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    wire.send([frame(4, 0, 0, b""), frame(1, 5, 1, &headers.concat())].concat())
        .await;
    let (mut ok, mut data) = (false, Vec::new());
    while !String::from_utf8_lossy(&data).contains("\"text\":\"new\"") {
        let head = wire.exactly(9).await;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = wire.exactly(length).await;
        match (head[3], head[8]) {
            // The first byte is the status, 200 by its index in the static table.
            (1, 1) => ok = payload[0] == 0x88,
            (0, 1) => data.extend(payload),
            (3 | 7, _) => panic!("the stream was refused"),
            _ => {}
        }
    }
    assert!(ok);
    let text = String::from_utf8(data).unwrap();
    assert!(text.starts_with("retry: ") && text.contains("event: hello\n"), "{text}");
    assert_eq!(json!(text.contains("\nid: 1\n")), json!(true));
}

/// The status of the answer to a request that is sent to its end before anything is read. No reset on the way.
async fn status_after_all_is_sent(world: &World, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(world.at).await.unwrap();
    let mut answer = String::new();
    within("an answer and the end", async {
        socket.write_all(request).await.expect("what is sent is taken");
        socket
            .read_to_string(&mut answer)
            .await
            .expect("the connection ends, and is not reset");
    })
    .await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_client_that_is_still_sending_when_it_is_refused_reads_the_whole_answer() {
    let world = World::with(|config| config.limits.connections = 1).await;
    let long = vec![b'x'; 1 << 20];
    let bad = [&b"\x16\x03\x01 this is not HTTP\r\n\r\n"[..], &long].concat();
    assert_eq!(status_after_all_is_sent(&world, &bad).await, "400");
    let head = world.head("GET", "/api/events").into_bytes();
    let endless = [&head[..], b"X-Long: ", &long].concat();
    within("room", async {
        while status_after_all_is_sent(&world, &endless).await != "431" {}
    })
    .await;
    let mut held = world.wire().await;
    within("room", async {
        loop {
            held.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
            if held.reply().await.status == 200 {
                break;
            }
            held = world.wire().await;
        }
    })
    .await;
    let publish = world.request("POST", "/api/events", "application/json", long);
    assert_eq!(status_after_all_is_sent(&world, &publish).await, "503");
}
