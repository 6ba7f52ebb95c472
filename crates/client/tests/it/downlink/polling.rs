//! Networks that hold streams back: the same orders by long-poll, on the same cursor.

use std::time::Duration;

use tokio::time::advance;
use turnwire_client::downlink::{Downlink, Ended, Item, State};
use turnwire_proto::limits;

use super::{
    EPOCH, builder, command, commands, hello, json, line, next, orders, seq, settled, still, sync, until_waiting,
};
use crate::scripted::{Reply, Scripted, Then, answer, serve, stream};

fn woken(cursor: u64, these: impl IntoIterator<Item = u64>) -> Reply {
    let list: Vec<_> = these.into_iter().map(json).collect();
    answer(
        "200 OK",
        "Content-Type: application/json\r\n",
        &format!("{{\"cursor\":{cursor},\"commands\":[{}],\"more\":1}}", list.join(",")),
    )
}

/// A stream of which the first bytes come, and then nothing.
fn held_back(body: &str) -> Reply {
    stream(
        hello(EPOCH) + body + "event: sync\ndata: {\"reason\":\"last\"}\n\n",
        Then::Hold,
    )
}

fn polls(state: &State) -> bool {
    matches!(state, State::Polling)
}

/// Lets three streams be silent for 40 s each; the orders that came before.
async fn three_silent(link: &mut Downlink) -> Vec<u64> {
    let (mut states, mut found) = (link.handle().states(), Vec::new());
    for _ in 0..3 {
        // All of it is read before the clock moves.
        loop {
            match next(link).await.unwrap() {
                Item::Order(order) => found.push(order.seq.get()),
                Item::Sync { reason } if reason == "last" => break,
                _ => {}
            }
        }
        settled().await;
        states.mark_unchanged();
        advance(Duration::from_secs(41)).await;
        states.changed().await.unwrap();
    }
    found
}

fn fall_back(replies: Vec<Reply>) -> (Downlink, Scripted) {
    let mut all = vec![
        held_back(&(sync(0, "connected") + &commands([1, 2]))),
        held_back(&sync(2, "connected")),
        held_back(&(sync(2, "connected") + &command(3))),
    ];
    all.extend(replies);
    let server = serve(all);
    (builder(&server.url()).connect(), server)
}

