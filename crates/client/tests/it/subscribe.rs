//! The promises of `Subscriber`, each against a server that says exactly what the promise is about.

use std::{fs, time::Duration};

use crate::scripted::{Reply, Then, answer, serve, stream};
use turnwire_client::{Endpoint, Error, Item, Query, Subscriber};
use turnwire_proto::{Code, Epoch, GapReason, Kind, Name, Seq, limits};

const EPOCH: &str = "0199e0a2-7c1e-4b6e-9d0f-2f6f3c1d9a10";
const OTHER: &str = "11111111-7c1e-4b6e-9d0f-2f6f3c1d9a10";

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

fn hello(epoch: &str, head: u64) -> String {
    format!("retry: 1\n\n: connected\n\nevent: hello\ndata: {{\"epoch\":\"{epoch}\",\"first\":1,\"head\":{head}}}\n\n")
}

fn event(n: u64) -> String {
    sized(n, 0)
}

fn sized(n: u64, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(
        "data: {{\"seq\":{n},\"id\":\"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10\",\"type\":\"note\",\
         \"timestamp\":\"2026-11-20T08:25:00.123Z\",\"source\":\"test\",\"data\":{{\"text\":\"{text}\"}}}}\nid: {n}\n\n"
    )
}

fn subscriber(url: &str, query: Query) -> Subscriber {
    Subscriber::new(Endpoint::new(url, Some("secret")).unwrap(), query)
}

/// Reads on until an item is what `wanted` makes something of.
async fn until<T>(subscriber: &mut Subscriber, mut wanted: impl FnMut(Item) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(subscriber.next().await.unwrap()) {
            return found;
        }
    }
}

/// The places of the next `n` events; gaps stand as their `next`, negative.
async fn events(subscriber: &mut Subscriber, n: usize) -> Vec<i64> {
    let mut found = Vec::new();
    while found.len() < n {
        found.push(
            until(subscriber, |item| match item {
                Item::Event(event, _) => Some(i64::try_from(event.seq.get()).unwrap()),
                Item::Gap { next, .. } => Some(-i64::try_from(next.get()).unwrap()),
                _ => None,
            })
            .await,
        );
    }
    found
}

async fn why_lost(subscriber: &mut Subscriber) -> String {
    until(subscriber, |item| match item {
        Item::Reconnecting { why, .. } => Some(why),
        _ => None,
    })
    .await
}

