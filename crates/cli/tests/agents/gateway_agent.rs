//! What every vendor's agent does behind a gateway: `turnwire agent`, orders, approvals.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    driving::wrapper,
    gateway::{Gateway, processes, wait_for_end},
};

/// Has the agent answer, ask for a tool that is approved, ask for one that is not, and be interrupted; the vendors' scripts say how
/// each is asked for. In the end its processes are gone.
pub(crate) async fn answers_asks_and_stops(
    adapter: &str,
    program: &str,
    surroundings: impl FnOnce(&Path) -> Vec<(&'static str, String)>,
) {
    let mut gateway = Gateway::start(&[]);
    let dir = gateway.world.path("agent");
    fs::create_dir_all(&dir).unwrap();
    let program = wrapper(&dir, program, &surroundings(&dir));
    let agent = gateway.agent(&["--adapter", adapter, "--program", program.to_str().unwrap()], |_| {});

    let turn = gateway.say("s", "Say something.").await;
    let end = gateway.end_of(&turn).await;
    assert_eq!(
        end["result"],
        json!({"turn_id": turn, "session_id": "s", "ok": true}),
        "{:#?}",
        gateway.told()
    );
    assert_eq!(gateway.said(&turn), ["It is done."]);
    let kinds = gateway.kinds(&turn);
    for once in ["turn_start", "turn_end"] {
        assert_eq!(
            kinds.iter().filter(|kind| **kind == once).count(),
            1,
            "{once}: {kinds:?}"
        );
    }

    let made = gateway.world.path("project/made.txt");
    for decision in ["approve", "deny"] {
        let turn = gateway.say("s", "Use the TOOL.").await;
        let asked = gateway.of_turn(&turn, "approval_request").await;
        assert!(!made.exists(), "it waits");
        let path = format!("/api/approvals/{}/decision", asked["approval_id"].as_str().unwrap());
        gateway.post(&path, json!({"decision": decision})).await;
        let end = gateway.end_of(&turn).await;
        assert_eq!(end["result"]["ok"], true, "{:#?}", gateway.told());
        assert_eq!(made.exists(), decision == "approve", "{decision}");
        let _ = fs::remove_file(&made);
        let of = |kind: &str| {
            let found = gateway.events.iter().filter(|event| event.kind.as_str() == kind);
            let bodies = found.map(|event| event.data.read::<Value>().unwrap());
            bodies
                .filter(|body| body["approval_id"] == asked["approval_id"])
                .count()
        };
        assert_eq!(
            (of("approval_request"), of("approval_decision")),
            (1, 1),
            "each is told once"
        );
    }

    let turn = gateway.say("s", "HOLD it.").await;
    gateway.of_turn(&turn, "text_delta").await;
    gateway.order(Some("s"), "interrupt", json!({"turn_id": turn})).await;
    let end = gateway.end_of(&turn).await;
    assert_eq!(
        (&end["result"]["ok"], &end["result"]["note"]),
        (&json!(false), &json!("interrupted"))
    );

    let running = processes(&dir);
    assert!(!running.is_empty());
    agent.stop();
    wait_for_end(&running);
    let unknown = gateway
        .events
        .iter()
        .filter(|event| event.data.get().contains("\"unknown\":true"));
    assert_eq!(unknown.count(), 0, "{:#?}", gateway.told());
}