#[tokio::test(start_paused = true)]
async fn after_three_streams_that_came_to_nothing_the_same_orders_are_polled_for() {
    let _still = still();
    // The first bytes of a poll may repeat what a stream has brought.
    let (mut link, server) = fall_back(vec![woken(5, [3, 4, 5]), woken(7, [7]), Reply::new("", Then::Hold)]);
    assert_eq!(three_silent(&mut link).await, [1, 2, 3]);
    assert_eq!(orders(&mut link, 3).await, [4, 5, 7]);
    assert!(polls(&link.state()));
    assert_eq!(link.position().unwrap().0, seq(7));
    for wanted in [
        "events ",
        "events?after=2&",
        "events?after=2&",
        "wake?after=3&epoch=0199",
        "wake?after=5&wait_ms=25000 ",
    ] {
        let request = server.request();
        let wanted = format!("GET /api/agent/{wanted}");
        assert!(request.starts_with(&wanted), "{wanted}: {}", line(&request));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_of_which_not_even_an_answer_comes_and_what_is_none_count_too() {
    let _still = still();
    let server = serve(vec![
        Reply::new("", Then::Close),
        answer("200 OK", "Content-Type: text/html\r\n", "<html>"),
        answer("504 x", "", ""),
        woken(1, [1]),
        Reply::new("", Then::Hold),
    ]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    assert!(matches!(link.state(), State::Polling));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_too_long_for_a_stream_comes_by_poll() {
    let _still = still();
    let long = json(1).replace(
        "\"content\":\"1",
        &format!("\"content\":\"1{}", "x".repeat(limits::SSE_LINE)),
    );
    let oversize = || held_back(&format!("event: command\ndata: {long}\nid: 1\n\n"));
    let woken = answer("200 OK", "", &format!("{{\"cursor\":1,\"commands\":[{long}]}}"));
    let server = serve(vec![oversize(), oversize(), oversize(), woken]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_asks_for_no_more_than_a_server_gives() {
    let _still = still();
    let cut = || Reply::new("", Then::Close);
    let server = serve(vec![cut(), cut(), cut(), woken(1, [1])]);
    let mut link = builder(&server.url()).liveness(Duration::MAX).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    for _ in 0..3 {
        server.request();
    }
    assert_eq!(line(&server.request()), "GET /api/agent/wake?wait_ms=25000 HTTP/1.1");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_no_reason_to_poll() {
    let _still = still();
    let away = || answer("503 x", "", "");
    let server = serve(vec![away(), away(), away(), away(), away(), held_back(&command(1))]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    assert!(matches!(link.state(), State::Connected));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_tried_again_after_five_minutes_on_the_same_cursor() {
    let _still = still();
    let answered = woken(9, [4]);
    let (answered, later) = answered.more();
    let (mut link, server) = fall_back(vec![
        answered,
        woken(9, []),
        stream(hello(EPOCH) + &sync(9, "connected") + &commands([4, 10]), Then::Hold),
    ]);
    let handle = link.handle();
    assert_eq!(three_silent(&mut link).await, [1, 2, 3]);
    assert_eq!(orders(&mut link, 1).await, [4]);
    assert!(polls(&handle.state()));
    // While it is asked the second time.
    advance(Duration::from_secs(39)).await;
    assert!(polls(&handle.state()));
    advance(Duration::from_secs(261)).await;
    drop(later);
    assert_eq!(orders(&mut link, 1).await, [10]);
    assert!(matches!(handle.state(), State::Connected));
    let requests: Vec<_> = (0..6).map(|_| line(&server.request()).to_owned()).collect();
    assert!(
        requests[5].starts_with("GET /api/agent/events?after=9 "),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_answered_at_once_with_nothing_is_not_asked_in_a_loop() {
    let _still = still();
    let (mut link, _server) = fall_back(vec![woken(3, []), woken(3, [3]), woken(3, []), woken(3, [])]);
    let handle = link.handle();
    three_silent(&mut link).await;
    for _ in 0..4 {
        let (wait, why) = until_waiting(&handle).await;
        assert!(wait >= Duration::from_secs(2), "{wait:?}");
        assert!(why.contains("with nothing new"), "{why}");
        super::pass(&handle).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_is_asked_again_with_the_same_cursor() {
    let _still = still();
    let unreadable = answer("200 OK", "", "<html>");
    let huge = answer("200 OK", "", &" ".repeat(2 * 1024 * 1024 + 1));
    let (mut link, server) = fall_back(vec![unreadable, huge, Reply::new("", Then::Close), woken(4, [4])]);
    let handle = link.handle();
    three_silent(&mut link).await;
    for wanted in [
        "expected value",
        "longer than the limit of 2097152 bytes",
        "reach the server",
    ] {
        let (_, why) = until_waiting(&handle).await;
        assert!(why.contains(wanted), "{why}");
        super::pass(&handle).await;
    }
    assert_eq!(orders(&mut link, 1).await, [4]);
    let requests: Vec<_> = (0..7).map(|_| line(&server.request()).to_owned()).collect();
    assert!(
        requests[3..]
            .iter()
            .all(|one| one.starts_with("GET /api/agent/wake?after=3&")),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_hears_that_another_has_taken_its_place_ends() {
    let _still = still();
    let replaced = answer("200 OK", "", r#"{"cursor":3,"commands":[],"replaced":true}"#);
    let (mut link, _server) = fall_back(vec![replaced]);
    three_silent(&mut link).await;
    assert_eq!(next(&mut link).await, None);
    assert!(matches!(link.ended().await, Ended::Replaced));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_another_log_answers_asks_for_a_report_and_goes_on_in_that_log() {
    const OTHER: &str = "5b1e4f0e-7f1c-4f3a-9a55-0d7f1f1f9b7e";
    let _still = still();
    let of = |epoch: &str, cursor: u64, these: &[u64]| {
        let list: Vec<_> = these.iter().copied().map(json).collect();
        let body = format!(
            "{{\"cursor\":{cursor},\"epoch\":\"{epoch}\",\"commands\":[{}]}}",
            list.join(",")
        );
        answer("200 OK", "Content-Type: application/json\r\n", &body)
    };
    // The other log's first order stands where the one before had its own.
    let (mut link, server) = fall_back(vec![
        of(EPOCH, 5, &[5]),
        of(OTHER, 4, &[4]),
        of(OTHER, 6, &[6]),
        Reply::new("", Then::Hold),
    ]);
    assert_eq!(three_silent(&mut link).await, [1, 2, 3]);
    assert_eq!(orders(&mut link, 1).await, [5]);
    let Some(Item::Sync { reason }) = next(&mut link).await else {
        panic!("no report was asked for")
    };
    assert_eq!(reason, "cursor_unknown");
    assert_eq!(orders(&mut link, 2).await, [4, 6]);
    let epochs = [EPOCH, OTHER].map(|epoch| epoch.parse().unwrap());
    assert_eq!(link.position(), Some((seq(6), Some(epochs[1]))));
    for _ in 0..4 {
        server.request();
    }
    for (after, epoch) in [(5, epochs[0]), (4, epochs[1])] {
        let request = server.request();
        let wanted = format!("GET /api/agent/wake?after={after}&epoch={epoch}&");
        assert!(request.starts_with(&wanted), "{wanted}: {}", line(&request));
    }
}
