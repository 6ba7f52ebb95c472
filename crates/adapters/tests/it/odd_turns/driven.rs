//! What is said to and by programs that are driven: Codex's app server, opencode's server, ACP.

use serde_json::{Value, json};
use turnwire_adapters::{Context, Prompted, by_name};
use turnwire_proto::{Name, Timestamp};

use super::{kinds, of, story};

fn codex(method: &str, mut params: Value) -> Value {
    params["threadId"] = params.get("threadId").cloned().unwrap_or_else(|| json!("t"));
    json!({"method": method, "params": params})
}

#[test]
fn what_codex_asks_is_answered_as_it_was_and_what_is_not_answered_is_withdrawn() {
    let ask = |id: u64, method: &str, params: Value| {
        let mut request = codex(method, params);
        request["params"]["turnId"] = json!("u");
        request["id"] = json!(id);
        request
    };
    let story = story(
        "codex-app",
        &[
            codex("turn/started", json!({"turn": {"id": "u"}})),
            ask(
                0,
                "item/permissions/requestApproval",
                json!({"itemId": "i0", "permissions": {"network": true}}),
            ),
            json!({"id": 0, "result": {"permissions": {}, "scope": "turn"}}),
            ask(
                1,
                "item/tool/requestUserInput",
                json!({"itemId": "i1", "questions": [{"id": "q", "question": "Which?"}]}),
            ),
            json!({"id": 1, "result": {"answers": {"q": {"answers": ["this"]}}}}),
            ask(
                2,
                "mcpServer/elicitation/request",
                json!({"serverName": "m", "message": "Name?"}),
            ),
            codex("serverRequest/resolved", json!({"requestId": 2})),
            ask(3, "attestation/generate", json!({})),
            codex("turn/completed", json!({"turn": {"id": "u", "status": "completed"}})),
        ],
        0,
    );
    let asked = of(&story, "approval_request");
    let ids: Vec<_> = asked
        .iter()
        .map(|body| (body["approval_id"].as_str().unwrap(), body["tool"].as_str().unwrap()))
        .collect();
    assert_eq!(
        ids,
        [
            ("u.0", "permissions"),
            ("u.1", "request_user_input"),
            ("u.2", "elicitation")
        ]
    );
    assert_eq!(asked[1]["title"], "Which?");
    let decided = of(&story, "approval_decision");
    let words: Vec<_> = decided.iter().map(|body| body["decision"].as_str().unwrap()).collect();
    assert_eq!(words, ["denied", "approved", "withdrawn"]);
    assert_eq!(decided[1]["arguments"], json!({"q": {"answers": ["this"]}}));
}

#[test]
fn turns_of_codex_subagents_are_none_of_the_sessions() {
    let story = story(
        "codex-app",
        &[
            codex("turn/started", json!({"turn": {"id": "u"}})),
            codex("turn/started", json!({"threadId": "child", "turn": {"id": "v"}})),
            codex(
                "item/agentMessage/delta",
                json!({"threadId": "child", "itemId": "m", "delta": "hidden"}),
            ),
            codex(
                "turn/completed",
                json!({"threadId": "child", "turn": {"id": "v", "status": "completed"}}),
            ),
            codex(
                "item/completed",
                json!({"item": {"type": "agentMessage", "id": "m2", "text": "Seen."}}),
            ),
            codex("turn/completed", json!({"turn": {"id": "u", "status": "completed"}})),
        ],
        0,
    );
    assert_eq!(of(&story, "turn_end"), [&json!({"ok": true, "duration_ms": 5000})]);
    assert!(of(&story, "text_delta").is_empty());
    assert_eq!(of(&story, "message").len(), 1);
}

#[test]
fn tokens_that_a_codex_thread_used_before_are_no_turns() {
    let used = |input: u64, last: u64| {
        let total = json!({"inputTokens": input, "cachedInputTokens": 0, "outputTokens": 1});
        json!({"tokenUsage": {"total": total, "last": {"inputTokens": last, "outputTokens": 1}}})
    };
    let story = story(
        "codex-app",
        &[
            codex("thread/tokenUsage/updated", used(1000, 1000)),
            codex("turn/started", json!({"turn": {"id": "u"}})),
            codex("thread/tokenUsage/updated", used(1100, 100)),
            codex("turn/completed", json!({"turn": {"id": "u", "status": "completed"}})),
        ],
        0,
    );
    assert_eq!(of(&story, "usage")[0]["input_tokens"], 100);
    assert_eq!(of(&story, "turn_end")[0]["usage"]["input_tokens"], 100);
}

