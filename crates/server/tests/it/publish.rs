//! Publishing: what is taken in, in which shapes, and what the answer says.

use serde_json::{Value, json};

use crate::world::{World, chunked, lines, note, notes, seqs, texts};

const NDJSON: &str = "application/x-ndjson";

#[tokio::test]
async fn one_object_an_array_and_lines_are_each_a_publish() {
    let world = World::start().await;
    let one = world.publish(&note("a", "0")).await;
    assert_eq!(
        one,
        json!({"first_seq": 1, "last_seq": 1, "written": 1, "duplicates": 0})
    );
    let array = world.publish(&notes("a", 3)).await;
    assert_eq!(
        array,
        json!({"first_seq": 2, "last_seq": 4, "written": 3, "duplicates": 0})
    );
    let by_line = world.post(NDJSON, lines(&notes("a", 4))).await.ok();
    assert_eq!(
        by_line,
        json!({"first_seq": 5, "last_seq": 8, "written": 4, "duplicates": 0})
    );
    let no_type = format!(
        "{}Content-Length: 15\r\n\r\n{{\"type\":\"note\"}}",
        world.head("POST", "/api/events")
    );
    assert_eq!(world.ask(no_type).await.ok()["written"], 1);
    let with_parameter = world
        .post("application/json; charset=utf-8", note("a", "x").to_string())
        .await;
    assert_eq!(with_parameter.ok()["last_seq"], 10);
    assert_eq!(texts(&world.all().await[..8]), ["0", "0", "1", "2", "0", "1", "2", "3"]);
}

