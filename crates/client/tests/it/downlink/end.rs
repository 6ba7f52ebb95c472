//! How a downlink ends, and what is known of it afterwards.

use turnwire_client::downlink::{Ended, Item, State};

use super::{EPOCH, builder, command, hello, next, orders, still, until};
use crate::scripted::{Reply, Then, answer, serve, stream};

const WHO: &str = r#"{"error":{"code":"unauthorized","message":"who?","retry":false,"details":{}}}"#;
const GONE: &str = r#"{"error":{"code":"gone","message":"revoked","retry":false,"details":{}}}"#;

fn who() -> Reply {
    answer("401 Unauthorized", "", WHO)
}

fn good() -> Reply {
    stream(hello(EPOCH) + &command(1), Then::Close)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_not_known_is_tried_three_times_and_then_told() {
    let _still = still();
    // In a row: what succeeds between begins the count again.
    let server = serve(vec![who(), who(), good(), who(), who(), who(), good()]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    assert_eq!(next(&mut link).await, None);
    for _ in 0..2 {
        assert_eq!(link.next().await, None, "and so it stays");
        let ended = link.ended().await;
        assert!(matches!(&ended, Ended::Unauthorized(error) if error.refused().unwrap().status == 401));
        assert!(ended.to_string().ends_with("status 401: who?"), "{ended}");
        assert!(matches!(
            link.state(),
            State::Ended {
                why: Ended::Unauthorized(_)
            }
        ));
    }
    for _ in 0..6 {
        server.request();
    }
    assert!(server.no_more_requests());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_may_not_be_this_agent_any_more_ends_it_at_once() {
    let _still = still();
    for status in ["403 Forbidden", "410 Gone"] {
        let server = serve(vec![answer(status, "Retry-After: 1\r\n", GONE), good()]);
        let mut link = builder(&server.url()).connect();
        assert_eq!(link.next().await, None);
        assert!(matches!(link.ended().await, Ended::Revoked(error) if error.to_string().contains("revoked")));
        server.request();
        assert!(server.no_more_requests(), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_farewell_for_good_ends_it_and_says_why() {
    let _still = still();
    for (reason, said) in [
        ("token_revoked", "the token may not be this agent any more"),
        ("token_expired", "the token may not be this agent any more"),
        ("replaced", "another downlink of this agent"),
        ("made_tomorrow", "made_tomorrow"),
    ] {
        let bye = format!("event: bye\ndata: {{\"reason\":\"{reason}\"}}\n\n");
        let server = serve(vec![stream(hello(EPOCH) + &command(1) + &bye, Then::Hold), good()]);
        let mut link = builder(&server.url()).connect();
        assert!(
            matches!(link.next().await, Some(Item::Order(_))),
            "what came before is given out"
        );
        assert_eq!(link.next().await, None);
        let ended = link.ended().await.to_string();
        assert!(ended.contains(said), "{ended}");
        server.request();
        assert!(server.no_more_requests());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_for_good_ends_it_and_what_another_says_does_not() {
    let _still = still();
    let missing = r#"{"error":{"code":"not_found","message":"no such route","retry":false,"details":{}}}"#;
    let server = serve(vec![
        // A sign-in page of a network.
        answer("302 Found", "Location: http://sign.in/\r\n", ""),
        answer("404 Not Found", "", "<html>"),
        answer("404 Not Found", "", missing),
    ]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(next(&mut link).await, None);
    assert!(matches!(link.ended().await, Ended::Refused(error) if error.to_string().contains("no such route")));
}

#[tokio::test(start_paused = true)]
async fn it_is_closed_from_any_task_and_as_often_as_one_likes() {
    let _still = still();
    let server = serve(vec![stream(hello(EPOCH), Then::Hold)]);
    let mut link = builder(&server.url()).connect();
    let (one, two) = (link.handle(), link.handle());
    until(&one, |state| matches!(state, State::Connected)).await;
    let closing = async {
        one.close();
        two.close();
        assert!(matches!(two.ended().await, Ended::Closed));
        two.close();
    };
    let (next, ()) = futures_util::future::join(link.next(), closing).await;
    assert_eq!(next, None, "who waits is woken");
    link.close();
    assert_eq!(link.next().await, None);
    assert!(matches!(link.ended().await, Ended::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_has_come_and_was_not_given_out_is_not_counted_when_it_is_closed() {
    let _still = still();
    let server = serve(vec![stream(hello(EPOCH) + &command(1) + &command(2), Then::Hold)]);
    let mut link = builder(&server.url()).connect();
    assert_eq!(orders(&mut link, 1).await, [1]);
    link.close();
    assert_eq!(link.next().await, None);
    assert_eq!(link.position().unwrap().0, super::seq(1));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_closed_while_it_waits_or_before_it_began_ends_at_once() {
    let _still = still();
    let server = serve(vec![answer("500 x", "Retry-After: 3600\r\n", "")]);
    let mut waiting = builder(&server.url()).connect();
    until(&waiting.handle(), |state| matches!(state, State::Waiting { .. })).await;
    let mut new = builder(&server.url()).connect();
    for link in [&mut waiting, &mut new] {
        link.close();
        assert_eq!(link.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_hears_of_the_end_of_one_that_is_dropped() {
    let _still = still();
    let server = serve(vec![stream(hello(EPOCH), Then::Hold)]);
    let begun = builder(&server.url()).connect();
    until(&begun.handle(), |state| matches!(state, State::Connected)).await;
    let new = builder(&server.url()).connect();
    for link in [begun, new] {
        let handle = link.handle();
        drop(link);
        assert!(matches!(handle.ended().await, Ended::Closed));
    }
}
