//! The `downlink` example: an agent that reports, does what it can, refuses the rest, and ends when it is replaced.

use clap::Parser as _;
use turnwire_client::downlink::Ended;

use super::{EPOCH, command, hello, id, line, still, sync};
use crate::scripted::{Then, answer, serve, stream};

#[path = "../../../examples/downlink.rs"]
#[expect(dead_code, reason = "its `main` is for the command line")]
mod program;

#[tokio::test(start_paused = true)]
async fn the_example_reports_does_what_it_can_and_refuses_the_rest() {
    let _still = still();
    let other = command(2).replace("message", "made_tomorrow");
    let bye = "event: bye\ndata: {\"reason\":\"replaced\"}\n\n";
    let orders = hello(EPOCH) + &sync(0, "connected") + &command(1) + &other + bye;
    let mut replies = vec![stream(orders, Then::Hold)];
    replies.extend((0..4).map(|_| answer("200 OK", "", "{}")));
    let server = serve(replies);
    let args = ["downlink", &server.url(), "--token", "secret", "--agent", "a"];
    let mut out = Vec::new();
    let ended = program::run(program::Args::parse_from(args), &mut out).await.unwrap();
    assert!(matches!(ended, Ended::Replaced));
    let one = format!("{} message {{\"content\":\"1\"}}\n", id(1));
    let two = format!("{} made_tomorrow {{\"content\":\"2\"}}\n", id(2));
    assert_eq!(String::from_utf8(out).unwrap(), one + &two);
    for (wanted, body) in [
        ("GET /api/agent/events?agent=a ", ""),
        ("POST /api/agent/sync?agent=a ", "\"idle\""),
        ("POST /api/agent/commands/", r#"{"state":"acked"}"#),
        ("POST /api/agent/commands/", r#"{"state":"done"}"#),
        (
            "POST /api/agent/commands/",
            r#"{"state":"failed","reason":"this agent cannot made_tomorrow"}"#,
        ),
    ] {
        let request = server.request();
        assert!(
            line(&request).starts_with(wanted) && request.contains(body),
            "{request}"
        );
    }
}
