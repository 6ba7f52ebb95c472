//! What is in the log is the ledger: a restart, a lost view and a store that fails change nothing of it.

use std::path::Path;

use serde_json::{Value, json};
use turnwire_log::{
    faulty::{Call, Faulty},
    memory::MemoryLog,
};

use crate::world::{World, within};

#[tokio::test]
async fn every_command_is_after_a_restart_what_it_was_before_also_when_the_views_are_lost() {
    let mut world = World::start().await;
    let key = world.key("a").await;
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(world.say("a", &n.to_string()).await["id"].clone());
    }
    world.wake(&key, "").await;
    ids.push(world.say("a", "queued").await["id"].clone());
    world.ack(&key, &ids[0], &json!({"state": "acked"})).await.ok();
    world
        .ack(&key, &ids[1], &json!({"state": "done", "result": {"ok": true}}))
        .await
        .ok();
    world
        .ack(&key, &ids[2], &json!({"state": "failed", "reason": "no"}))
        .await
        .ok();
    world.withdraw(&ids[3]).await.ok();
    let before = world.get("/api/commands").await.ok()["commands"].clone();
    for lose_views in [false, true] {
        let dir = world.server().ready().data_dir.clone();
        world
            .restart_after(|_| {
                for file in ["views.db", "views.db-wal", "views.db-shm"]
                    .into_iter()
                    .filter(|_| lose_views)
                {
                    let _ = std::fs::remove_file(Path::new(&dir).join(file));
                }
            })
            .await;
        assert_eq!(world.get("/api/commands").await.ok()["commands"], before);
        for command in before.as_array().unwrap() {
            assert_eq!(world.command(&command["id"]).await, *command);
        }
    }
    // And it goes on: what is open is handed over, what was taken on is done.
    let open: Vec<_> = world.wake(&key, "").await["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["id"].clone())
        .collect();
    assert_eq!(open, [ids[4].clone(), ids[5].clone(), ids[6].clone()]);
    world.ack(&key, &ids[0], &json!({"state": "done"})).await.ok();
    world
        .ack(&key, &ids[1], &json!({"state": "failed"}))
        .await
        .refused(409, "conflict");
}

#[tokio::test]
async fn a_command_that_was_due_while_the_server_was_down_expires_at_its_start() {
    let mut world = World::start().await;
    let key = world.key("a").await;
    let order = json!({"agent": "a", "action": "hold", "expires_in_ms": 1500});
    let command = world.order(&order).await.ok();
    let expires: turnwire_proto::Timestamp = command["expires"].as_str().unwrap().parse().unwrap();
    world
        .restart_after(|_| {
            // Not to give something time, but for the moment to pass while no server runs.
            while turnwire_proto::Timestamp::now() <= expires {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        })
        .await;
    assert_eq!(world.wake(&key, "wait_ms=0").await["commands"], json!([]));
    assert_eq!(world.command(&command["id"]).await["state"], "expired");
    assert_eq!(world.states(&command["id"]).await, ["expired"]);
}

/// A world over a log in memory that fails when it is told to.
pub(crate) async fn faulty() -> (World, turnwire_log::faulty::Faults) {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let log: std::sync::Arc<dyn turnwire_log::Log> = std::sync::Arc::new(log);
    (World::over(|_| {}, |_| Some(log)).await, faults)
}

#[tokio::test]
async fn a_step_that_could_not_be_written_has_not_happened() {
    let (world, faults) = faulty().await;
    let key = world.key("a").await;
    let order = json!({"agent": "a", "action": "hold"});
    faults.fail(Call::Append, 1, true);
    world.order(&order).await.refused(503, "store_unavailable");
    assert_eq!(world.get("/api/commands").await.ok()["commands"], json!([]));
    let command = world.order(&order).await.ok();
    world.wake(&key, "wait_ms=0").await;
    faults.fail(Call::Append, 1, true);
    let done = json!({"state": "done"});
    world
        .ack(&key, &command["id"], &done)
        .await
        .refused(503, "store_unavailable");
    assert_eq!(world.command(&command["id"]).await["state"], "delivered");
    assert_eq!(world.ack(&key, &command["id"], &done).await.ok()["state"], "done");
}

#[tokio::test]
async fn a_step_of_which_nobody_knows_whether_it_was_written_is_looked_up() {
    let (world, faults) = faulty().await;
    let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let order = json!({"agent": "a", "action": "hold", "id": id});
    faults.tear(1);
    world.order(&order).await.refused(503, "store_unavailable");
    // It was written: the second try finds it.
    let command = world.order(&order).await.ok();
    assert_eq!(command["id"], id);
    assert_eq!(world.told("command").await.len(), 1);
    faults.tear(1);
    world.withdraw(&command["id"]).await.refused(503, "store_unavailable");
    assert_eq!(world.command(&command["id"]).await["state"], "withdrawn");
}

#[tokio::test]
async fn of_many_that_decide_at_once_one_wins_and_the_log_has_its_step_alone() {
    let world = World::start().await;
    let key = world.key("a").await;
    for _ in 0..20 {
        let command = world.say("a", "1").await;
        world.wake(&key, "").await;
        let id = &command["id"];
        let (done, failed, withdrawn) = within("all three", async {
            let (done, failed) = (json!({"state": "done"}), json!({"state": "failed"}));
            tokio::join!(
                world.ack(&key, id, &done),
                world.ack(&key, id, &failed),
                world.withdraw(id)
            )
        })
        .await;
        let won: Vec<Value> = [done, failed, withdrawn]
            .iter()
            .filter(|reply| reply.status == 200)
            .map(|reply| reply.ok()["state"].clone())
            .collect();
        assert_eq!(won.len(), 1);
        assert_eq!(world.command(id).await["state"], won[0]);
        assert_eq!(world.states(id).await, ["delivered", won[0].as_str().unwrap()]);
    }
}