fn opencode(kind: &str, mut of: Value) -> Value {
    of["sessionID"] = of.get("sessionID").cloned().unwrap_or_else(|| json!("s"));
    json!({"type": kind, "properties": of})
}

#[test]
fn what_opencode_tells_again_is_told_once() {
    let user = opencode("message.updated", json!({"info": {"id": "m1", "role": "user"}}));
    let text = json!({"type": "text", "id": "p1", "messageID": "m2", "text": "Done.", "time": {"start": 1, "end": 2}});
    let tool = json!({"type": "tool", "id": "p2", "messageID": "m2", "tool": "bash", "callID": "c", "state": {
        "status": "completed", "input": {"command": "ls"}, "output": "x", "time": {"start": 1, "end": 2}}});
    let step =
        json!({"type": "step-finish", "id": "p3", "messageID": "m2", "tokens": {"input": 5, "output": 1}, "cost": 0.5});
    let parts: Vec<Value> = [text, tool, step]
        .into_iter()
        .map(|part| opencode("message.part.updated", json!({"part": part})))
        .collect();
    let mut lines = vec![opencode("session.created", json!({"info": {"id": "s"}})), user.clone()];
    lines.extend(parts.clone());
    lines.push(user);
    lines.extend(parts);
    lines.push(opencode("session.idle", json!({})));
    lines.push(opencode("session.idle", json!({})));
    let story = story("opencode-server", &lines, 0);
    for once in [
        "turn_start",
        "message",
        "tool_call_start",
        "tool_call",
        "usage",
        "turn_end",
    ] {
        assert_eq!(of(&story, once).len(), 1, "{once}: {:?}", kinds(&story));
    }
}

#[test]
fn what_opencodes_subagents_ask_is_asked_and_the_rest_of_them_is_kept() {
    let asked =
        json!({"sessionID": "child", "id": "per_1", "permission": "edit", "patterns": ["a.txt"], "metadata": {}});
    let story = story(
        "opencode-server",
        &[
            opencode("message.updated", json!({"info": {"id": "m1", "role": "user"}})),
            opencode(
                "message.updated",
                json!({"sessionID": "child", "info": {"id": "m2", "role": "user"}}),
            ),
            opencode("permission.asked", asked),
            opencode(
                "permission.replied",
                json!({"sessionID": "child", "requestID": "per_1", "reply": "always"}),
            ),
            opencode("session.idle", json!({"sessionID": "child"})),
            opencode(
                "question.asked",
                json!({"id": "que_1", "questions": [{"question": "Which?"}]}),
            ),
            opencode("question.rejected", json!({"requestID": "que_1"})),
            opencode(
                "session.status",
                json!({"status": {"type": "retry", "message": "Overloaded"}}),
            ),
            opencode("session.idle", json!({})),
        ],
        0,
    );
    assert_eq!(of(&story, "turn_start").len(), 1);
    let decided = of(&story, "approval_decision");
    assert_eq!(
        (&decided[0]["decision"], &decided[0]["always"]),
        (&json!("approved"), &json!(true))
    );
    assert_eq!(decided[1]["decision"], "denied");
    assert_eq!(of(&story, "error")[0]["retry"], true);
    assert_eq!(
        of(&story, "turn_end")[0]["ok"],
        true,
        "what was tried again has not failed"
    );
}

fn acp(update: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": update}})
}

