//! Several addresses of one server, and when to come back to it.

use std::{io::Write, net::TcpListener, thread, time::Duration};

use tokio::time::{Instant, advance};
use turnwire_client::downlink::State;

use super::{EPOCH, builder, command, endpoint, hello, orders, pass, still, sync, until, until_waiting};
use crate::scripted::{Reply, Then, answer, serve, stream};

const BUSY: &str = r#"{"error":{"code":"overloaded","message":"later","retry":true,"details":{}}}"#;

fn good() -> Reply {
    stream(hello(EPOCH) + &command(1), Then::Hold)
}

fn is_connected(state: &State) -> bool {
    matches!(state, State::Connected)
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An `https` address where nobody speaks TLS.
fn no_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"this is not TLS"));
    format!("https://{address}")
}

#[tokio::test(start_paused = true)]
async fn the_next_mirror_is_tried_at_once_when_one_cannot_be_connected_to() {
    let _still = still();
    let broken = [
        nowhere(),
        // Longer than a part of a name can be: no resolver finds it.
        format!("http://{}.invalid", "x".repeat(64)),
        no_tls(),
    ];
    for first in broken {
        let second = serve(vec![good()]);
        let mut link = builder(&first).mirrors([endpoint(&second.url())]).connect();
        let start = Instant::now();
        assert_eq!(orders(&mut link, 1).await, [1], "{first}");
        assert_eq!(Instant::now(), start, "{first}: without a wait");
        assert_eq!(link.handle().url().as_str(), second.url() + "/");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_mirror_is_tried_at_once_when_one_says_that_what_is_behind_it_is_away() {
    let _still = still();
    for status in ["408 x", "502 x", "503 x", "504 x"] {
        let first = serve(vec![answer(status, "Retry-After: 60\r\n", BUSY)]);
        let second = serve(vec![good()]);
        let mut link = builder(&first.url()).mirrors([endpoint(&second.url())]).connect();
        let start = Instant::now();
        assert_eq!(orders(&mut link, 1).await, [1], "{status}");
        assert_eq!(Instant::now(), start, "{status}: without a wait");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_mirror_is_tried_when_one_does_not_answer_within_40_s() {
    let _still = still();
    let first = serve(vec![Reply::new("", Then::Hold)]);
    let second = serve(vec![good()]);
    let mut link = builder(&first.url()).mirrors([endpoint(&second.url())]).connect();
    // It has taken the request before the clock moves.
    let first = tokio::task::spawn_blocking(move || {
        first.request();
        first
    });
    let _first = first.await.unwrap();
    advance(Duration::from_secs(41)).await;
    assert_eq!(orders(&mut link, 1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_itself_says_does_not_change_the_mirror() {
    let _still = still();
    for status in ["400 x", "401 x", "404 x", "429 x", "500 x", "501 x"] {
        let first = serve(vec![answer(status, "", ""), good()]);
        let second = serve(vec![good()]);
        let mut link = builder(&first.url()).mirrors([endpoint(&second.url())]).connect();
        assert_eq!(orders(&mut link, 1).await, [1], "{status}");
        assert_eq!(link.handle().url().as_str(), first.url() + "/", "{status}");
        assert!(second.no_more_requests(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_lost_comes_back_to_the_mirror_that_worked() {
    let _still = still();
    let first = serve(vec![answer("503 x", "", BUSY), good()]);
    let second = serve(vec![
        stream(hello(EPOCH) + &command(1), Then::Close),
        stream(hello(EPOCH) + &command(2), Then::Close),
        stream(hello(EPOCH) + &command(3), Then::Hold),
    ]);
    let mut link = builder(&first.url())
        // The first again, which is not another one.
        .mirrors([endpoint(&first.url()), endpoint(&second.url())])
        .connect();
    assert_eq!(orders(&mut link, 3).await, [1, 2, 3]);
    first.request();
    assert!(first.no_more_requests());
}

#[tokio::test(start_paused = true)]
async fn each_mirror_is_tried_once_before_all_are_waited_for() {
    let _still = still();
    let first = serve(vec![answer("503 x", "Retry-After: 60\r\n", BUSY), good()]);
    let second = serve(vec![answer("502 x", "", "")]);
    let link = builder(&first.url())
        .mirrors([endpoint(&second.url()), endpoint(&nowhere())])
        .connect();
    let handle = link.handle();
    let (wait, why) = until_waiting(&handle).await;
    assert!(why.contains("later"), "of the one that is asked next: {why}");
    assert!((60..=66).contains(&wait.as_secs()), "{wait:?}");
    pass(&handle).await;
    until(&handle, is_connected).await;
    assert_eq!(handle.url().as_str(), first.url() + "/");
}

#[tokio::test(start_paused = true)]
async fn it_does_not_come_back_sooner_than_the_server_wants() {
    let _still = still();
    let bye = "event: bye\ndata: {\"reason\":\"shutdown\",\"retry_ms\":7000}\n\n";
    let server = serve(vec![
        // Two seconds, says the preamble; …
        stream(hello(EPOCH), Then::Close),
        answer("503 x", "Retry-After: 60\r\n", BUSY),
        // … and also what is no server at all is asked no sooner.
        Reply::new("", Then::Close),
        stream(hello(EPOCH) + bye, Then::Close),
        good(),
    ]);
    let link = builder(&server.url()).connect();
    let handle = link.handle();
    for least in [2, 60, 2, 7] {
        let (wait, why) = until_waiting(&handle).await;
        assert!(wait >= Duration::from_secs(least), "{wait:?} after {why}");
        pass(&handle).await;
    }
    until(&handle, is_connected).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lived_is_come_back_to_soon_and_failures_make_the_waits_longer() {
    let _still = still();
    let (lived, say) = stream(hello(EPOCH) + &sync(0, "connected"), Then::Close).more();
    let mut replies: Vec<_> = (0..12).map(|_| answer("500 x", "", "")).collect();
    replies.push(lived);
    let server = serve(replies);
    let mut link = builder(&server.url()).connect();
    let handle = link.handle();
    let mut longest = Duration::ZERO;
    for _ in 0..12 {
        let (wait, _) = until_waiting(&handle).await;
        assert!(wait <= Duration::from_secs(33), "{wait:?}");
        longest = longest.max(wait);
        pass(&handle).await;
    }
    assert!(longest > Duration::from_secs(3), "{longest:?}");
    link.next().await.unwrap();
    let mut heard = handle.heard();
    heard.mark_unchanged();
    advance(Duration::from_secs(15)).await;
    say.send(": hb\n\n".into()).unwrap();
    heard.changed().await.unwrap();
    drop(say);
    let (wait, _) = until_waiting(&handle).await;
    assert!((2000..=2200).contains(&wait.as_millis()), "{wait:?}");
}
