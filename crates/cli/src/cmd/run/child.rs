//! The command as a process: waited for, stopped along with, and imitated at the end.

use std::{io, process::ExitCode, sync::Arc};

use rustix::process::{Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, setrlimit, waitid};
use tokio::sync::oneshot;

use super::signals::{Signals, Target, at_terminal};
use crate::record::Ended;

/// A command that runs.
pub(super) struct Child {
    ended: oneshot::Receiver<Ended>,
}

impl Child {
    /// Waits for it on a thread. Until it is reaped, signals find it; after that, its number may be another's.
    pub(super) fn watch(mut child: std::process::Child, signals: &Signals) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let target = signals.target();
        target.set(pid);
        let (tell, ended) = oneshot::channel();
        std::thread::Builder::new().name("waiter".into()).spawn(move || {
            if let Some(pid) = pid {
                wait(pid, &target);
            }
            let status = target.gone_while(|| child.wait());
            let ended = status.map_or_else(|_| Ended::default(), |status| of(&status));
            let _ = tell.send(ended);
        })?;
        Ok(Self { ended })
    }

    pub(super) async fn ended(self) -> Ended {
        self.ended.await.unwrap_or_default()
    }
}

fn of(status: &std::process::ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    Ended {
        code: status.code(),
        signal: status.signal(),
        missed: 0,
    }
}

/// Returns when it has ended, without reaping it. When it stops at a terminal, so do we: the shell waits for us, and
/// `fg` continues both.
fn wait(pid: Pid, target: &Arc<Target>) {
    let watched = if at_terminal() {
        WaitIdOptions::EXITED | WaitIdOptions::STOPPED
    } else {
        WaitIdOptions::EXITED
    };
    loop {
        match waitid(WaitId::Pid(pid), watched | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(Some(status)) if status.stopped() => {
                // Taken, so that it is seen once; none when it was continued meanwhile.
                let still = waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
                if matches!(still, Ok(Some(status)) if by_terminal(&status)) {
                    target.stop_ourselves();
                }
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn by_terminal(status: &WaitIdStatus) -> bool {
    let stops = [Signal::TSTP, Signal::TTIN, Signal::TTOU, Signal::STOP];
    status
        .stopping_signal()
        .is_some_and(|signal| stops.iter().any(|stop| stop.as_raw() == signal))
}

/// The exit code of the command; or its end by the signal that ended it, without a second core file.
pub(super) fn exit_as(ended: Ended) -> ExitCode {
    if let Some(signal) = ended.signal {
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = setrlimit(Resource::Core, none);
        let _ = signal_hook::low_level::emulate_default_handler(signal);
        // Only a signal that does not end a process comes here.
        return ExitCode::from(128_u8.saturating_add(u8::try_from(signal).unwrap_or(127)));
    }
    ExitCode::from(u8::try_from(ended.code.unwrap_or(1) & 0xff).unwrap_or(1))
}
