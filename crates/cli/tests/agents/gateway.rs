//! A gateway that may be killed, a reader of all that happens, and agents on it that may be killed, too.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use reqwest::Method;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};
use tokio::time::timeout;
use turnwire_client::{Endpoint, Error, Item, Query, Subscriber};
use turnwire_proto::{Code, Event, Seq};

use crate::world::World;

/// What never takes this long has failed: a busy machine and a program of a vendor's need some seconds.
const DEADLINE: Duration = Duration::from_secs(90);

pub(crate) struct Gateway {
    pub(crate) world: World,
    served: Child,
    reader: Subscriber,
    pub(crate) endpoint: Endpoint,
    /// All that has happened, as far as it was waited for.
    pub(crate) events: Vec<Event>,
}

fn serve(world: &World, flags: &[&str]) -> Child {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--json"];
    args.extend(flags);
    let mut served = world.turnwire(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(served.stdout.as_mut().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert!(ready.contains("url"), "the gateway did not begin: {ready}");
    served
}

impl Gateway {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let world = World::new();
        let served = serve(&world, flags);
        let endpoint = Endpoint::local(&world.data_dir()).unwrap();
        let query = Query {
            after: Some(Seq::ZERO),
            ..Query::default()
        };
        Self {
            reader: Subscriber::new(endpoint.clone(), query),
            world,
            served,
            endpoint,
            events: Vec::new(),
        }
    }

    /// From one moment to the next.
    pub(crate) fn kill(&mut self) {
        self.served.kill().unwrap();
        self.served.wait().unwrap();
    }

    pub(crate) fn serve_again(&mut self) {
        self.served = serve(&self.world, &[]);
        self.endpoint.refresh().unwrap();
    }

    /// `turnwire agent --name a ARGS`, connected.
    pub(crate) fn agent(&self, args: &[&str], change: impl FnOnce(&mut Command)) -> Agent {
        let mut all = vec!["agent", "--name", "a", "--json"];
        all.extend(args);
        let mut command = self.world.turnwire(&all);
        fs::create_dir_all(self.world.path("project")).unwrap();
        command.current_dir(self.world.path("project")).stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let connected = lines
            .by_ref()
            .any(|line| line.unwrap().contains(r#""link":"connected""#));
        assert!(connected, "the agent did not connect");
        // Nobody else reads on: what it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Agent { child }
    }

    /// Reads on until an event is as it is to be, or finds one that was.
    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        if let Some(event) = self.events.iter().find(|event| wanted(event)) {
            return event.clone();
        }
        let read = async {
            loop {
                if let Ok(Item::Event(event, _)) = self.reader.next().await {
                    self.events.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
            }
        };
        match timeout(DEADLINE, read).await {
            Ok(event) => event,
            Err(_) => panic!("waited in vain for {what}; there was {:#?}", self.told()),
        }
    }

    /// What has happened, shortly.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.events.iter().map(|event| {
            let body: String = event.data.get().chars().take(300).collect();
            format!("{} {body}", event.kind)
        });
        told.collect()
    }

    /// The body of the event of this kind of a turn.
    pub(crate) async fn of_turn(&mut self, turn: &Value, kind: &str) -> Value {
        let event = self
            .event(kind, |event| {
                event.kind.as_str() == kind && json!(event.turn_id) == *turn
            })
            .await;
        event.data.read().unwrap()
    }

    /// The kinds of a turn's events, in order.
    pub(crate) fn kinds(&self, turn: &Value) -> Vec<&str> {
        let of = self.events.iter().filter(|event| json!(event.turn_id) == *turn);
        of.map(|event| event.kind.as_str()).collect()
    }

    /// What was said in a turn by the agent, whole.
    pub(crate) fn said(&self, turn: &Value) -> Vec<String> {
        let of = self
            .events
            .iter()
            .filter(|event| json!(event.turn_id) == *turn && event.kind.as_str() == "message");
        let body = |event: &Event| event.data.read::<Value>().unwrap();
        let said = of.map(body).filter(|body| body["role"] == "assistant");
        said.map(|body| body["content"].as_str().unwrap().to_owned()).collect()
    }

    /// The order's end: its `command_state` of `done` or `failed`.
    pub(crate) async fn end_of(&mut self, id: &Value) -> Value {
        let is_end = |event: &Event| {
            let body: Value = event.data.read().unwrap();
            let over = ["done", "failed", "expired", "withdrawn"].map(Value::from);
            event.kind.as_str() == "command_state" && body["command_id"] == *id && over.contains(&body["state"])
        };
        self.event("the end of an order", is_end).await.data.read().unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.endpoint.request(Method::POST, path);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        timeout(DEADLINE, self.endpoint.json(request)).await.unwrap().unwrap()
    }

    /// Why a POST is refused.
    pub(crate) async fn refused(&self, path: &str, body: Value) -> Option<Code> {
        let request = self.endpoint.request(Method::POST, path);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        match timeout(DEADLINE, self.endpoint.json::<Value>(request)).await.unwrap() {
            Err(error @ Error::Refused(_)) => error.code(),
            other => panic!("{other:?}"),
        }
    }

    /// Gives an order: its id.
    pub(crate) async fn order(&self, session: Option<&str>, action: &str, args: Value) -> Value {
        let mut body = json!({"agent": "a", "action": action, "args": args});
        if let Some(session) = session {
            body["session_id"] = session.into();
        }
        self.post("/api/commands", body).await["id"].clone()
    }

    pub(crate) async fn say(&self, session: &str, text: &str) -> Value {
        self.order(Some(session), "message", json!({"content": text})).await
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.served.kill();
        let _ = self.served.wait();
    }
}

/// A `turnwire agent`.
pub(crate) struct Agent {
    pub(crate) child: Child,
}

impl Agent {
    /// As `kill -9` does it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As `kill` does it; waits for the end.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes whose environment names this path: an agent of the test's, and all that it has started.
pub(crate) fn processes(path: &Path) -> Vec<(Pid, PathBuf)> {
    let wanted = path.to_str().unwrap();
    let of = |pid: &i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(wanted)
    };
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let exe = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    pids.filter(of)
        .filter_map(|pid| Some((Pid::from_raw(pid)?, exe(pid))))
        .collect()
}

/// Waits until these have ended.
pub(crate) fn wait_for_end(processes: &[(Pid, PathBuf)]) {
    for (pid, exe) in processes {
        let Ok(fd) = pidfd_open(*pid, PidfdFlags::empty()) else {
            continue;
        };
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let wait = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
        let ended = rustix::event::poll(&mut fds, Some(&wait)).unwrap();
        assert_eq!(ended, 1, "{} is left", exe.display());
    }
}
