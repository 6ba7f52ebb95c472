//! What an agent says: acknowledgements and reports.

use serde_json::{Value, json};
use turnwire_client::downlink::{Downlink, Item, Said, Verdict};
use turnwire_proto::Object;

use super::{EPOCH, builder, hello, id, line, settled, still};
use crate::scripted::{Reply, Scripted, Then, answer, serve, stream};

const CONFLICT: &str =
    r#"{"error":{"code":"conflict","message":"withdrawn","retry":false,"details":{"state":"withdrawn"}}}"#;

fn ok() -> Reply {
    answer("200 OK", "", "{}")
}

/// An open downlink whose server then answers like this.
async fn connected(replies: Vec<Reply>) -> (Downlink, Scripted) {
    let mut all = vec![stream(hello(EPOCH) + &super::sync(0, "connected"), Then::Hold)];
    all.extend(replies);
    let server = serve(all);
    let mut link = builder(&server.url()).agent("a".parse().unwrap()).connect();
    link.next().await.unwrap();
    server.request();
    (link, server)
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_an_order_is_sent_as_it_is() {
    let _still = still();
    let long = "é".repeat(1024);
    let cases = [
        (Said::Acked, json!({"state":"acked"})),
        (Said::Done, json!({"state":"done"})),
        (
            Said::DoneWith(Object::of(&json!({"x":[1]}))),
            json!({"state":"done","result":{"x":[1]}}),
        ),
        (Said::Failed("no".into()), json!({"state":"failed","reason":"no"})),
        // More than a server takes would leave everybody waiting.
        (
            Said::Failed(long.clone()),
            json!({"state":"failed","reason":long[..1024]}),
        ),
    ];
    let (link, server) = connected(cases.iter().map(|_| ok()).collect()).await;
    for (said, wanted) in cases {
        assert_eq!(link.ack(id(1), said).await.unwrap(), Verdict::Stands);
        let request = server.request();
        assert_eq!(
            line(&request),
            format!("POST /api/agent/commands/{}?agent=a HTTP/1.1", id(1))
        );
        assert!(
            request.to_lowercase().contains("content-type: application/json\r\n"),
            "{request}"
        );
        assert_eq!(body(&request), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_of_which_something_else_became_is_not_to_be_begun() {
    let _still = still();
    let (link, _server) = connected(vec![
        answer("409 Conflict", "", CONFLICT),
        answer("409 Conflict", "", ""),
    ])
    .await;
    for state in ["withdrawn", ""] {
        let state = state.to_owned();
        assert_eq!(
            link.ack(id(1), Said::Acked).await.unwrap(),
            Verdict::Overtaken { state }
        );
    }
}

// On the real clock: nobody sees from outside when it waits.
#[tokio::test]
async fn an_acknowledgement_is_said_again_until_the_server_has_it() {
    let (link, server) = connected(vec![
        answer("503 x", "Retry-After: 0\r\n", ""),
        // Cut within the answer: the server may have it or not.
        Reply::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", Then::Close),
        ok(),
    ])
    .await;
    assert_eq!(link.ack(id(1), Said::Done).await.unwrap(), Verdict::Stands);
    for _ in 0..3 {
        assert!(line(&server.request()).contains("/api/agent/commands/"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_saying_it_again_does_not_mend_is_told() {
    let _still = still();
    let missing = r#"{"error":{"code":"not_found","message":"no such command","retry":false,"details":{}}}"#;
    let (link, _server) = connected(vec![answer("404 x", "", missing), answer("401 x", "", "")]).await;
    for status in [404, 401] {
        let error = link.ack(id(1), Said::Acked).await.unwrap_err();
        assert_eq!(error.refused().unwrap().status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_end_an_acknowledgement_is_tried_once() {
    let _still = still();
    let (link, server) = connected(vec![ok(), answer("503 x", "", "")]).await;
    link.close();
    link.ended().await;
    assert_eq!(link.ack(id(1), Said::Done).await.unwrap(), Verdict::Stands);
    assert_eq!(
        link.ack(id(2), Said::Done).await.unwrap_err().refused().unwrap().status,
        503
    );
    server.request();
    server.request();
    assert!(server.no_more_requests());
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_that_waits_ends_with_the_downlink() {
    let _still = still();
    let (link, _server) = connected(vec![answer("503 x", "Retry-After: 3600\r\n", "")]).await;
    // Whether it is closed before the answer or within the wait, it does not wait out an hour of a clock that stands still.
    let closing = async {
        settled().await;
        link.close();
    };
    let (said, ()) = futures_util::future::join(link.ack(id(1), Said::Done), closing).await;
    let error = said.unwrap_err();
    assert_eq!(error.refused().unwrap().status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_report_is_sent_whole_and_answered_with_all_that_is_open() {
    let _still = still();
    let acked = super::json(3).replace("delivered", "acked");
    let outstanding = format!("{{\"cursor\":4,\"commands\":[{acked},{}]}}", super::json(4));
    let (link, server) = connected(vec![answer("200 OK", "", &outstanding)]).await;
    let report = json!({"version":"1","capabilities":["hold"],"sessions":[]});
    let open = link.sync(&report).await.unwrap();
    let states: Vec<_> = open
        .iter()
        .map(|item| match item {
            Item::Order(order) => (order.seq.get(), order.state.as_deref().unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(states, [(3, "acked"), (4, "delivered")]);
    let request = server.request();
    assert_eq!(line(&request), "POST /api/agent/sync?agent=a HTTP/1.1");
    assert_eq!(body(&request), report);
    assert_eq!(
        link.position().unwrap().0.get(),
        0,
        "what comes beside does not move the cursor"
    );
}