async fn error(subscriber: &mut Subscriber) -> Error {
    loop {
        if let Err(error) = subscriber.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_stream_is_told_as_it_comes() {
    let server = serve(vec![stream(hello(EPOCH, 4) + &event(5), Then::Hold)]);
    let mut reader = subscriber(&server.url(), Query::default());
    assert_eq!(reader.position(), None);
    assert_eq!(reader.next().await.unwrap(), Item::Connected);
    let epoch: Epoch = EPOCH.parse().unwrap();
    assert_eq!(
        reader.next().await.unwrap(),
        Item::Hello {
            epoch,
            first: seq(1),
            head: seq(4)
        }
    );
    let Item::Event(five, json) = reader.next().await.unwrap() else {
        panic!("not an event");
    };
    assert_eq!((five.seq, five.kind), (seq(5), Kind::NOTE));
    assert_eq!(format!("data: {json}\nid: 5\n\n"), event(5), "the JSON is as it came");
    assert_eq!(reader.position(), Some((seq(5), Some(epoch))));

    let request = server.request().to_lowercase();
    assert!(request.starts_with("get /api/events http/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: bearer secret\r\n"), "{request}");
    assert!(request.contains("accept: text/event-stream\r\n"), "{request}");
}

#[tokio::test]
async fn a_query_is_asked_for_whole_and_again_with_the_place_reached() {
    let server = serve(vec![
        stream(hello(EPOCH, 9) + &event(6), Then::Close),
        stream(hello(EPOCH, 9) + &event(7), Then::Hold),
    ]);
    let name = |text| Name::new(text).unwrap();
    let query = Query {
        after: Some(seq(5)),
        tail: Some(3),
        session: Some(name("a b&c=é")),
        agents: vec![name("x"), name("y")],
        kinds: vec![Kind::NOTE],
        sources: vec![name("s")],
        deltas: false,
        raw: true,
        ..Query::default()
    };
    let mut reader = subscriber(&server.url(), query);
    assert_eq!(events(&mut reader, 2).await, [6, 7]);
    let filters = "session_id=a+b%26c%3D%C3%A9&agent=x&agent=y&type=note&source=s&deltas=false&raw=true";
    let line = |request: String| request.lines().next().unwrap().to_owned();
    assert_eq!(
        line(server.request()),
        format!("GET /api/events?after=5&{filters} HTTP/1.1")
    );
    assert_eq!(
        line(server.request()),
        format!("GET /api/events?after=6&epoch={EPOCH}&{filters} HTTP/1.1")
    );
}

#[tokio::test]
async fn a_reader_resumes_wherever_it_is_cut_and_has_every_event_once() {
    let first = hello(EPOCH, 0) + &event(1) + &event(2);
    let cuts = (0..=first.len()).rev().step_by(9).map(async |cut| {
        let server = serve(vec![
            stream(&first[..cut], Then::Close),
            // More than was asked for, as a proxy that replays would send.
            stream(hello(EPOCH, 2) + &event(1) + &event(2) + &event(3), Then::Hold),
        ]);
        let query = Query {
            after: Some(Seq::ZERO),
            ..Query::default()
        };
        let mut reader = subscriber(&server.url(), query);
        assert_eq!(events(&mut reader, 3).await, [1, 2, 3], "cut at {cut}");
        server.request();
        let seen = first[..cut].matches("\n\n").count().saturating_sub(3);
        let again = server.request();
        assert!(again.contains(&format!("?after={seen}")), "cut at {cut}: {again}");
    });
    futures_util::future::join_all(cuts).await;
}

#[tokio::test]
async fn a_live_reader_that_is_cut_before_its_first_event_misses_none() {
    let server = serve(vec![
        stream(hello(EPOCH, 41), Then::Close),
        stream(hello(EPOCH, 43) + &event(42) + &event(43), Then::Hold),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    assert_eq!(events(&mut reader, 2).await, [42, 43]);
    assert!(server.request().starts_with("GET /api/events HTTP"));
    assert!(
        server
            .request()
            .starts_with(&format!("GET /api/events?after=41&epoch={EPOCH} "))
    );
}

#[tokio::test]
async fn a_tail_is_asked_for_until_it_has_come() {
    let server = serve(vec![
        stream(hello(EPOCH, 41), Then::Close),
        stream(hello(EPOCH, 43) + ": hb\n\n", Then::Close),
        stream(hello(EPOCH, 50) + &event(44), Then::Hold),
    ]);
    let query = Query {
        tail: Some(10),
        ..Query::default()
    };
    let mut reader = subscriber(&server.url(), query);
    assert_eq!(events(&mut reader, 1).await, [44]);
    assert!(server.request().starts_with("GET /api/events?tail=10 "));
    assert!(server.request().starts_with("GET /api/events?tail=10 "));
    assert!(
        server
            .request()
            .starts_with(&format!("GET /api/events?after=43&epoch={EPOCH} "))
    );
}

#[tokio::test]
async fn a_gap_is_told_once_and_passed() {
    let gap = |after: u64, next: u64, reason: &str| {
        format!("event: gap\ndata: {{\"after\":{after},\"next\":{next},\"reason\":\"{reason}\"}}\n\n")
    };
    let server = serve(vec![
        stream(hello(EPOCH, 90) + &gap(5, 50, "trimmed"), Then::Close),
        stream(hello(EPOCH, 90) + &event(50), Then::Close),
        // Another log: the old place means nothing, and lower places are new.
        stream(hello(OTHER, 3) + &gap(50, 1, "other_epoch") + &event(1), Then::Close),
        stream(hello(OTHER, 3) + &event(2), Then::Hold),
    ]);
    let query = Query {
        after: Some(seq(5)),
        ..Query::default()
    };
    let mut reader = subscriber(&server.url(), query);
    assert_eq!(events(&mut reader, 5).await, [-50, 50, -1, 1, 2]);
    server.request();
    for (place, epoch) in [(49, EPOCH), (50, EPOCH), (1, OTHER)] {
        let request = server.request();
        assert!(
            request.contains(&format!("?after={place}&epoch={epoch} ")),
            "{place}: {request}"
        );
    }
}

#[tokio::test]
async fn another_log_that_the_server_does_not_tell_of_is_told_as_a_gap() {
    let server = serve(vec![
        stream(hello(EPOCH, 90) + &event(91), Then::Close),
        stream(hello(OTHER, 3) + &event(3), Then::Hold),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    assert_eq!(events(&mut reader, 1).await, [91]);
    let gap = until(&mut reader, |item| matches!(item, Item::Gap { .. }).then_some(item)).await;
    assert_eq!(
        gap,
        Item::Gap {
            after: seq(91),
            next: seq(3),
            reason: GapReason::OtherEpoch
        }
    );
    assert_eq!(events(&mut reader, 1).await, [3]);
}

#[tokio::test]
async fn a_farewell_says_when_to_come_back_or_that_it_is_of_no_use() {
    let bye = |more: &str| format!("event: bye\ndata: {{\"reason\":\"shutdown\"{more}}}\n\n");
    let server = serve(vec![
        // Held open: a client that waits for the close would wait for ever.
        stream(hello(EPOCH, 0) + &bye(",\"retry_ms\":300"), Then::Hold),
        stream(hello(EPOCH, 0) + &bye(""), Then::Hold),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    let farewell = until(&mut reader, |item| matches!(item, Item::Bye { .. }).then_some(item)).await;
    assert_eq!(
        farewell,
        Item::Bye {
            reason: "shutdown".into(),
            retry_ms: Some(300)
        }
    );
    let Item::Reconnecting { wait, .. } = reader.next().await.unwrap() else {
        panic!("not coming back");
    };
    assert!((300..=330).contains(&wait.as_millis()), "{wait:?}");
    until(&mut reader, |item| matches!(item, Item::Bye { .. }).then_some(())).await;
    assert!(matches!(reader.next().await, Err(Error::Dismissed(reason)) if reason == "shutdown"));
}

#[tokio::test]
async fn retry_after_is_honoured_and_a_server_that_is_away_is_waited_for() {
    let busy = r#"{"error":{"code":"overloaded","message":"too many readers","retry":true,"details":{}}}"#;
    let server = serve(vec![
        answer("503 Service Unavailable", "Retry-After: 1\r\n", busy),
        answer("502 Bad Gateway", "", "<html>"),
        stream(hello(EPOCH, 0) + &event(1), Then::Close),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    let Item::Reconnecting { wait, why } = reader.next().await.unwrap() else {
        panic!("not coming back");
    };
    assert!((1000..=1100).contains(&wait.as_millis()), "{wait:?}");
    assert!(why.contains("503") && why.contains("too many readers"), "{why}");
    assert!(why_lost(&mut reader).await.contains("502"));
    assert_eq!(events(&mut reader, 1).await, [1]);
    assert!(why_lost(&mut reader).await.contains("ended"));
    assert!(
        why_lost(&mut reader).await.contains("refused"),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn what_coming_back_does_not_mend_is_an_error_with_the_servers_words() {
    for (status, code) in [
        ("401 Unauthorized", "unauthorized"),
        ("403 Forbidden", "forbidden"),
        ("404 Not Found", "not_found"),
        ("410 Gone", "gone"),
        ("400 Bad Request", "bad_request"),
    ] {
        let body =
            format!(r#"{{"error":{{"code":"{code}","message":"because","retry":false,"details":{{"field":"x"}}}}}}"#);
        let server = serve(vec![
            answer(status, "", &body),
            stream(hello(EPOCH, 0) + &event(1), Then::Hold),
        ]);
        let mut reader = subscriber(&server.url(), Query::default());
        let error = error(&mut reader).await;
        let reply = error.reply().unwrap();
        assert_eq!(reply.error.details["field"], "x");
        assert_eq!(Some(reply.code()), error.code());
        assert_eq!(error.refused().unwrap().status, reply.code().status());
        assert!(error.to_string().contains("because") && !error.retry(), "{error}");
        // The caller may insist.
        assert_eq!(events(&mut reader, 1).await, [1]);
    }
    let server = serve(vec![
        answer("200 OK", "Content-Type: text/html\r\n", "<html>"),
        answer("301 Moved Permanently", "Location: https://example.org/\r\n", ""),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    assert!(matches!(error(&mut reader).await, Error::NotAStream(what) if what == "text/html"));
    assert!(error(&mut reader).await.to_string().contains("use that address"));
}

#[tokio::test]
async fn an_event_of_the_largest_size_that_a_server_takes_is_read_and_a_larger_one_is_said_to_be() {
    let body = limits::EVENT - r#"{"text":""}"#.len();
    let server = serve(vec![stream(hello(EPOCH, 0) + &sized(1, body), Then::Hold)]);
    let mut reader = subscriber(&server.url(), Query::default());
    assert_eq!(events(&mut reader, 1).await, [1]);

    let server = serve(vec![stream(
        hello(EPOCH, 0) + &sized(1, limits::EVENT + 16 * 1024),
        Then::Hold,
    )]);
    let mut reader = subscriber(&server.url(), Query::default());
    let error = error(&mut reader).await;
    assert!(
        matches!(error, Error::Oversize(_)) && error.to_string().contains("limit of 1064960 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_told_and_does_not_stop_the_stream() {
    let server = serve(vec![
        stream(
            hello(EPOCH, 0) + "data: {\"seq\":1}\nid: 1\n\n" + "event: made_tomorrow\ndata: x\n\n",
            Then::Close,
        ),
        stream(hello(EPOCH, 2) + "data: nonsense\nid: 1\n\n" + &event(2), Then::Hold),
    ]);
    let mut reader = subscriber(
        &server.url(),
        Query {
            after: Some(Seq::ZERO),
            ..Query::default()
        },
    );
    let first = error(&mut reader).await;
    assert!(
        matches!(&first, Error::Event { last_event_id, .. } if last_event_id == "1"),
        "{first}"
    );
    assert!(error(&mut reader).await.to_string().contains("expected ident"));
    assert_eq!(events(&mut reader, 1).await, [2]);
    server.request();
    assert!(
        server.request().contains("?after=1&"),
        "what is no better the next time is passed over"
    );
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up() {
    let server = serve(vec![
        stream(hello(EPOCH, 0) + &event(1), Then::Hold),
        // Not even an answer.
        Reply::new("", Then::Hold),
        stream(hello(EPOCH, 0) + &event(2), Then::Hold),
    ]);
    let mut reader = subscriber(&server.url(), Query::default()).with_liveness(Duration::from_millis(200));
    assert_eq!(events(&mut reader, 1).await, [1]);
    assert!(why_lost(&mut reader).await.contains("nothing came for 0.2 s"));
    assert!(why_lost(&mut reader).await.contains("nothing came for 0.2 s"));
    assert_eq!(events(&mut reader, 1).await, [2]);
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_moment_loses_nothing() {
    let mut body = hello(EPOCH, 0);
    for n in 1..=300 {
        body += &event(n);
    }
    let half = body.len() / 2;
    let server = serve(vec![
        stream(&body[..half], Then::Close),
        stream(hello(EPOCH, 0) + &body[hello(EPOCH, 0).len()..], Then::Hold),
    ]);
    let mut reader = subscriber(&server.url(), Query::default());
    let mut seen = Vec::new();
    while seen.len() < 300 {
        tokio::select! {
            biased;
            item = reader.next() => {
                if let Item::Event(event, _) = item.unwrap() {
                    seen.push(event.seq.get());
                }
            }
            // Polled once, then dropped.
            () = std::future::ready(()) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(seen, (1..=300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_local_reader_finds_its_server_again_elsewhere_and_with_a_new_token() {
    let dir = tempfile::tempdir().unwrap();
    let unauthorized = r#"{"error":{"code":"unauthorized","message":"who?","retry":false,"details":{}}}"#;
    let second = serve(vec![stream(hello(EPOCH, 2) + &event(2), Then::Hold)]);
    let first = serve(vec![
        stream(hello(EPOCH, 0) + &event(1), Then::Close),
        answer("401 Unauthorized", "", unauthorized),
    ]);
    let leave = |url: &str, token: &str| {
        fs::write(dir.path().join("local.token"), token).unwrap();
        fs::write(dir.path().join("server.json"), format!("{{\"url\":{url:?}}}")).unwrap();
    };
    leave(&first.url(), "one");
    let mut reader = Subscriber::new(Endpoint::local(dir.path()).unwrap(), Query::default());
    assert_eq!(events(&mut reader, 1).await, [1]);
    fs::remove_file(dir.path().join("server.json")).unwrap();
    assert!(why_lost(&mut reader).await.contains("ended"));
    assert!(
        why_lost(&mut reader).await.contains("find a server"),
        "it is not up yet"
    );
    leave(&second.url(), "two");
    assert_eq!(events(&mut reader, 1).await, [2]);
    let request = second.request();
    assert!(
        request.contains("after=1&") && request.contains("Bearer two"),
        "{request}"
    );
    first.request();
    assert!(first.no_more_requests());
}

#[tokio::test]
async fn a_local_server_that_wants_its_new_token_is_not_a_final_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let unauthorized = r#"{"error":{"code":"unauthorized","message":"who?","retry":false,"details":{}}}"#;
    let token = dir.path().join("local.token");
    fs::write(&token, "one").unwrap();
    let server = serve(vec![
        // The request is on its way when the token changes.
        answer("401 Unauthorized", "", unauthorized).after(move || fs::write(token, "two").unwrap()),
        answer("401 Unauthorized", "", unauthorized),
    ]);
    fs::write(
        dir.path().join("server.json"),
        format!("{{\"url\":{:?}}}", server.url()),
    )
    .unwrap();
    let mut reader = Subscriber::new(Endpoint::local(dir.path()).unwrap(), Query::default());
    assert!(matches!(reader.next().await, Ok(Item::Reconnecting { .. })));
    assert_eq!(
        error(&mut reader).await.code(),
        Some(Code::Unauthorized),
        "now it is the right one"
    );
    assert!(server.request().contains("Bearer one"));
    assert!(server.request().contains("Bearer two"));
}
