//! Full text over what was said and done.

use serde_json::{Value, json};

use crate::world::{World, note, seqs};

async fn world() -> World {
    let world = World::start().await;
    let event = |session: &str, agent: &str, kind: &str, data: Value| json!({"type": kind, "session_id": session, "agent": agent, "data": data});
    let events = json!([
        event(
            "a",
            "x",
            "message",
            json!({"role": "user", "content": "please mend the flaky parser"})
        ),
        event(
            "a",
            "x",
            "tool_call_start",
            json!({"tool": "Bash", "tool_call_id": "t1", "arguments": {"command": "cargo nextest run", "env": [{"K": "deepvalue"}]}})
        ),
        event(
            "a",
            "x",
            "tool_call",
            json!({"tool": "Bash", "tool_call_id": "t1", "success": true, "output": "panicked at parser.rs"})
        ),
        event(
            "b",
            "y",
            "message",
            json!({"role": "assistant", "content": [{"type": "text", "text": "the Parser is fine, café"}]})
        ),
        event("b", "y", "text_delta", json!({"text": "parser delta"})),
        event("b", "y", "reasoning", json!({"text": "perhaps the parser"})),
        event("b", "y", "note", json!({"text": "nothing to see"})),
        event(
            "a",
            "x",
            "error",
            json!({"component": "net", "message": "connection reset"})
        ),
    ]);
    world.publish(&events).await;
    world
}

async fn found(world: &World, query: &str) -> Vec<u64> {
    seqs(world.history(query).await["events"].as_array().unwrap())
}

#[tokio::test]
async fn messages_tools_arguments_outputs_and_errors_are_found() {
    let world = world().await;
    for (q, expected) in [
        ("flaky", &[1][..]),
        ("Bash", &[2, 3]),
        ("nextest", &[2]),
        ("deepvalue", &[2]),
        ("panicked", &[3]),
        ("parser", &[1, 3, 4, 6]),
        ("PARSER+fine", &[4]),
        ("cafe", &[4]),
        ("%22cargo+nextest%22", &[2]),
        ("%22nextest+cargo%22", &[]),
        ("panic*", &[3]),
        ("reset", &[8]),
        ("absent", &[]),
    ] {
        assert_eq!(found(&world, &format!("q={q}")).await, expected, "{q}");
        assert_eq!(found(&world, &format!("after=0&q={q}")).await, expected, "{q}");
    }
}

#[tokio::test]
async fn a_search_keeps_to_the_filters() {
    let world = world().await;
    for (filter, expected) in [
        ("session_id=a", &[1, 3][..]),
        ("session_id=b", &[4, 6]),
        ("type=message", &[1, 4]),
        ("agent=x&type=message", &[1]),
        ("source=nobody", &[]),
        ("after=1&limit=2", &[3, 4]),
        ("before=6&limit=2", &[3, 4]),
    ] {
        assert_eq!(found(&world, &format!("q=parser&{filter}")).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn what_was_just_published_is_found() {
    let world = World::start().await;
    for n in 0..20 {
        world.publish(&note("a", &format!("word{n}"))).await;
        assert_eq!(found(&world, &format!("q=word{n}")).await, [n + 1]);
    }
}

#[tokio::test]
async fn paging_through_what_was_found_covers_it_once_either_way() {
    let world = World::start().await;
    let events: Value = (1..=60)
        .map(|n| note("a", if n % 3 == 0 { "needle" } else { "hay" }))
        .collect();
    world.publish(&events).await;
    let expected: Vec<u64> = (1..=60).filter(|n| n % 3 == 0).collect();
    for limit in [1, 3, 19, 20, 21] {
        let (mut all, mut after) = (Vec::new(), json!(0));
        loop {
            let page = world.history(&format!("q=needle&limit={limit}&after={after}")).await;
            let got = seqs(page["events"].as_array().unwrap());
            if got.is_empty() {
                break;
            }
            all.extend(got);
            after = page["next"].clone();
        }
        assert_eq!(all, expected, "forwards by {limit}");

        let (mut all, mut place) = (Vec::new(), String::new());
        loop {
            let page = world.history(&format!("q=needle&limit={limit}{place}")).await;
            let mut got = seqs(page["events"].as_array().unwrap());
            got.extend(all);
            all = got;
            if page["prev"].is_null() {
                break;
            }
            place = format!("&before={}", page["prev"]);
        }
        assert_eq!(all, expected, "backwards by {limit}");
    }
}

#[tokio::test]
async fn nothing_that_is_typed_into_a_search_breaks_it() {
    let world = world().await;
    for typed in [
        "\"",
        "\"\"",
        "*",
        "^",
        "a AND",
        "NOT",
        "OR OR",
        "NEAR(a b, 3)",
        "text:parser",
        "-parser",
        "(",
        ")",
        "{a b}: c",
        "parser\" OR \"x",
        "';DROP TABLE search;--",
        "\u{0}",
        "a\u{0}b",
        "\u{7}",
        "\u{202e}",
        "🦀",
        "%",
        "_",
        "\\",
        "parser*\"*",
        "((((((((",
        "+",
    ] {
        let q: String = form_urlencoded::byte_serialize(typed.as_bytes()).collect();
        let reply = world.get(&format!("/api/events/history?q={q}")).await;
        if reply.status != 200 {
            reply.refused_field(400, "bad_request", "q");
        }
    }
    let many = "word+".repeat(180);
    assert_eq!(found(&world, &format!("q={many}")).await, [0_u64; 0]);
    let long = "x".repeat(1001);
    let details = world
        .get(&format!("/api/events/history?q={long}"))
        .await
        .refused_field(400, "bad_request", "q");
    assert_eq!(details["limit"], 1000);
    world
        .get("/api/events/history?q=")
        .await
        .refused_field(400, "bad_request", "q");
    assert_eq!(found(&world, "q=flaky").await, [1]);
}