#[test]
fn thoughts_plans_edits_and_failures_of_acp_agents_are_understood() {
    let text = |kind: &str, text: &str| acp(&json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}));
    let story = story(
        "acp",
        &[
            text("agent_thought_chunk", "Let me "),
            text("agent_thought_chunk", "see."),
            text("agent_message_chunk", "I edit."),
            acp(
                &json!({"sessionUpdate": "plan", "entries": [{"content": "Edit", "status": "completed"}, {"content": "Test"}]}),
            ),
            acp(
                &json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "kind": "edit", "title": "a.txt", "status": "pending",
                "content": [{"type": "diff", "path": "a.txt", "oldText": "a", "newText": "b"}]}),
            ),
            acp(
                &json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "in_progress",
                "content": [{"type": "content", "content": {"type": "text", "text": "half"}}]}),
            ),
            acp(&json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "failed"})),
            acp(&json!({"sessionUpdate": "usage_update", "used": 10, "size": 100})),
            json!({"jsonrpc": "2.0", "id": 7, "method": "fs/read_text_file", "params": {"sessionId": "s", "path": "/x"}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "not supported here"}}),
            json!({"jsonrpc": "2.0", "id": "x-session/prompt", "result": {"stopReason": "max_tokens"}}),
        ],
        0,
    );
    assert_eq!(of(&story, "reasoning")[0]["content"], "Let me see.");
    assert_eq!(of(&story, "message")[0]["content"], "I edit.");
    assert_eq!(of(&story, "note")[0]["text"], "[x] Edit\n[ ] Test");
    let start = of(&story, "tool_call_start")[0];
    assert_eq!(
        (&start["tool"], &start["arguments"]["new_text"]),
        (&json!("edit"), &json!("b"))
    );
    assert_eq!(of(&story, "tool_progress")[0]["content"], "half");
    assert_eq!(of(&story, "tool_call")[0]["error"], "failed");
    let end = of(&story, "turn_end")[0];
    assert_eq!((&end["ok"], &end["note"]), (&json!(false), &json!("max_tokens")));
}

#[test]
fn a_turn_that_the_caller_has_begun_is_the_vendors_turn_and_what_was_said_is_not_said_again() {
    let runs: [(&str, Vec<Value>); 5] = [
        (
            "codex-app",
            vec![
                codex("turn/started", json!({"turn": {"id": "u"}})),
                codex(
                    "item/completed",
                    json!({"item": {"type": "userMessage", "id": "i", "content": [{"type": "text", "text": "Hi"}]}}),
                ),
                codex("turn/completed", json!({"turn": {"id": "u", "status": "completed"}})),
            ],
        ),
        (
            "codex",
            vec![
                json!({"type": "thread.started", "thread_id": "t"}),
                json!({"type": "turn.started"}),
                json!({"type": "turn.completed"}),
            ],
        ),
        (
            "opencode-server",
            vec![
                opencode("message.updated", json!({"info": {"id": "m1", "role": "user"}})),
                opencode(
                    "message.part.updated",
                    json!({"part": {"type": "text", "id": "p", "messageID": "m1", "text": "Hi"}}),
                ),
                opencode("session.idle", json!({})),
            ],
        ),
        (
            "acp",
            vec![
                acp(&json!({"sessionUpdate": "user_message_chunk", "content": {"type": "text", "text": "Hi"}})),
                json!({"jsonrpc": "2.0", "id": "x-session/prompt", "result": {"stopReason": "end_turn"}}),
            ],
        ),
        (
            "gemini",
            vec![
                json!({"type": "init", "timestamp": "2026-11-20T09:00:00Z", "session_id": "g", "model": "m"}),
                json!({"type": "message", "timestamp": "2026-11-20T09:00:00Z", "role": "user", "content": "Hi"}),
                json!({"type": "result", "timestamp": "2026-11-20T09:00:01Z", "status": "success"}),
            ],
        ),
    ];
    for (name, lines) in runs {
        let mut adapter = (by_name(name).unwrap().make)(Context::default());
        let mut out = Vec::new();
        let prompted = Prompted {
            turn_id: Name::new("ours").unwrap(),
            from: "user".to_owned(),
            body: "Hi".to_owned(),
            unread: 0,
        };
        adapter.prompted(&prompted, Timestamp::UNIX_EPOCH, &mut out);
        for line in lines {
            adapter.line(line.to_string().as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        }
        let of = |kind: &str| {
            out.iter()
                .filter(|event| event.kind.as_str() == kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (of("turn_start").len(), of("turn_end").len(), of("message").len()),
            (1, 1, 0),
            "{name}: {out:#?}"
        );
        assert_eq!(of("turn_end")[0].turn_id.as_ref().unwrap().as_str(), "ours", "{name}");
        assert!(of("turn_end")[0].data.get().contains("\"ok\":true"), "{name}");
    }
}
