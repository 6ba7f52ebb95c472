//! Turns, calls and requests that tell their end whatever happens.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use serde_json::json;

use super::{super::*, Heard, Panics, about};

fn turn(heard: &Heard) -> Turn {
    Turn::start_with(heard.shared(), about(), TurnStart::default())
}

/// The one end that was told.
fn end(heard: &Heard, kind: &str) -> serde_json::Value {
    let ends: Vec<_> = heard.bodies().into_iter().filter(|(other, _)| other == kind).collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends[0].1.clone()
}

#[test]
fn a_turn_tells_its_start_and_its_end_once() {
    let heard = Heard::default();
    turn(&heard).ok();
    let bodies = heard.bodies();
    assert_eq!(
        bodies.iter().map(|(kind, _)| &**kind).collect::<Vec<_>>(),
        ["turn_start", "turn_end"]
    );
    assert_eq!(bodies[1].1["ok"], true);
    assert!(heard.events().iter().all(|event| event.about == about()));

    let heard = Heard::default();
    turn(&heard).fail("the prompt was too long");
    assert_eq!(
        (&end(&heard, "turn_end")["ok"], &end(&heard, "turn_end")["note"]),
        (&json!(false), &json!("the prompt was too long"))
    );
}

#[test]
fn a_turn_that_is_left_early_ends_as_failed_with_a_note() {
    fn leaves(heard: &Heard) -> Result<(), std::num::ParseIntError> {
        let turn = turn(heard);
        let _: u8 = "x".parse()?;
        turn.ok();
        Ok(())
    }
    let heard = Heard::default();
    leaves(&heard).unwrap_err();
    let end = end(&heard, "turn_end");
    assert_eq!(
        (&end["ok"], &end["note"]),
        (&json!(false), &json!("the turn was left before its end"))
    );
}

#[tokio::test]
async fn a_turn_whose_task_is_cancelled_ends_as_failed_with_a_note() {
    let heard = Heard::default();
    let mut tasks = tokio::task::JoinSet::new();
    let turn = turn(&heard);
    tasks.spawn(async move {
        std::future::pending::<()>().await;
        turn.ok();
    });
    tasks.shutdown().await;
    assert_eq!(end(&heard, "turn_end")["note"], "the turn was left before its end");
}

#[test]
fn a_turn_that_panics_ends_as_failed_and_so_does_what_was_open_in_it() {
    let heard = Heard::default();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let turn = turn(&heard);
        let _request = turn.llm("acme", "m", 1);
        let _call = turn.tool("Bash", "c", Json::of("ls"));
        panic!("a tool's fault");
    }));
    assert!(panicked.is_err());
    assert_eq!(end(&heard, "turn_end")["note"], "the turn panicked");
    assert_eq!(end(&heard, "turn_end")["ok"], false);
    assert_eq!(
        (&end(&heard, "tool_call")["success"], &end(&heard, "tool_call")["error"]),
        (&json!(false), &json!("the call panicked"))
    );
    assert_eq!(end(&heard, "error")["message"], "the request panicked");
}

#[test]
fn an_observer_that_panics_while_a_turn_unwinds_aborts_nothing() {
    let panicked = catch_unwind(|| {
        let turn = Turn::start_with(std::sync::Arc::new(Panics), about(), TurnStart::default());
        let _call = turn.tool("Bash", "c", Json::of("ls"));
        std::panic::panic_any("the harness's own fault");
    });
    let payload = panicked.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the harness's own fault"));
}

#[tokio::test(start_paused = true)]
async fn a_duration_is_the_time_that_passed() {
    let heard = Heard::default();
    let turn = turn(&heard);
    tokio::time::advance(Duration::from_millis(500)).await;
    let call = turn.tool("Bash", "c", Json::of("ls"));
    tokio::time::advance(Duration::from_millis(1234)).await;
    call.ok(Json::of("a"));
    let request = turn.llm("acme", "m", 1);
    tokio::time::advance(Duration::from_millis(66)).await;
    request.answered(Usage::default());
    turn.ok();
    assert_eq!(end(&heard, "tool_call")["duration_ms"], 1234);
    assert_eq!(end(&heard, "usage")["duration_ms"], 66);
    assert_eq!(end(&heard, "turn_end")["duration_ms"], 1800);
}

#[test]
fn a_call_has_its_id_at_both_ends_and_one_is_made_where_the_vendor_has_none() {
    let heard = Heard::default();
    let turn = turn(&heard);
    for (given, fail) in [("c-1", false), ("", true)] {
        let call = turn.tool("Bash", given, Json::of("ls"));
        let id = call.id().to_owned();
        if fail {
            call.fail("exit 1", Some(Json::of("no such file")));
        } else {
            call.ok(Json::of("a"));
        }
        let bodies = heard.bodies();
        let [.., (_, start), (_, end)] = &bodies[..] else {
            panic!("{bodies:?}")
        };
        assert_eq!((&start["tool_call_id"], &end["tool_call_id"]), (&json!(id), &json!(id)));
        assert!(!id.is_empty() && (given.is_empty() || id == given));
        assert_eq!(
            (&start["tool"], &end["tool"], &end["success"]),
            (&json!("Bash"), &json!("Bash"), &json!(!fail))
        );
        if fail {
            assert_eq!(
                (&end["error"], &end["output"]),
                (&json!("exit 1"), &json!("no such file"))
            );
        }
    }
}

#[test]
fn the_usage_of_a_turns_requests_adds_up_to_its_ends() {
    let heard = Heard::default();
    let turn = turn(&heard);
    for (input, cost) in [(900, 0.5), (100, 0.25)] {
        turn.llm("acme", "acme-large", 1).answered(Usage {
            input_tokens: Some(input),
            output_tokens: Some(7),
            cost_usd: Some(cost),
            ..Usage::default()
        });
    }
    turn.llm("acme", "acme-large", 1).fail("overloaded");
    turn.ok();
    let end = end(&heard, "turn_end");
    assert_eq!(
        end["usage"],
        json!({"input_tokens": 1000, "output_tokens": 14, "model": "acme-large"})
    );
    assert_eq!(end["cost_usd"], 0.75);
}
