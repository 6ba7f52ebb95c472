//! One agent, wrapped or not, told of by its hooks, its files and its telemetry at once or by none of them; and what of its run must be the same
//! whoever has told it. What differs from vendor to vendor is an [`Agent`].

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::get,
    world::{Served, World, serve, stderr, stdout},
};

/// What writes an agent's configuration in a world, and returns its variables.
type Configure<'a> = dyn Fn(&World, Option<&Value>) -> Vec<(&'static str, String)> + 'a;

/// A vendor's program, and how it is told to report.
pub(crate) struct Agent<'a> {
    pub(crate) program: &'static str,
    pub(crate) args: &'a [&'a str],
    /// Arguments that make it print what `turnwire run` reads.
    pub(crate) prints: &'a [&'a str],
    /// What `turnwire connect` calls it.
    pub(crate) connect: &'static str,
    /// Options of `turnwire hooks install`.
    pub(crate) hooks: &'a [&'a str],
    /// Where it keeps its files, in the world.
    pub(crate) files: &'static str,
    /// Writes its configuration, of what `turnwire connect` says where it is to report; returns its variables.
    pub(crate) configure: &'a Configure<'a>,
    /// Variables that it must not see.
    pub(crate) without: &'a [&'static str],
}

/// What a run is told of by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Told {
    /// What it prints, under `turnwire run`.
    Wrapped,
    /// Its hooks, its files and its telemetry.
    Beside,
    /// All four.
    Both,
}

/// A run in a world of its own.
pub(crate) struct Running<'a> {
    pub(crate) world: World,
    pub(crate) child: Child,
    agent: &'a Agent<'a>,
    variables: Vec<(&'static str, String)>,
    following: Option<Child>,
    _served: Served,
}

impl<'a> Running<'a> {
    pub(crate) fn start(agent: &'a Agent<'a>, told: Told) -> Self {
        Self::served(agent, told, &[])
    }

    /// The same, with these options of the gateway.
    pub(crate) fn served(agent: &'a Agent<'a>, told: Told, options: &[&str]) -> Self {
        let world = World::new();
        let served = serve(&world, options);
        let files = world.path(agent.files);
        for dir in [&world.path("project"), &files] {
            fs::create_dir_all(dir).unwrap();
        }
        let beside = told != Told::Wrapped;
        let connect: Option<Value> = beside.then(|| {
            let said = done(&mut world.turnwire(&["connect", agent.connect, "--json"]));
            serde_json::from_slice(&said.stdout).unwrap()
        });
        let variables = (agent.configure)(&world, connect.as_ref());
        let mut following = None;
        if beside {
            let mut install = world.turnwire(&["hooks", "install", "--yes"]);
            let install = install.args(agent.hooks).current_dir(world.path("project"));
            done(install.envs(variables.iter().cloned()));
            let mut watch = world.turnwire(&["watch", files.to_str().unwrap()]);
            following = Some(watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        }
        let mut running = Self {
            child: Command::new("true").spawn().unwrap(),
            world,
            agent,
            variables,
            following,
            _served: served,
        };
        let connected = connect.as_ref().and_then(|connect| connect["env"].as_object());
        for (name, value) in connected.into_iter().flatten() {
            let name: &'static str = name.clone().leak();
            running.variables.push((name, value.as_str().unwrap().to_owned()));
        }
        running.child = running.command(agent.args, told != Told::Beside).spawn().unwrap();
        running
    }

    /// The program with these arguments, in the world's project.
    pub(crate) fn command(&self, args: &[&str], wrapped: bool) -> Command {
        let programs =
            env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
        let program = PathBuf::from(programs).join(self.agent.program);
        let mut command = match wrapped {
            true => {
                let mut command = self.world.turnwire(&["run", "--wait", "--", program.to_str().unwrap()]);
                command.args(args).args(self.agent.prints);
                command
            }
            false => {
                let mut command = Command::new(program);
                // Of a group of its own, so that all of it can be signalled.
                command.args(args).env("HOME", self.world.path("home")).process_group(0);
                command
            }
        };
        self.agent.without.iter().for_each(|name| {
            command.env_remove(name);
        });
        command
            .current_dir(self.world.path("project"))
            .env("NO_PROXY", "127.0.0.1")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Sends a signal to all of it; of a run that nobody wrapped.
    pub(crate) fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        done(Command::new("kill").args(["-s", name, "--", &group]));
    }

    /// Waits for the first event of this kind, and returns it.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut tail = self
            .world
            .turnwire(&["tail", "--after", "0", "--type", kind, "--count", "1", "--json"]);
        serde_json::from_slice(&done(&mut tail).stdout).unwrap()
    }

    /// Waits for its end, however it ends, and until all is told; what the gateway has of its only session.
    pub(crate) fn ended(mut self) -> (Output, Value) {
        let child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        let output = child.wait_with_output().unwrap();
        self.child.wait().unwrap();
        if let Some(mut following) = self.following.take() {
            // Whatever it has not read yet is read from where it was.
            following.kill().unwrap();
            following.wait().unwrap();
            let files = self.world.path(self.agent.files);
            let files = files.to_str().unwrap();
            done(&mut self.world.turnwire(&["watch", "--once", "--import", "--wait", files]));
            done(&mut self.world.turnwire(&["publish", "--drain"]));
        }
        let seen = seen(&self.world);
        (output, seen)
    }
}

/// A run that goes well.
pub(crate) fn run(agent: &Agent<'_>, told: Told) -> Value {
    let (output, seen) = Running::start(agent, told).ended();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    seen
}

fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    output
}

/// What the gateway has of the only session.
pub(crate) fn seen(world: &World) -> Value {
    let sessions = get(world, "/api/sessions");
    // A line that an agent logs of its own affairs may come in a request of its own, where nothing says whose it is.
    let named = sessions["sessions"].as_array().unwrap().iter();
    let named: Vec<_> = named.filter(|one| one["id"] != "otlp-without-a-session").collect();
    assert_eq!(named.len(), 1, "{sessions}");
    let session = named[0];
    let id = session["id"].as_str().unwrap();
    let part = |part: &str, key: &str| {
        let mut rows = get(world, &format!("/api/sessions/{id}/{part}"))[key]
            .as_array()
            .unwrap()
            .clone();
        rows.reverse();
        rows
    };
    let usage = get(world, &format!("/api/usage?session_id={id}"));
    json!({"session": session, "turns": part("turns", "turns"), "calls": part("tool-calls", "tool_calls"), "totals": usage["totals"]})
}

/// What must be the same whoever tells it: of turns and calls these fields, and the session's sums.
pub(crate) fn timeline(seen: &Value, turn: &[&str], call: &[&str]) -> Value {
    let rows = |key: &str, fields: &[&str]| -> Vec<Value> {
        let row = |row: &Value| fields.iter().map(|field| row[*field].clone()).collect();
        seen[key].as_array().unwrap().iter().map(row).collect()
    };
    let fields = [
        "turns",
        "tool_calls",
        "tool_failures",
        "usage",
        "cost_usd",
        "state",
        "title",
    ];
    let session = fields.map(|field| seen["session"][field].clone());
    json!({
        "turns": rows("turns", turn),
        "calls": rows("calls", call),
        "totals": seen["totals"],
        "session": session.as_slice(),
    })
}