#[tokio::test]
async fn what_a_producer_leaves_out_is_filled_in() {
    let world = World::start().await;
    world.publish(&json!({"type": "note"})).await;
    let event = &world.all().await[0];
    assert_eq!(event["source"], "test", "the token's name");
    assert!(event["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert!(event["id"].as_str().is_some_and(|id| id.len() == 36));
    for absent in ["agent", "session_id", "turn_id", "raw"] {
        assert!(event.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn an_answer_means_durable() {
    let mut world = World::start().await;
    let answer = world.publish(&notes("a", 30)).await;
    world.restart().await;
    assert_eq!(seqs(&world.all().await), (1..=30).collect::<Vec<_>>());
    assert_eq!(
        world.publish(&note("a", "x")).await["first_seq"].as_u64(),
        answer["last_seq"].as_u64().map(|seq| seq + 1)
    );
}

fn with_id(id: &str, text: &str) -> Value {
    let mut event = note("a", text);
    event["id"] = json!(id);
    event
}

const ONE: &str = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
const TWO: &str = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a11";

#[tokio::test]
async fn an_event_that_is_published_again_is_written_once_also_across_a_restart() {
    let mut world = World::start().await;
    let twice = json!([with_id(ONE, "1"), with_id(ONE, "1")]);
    assert_eq!(
        world.publish(&twice).await,
        json!({"first_seq": 1, "last_seq": 1, "written": 1, "duplicates": 1})
    );
    world.publish(&notes("a", 3)).await;
    world.restart().await;
    let again = world.publish(&with_id(ONE, "1")).await;
    assert_eq!(
        again,
        json!({"first_seq": 1, "last_seq": 1, "written": 0, "duplicates": 1})
    );
    let partly = world
        .post(NDJSON, lines(&json!([with_id(ONE, "1"), with_id(TWO, "2")])))
        .await
        .ok();
    assert_eq!((&partly["written"], &partly["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(partly["first_seq"], 1);
    assert_eq!(texts(&world.all().await), ["1", "0", "1", "2", "2"]);
}

/// Lines as clients write them: CRLF, blank ones, a last one without an end.
const ODD_LINES: &str = "{\"type\":\"note\",\"data\":{\"text\":\"ä\"}}\r\n\n \r\n{\"type\":\"note\",\"data\":{\"text\":\"2\"}}\n{\"type\":\"note\",\"data\":{\"text\":\"3\"}}";

#[tokio::test]
async fn lines_are_the_same_wherever_the_body_is_split() {
    let world = World::start().await;
    let mut wire = world.wire().await;
    let head = world.head("POST", "/api/events");
    let body = ODD_LINES.as_bytes();
    for at in 0..=body.len() {
        let (one, other) = body.split_at(at);
        wire.send(format!(
            "{head}Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
        wire.send(chunked([one, other])).await;
        assert_eq!(wire.reply().await.ok()["written"], 3, "split at {at}");
    }
    let mut expected = Vec::new();
    (0..=body.len()).for_each(|_| expected.extend(["ä", "2", "3"]));
    assert_eq!(texts(&world.all().await), expected);
}

#[tokio::test]
async fn lines_with_a_length_are_the_same_wherever_they_are_written_apart() {
    let world = World::start().await;
    let mut wire = world.wire().await;
    let request = world.request("POST", "/api/events", NDJSON, ODD_LINES);
    for at in (1..request.len()).step_by(3) {
        let (one, other) = request.split_at(at);
        wire.send(one).await;
        tokio::task::yield_now().await;
        wire.send(other).await;
        assert_eq!(wire.reply().await.ok()["written"], 3, "split at {at}");
    }
}

#[tokio::test]
async fn five_thousand_lines_in_pieces_are_written_whole_and_in_order() {
    let world = World::start().await;
    let body = lines(&notes("a", 5000));
    let mut wire = world.wire().await;
    wire.send(world.request("POST", "/api/events", NDJSON, &body)).await;
    assert_eq!(
        wire.reply().await.ok(),
        json!({"first_seq": 1, "last_seq": 5000, "written": 5000, "duplicates": 0})
    );
    let head = world.head("POST", "/api/events");
    wire.send(format!(
        "{head}Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    for piece in body.as_bytes().chunks(777) {
        let mut piece = chunked([piece]);
        piece.truncate(piece.len() - 5);
        wire.send(piece).await;
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(
        wire.reply().await.ok(),
        json!({"first_seq": 5001, "last_seq": 10000, "written": 5000, "duplicates": 0})
    );
    let all = world.all().await;
    let numbers: Vec<_> = (0..5000).chain(0..5000).map(|n: usize| n.to_string()).collect();
    assert!(texts(&all) == numbers);
}

#[tokio::test]
async fn lines_are_durable_and_seen_before_the_body_has_ended() {
    let world = World::start().await;
    let mut stream = world.stream("/api/events").await;
    stream.control("hello").await;
    let mut wire = world.wire().await;
    let head = world.head("POST", "/api/events");
    wire.send(format!(
        "{head}Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ))
    .await;
    for n in 0..3 {
        let line = format!("{}\n", note("a", &n.to_string()));
        wire.send(format!("{:x}\r\n{line}\r\n", line.len())).await;
        assert_eq!(stream.event().await["data"]["text"], n.to_string());
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.reply().await.ok()["written"], 3);
}

#[tokio::test]
async fn an_array_is_written_whole_or_not_at_all() {
    let world = World::start().await;
    let array = json!([note("a", "1"), note("a", "2"), {"type": "note", "colour": "red"}, note("a", "4")]);
    let details = world
        .post("application/json", array.to_string())
        .await
        .refused_field(400, "bad_request", "colour");
    assert_eq!(details["index"], 2);
    assert_eq!(world.head_seq().await, 0);
}

#[tokio::test]
async fn a_bad_line_says_which_it_is_and_what_was_written_before_it() {
    let world = World::start().await;
    let good = note("a", "x").to_string();
    let body = format!("{good}\n\n{good}\n{{\"type\":7}}\n{good}\n");
    let details = world
        .post(NDJSON, &body)
        .await
        .refused_field(400, "bad_request", "type");
    assert_eq!(
        details,
        json!({"field": "type", "line": 4, "written": 2, "duplicates": 0, "last_seq": 2})
    );
    assert_eq!(world.head_seq().await, 2);

    let late = format!("{}nonsense\n{good}\n", lines(&notes("a", 2500)));
    let details = world
        .post(NDJSON, &late)
        .await
        .refused_field(400, "bad_request", "body");
    assert_eq!((&details["line"], &details["written"]), (&json!(2501), &json!(2500)));
    assert_eq!(details["last_seq"], 2502);
    assert_eq!(world.head_seq().await, 2502);
}

#[tokio::test]
async fn unknown_kinds_and_all_of_a_body_pass_untouched() {
    let world = World::start().await;
    let data =
        r#"{"seq":"x","id":null,"n":1.00,"big":123456789012345678901234567890,"deep":[[[{"a":"\u00e9"}]]],"type":7}"#;
    world
        .post(
            "application/json",
            format!("{{\"type\":\"vendor_thing_2\",\"data\":{data}}}"),
        )
        .await
        .ok();
    let page = world.get("/api/events/history").await.text();
    assert!(page.contains(&format!("\"data\":{data}")), "{page}");
}
