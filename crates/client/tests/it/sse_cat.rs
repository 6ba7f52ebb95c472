//! The promises of the `sse_cat` example: what the standard says of coming back.

use clap::Parser as _;

use crate::scripted::{Reply, Scripted, Then, answer, serve, stream};

#[path = "../../examples/sse_cat.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod example;

/// Runs it on these replies until it ends by itself: its lines, how it ended, and the server.
async fn cat_with(args: &[&str], replies: Vec<Reply>) -> (Vec<String>, anyhow::Result<()>, Scripted) {
    let server = serve(replies);
    let mut all = vec!["sse_cat".to_owned(), server.url() + "/s"];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    let mut out = Vec::new();
    let ended = example::run(example::Args::parse_from(all), &mut out).await;
    let lines = String::from_utf8(out).unwrap().lines().map(str::to_owned).collect();
    (lines, ended, server)
}

async fn cat(replies: Vec<Reply>) -> (Vec<String>, anyhow::Result<()>, Scripted) {
    cat_with(&[], replies).await
}

fn no_content() -> Reply {
    answer("204 No Content", "", "")
}

#[tokio::test]
async fn each_event_is_a_line_and_a_204_ends_it() {
    let body = "retry: 10\ndata: a\"\\é\ndata:  b\nid: …1\n\n: x\nevent: e\ndata\n\nid: 3\n\ndata: cut";
    let (lines, ended, server) = cat_with(
        &["--header", "X-One: 1", "--header", "Authorization: Bearer t:1"],
        vec![stream(body, Then::Close), no_content()],
    )
    .await;
    assert_eq!(
        lines,
        [
            r#"{"type":"message","data":"a\"\\é\n b","lastEventId":"…1"}"#,
            r#"{"type":"e","data":"","lastEventId":"…1"}"#,
        ]
    );
    ended.unwrap();
    let (first, second) = (server.request().to_lowercase(), server.request().to_lowercase());
    assert!(
        first.starts_with("get /s http/1.1\r\n") && !first.contains("last-event-id"),
        "{first}"
    );
    for request in [first, second.clone()] {
        assert!(request.contains("accept: text/event-stream\r\n"), "{request}");
        assert!(
            request.contains("x-one: 1\r\n") && request.contains("authorization: bearer t:1\r\n"),
            "{request}"
        );
    }
    assert!(second.contains("last-event-id: 3\r\n"), "{second}");
}

#[tokio::test]
async fn the_last_event_id_outlives_connections_and_is_told_as_utf_8() {
    let (lines, ended, server) = cat(vec![
        stream("retry: 10\nid: …\ndata: a\n\ndata: b\nid: not yet\n", Then::Close),
        // No answer, and an answer that breaks off: both are mended.
        Reply::new("", Then::Close),
        Reply::new(
            "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\nContent-Length: 99\r\n\r\ndata: c\n\n",
            Then::Close,
        ),
        stream("id\ndata: d\n\n", Then::Close),
        no_content(),
    ])
    .await;
    assert_eq!(
        lines,
        [
            r#"{"type":"message","data":"a","lastEventId":"…"}"#,
            r#"{"type":"message","data":"c","lastEventId":"…"}"#,
            r#"{"type":"message","data":"d","lastEventId":""}"#,
        ]
    );
    ended.unwrap();
    server.request();
    for _ in 0..3 {
        let request = server.request();
        assert!(request.contains("last-event-id: …\r\n"), "{request}");
    }
    let request = server.request();
    assert!(!request.contains("last-event-id"), "it was reset: {request}");
}

#[tokio::test]
async fn what_is_not_an_event_stream_fails_it() {
    for (reply, why) in [
        (answer("500 Internal Server Error", "", ""), "the server answered 500"),
        (
            answer("201 Created", "Content-Type: text/event-stream\r\n", "data: x\n\n"),
            "answered 201",
        ),
        (
            answer("200 OK", "Content-Type: text/plain\r\n", "data: x\n\n"),
            "\"text/plain\", not text/event-stream",
        ),
        (answer("200 OK", "", "data: x\n\n"), "the content type is \"\""),
    ] {
        let (lines, ended, _server) = cat(vec![reply]).await;
        let error = ended.unwrap_err().to_string();
        assert!(error.contains(why) && lines.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn what_is_too_large_fails_it_and_says_so() {
    let line = "x".repeat(300 * 1024);
    let (lines, ended, _server) = cat(vec![stream(format!("data: a\n\ndata: {line}\n\n"), Then::Hold)]).await;
    assert_eq!(lines.len(), 1);
    assert!(
        ended
            .unwrap_err()
            .to_string()
            .contains("longer than the limit of 262144 bytes")
    );

    let more = ["--max-line", "400000"];
    let (lines, ended, _server) = cat_with(
        &more,
        vec![stream(format!("retry: 1\ndata: {line}\n\n"), Then::Close), no_content()],
    )
    .await;
    assert_eq!(lines.len(), 1);
    ended.unwrap();
}

#[tokio::test]
async fn each_line_is_flushed_as_its_event_comes() {
    /// Ends the run at the first flush, as a closed pipe would.
    struct Closed(Vec<u8>);
    impl std::io::Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let server = serve(vec![stream("data: a\n\ndata: b\n\n", Then::Hold)]);
    let mut out = Closed(Vec::new());
    let args = example::Args::parse_from(["sse_cat", &server.url()]);
    assert!(example::run(args, &mut out).await.is_err());
    assert_eq!(out.0, b"{\"type\":\"message\",\"data\":\"a\",\"lastEventId\":\"\"}\n");
}
