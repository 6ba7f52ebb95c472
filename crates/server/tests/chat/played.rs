//! An agent that the test plays: orders come through the real downlink, what it does is published like any agent's.

use serde_json::{Value, json};

use crate::{line::Line, world::World};

pub(crate) struct Played {
    pub(crate) name: String,
    pub(crate) key: String,
    line: Line,
}

impl Played {
    pub(crate) async fn start(world: &World, name: &str) -> Self {
        let key = world.key(name).await;
        let mut line = world.line(&key).await;
        line.sync().await;
        Self {
            name: name.to_owned(),
            key,
            line,
        }
    }

    /// The same behind its cursor on another connection.
    pub(crate) async fn again(self, world: &World) -> Self {
        let line = world.line_from(&self.key, self.line.cursor).await;
        Self { line, ..self }
    }

    /// Takes the next order on.
    pub(crate) async fn take(&mut self, world: &World) -> Value {
        let command = self.line.command().await;
        self.says(world, &command, &json!({"state": "acked"})).await;
        command
    }

    pub(crate) async fn says(&self, world: &World, command: &Value, said: &Value) {
        world.ack(&self.key, &command["id"], said).await.ok();
    }

    /// Publishes an event of a message's turn; its place.
    pub(crate) async fn tell(&self, world: &World, command: &Value, kind: &str, data: &Value) -> u64 {
        let event = json!({"type": kind, "agent": self.name, "session_id": command["session_id"], "turn_id": command["id"],
            "data": data});
        world.publish(&event).await["last_seq"].as_u64().unwrap()
    }

    pub(crate) async fn begins(&self, world: &World, command: &Value) {
        let data = json!({"from": "user", "body": command["args"]["content"], "unread": 0});
        self.tell(world, command, "turn_start", &data).await;
    }

    /// Says something, whole.
    pub(crate) async fn replies(&self, world: &World, command: &Value, text: &str) {
        let data = json!({"role": "assistant", "content": text, "message_id": format!("m-{text:.8}")});
        self.tell(world, command, "message", &data).await;
    }

    /// Ends a turn, and says so of its order.
    pub(crate) async fn ends(&self, world: &World, command: &Value, result: &Value) {
        let usage = json!({"input_tokens": 10, "output_tokens": 5});
        let data = json!({"ok": true, "duration_ms": 42, "usage": usage});
        self.tell(world, command, "turn_end", &data).await;
        self.says(world, command, &json!({"state": "done", "result": result}))
            .await;
    }

    /// A whole turn: its order is taken on, and `text` said.
    pub(crate) async fn turn(&mut self, world: &World, text: &str) -> Value {
        let command = self.take(world).await;
        self.begins(world, &command).await;
        self.replies(world, &command, text).await;
        self.ends(world, &command, &json!({"turn_id": command["id"], "ok": true}))
            .await;
        command
    }
}
