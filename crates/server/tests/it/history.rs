//! Pages of history: both ways, to the ends, with filters.

use serde_json::{Value, json};

use crate::world::{World, note, notes, seqs};

/// Walks from the start to the head.
async fn forwards(world: &World, query: &str) -> Vec<u64> {
    let (mut all, mut after) = (Vec::new(), json!(0));
    loop {
        let page = world.history(&format!("after={after}&{query}")).await;
        let events = page["events"].as_array().unwrap();
        if events.is_empty() {
            return all;
        }
        assert_eq!(
            page["prev"], events[0]["seq"],
            "`prev` is the cursor for the page before"
        );
        all.extend(seqs(events));
        assert!(page["next"].as_u64() >= all.last().copied());
        after = page["next"].clone();
    }
}

/// Walks from the newest page to the start.
async fn backwards(world: &World, query: &str) -> Vec<u64> {
    let (mut all, mut before): (Vec<u64>, Option<Value>) = (Vec::new(), None);
    loop {
        let place = before.as_ref().map(|seq| format!("before={seq}&")).unwrap_or_default();
        let page = world.history(&format!("{place}{query}")).await;
        let mut got = seqs(page["events"].as_array().unwrap());
        got.extend(all);
        all = got;
        if page["prev"].is_null() {
            return all;
        }
        before = Some(page["prev"].clone());
    }
}

#[tokio::test]
async fn paging_either_way_covers_everything_once_and_in_order() {
    let world = World::start().await;
    for _ in 0..30 {
        world.publish(&json!([note("a", "x"), note("b", "x"), {"type": "text_delta", "session_id": "b", "data": {"text": "d"}}])).await;
    }
    let all: Vec<u64> = (1..=90).collect();
    let of = |places: fn(&u64) -> bool| all.iter().copied().filter(places).collect::<Vec<_>>();
    for limit in [1, 7, 30, 45, 89, 90, 91, 1000] {
        for (filter, expected) in [
            ("", all.clone()),
            ("&session_id=a", of(|n| n % 3 == 1)),
            ("&session_id=b&deltas=false", of(|n| n % 3 == 2)),
            ("&type=text_delta", of(|n| n % 3 == 0)),
            ("&agent=nobody", Vec::new()),
        ] {
            // One event a page is asked of the whole log only, or the test would take too long.
            if limit == 1 && !filter.is_empty() {
                continue;
            }
            let query = format!("limit={limit}{filter}");
            assert_eq!(forwards(&world, &query).await, expected, "forwards {query}");
            assert_eq!(backwards(&world, &query).await, expected, "backwards {query}");
        }
    }
}

#[tokio::test]
async fn a_page_without_a_place_is_the_newest_and_says_where_the_log_is() {
    let world = World::start().await;
    world.publish(&notes("a", 250)).await;
    let page = world.history("").await;
    assert_eq!(
        seqs(page["events"].as_array().unwrap()),
        (151..=250).collect::<Vec<_>>()
    );
    let epoch = world.server().ready().epoch.to_string();
    let rest = (
        &page["next"],
        &page["prev"],
        &page["first"],
        &page["head"],
        &page["epoch"],
    );
    assert_eq!(rest, (&json!(250), &json!(151), &json!(1), &json!(250), &json!(epoch)));
    let page = world.history("limit=1000").await;
    assert_eq!(
        (page["events"].as_array().unwrap().len(), &page["prev"]),
        (250, &Value::Null)
    );
}

#[tokio::test]
async fn the_newest_page_goes_on_into_the_stream_without_loss_or_repeat() {
    let world = World::start().await;
    world.publish(&notes("a", 10)).await;
    let page = world.history("limit=4").await;
    world.publish(&notes("a", 3)).await;
    let mut stream = world.stream(&format!("/api/events?after={}", page["next"])).await;
    assert_eq!(seqs(&stream.until(13).await), [11, 12, 13]);
}

#[tokio::test]
async fn an_empty_log_has_an_empty_page() {
    let world = World::start().await;
    for query in ["", "after=0", "before=1", "before=100", "q=x", "after=0&q=x"] {
        let page = world.history(query).await;
        assert_eq!(page["events"], json!([]), "{query}");
        assert_eq!((&page["first"], &page["head"]), (&json!(1), &json!(0)), "{query}");
    }
}
