//! The life of an approval, as those meet it who ask, decide and wait.

use serde_json::{Value, json};

use crate::world::{Reply, World, within};

/// A request in a session.
pub(crate) fn request(session: &str, id: &str, tool: &str) -> Value {
    json!({"type": "approval_request", "session_id": session, "agent": "a", "data":
        {"approval_id": id, "tool": tool, "tool_call_id": format!("call-{id}"), "arguments": {"command": "make"}, "title": "run make"}})
}

impl World {
    pub(crate) async fn approval(&self, id: &str) -> Value {
        self.get(&format!("/api/approvals/{id}")).await.ok()
    }

    /// How it stands when it is decided.
    pub(crate) async fn decided(&self, id: &str) -> Value {
        loop {
            let approval = self.get(&format!("/api/approvals/{id}?wait_ms=30000")).await.ok();
            if approval["state"] != "pending" {
                return approval;
            }
        }
    }

    pub(crate) async fn decide(&self, id: &str, body: &Value) -> Reply {
        self.decide_by(&self.admin, id, body).await
    }

    pub(crate) async fn decide_by(&self, token: &str, id: &str, body: &Value) -> Reply {
        self.send_by(token, "POST", &format!("/api/approvals/{id}/decision"), body)
            .await
    }

    /// What the log says of an approval's end: the first counts.
    pub(crate) async fn decisions(&self, id: &str) -> Vec<Value> {
        let events = self.told("approval_decision").await;
        let own = events.iter().filter(|event| event["data"]["approval_id"] == id);
        own.map(|event| event["data"].clone()).collect()
    }

    pub(crate) async fn pending(&self) -> Vec<String> {
        let list = self.get("/api/approvals?state=pending").await.ok();
        let ids = list["approvals"].as_array().unwrap().iter();
        ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
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
