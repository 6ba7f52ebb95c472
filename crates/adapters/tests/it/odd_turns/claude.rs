//! Claude Code.

use serde_json::{Value, json};
use turnwire_adapters::{Context, Prompted, by_name};
use turnwire_proto::{Name, Timestamp};

use super::{kinds, of, story};

/// A line of Claude Code.
fn claude(mut line: Value) -> Value {
    line["session_id"] = json!("s");
    line
}

fn init() -> Value {
    claude(json!({"type": "system", "subtype": "init", "model": "m", "uuid": "11111111-0"}))
}

fn says(block: &Value, parent: Option<&str>) -> Value {
    claude(
        json!({"type": "assistant", "parent_tool_use_id": parent, "message": {"id": "msg", "model": "m", "content": [block]}}),
    )
}

fn calls(id: &str, tool: &str, parent: Option<&str>) -> Value {
    says(
        &json!({"type": "tool_use", "id": id, "name": tool, "input": {"x": 1}}),
        parent,
    )
}

fn answers(id: &str, content: &str, error: bool, parent: Option<&str>) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": content, "is_error": error});
    claude(json!({"type": "user", "parent_tool_use_id": parent, "message": {"role": "user", "content": [block]}}))
}

fn result(more: &Value) -> Value {
    let mut line = claude(json!({"type": "result", "subtype": "success", "is_error": false, "duration_ms": 7}));
    for (key, value) in more.as_object().unwrap() {
        line[key] = value.clone();
    }
    line
}

#[test]
fn claude_parallel_calls_end_in_any_order_each_with_its_own_time() {
    let story = story(
        "claude",
        &[
            init(),
            calls("a", "Bash", None),
            calls("b", "Read", None),
            answers("b", "2", false, None),
            answers("a", "Exit code 7\nno", true, None),
            result(&json!({"result": "done"})),
        ],
        0,
    );
    let ends = of(&story, "tool_call");
    assert_eq!(
        ends[0],
        &json!({"tool": "Read", "tool_call_id": "b", "success": true, "duration_ms": 1000, "output": "2"})
    );
    assert_eq!(ends[1]["duration_ms"], 3000);
    assert_eq!(
        (&ends[1]["success"], &ends[1]["error"]),
        (&json!(false), &json!("exit 7"))
    );
    // Nothing was said but by the result.
    assert_eq!(of(&story, "message")[0]["content"], "done");
}

