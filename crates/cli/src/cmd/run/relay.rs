//! What is typed at our terminal, on its way to the command's.

use std::{
    io::{self, PipeReader, PipeWriter},
    sync::Arc,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    stdio::stdin,
};

use super::{
    console::{self, Console},
    signals::Target,
};

/// As much as a terminal holds.
const PIECE: usize = 4096;
/// How often is looked whether our terminal's keys are for us again: nothing tells it.
const BACKGROUND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 250_000_000,
};
/// How often a command that reads nothing is tried again.
const FULL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// Types until it is dropped: what comes later is for who comes after us.
pub(super) struct Relay {
    _stop: PipeWriter,
}

impl Relay {
    pub(super) fn start(console: Arc<Console>, target: Arc<Target>) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        std::thread::Builder::new().name("relay".into()).spawn(move || {
            let _ = relay(&console, &target, &stopped);
        })?;
        Ok(Self { _stop: stop })
    }
}

/// Ends when it is stopped, or our terminal is gone.
fn relay(console: &Console, target: &Target, stopped: &PipeReader) -> Result<(), Errno> {
    let mut buffer = [0; PIECE];
    let mut away = false;
    loop {
        if !console::foreground() {
            away = true;
            wait(stopped, &BACKGROUND)?;
            continue;
        }
        // Only then: whoever stops us has given the terminal back, and must find it so.
        if std::mem::take(&mut away) {
            console.enter();
        }
        let ours = stdin();
        let mut fds = [PollFd::new(stopped, PollFlags::IN), PollFd::new(&ours, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
            Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
            Ok(_) if !console::foreground() => continue,
            Ok(_) => {}
        }
        let keys = match rustix::io::read(ours, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => &buffer[..read],
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(error) => return Err(error),
        };
        let stops = target.stop_key().is_some_and(|key| keys.contains(&key));
        type_all(console, keys, stopped)?;
        if stops {
            target.suspend();
        }
    }
}

fn type_all(console: &Console, mut keys: &[u8], stopped: &PipeReader) -> Result<(), Errno> {
    while !keys.is_empty() {
        match console.type_in(keys) {
            Ok(typed) => keys = &keys[typed..],
            Err(Errno::AGAIN) => wait(stopped, &FULL)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits a while; an error when it is stopped meanwhile.
fn wait(stopped: &PipeReader, time: &Timespec) -> Result<(), Errno> {
    match poll(&mut [PollFd::new(stopped, PollFlags::IN)], Some(time)) {
        Ok(0) | Err(Errno::INTR) => Ok(()),
        Ok(_) => Err(Errno::CANCELED),
        Err(error) => Err(error),
    }
}
