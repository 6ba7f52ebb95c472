//! Signals: what is sent to us goes on to the command, unless the terminal has sent it to both of us already.

use std::{
    fs,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::{
    consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::{SignalsInfo, exfiltrator::WithOrigin},
    low_level::{emulate_default_handler, siginfo::Origin},
};
use tokio::sync::watch;

use super::console::{Console, somebody_continues_us};

const FORWARDED: [i32; 9] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT,
];

/// The command, as far as signals are concerned.
#[derive(Debug)]
pub(super) struct Target {
    state: Mutex<State>,
    /// Its own terminal, if it has one.
    console: Option<Arc<Console>>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<Pid>,
    /// What came before there was a command to send it to.
    early: Vec<i32>,
}

impl Target {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, pid: Option<Pid>) {
        let mut state = self.lock();
        state.pid = pid;
        for signal in std::mem::take(&mut state.early) {
            send(state.pid, signal);
        }
    }

    /// Reaps the command while no signal can be on its way to its number.
    pub(super) fn gone_while<T>(&self, reap: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        state.pid = None;
        reap()
    }

    pub(super) fn stop_ourselves(&self) {
        match &self.console {
            Some(console) => console.stop_ourselves(),
            None => {
                let _ = emulate_default_handler(SIGTSTP);
            }
        }
    }

    /// The key of the command's terminal that is to stop it, if there is one now.
    pub(super) fn stop_key(&self) -> Option<u8> {
        let pid = self.lock().pid?;
        self.console.as_ref()?.stop_key(pid)
    }

    /// Stops a command that has a terminal of its own; we follow when it has stopped.
    pub(super) fn suspend(&self) {
        if somebody_continues_us() {
            self.send_group(Signal::STOP);
        }
    }

    /// Continues it, after we were.
    fn resume(&self, console: &Console) {
        console.enter();
        console.resize();
        self.send_group(Signal::CONT);
    }

    fn send_group(&self, signal: Signal) {
        if let Some(group) = self.lock().pid {
            let _ = kill_process_group(group, signal);
        }
    }

    fn forward(&self, signal: i32, before: bool) {
        let mut state = self.lock();
        if before && state.pid.is_none() {
            state.early.push(signal);
        }
        send(state.pid, signal);
    }
}

fn send(pid: Option<Pid>, signal: i32) {
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        let _ = kill_process(pid, signal);
    }
}

/// Catches signals from now on.
#[derive(Debug)]
pub(super) struct Signals {
    target: Arc<Target>,
    phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Running,
    Gone,
    Hurry,
}

impl Signals {
    /// For a command that will have `console` as its terminal, or ours.
    pub(super) fn catch(console: Option<Arc<Console>>) -> io::Result<Self> {
        let ignored = ignored();
        // Invariant: a signal that was ignored (nohup) stays so, for the command too: a handler would be reset to the
        // default when the command is executed.
        let caught = FORWARDED
            .iter()
            .filter(|signal| ignored & (1_u64 << (*signal - 1)) == 0);
        let mut infos = SignalsInfo::<WithOrigin>::new(caught)?;
        let target = Arc::new(Target {
            state: Mutex::default(),
            console,
        });
        let phase = watch::Sender::new(Phase::Before);
        let (handled, phases) = (Arc::clone(&target), phase.clone());
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for origin in infos.forever() {
                handle(&origin, &handled, &phases);
            }
        })?;
        Ok(Self { target, phase })
    }

    pub(super) fn target(&self) -> Arc<Target> {
        self.phase.send_replace(Phase::Running);
        Arc::clone(&self.target)
    }

    /// From now on a signal to end means us.
    pub(super) fn child_is_gone(&self) {
        self.phase.send_replace(Phase::Gone);
    }

    /// Waits for a signal to end after the command is gone.
    pub(super) async fn ended(&self) {
        let mut phase = self.phase.subscribe();
        let _ = phase.wait_for(|phase| *phase == Phase::Hurry).await;
    }
}

fn handle(origin: &Origin, target: &Target, phase: &watch::Sender<Phase>) {
    let ends = matches!(origin.signal, SIGHUP | SIGINT | SIGQUIT | SIGTERM);
    let now = *phase.borrow();
    if now == Phase::Gone || now == Phase::Hurry {
        if ends {
            phase.send_replace(Phase::Hurry);
        }
        return;
    }
    if let Some(console) = &target.console {
        match origin.signal {
            SIGTSTP => return target.suspend(),
            SIGCONT => return target.resume(console),
            SIGWINCH => console.resize(),
            _ => {}
        }
    }
    // A command at a terminal of its own gets that one's change of size, and none of our terminal's signals.
    let ours_alone = target.console.is_some() && origin.signal != SIGWINCH;
    // The terminal's signals go to every process of its foreground group, the command among them if it is there, and have
    // no sender.
    if origin.process.is_some() || now == Phase::Before || ours_alone {
        target.forward(origin.signal, now == Phase::Before);
    }
    // At a terminal we stop when the command has stopped, and only then: doing both would stop us twice.
    if origin.signal == SIGTSTP && !at_terminal() {
        target.stop_ourselves();
    }
}

/// Whether there is a shell that stops and continues us.
pub(super) fn at_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The signals that were ignored when we were started, one bit each; none where the system does not say.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