#[test]
fn claude_subagents_are_told_apart_and_have_a_start_and_an_end() {
    let task = |subtype: &str, more: Value| {
        let mut line = claude(json!({"type": "system", "subtype": subtype, "task_id": "t", "tool_use_id": "a"}));
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let story = story(
        "claude",
        &[
            init(),
            calls("a", "Agent", None),
            task(
                "task_started",
                json!({"subagent_type": "Explore", "description": "Count", "task_type": "local_agent"}),
            ),
            claude(
                json!({"type": "user", "parent_tool_use_id": "a", "message": {"role": "user", "content": [{"type": "text", "text": "count"}]}}),
            ),
            calls("b", "Bash", Some("a")),
            task(
                "task_progress",
                json!({"description": "Running", "usage": {"duration_ms": 5}}),
            ),
            answers("b", "21", false, Some("a")),
            says(&json!({"type": "text", "text": "21"}), Some("a")),
            task("task_updated", json!({"patch": {"status": "completed"}})),
            task("task_notification", json!({"status": "completed", "summary": "Count"})),
            answers("a", "21", false, None),
            result(
                &json!({"usage": {"input_tokens": 4, "output_tokens": 6}, "modelUsage": {
                "m": {"inputTokens": 4, "outputTokens": 6, "costUSD": 0.5}, "small": {"inputTokens": 10, "outputTokens": 1, "costUSD": 0.25}}}),
            ),
        ],
        0,
    );
    assert_eq!(
        kinds(&story),
        [
            "session_start",
            "turn_start",
            "tool_call_start",
            "agent_start",
            "message",
            "tool_call_start",
            "tool_progress",
            "tool_call",
            "message",
            "agent_end",
            "note",
            "tool_call",
            "usage",
            "usage",
            "turn_end",
            "session_end"
        ]
    );
    for place in [4, 5, 7, 8] {
        assert_eq!(story[place].1["parent_tool_call_id"], "a", "{:?}", story[place]);
    }
    assert_eq!(story[3].1["agent"], "Explore");
    // The subagent's model counts for the turn, too.
    let end = of(&story, "turn_end")[0];
    assert_eq!(
        (&end["usage"]["input_tokens"], &end["cost_usd"]),
        (&json!(14), &json!(0.75))
    );
}

#[test]
fn claude_api_failures_are_errors_told_once_and_fail_the_turn() {
    let story = story(
        "claude",
        &[
            init(),
            claude(
                json!({"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 10, "retry_delay_ms": 513.2, "error_status": 529, "error": "overloaded"}),
            ),
            claude(
                json!({"type": "assistant", "error": "server_error", "message": {"id": "x", "model": "<synthetic>", "content": [{"type": "text", "text": "API Error: 500"}]}}),
            ),
            result(
                &json!({"is_error": true, "api_error_status": 500, "result": "API Error: 500", "terminal_reason": "api_error"}),
            ),
        ],
        1,
    );
    assert_eq!(
        kinds(&story),
        [
            "session_start",
            "turn_start",
            "turn_state_changed",
            "error",
            "turn_state_changed",
            "error",
            "turn_end",
            "session_end"
        ]
    );
    assert_eq!(story[2].1["state"], "rate_limited");
    assert_eq!(story[3].1["retry"], true);
    assert_eq!(story[3].1["message"], "overloaded (529): retry 1 of 10 in 513 ms");
    assert_eq!(story[4].1["state"], "thinking");
    assert_eq!(story[5].1, json!({"component": "api", "message": "API Error: 500"}));
    assert_eq!(
        (&story[6].1["ok"], &story[6].1["note"]),
        (&json!(false), &json!("API Error: 500"))
    );
}

#[test]
fn claude_limits_and_interrupts_fail_the_turn_and_end_its_calls() {
    let story = story(
        "claude",
        &[
            init(),
            calls("a", "Bash", None),
            result(
                &json!({"subtype": "error_max_turns", "is_error": true, "errors": ["Reached maximum number of turns (1)"]}),
            ),
            init(),
            result(&json!({"subtype": "error_during_execution", "is_error": true})),
        ],
        1,
    );
    assert_eq!(of(&story, "tool_call")[0]["success"], false);
    let ends = of(&story, "turn_end");
    assert_eq!(ends[0]["note"], "error_max_turns: Reached maximum number of turns (1)");
    assert_eq!(
        (&ends[1]["ok"], &ends[1]["note"]),
        (&json!(false), &json!("error_during_execution: error during execution"))
    );
    assert_eq!(
        of(&story, "session_start").len(),
        1,
        "a second init is a turn of the same session"
    );
}

#[test]
fn claude_questions_are_withdrawn_answered_on_the_stream_or_seen_in_the_result() {
    let asks = |id: &str, call: &str| {
        let request = json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {}, "tool_use_id": call});
        json!({"type": "control_request", "request_id": id, "request": request})
    };
    let deny = json!({"subtype": "success", "request_id": "q2", "response": {"behavior": "deny", "message": "no"}});
    let story = story(
        "claude",
        &[
            init(),
            calls("a", "Bash", None),
            asks("q1", "a"),
            json!({"type": "control_cancel_request", "request_id": "q1"}),
            asks("q2", "a"),
            json!({"type": "control_response", "response": deny}),
            json!({"type": "control_request", "request_id": "x", "request": {"subtype": "initialize"}}),
            asks("q3", "a"),
        ],
        143,
    );
    let decisions: Vec<_> = of(&story, "approval_decision")
        .iter()
        .map(|d| d["decision"].as_str().unwrap())
        .collect();
    assert_eq!(decisions, ["withdrawn", "denied", "withdrawn"]);
    let states: Vec<_> = of(&story, "turn_state_changed")
        .iter()
        .map(|s| s["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            "needs_approval",
            "thinking",
            "needs_approval",
            "thinking",
            "needs_approval"
        ]
    );
    assert_eq!(
        of(&story, "tool_call")[0]["error"],
        "killed by signal 15 before the turn had ended"
    );
}

#[test]
fn claude_says_what_else_happens() {
    let system = |subtype: &str, more: Value| {
        let mut line = claude(json!({"type": "system", "subtype": subtype}));
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let story = story(
        "claude",
        &[
            init(),
            system("status", json!({"status": "compacting"})),
            system(
                "compact_boundary",
                json!({"compact_metadata": {"trigger": "auto", "pre_tokens": 155_000}}),
            ),
            system("status", json!({"status": null})),
            claude(
                json!({"type": "rate_limit_event", "rate_limit_info": {"status": "rejected", "rateLimitType": "five_hour", "resetsAt": 1_795_165_200}}),
            ),
            system(
                "hook_response",
                json!({"hook_name": "PreToolUse:Bash", "outcome": "error", "exit_code": 2, "stderr": "not allowed"}),
            ),
            system("thinking_tokens", json!({"estimated_tokens": 39})),
            system(
                "model_refusal_fallback",
                json!({"fallback_model": "n", "content": "another model answers"}),
            ),
            says(&json!({"type": "thinking", "thinking": "hm", "signature": "x"}), None),
            claude(
                json!({"type": "tool_progress", "tool_use_id": "a", "tool_name": "Bash", "elapsed_time_seconds": 30.5}),
            ),
            result(&json!({"stop_reason": "max_tokens", "permission_denials": []})),
        ],
        0,
    );
    let told: Vec<_> = story[2..story.len() - 1]
        .iter()
        .map(|(kind, body)| format!("{kind} {body}"))
        .collect();
    for (place, want) in [
        (0, "turn_state_changed {\"state\":\"compacting\"}"),
        (1, "the conversation was compacted (auto, 155000 tokens before)"),
        (2, "turn_state_changed {\"state\":\"thinking\"}"),
        (
            3,
            "rate limit five_hour: rejected, resets at 2026-11-20T09:00:00.000Z\",\"status\":\"rate_limited\"",
        ),
        (
            4,
            "error {\"component\":\"hook PreToolUse:Bash\",\"message\":\"error (exit 2): not allowed\"}",
        ),
        (5, "reasoning_delta {\"content\":\"\",\"estimated_tokens\":39}"),
        (6, "model_changed {\"model\":\"n\"}"),
        (7, "note {\"text\":\"another model answers\"}"),
        (8, "reasoning {\"content\":\"hm\",\"message_id\":\"msg\"}"),
        (9, "tool_progress {\"elapsed_ms\":30500,"),
        (10, "\"note\":\"max_tokens\",\"ok\":true"),
    ] {
        assert!(told[place].contains(want), "{place}: {told:#?}");
    }
}

#[test]
fn claude_usage_that_was_told_live_is_not_told_again_under_another_name() {
    let event = |event: Value| claude(json!({"type": "stream_event", "event": event}));
    let story = story(
        "claude",
        &[
            init(),
            event(
                json!({"type": "message_start", "message": {"id": "msg", "model": "alias", "usage": {"input_tokens": 100, "cache_read_input_tokens": 7}}}),
            ),
            event(json!({"type": "message_delta", "usage": {"output_tokens": 20}})),
            result(
                &json!({"modelUsage": {"real": {"inputTokens": 150, "outputTokens": 30, "cacheReadInputTokens": 7, "costUSD": 1.5}}}),
            ),
        ],
        0,
    );
    let end = of(&story, "turn_end")[0];
    assert_eq!(
        end["usage"],
        json!({"input_tokens": 150, "output_tokens": 30, "cache_read_input_tokens": 7})
    );
    assert_eq!(end["cost_usd"], 1.5);
}

#[test]
fn claude_bills_each_turn_its_own_part_of_the_running_totals() {
    let bill = |tokens: u64, cost: f64| {
        let model = json!({"inputTokens": tokens, "outputTokens": 1, "costUSD": cost});
        result(&json!({"total_cost_usd": cost, "modelUsage": {"m": model}}))
    };
    let story = story("claude", &[init(), bill(100, 0.1), init(), bill(150, 0.3)], 0);
    let ends = of(&story, "turn_end");
    assert_eq!(
        (&ends[0]["usage"]["input_tokens"], &ends[0]["cost_usd"]),
        (&json!(100), &json!(0.1))
    );
    assert_eq!(
        (&ends[1]["usage"]["input_tokens"], &ends[1]["cost_usd"]),
        (&json!(50), &json!(0.2))
    );
}

#[test]
fn claude_subagents_that_still_work_when_the_run_is_killed_end_with_it() {
    let started = json!({"type": "system", "subtype": "task_started", "task_id": "t", "subagent_type": "Plan"});
    let story = story("claude", &[init(), calls("a", "Agent", None), claude(started)], 137);
    assert_eq!(
        kinds(&story)[3..],
        ["agent_start", "agent_end", "tool_call", "turn_end", "session_end"]
    );
    assert_eq!(story[4].1["status"], "unknown");
}

#[test]
fn a_turn_that_the_caller_begins_has_its_id_and_the_vendors_next_one_its_own() {
    let id = Name::new("the-order").unwrap();
    let mut adapter = (by_name("claude").unwrap().make)(Context {
        session: Name::new("mine").ok(),
        ..Context::default()
    });
    let mut out = Vec::new();
    let told = Prompted {
        turn_id: id.clone(),
        from: "user".to_owned(),
        body: "What is it?".to_owned(),
        unread: 3,
    };
    let word = json!({"type": "text", "text": "a word"});
    adapter.prompted(&told, Timestamp::UNIX_EPOCH, &mut out);
    for line in [
        init(),
        says(&word, None),
        result(&json!({})),
        init(),
        says(&word, None),
        result(&json!({})),
    ] {
        adapter.line(line.to_string().as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
    }
    let kinds: Vec<_> = out.iter().map(|event| event.kind.as_str()).collect();
    let want = [
        "turn_start",
        "session_start",
        "message",
        "turn_end",
        "turn_start",
        "message",
        "turn_end",
    ];
    assert_eq!(kinds, want);
    let turns: Vec<_> = out
        .iter()
        .filter(|event| event.kind.as_str() == "turn_end")
        .map(|event| event.turn_id.clone())
        .collect();
    assert_eq!(turns[0], Some(id.clone()));
    assert!(turns[1].is_some() && turns[1] != turns[0]);
    assert!(out[..4].iter().all(|event| event.turn_id == Some(id.clone())));
    let start: Value = out[0].data.read().unwrap();
    assert_eq!(start, json!({"from": "user", "body": "What is it?", "unread": 3}));
}
