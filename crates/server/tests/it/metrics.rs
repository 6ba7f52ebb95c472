//! What `/metrics` says of the bounds of a server.

use crate::world::{World, note};

#[tokio::test]
async fn what_has_a_bound_and_fills_up_is_shown_with_its_bound() {
    let world = World::with(|config| {
        config.limits.connections = 7;
        config.limits.append_queue = 11;
        config.limits.ring_bytes = 100_000;
    })
    .await;
    world.publish(&note("a", "one")).await;
    let text = world.get("/metrics").await.text();
    let value = |metric: &str, bound: &str| -> u64 {
        let start = format!("turnwire_{metric}{{bound=\"{bound}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{start} is not in {text}"))
            .parse()
            .unwrap()
    };
    for (bound, limit) in [
        ("connections", 7),
        ("append_queue", 11),
        ("ring_bytes", 100_000),
        ("wal_bytes", 512 << 20),
        ("log_readers", 4),
        ("state_queue", 1024),
        ("tokens", 10_000),
        ("tickets", 16_384),
    ] {
        assert_eq!(value("bound_limit", bound), limit, "{bound}");
        assert!(value("bound_used", bound) <= limit, "{bound}");
    }
    for full in ["connections", "ring_bytes", "wal_bytes", "tokens"] {
        assert!(value("bound_used", full) > 0, "{full}");
    }
}

#[tokio::test]
async fn what_is_refused_anywhere_is_counted_by_its_code() {
    let world = World::start().await;
    world.get("/api/nothing").await.refused(404, "not_found");
    world.get_by("tw_no", "/api/events").await.refused(401, "unauthorized");
    world.post("application/json", "{").await.refused(400, "bad_request");
    let foreign = "GET /api/events HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    world.ask(foreign).await.refused(403, "forbidden");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(40_000));
    world.ask(long).await.refused(431, "head_too_large");
    for code in [
        "not_found",
        "unauthorized",
        "bad_request",
        "forbidden",
        "head_too_large",
    ] {
        let line = format!("turnwire_requests_refused_total{{code=\"{code}\"}} 1");
        world.metric(&line).await;
    }
    world
        .metric("turnwire_publishes_refused_total{code=\"bad_request\"} 1")
        .await;
}
