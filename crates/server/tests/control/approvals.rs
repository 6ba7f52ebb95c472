//! The life of an approval, as those meet it who ask, decide and wait.

use serde_json::{Value, json};

use crate::world::{Reply, World, within};

/// A request in a session.
pub(crate) fn request(session: &str, id: &str, tool: &str) -> Value {
    json!({"type": "approval_request", "session_id": session, "agent": "a", "data":
        {"approval_id": id, "tool": tool, "tool_call_id": format!("call-{id}"), "arguments": {"command": "make"}, "title": "run make"}})
}

/// Asks again while the answer is that the views are behind, as it says itself: where every core is taken they can be late.
async fn folded(ask: impl AsyncFn() -> Reply) -> Reply {
    loop {
        let reply = ask().await;
        let behind = || reply.refused(503, "store_unavailable")["part"] == "views";
        if reply.status != 503 || !behind() {
            return reply;
        }
    }
}

fn in_path(id: &str) -> String {
    id.replace(' ', "%20")
}

impl World {
    /// The secret of a new token of this name.
    pub(crate) async fn named(&self, scopes: &[&str], name: &str) -> String {
        let body = json!({"name": name, "scopes": scopes});
        let made = self.send_by(&self.admin, "POST", "/api/tokens", &body).await.ok();
        made["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn approval(&self, id: &str) -> Value {
        let url = format!("/api/approvals/{}", in_path(id));
        folded(async || self.get(&url).await).await.ok()
    }

    /// How it stands when it is decided.
    pub(crate) async fn decided(&self, id: &str) -> Value {
        loop {
            let approval = self
                .get(&format!("/api/approvals/{}?wait_ms=30000", in_path(id)))
                .await
                .ok();
            if approval["state"] != "pending" {
                return approval;
            }
        }
    }

    pub(crate) async fn decide(&self, id: &str, body: &Value) -> Reply {
        self.decide_by(&self.admin, id, body).await
    }

    pub(crate) async fn decide_by(&self, token: &str, id: &str, body: &Value) -> Reply {
        let url = format!("/api/approvals/{}/decision", in_path(id));
        folded(async || self.send_by(token, "POST", &url, body).await).await
    }

    pub(crate) async fn decide_many(&self, token: &str, body: &Value) -> Reply {
        folded(async || self.send_by(token, "POST", "/api/approvals/decisions", body).await).await
    }

    /// What the log says of an approval's end: the first counts.
    pub(crate) async fn decisions(&self, id: &str) -> Vec<Value> {
        let events = self.told("approval_decision").await;
        let own = events.iter().filter(|event| event["data"]["approval_id"] == id);
        own.map(|event| event["data"].clone()).collect()
    }

    pub(crate) async fn pending(&self) -> Vec<String> {
        let head = self.head_seq().await;
        loop {
            let list = self.get("/api/approvals?state=pending").await.ok();
            // It says how far it is when it could not wait any longer.
            if list["head"].as_u64().unwrap() >= head {
                let ids = list["approvals"].as_array().unwrap().iter();
                return ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_pending_until_somebody_decides_and_who_waits_is_told_at_once() {
    let world = World::start().await;
    world.publish(&request("s", "r1", "Bash")).await;
    let approval = world.approval("r1").await;
    for (field, value) in [
        ("session_id", json!("s")),
        ("agent", json!("a")),
        ("tool", json!("Bash")),
        ("tool_call_id", json!("call-r1")),
        ("arguments", json!({"command": "make"})),
        ("title", json!("run make")),
        ("state", json!("pending")),
    ] {
        assert_eq!(approval[field], value, "{approval}");
    }
    assert_eq!(world.pending().await, ["r1"]);
    let decide = async { world.decide("r1", &json!({"decision": "approve"})).await.ok() };
    let (waited, decided) = within("the decision", async { tokio::join!(world.decided("r1"), decide) }).await;
    assert_eq!(waited, decided);
    assert_eq!(
        (&decided["state"], &decided["by"]),
        (&json!("approved"), &json!("test"))
    );
    assert_eq!(world.pending().await, Vec::<String>::new());
    assert_eq!(
        world.decisions("r1").await,
        [json!({"approval_id": "r1", "decision": "approved", "by": "test"})]
    );
}

#[tokio::test]
async fn of_many_that_decide_at_once_the_first_in_the_log_wins_and_the_others_are_told() {
    let world = World::start().await;
    let (one, two) = (
        world.named(&["control"], "left tab").await,
        world.named(&["control"], "right tab").await,
    );
    for n in 0..8 {
        let id = format!("r{n}");
        world.publish(&request("s", &id, "Bash")).await;
        let deciders = (0..12).map(|n| {
            let (token, decision) = if n % 2 == 0 { (&one, "approve") } else { (&two, "deny") };
            let (world, id) = (&world, &id);
            async move { world.decide_by(token, id, &json!({"decision": decision})).await }
        });
        let own = async {
            // The agent's own side answers, too.
            let data = json!({"approval_id": id, "decision": "denied", "by": "terminal"});
            world
                .publish(&json!({"type": "approval_decision", "session_id": "s", "data": data}))
                .await;
        };
        let (replies, ()) = within("all of them", async {
            tokio::join!(futures_util::future::join_all(deciders), own)
        })
        .await;
        let won = world.decisions(&id).await[0].clone();
        let stands = world.approval(&id).await;
        assert_eq!((&stands["state"], &stands["by"]), (&won["decision"], &won["by"]));
        for (n, reply) in replies.iter().enumerate() {
            let by = if n % 2 == 0 { "left tab" } else { "right tab" };
            if won["by"] == by {
                assert_eq!(reply.ok(), stands, "who won is told so, however often they have asked");
            } else {
                assert_eq!(reply.refused_field(409, "conflict", "decision")["approval"], stands);
            }
        }
        assert_eq!(world.decided(&id).await, stands);
    }
}

#[tokio::test]
async fn a_decision_says_what_the_agent_is_told_and_what_runs_instead() {
    let world = World::start().await;
    for id in ["edited", "denied", "plain"] {
        world.publish(&request("s", id, "Bash")).await;
    }
    let arguments = json!({"command": "make -n", "n": 1.0, "deep": [{"é\n": null}]});
    let edited = json!({"decision": "approve", "arguments": arguments, "message": "dry run first"});
    let approval = world.decide("edited", &edited).await.ok();
    assert_eq!(approval["updated_arguments"], arguments);
    assert_eq!(
        (&approval["arguments"], &approval["message"]),
        (&json!({"command": "make"}), &json!("dry run first"))
    );
    assert_eq!(
        world.decide("edited", &edited).await.ok(),
        approval,
        "again it is the same"
    );
    let other = json!({"decision": "approve", "message": "dry run first"});
    let details = world.decide("edited", &other).await.refused(409, "conflict");
    assert_eq!(details["approval"], approval);
    let denied = world
        .decide("denied", &json!({"decision": "deny", "message": "not on main"}))
        .await
        .ok();
    assert_eq!(
        (&denied["state"], &denied["message"], &denied["by"]),
        (&json!("denied"), &json!("not on main"), &json!("test"))
    );
    for (body, status, code, field) in [
        (json!({}), 400, "bad_request", "decision"),
        (json!({"decision": "maybe"}), 400, "bad_request", "decision"),
        (
            json!({"decision": "deny", "arguments": {}}),
            400,
            "bad_request",
            "arguments",
        ),
        (
            json!({"decision": "deny", "always": true}),
            400,
            "bad_request",
            "always",
        ),
        (
            json!({"decision": "approve", "arguments": [1]}),
            400,
            "bad_request",
            "arguments",
        ),
        (json!({"decision": "approve", "for": "ever"}), 400, "bad_request", "for"),
        (
            json!({"decision": "deny", "message": "x".repeat(64 * 1024 + 1)}),
            413,
            "too_large",
            "message",
        ),
        (
            json!({"decision": "approve", "arguments": {"x": "x".repeat(64 * 1024)}}),
            413,
            "too_large",
            "arguments",
        ),
    ] {
        world.decide("plain", &body).await.refused_field(status, code, field);
    }
    assert_eq!(world.pending().await, ["plain"]);
    let largest = json!({"decision": "deny", "message": "\"".repeat(64 * 1024)});
    assert_eq!(
        world.decide("plain", &largest).await.ok()["message"],
        largest["message"]
    );
    assert_eq!(
        world.decide("plain", &largest).await.ok()["state"],
        "denied",
        "it is kept whole"
    );
}

#[tokio::test]
async fn many_are_decided_in_one_way_and_each_has_its_own_outcome() {
    let world = World::start().await;
    let ids: Vec<String> = (0..1000).map(|n| format!("r{n}")).collect();
    let requests: Value = ids[..998].iter().map(|id| request("s", id, "Bash")).collect();
    world.publish(&requests).await;
    world.decide("r7", &json!({"decision": "deny"})).await.ok();
    let many = |ids: &[String]| json!({"ids": ids, "decision": "approve", "message": "go"});
    let send = async |body: &Value| world.decide_many(&world.admin, body).await;
    let mut twice = ids.clone();
    twice[999] = "r0".to_owned();
    let results = send(&many(&twice)).await.ok()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 1000);
    for (n, (id, result)) in twice.iter().zip(&results).enumerate() {
        assert_eq!(result["id"], *id);
        match n {
            7 => {
                assert_eq!(result["error"]["code"], "conflict");
                assert_eq!(result["error"]["details"]["approval"]["state"], "denied");
            }
            998 => assert_eq!(result["error"]["code"], "not_found"),
            _ => assert_eq!(
                (&result["approval"]["state"], &result["approval"]["message"]),
                (&json!("approved"), &json!("go"))
            ),
        }
    }
    assert_eq!(
        world.decisions("r0").await.len(),
        1,
        "one that is there twice is decided once"
    );
    assert_eq!(world.pending().await, Vec::<String>::new());
    assert_eq!(send(&many(&[])).await.ok()["results"], json!([]));
    let mut more = ids;
    more.push("r1000".to_owned());
    let details = send(&many(&more)).await.refused_field(413, "too_large", "ids");
    assert_eq!(details["limit"], 1000);
}

#[tokio::test]
async fn approvals_are_listed_newest_first_in_pages_and_by_filters() {
    let world = World::start().await;
    let ids: Vec<String> = (0..7).map(|n| format!("r{n}")).collect();
    for (n, id) in ids.iter().enumerate() {
        let mut one = request(&format!("s{}", n % 3), id, "Bash");
        one["agent"] = json!(if n % 2 == 0 { "even" } else { "odd" });
        world.publish(&one).await;
    }
    world.decide("r3", &json!({"decision": "deny"})).await.ok();
    let list = async |query: &str| {
        let page = world.get(&format!("/api/approvals?{query}")).await.ok();
        let found = page["approvals"].as_array().unwrap().iter();
        let found: Vec<_> = found.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        (found, page["next"].clone())
    };
    let newest: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(list("").await, (newest.clone(), Value::Null));
    let (mut all, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let (page, next) = list(&query).await;
        all.extend(page);
        if next.is_null() {
            break;
        }
        query = format!("limit=3&before={next}");
    }
    assert_eq!(all, newest, "following `next` misses and repeats nothing");
    assert_eq!(list("agent=odd").await.0, ["r5", "r3", "r1"]);
    assert_eq!(list("session_id=s0").await.0, ["r6", "r3", "r0"]);
    assert_eq!(list("state=denied").await.0, ["r3"]);
    assert_eq!(list("state=pending&agent=odd").await.0, ["r5", "r1"]);
    assert_eq!(list("state=pending,denied&agent=odd").await.0, ["r5", "r3", "r1"]);
    for (query, field) in [("state=queued", "state"), ("limit=1001", "limit"), ("tool=x", "tool")] {
        let refused = world.get(&format!("/api/approvals?{query}")).await;
        refused.refused_field(400, "bad_request", field);
    }
}

#[tokio::test]
async fn what_is_no_approval_breaks_nothing_and_a_second_request_changes_nothing() {
    let world = World::start().await;
    let of = |session: &str, data: Value| json!({"type": "approval_request", "session_id": session, "data": data});
    let mut no_session = request("s", "nowhere", "Bash");
    no_session.as_object_mut().unwrap().remove("session_id");
    let decision = |session: &str, id: &str, word: &str| json!({"type": "approval_decision", "session_id": session, "data": {"approval_id": id, "decision": word}});
    for odd in [
        of("s", json!({})),
        of("s", json!({"approval_id": ""})),
        of("s", json!({"approval_id": "a\u{1}b", "tool": "Bash"})),
        of("s", json!({"approval_id": "x".repeat(257)})),
        of("s", json!({"approval_id": 7, "tool": ["Bash"]})),
        no_session,
        decision("s", "early", "approved"),
        json!({"type": "approval_decision", "session_id": "s", "data": {"approval_id": [], "decision": {}}}),
    ] {
        world.publish(&odd).await;
    }
    assert_eq!(world.pending().await, Vec::<String>::new());
    assert_eq!(world.get("/api/sessions/s").await.ok()["state"], "idle");
    // Of a shape that is not ours, what fits is kept.
    world
        .publish(&of(
            "s",
            json!({"approval_id": "odd", "tool": 5, "title": {}, "expires_at": "soon", "arguments": "text"}),
        ))
        .await;
    let odd = world.approval("odd").await;
    assert_eq!(
        (&odd["tool"], &odd["arguments"], &odd["title"]),
        (&json!(""), &json!("text"), &Value::Null)
    );
    world.publish(&request("s", "early", "Bash")).await;
    let first = world.approval("early").await;
    assert_eq!(
        first["state"], "pending",
        "what was said before it was asked is no answer"
    );
    for other in ["s", "other"] {
        world.publish(&request(other, "early", "Write")).await;
        world.publish(&decision(other, "early", "pending")).await;
        world.publish(&decision(other, "early", "perhaps")).await;
    }
    world.publish(&decision("other", "early", "approved")).await;
    assert_eq!(world.approval("early").await, first);
    world.publish(&decision("s", "early", "approved")).await;
    world.publish(&decision("s", "early", "denied")).await;
    assert_eq!(world.approval("early").await["state"], "approved");
    world
        .get("/api/approvals/early?wait_ms=30001")
        .await
        .refused_field(400, "bad_request", "wait_ms");
    world
        .get("/api/approvals/%00")
        .await
        .refused_field(400, "bad_request", "id");
}

#[tokio::test]
async fn what_a_person_decides_on_is_whole_up_to_a_bound_and_says_when_it_is_not() {
    let world = World::start().await;
    let mut whole = request("s", "whole", "Write");
    let content = "x".repeat(64 * 1024 - 14);
    whole["data"]["arguments"] = json!({"content": content});
    let mut part = request("s", "part", "Write");
    let content = "y".repeat(500 * 1024);
    part["data"]["arguments"] = json!({"file": "/a", "new": content, "old": content});
    part["data"]["title"] = json!("t".repeat(10_000));
    world.publish(&json!([whole, part])).await;
    let got = world.approval("whole").await;
    assert_eq!(
        (&got["arguments"], &got["arguments_bytes"]),
        (&whole["data"]["arguments"], &Value::Null)
    );
    let got = world.approval("part").await;
    assert_eq!(got["arguments"]["file"], "/a");
    for field in ["old", "new"] {
        let shown = got["arguments"][field].as_str().unwrap();
        assert!(shown.len() > 8 * 1024 && shown.ends_with('…'), "{}", shown.len());
    }
    let size = part["data"]["arguments"].to_string().len();
    assert_eq!(
        (&got["arguments_bytes"], &got["title_bytes"]),
        (&json!(size), &json!(10_000))
    );
    assert!(got.to_string().len() < 100 * 1024);
    let event = world
        .history(&format!("after={}&limit=1", got["seq"].as_u64().unwrap() - 1))
        .await;
    assert_eq!(event["events"][0]["data"], part["data"], "the whole is in the log");
}

#[tokio::test]
async fn a_wait_for_a_request_that_is_on_its_way_is_answered_when_it_is_decided() {
    let world = World::start().await;
    world
        .get("/api/approvals/late?wait_ms=1")
        .await
        .refused_field(404, "not_found", "id");
    world
        .decide("late", &json!({"decision": "approve"}))
        .await
        .refused_field(404, "not_found", "id");
    let wait = world.decided("late");
    let ask = async {
        world.publish(&request("s", "late", "Bash")).await;
        world.decide("late", &json!({"decision": "approve"})).await.ok()
    };
    let (waited, decided) = within("the decision", async { tokio::join!(wait, ask) }).await;
    assert_eq!(waited, decided);
}

#[tokio::test]
async fn a_session_waits_until_the_last_of_its_approvals_is_decided() {
    let world = World::start().await;
    let turn = |kind: &str, data: Value| json!({"type": kind, "session_id": "s", "turn_id": "t", "data": data});
    let state = async || world.get("/api/sessions/s").await.ok()["state"].clone();
    let says = turn("turn_state_changed", json!({"state": "thinking"}));
    let begins = turn("tool_call_start", json!({"tool": "Read", "tool_call_id": "beside"}));
    world
        .publish(&json!([
            turn("turn_start", json!({"body": "x"})),
            request("s", "one", "Bash"),
            request("s", "two", "Bash"),
            begins,
            says
        ]))
        .await;
    assert_eq!(state().await, "needs_approval", "whatever it does beside");
    world.decide("one", &json!({"decision": "approve"})).await.ok();
    assert_eq!(state().await, "needs_approval");
    world.publish(&says).await;
    assert_eq!(state().await, "needs_approval");
    world.decide("two", &json!({"decision": "deny"})).await.ok();
    assert_eq!(state().await, "thinking");
    world.publish(&request("s", "three", "Bash")).await;
    assert_eq!(state().await, "needs_approval");
    world.publish(&turn("turn_end", json!({"ok": true}))).await;
    assert_eq!(state().await, "idle");
}

/// F5.
#[tokio::test]
async fn arguments_with_a_secret_or_a_marker_are_refused_and_the_question_stays() {
    let world = World::start().await;
    world.publish(&request("s", "r1", "Bash")).await;
    let secret = format!("AKIA{}", "Q3EGRZ7EXAMPLE42");
    // Spelled with escapes it is the same secret.
    let escaped = secret.replace('A', "\\u0041");
    for arguments in [
        json!({"command": format!("deploy --key {secret}")}),
        json!({"env": [{"password": "tr0ub4dor-9q8w7e6r5t"}]}),
        json!({"command": "deploy --key [redacted:aws-key:1a2b3c4d]"}),
        serde_json::from_str(&format!(r#"{{"command":"{escaped}"}}"#)).unwrap(),
    ] {
        let refused = world
            .decide("r1", &json!({"decision": "approve", "arguments": arguments}))
            .await;
        refused.refused_field(400, "bad_request", "arguments");
        assert!(!refused.text().contains(&secret), "{}", refused.text());
    }
    assert_eq!(world.pending().await, ["r1"]);
    assert!(world.decisions("r1").await.is_empty());
    // The text of a decision is what the log has of it, and what who waits is told.
    let told = json!({"decision": "approve", "arguments": {"command": "make all"}, "message": format!("use {secret}")});
    world.decide("r1", &told).await.ok();
    let decision = world.decisions("r1").await.remove(0);
    let message = decision["message"].as_str().unwrap();
    assert!(message.starts_with("use [redacted:aws-key:"), "{message}");
    let approval = world.approval("r1").await;
    assert_eq!(
        (&approval["message"], &approval["updated_arguments"]),
        (&json!(message), &json!({"command": "make all"}))
    );
}
