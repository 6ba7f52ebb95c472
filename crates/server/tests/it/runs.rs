//! Evaluation runs (N): progress with its denominator, what came of each task, what graders said, whatever the order.

use serde_json::{Value, json};

use crate::world::{World, note};

fn event(kind: &str, second: u32, data: Value) -> Value {
    let at = format!("2026-11-20T09:00:{second:02}.000Z");
    let mut event = json!({"type": kind, "session_id": "run", "agent": "harness", "timestamp": at});
    event["data"] = data;
    event
}

fn start(second: u32, task: &str, number: u64) -> Value {
    event(
        "task_start",
        second,
        json!({"task": task, "number": number, "total": 4}),
    )
}

fn end(second: u32, task: &str, outcome: &str) -> Value {
    event(
        "task_complete",
        second,
        json!({"task": task, "outcome": outcome, "score": 0.5}),
    )
}

fn grade(second: u32, grader: &str, passed: bool, message: &str) -> Value {
    let data = json!({"grader": grader, "passed": passed, "grader_type": "text", "score": 1.0, "message": message});
    event("grader_result", second, data)
}

/// Three of four tasks are over; the last one is open.
fn events() -> Vec<Value> {
    vec![
        event("session_start", 0, json!({"model": "small"})),
        start(1, "one", 1),
        grade(2, "text", true, "every phrase was there"),
        grade(3, "files", false, "one file too many"),
        event(
            "usage",
            3,
            json!({"input_tokens": 7, "output_tokens": 3, "cost_usd": 0.25}),
        ),
        end(4, "one", "failed"),
        start(5, "two", 2),
        end(6, "two", "passed"),
        start(7, "three", 3),
        event(
            "error",
            8,
            json!({"component": "engine", "message": "no answer within 300s"}),
        ),
        end(9, "three", "error"),
        start(10, "four", 4),
    ]
}

async fn run(world: &World) -> Value {
    world.get("/api/runs/run").await.ok()
}

fn progress(run: &Value) -> Value {
    let fields = ["total", "completed", "passed", "failed", "errors", "current"];
    fields.iter().map(|field| run[*field].clone()).collect()
}

fn outcomes(run: &Value) -> Value {
    let tasks = run["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| json!([task["task"], task["outcome"]]))
        .collect()
}

#[tokio::test]
async fn a_run_is_told_whole_while_it_goes_on() {
    let mut world = World::start().await;
    world.publish(&json!(events())).await;
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        let mut told = run(&world).await;
        let list = world.get("/api/runs").await.ok();
        let three = told["tasks"][2].clone();
        assert_eq!(
            (&three["outcome"], &three["error"]),
            (&json!("error"), &json!("no answer within 300s"))
        );
        assert_eq!(
            told["tasks"][0],
            json!({"task": "one", "number": 1, "outcome": "failed", "score": 0.5, "started": "2026-11-20T09:00:01.000Z",
                "duration_ms": 3000, "first_seq": 2, "graders": [
                {"grader": "text", "grader_type": "text", "passed": true, "score": 1.0, "message": "every phrase was there", "seq": 3},
                {"grader": "files", "grader_type": "text", "passed": false, "score": 1.0, "message": "one file too many", "seq": 4},
            ]})
        );
        assert_eq!(told["tasks"][3].get("outcome"), None);
        assert_eq!(told["more"], false);
        let fields = told.as_object_mut().unwrap();
        let head = fields.remove("head").unwrap();
        fields.retain(|field, _| !["tasks", "more"].contains(&field.as_str()));
        assert_eq!(
            told,
            json!({"session_id": "run", "agent": "harness", "model": "small", "started": "2026-11-20T09:00:01.000Z", "total": 4,
                "completed": 3, "passed": 1, "failed": 1, "errors": 1, "current": "four", "input_tokens": 7, "output_tokens": 3,
                "cost_usd": 0.25, "first_seq": 2, "last_seq": 12})
        );
        assert_eq!(
            list,
            json!({"runs": [told], "next": null, "head": head}),
            "the list has the same, without tasks"
        );
    }
}

#[tokio::test]
async fn what_a_run_says_at_its_end_counts_and_it_does_nothing_any_more() {
    let world = World::start().await;
    let mut events = events();
    events.push(event(
        "run_complete",
        11,
        json!({"total": 5, "passed": 1, "failed": 2, "errors": 1}),
    ));
    events.push(event("session_end", 12, json!({"exit_code": 0})));
    world.publish(&json!(events)).await;
    let told = run(&world).await;
    assert_eq!(progress(&told), json!([5, 4, 1, 2, 1, null]));
    assert_eq!(told["ended"], "2026-11-20T09:00:11.000Z");
}

#[tokio::test]
async fn a_run_whose_session_ended_is_over_with_what_its_tasks_came_to() {
    let world = World::start().await;
    let mut events = events();
    events.push(event("session_end", 12, json!({"exit_code": 1})));
    world.publish(&json!(events)).await;
    let told = run(&world).await;
    assert_eq!(progress(&told), json!([4, 3, 1, 1, 1, null]));
    assert_eq!(told["ended"], "2026-11-20T09:00:12.000Z");
}

#[tokio::test]
async fn no_order_of_events_and_no_body_spoils_a_run() {
    let mut world = World::start().await;
    world
        .publish(&json!([
            grade(1, "early", true, "before its task"),
            end(5, "a", "passed"),
            start(2, "a", 1),
            end(6, "a", "failed"),
            start(7, "a", 1),
            event("task_start", 7, json!({"task": 7, "number": -1, "total": "many"})),
            event("task_complete", 8, json!({"outcome": "Skipped", "score": "high"})),
            event("task_complete", 8, json!({"task": "b", "outcome": "PASSED"})),
            event("grader_result", 8, json!({})),
            event("run_complete", 9, json!({"total": -1, "passed": []})),
        ]))
        .await;
    let told = run(&world).await;
    // The second end of `a` is told twice; its second start begins another try.
    assert_eq!(
        outcomes(&told),
        json!([["a", "passed"], ["a", null], ["", "n/a"], ["b", "passed"]])
    );
    assert_eq!(progress(&told), json!([4, 3, 2, 0, 0, null]));
    assert_eq!(told["tasks"][0]["graders"][0]["grader"], "early");
    assert_eq!(
        told["tasks"][0]["duration_ms"], 3000,
        "from its start, though that came later"
    );
    world.restart_without_views().await;
    assert_eq!(run(&world).await, told);
}

#[tokio::test]
async fn runs_are_listed_by_their_beginning_and_only_to_those_who_may_read_them() {
    let world = World::start().await;
    let of = |session: &str| json!({"type": "task_start", "session_id": session, "data": {"task": "t", "total": 1}});
    world
        .publish(&json!([of("a"), of("b"), of("c"), note("d", "no run"), of("a")]))
        .await;
    let ids = |page: &Value| -> Vec<String> {
        let runs = page["runs"].as_array().unwrap();
        runs.iter()
            .map(|run| run["session_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = world.get("/api/runs?limit=2").await.ok();
    assert_eq!(ids(&first), ["c", "b"]);
    let second = world
        .get(&format!("/api/runs?limit=2&before={}", first["next"]))
        .await
        .ok();
    assert_eq!((ids(&second), &second["next"]), (vec!["a".to_owned()], &Value::Null));
    world.get("/api/runs/d").await.refused_field(404, "not_found", "id");
    let token = world.token(&["read:session:a"]).await;
    assert_eq!(ids(&world.get_by(&token, "/api/runs").await.ok()), ["a"]);
    world.get_by(&token, "/api/runs/b").await.refused(403, "forbidden");
}
