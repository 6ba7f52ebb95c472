//! Orders: as they come, once, in order, whatever happens to the connection.

use std::time::Duration;

use tokio::time::{Instant, advance};
use turnwire_client::downlink::{Item, State};
use turnwire_proto::limits;

use super::{
    EPOCH, builder, command, commands, hello, id, json, line, next, orders, pass, seq, settled, still, sync, until,
    until_waiting,
};
use crate::scripted::{Then, serve, stream};

const OTHER: &str = "11111111-7c1e-4b6e-9d0f-2f6f3c1d9a10";

#[tokio::test(start_paused = true)]
async fn what_comes_is_given_out_as_it_came() {
    let _still = still();
    let body = hello(EPOCH) + &sync(4, "connected") + &command(5);
    let server = serve(vec![stream(body, Then::Hold)]);
    let mut link = builder(&server.url()).agent("a b".parse().unwrap()).connect();
    let mut states = link.handle().states();
    assert_eq!(link.position(), None);
    states.changed().await.unwrap();
    assert!(
        matches!(*states.borrow(), State::Connected),
        "that it connects is no news"
    );
    let reason = "connected".to_owned();
    assert_eq!(link.next().await, Some(Item::Sync { reason }));
    let Some(Item::Order(order)) = link.next().await else {
        panic!("no order")
    };
    assert_eq!((order.seq, order.id, order.action.as_str()), (seq(5), id(5), "message"));
    assert_eq!(order.args.get(), r#"{"content":"5"}"#);
    assert_eq!(order.actor.as_deref(), Some("me"));
    assert_eq!(order.issued.unwrap().to_string(), "2026-11-20T08:25:00.123Z");
    assert_eq!(link.position(), Some((seq(5), EPOCH.parse().ok())));
    assert!(matches!(link.state(), State::Connected));

    let request = server.request().to_lowercase();
    assert_eq!(line(&request), "get /api/agent/events?agent=a+b http/1.1");
    assert!(request.contains("authorization: bearer secret\r\n"), "{request}");
    assert!(request.contains("accept: text/event-stream\r\n"), "{request}");
}

#[tokio::test(start_paused = true)]
async fn orders_come_once_and_in_order_wherever_the_stream_is_cut() {
    let _still = still();
    let first = hello(EPOCH) + &sync(0, "connected") + &commands([1, 2]);
    let cuts = (0..=first.len()).rev().step_by(9).map(async |cut| {
        let server = serve(vec![
            stream(&first[..cut], Then::Close),
            // What is not acknowledged comes again.
            stream(hello(EPOCH) + &sync(0, "connected") + &commands([1, 2, 3]), Then::Hold),
        ]);
        let mut link = builder(&server.url()).connect();
        assert_eq!(orders(&mut link, 3).await, [1, 2, 3], "cut at {cut}");
        server.request();
        let seen = first[..cut].matches("\n\n").count().saturating_sub(4);
        let again = server.request();
        let place = format!("/api/agent/events?after={seen}&epoch={EPOCH} ");
        let begun = first[..cut].matches("\n\n").count() >= 4;
        assert_eq!(again.contains(&place), begun, "cut at {cut}: {again}");
    });
    futures_util::future::join_all(cuts).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_started_again_goes_on_behind_its_position() {
    let _still = still();
    let server = serve(vec![stream(
        hello(EPOCH) + &sync(41, "connected") + &command(42),
        Then::Hold,
    )]);
    let mut link = builder(&server.url()).after(seq(41), EPOCH.parse().ok()).connect();
    assert_eq!(link.position(), Some((seq(41), EPOCH.parse().ok())));
    assert_eq!(orders(&mut link, 1).await, [42]);
    let wanted = format!("GET /api/agent/events?after=41&epoch={EPOCH} HTTP/1.1");
    assert_eq!(line(&server.request()), wanted);
}

#[tokio::test(start_paused = true)]
async fn an_old_place_is_never_named_with_a_new_epoch() {
    let _still = still();
    let server = serve(vec![
        // Cut after the new epoch is known, before the place in it is.
        stream(hello(OTHER), Then::Close),
        stream(hello(OTHER) + &sync(0, "cursor_unknown") + &command(3), Then::Close),
        stream(hello(OTHER), Then::Hold),
    ]);
    let mut link = builder(&server.url()).after(seq(50), EPOCH.parse().ok()).connect();
    assert_eq!(orders(&mut link, 1).await, [3]);
    let handle = link.handle();
    until_waiting(&handle).await;
    pass(&handle).await;
    until(&handle, |state| matches!(state, State::Connected)).await;
    server.request();
    assert!(server.request().contains(&format!("?after=50&epoch={EPOCH} ")));
    assert!(server.request().contains(&format!("?after=3&epoch={OTHER} ")));
}

#[tokio::test(start_paused = true)]
async fn a_place_without_an_order_is_come_back_to_as_well() {
    let _still = still();
    let server = serve(vec![
        stream(hello(EPOCH) + &command(1) + "id: 8\n\nid: none\n\n", Then::Close),
        stream(hello(EPOCH) + &command(9), Then::Hold),
    ]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 2).await, [1, 9]);
    server.request();
    assert!(server.request().contains("?after=8&"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_passed_over_and_what_cannot_be_understood_is_told() {
    let _still = still();
    let bad = format!(
        "event: command\ndata: {{\"id\":\"{}\",\"action\":\"cancel\",\"args\":7}}\nid: 2\n\n",
        id(2)
    );
    let newer = "event: made_tomorrow\ndata: {}\nid: 1\n\ndata: no name\n\nnonsense\nmore: x\n\n";
    let server = serve(vec![
        stream(hello(EPOCH) + newer + &bad, Then::Close),
        stream(hello(EPOCH) + &command(3), Then::Hold),
    ]);
    let mut link = builder(&server.url()).connect();
    let Some(Item::Unreadable { id: whose, why }) = next(&mut link).await else {
        panic!("not told")
    };
    assert_eq!(whose, Some(id(2)));
    assert_eq!(why, "args is not an object");
    assert_eq!(orders(&mut link, 1).await, [3]);
    server.request();
    assert!(
        server.request().contains("?after=2&"),
        "what is no better the next time is passed over"
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_of_256_kib_is_read_and_a_longer_one_is_an_error_that_says_so() {
    let _still = still();
    let sized = |line: usize| {
        let rest = json(1).len() + "data: ".len();
        let long = json(1).replace(
            "\"content\":\"1",
            &format!("\"content\":\"1{}", "x".repeat(line - rest)),
        );
        format!("event: command\ndata: {long}\nid: 1\n\n")
    };
    let server = serve(vec![
        stream(hello(EPOCH) + &sized(limits::SSE_LINE + 1), Then::Hold),
        stream(hello(EPOCH) + &sized(limits::SSE_LINE), Then::Hold),
    ]);
    let mut link = builder(&server.url()).connect();
    let (_, why) = until_waiting(&link.handle()).await;
    assert!(why.contains("longer than the limit of 262144 bytes"), "{why}");
    assert_eq!(orders(&mut link, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn an_event_of_more_than_1_mib_is_an_error_that_says_so() {
    let _still = still();
    let line = format!("data: {}\n", "x".repeat(200 * 1024));
    let server = serve(vec![stream(hello(EPOCH) + &line.repeat(6) + "\n", Then::Hold)]);
    let link = builder(&server.url()).connect();
    let (_, why) = until_waiting(&link.handle()).await;
    assert!(why.contains("more data than the limit of 1048576 bytes"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_lives_as_long_as_something_comes_every_40_s_and_a_heartbeat_is_enough() {
    let _still = still();
    let (reply, say) = stream(hello(EPOCH) + &sync(0, "connected"), Then::Hold).more();
    let server = serve(vec![reply]);
    let mut link = builder(&server.url()).connect();
    let handle = link.handle();
    link.next().await.unwrap();
    let mut heard = handle.heard();
    for _ in 0..5 {
        heard.mark_unchanged();
        advance(Duration::from_secs(39)).await;
        say.send(": hb\n\n".into()).unwrap();
        heard.changed().await.unwrap();
        assert_eq!(*heard.borrow(), Some(Instant::now()));
        assert!(matches!(handle.state(), State::Connected));
    }
    advance(Duration::from_secs(41)).await;
    let (_, why) = until_waiting(&handle).await;
    assert!(why.contains("nothing came for 40 s"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_slow_loses_nothing_and_holds_little() {
    let _still = still();
    let server = serve(vec![
        stream(hello(EPOCH) + &commands(1..=150), Then::Close),
        stream(hello(EPOCH) + &commands(100..=300), Then::Hold),
    ]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    let server = tokio::task::spawn_blocking(move || {
        server.written();
        server
    });
    let _server = server.await.unwrap();
    settled().await;
    assert!(
        matches!(link.state(), State::Connected),
        "it has not read so far as to see the end"
    );
    // Longer than silence may be, but it is not the server that is silent.
    advance(Duration::from_secs(100)).await;
    settled().await;
    assert!(matches!(link.state(), State::Connected));
    assert_eq!(link.position().unwrap().0, seq(1), "only what was given out counts");
    assert_eq!(orders(&mut link, 299).await, (2..=300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_moment_loses_nothing() {
    let _still = still();
    let server = serve(vec![stream(hello(EPOCH) + &commands(1..=200), Then::Hold)]);
    let mut link = builder(&server.url()).connect();
    let mut seen = Vec::new();
    while seen.len() < 200 {
        tokio::select! {
            biased;
            item = link.next() => {
                if let Some(Item::Order(order)) = item {
                    seen.push(order.seq.get());
                }
            }
            // Polled once, then dropped.
            () = std::future::ready(()) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}
