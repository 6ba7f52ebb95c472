//! The two terminals of a command that has one of its own: ours, which is raw meanwhile, and the command's.
//!
//! What must stay true: our terminal is as it was whenever we are not in its foreground, stopped, or at an end, whichever
//! way that comes (but `kill -9` of us, as of any program that draws).

use std::{
    fs,
    io::{self, IsTerminal},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pty_process::blocking::Pts;
use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::Errno,
    process::{Pid, Signal, getpgrp, kill_current_process_group},
    stdio::{stderr, stdin, stdout},
    termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
        tcsetwinsize,
    },
};
use signal_hook::consts::SIGTSTP;

use crate::out;

/// Rows and columns where no terminal says its own, as ever.
const SIZE: Winsize = Winsize {
    ws_row: 24,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// Both terminals.
#[derive(Debug)]
pub(super) struct Console {
    /// Until the command's output has ended: then the command is to see its terminal hung up.
    master: Mutex<Option<OwnedFd>>,
    ours: Mutex<Ours>,
}

/// Our terminal, if standard input is one.
#[derive(Debug)]
enum Ours {
    None,
    AsItWas,
    Raw(Box<Termios>),
    /// Whatever is still asked for comes too late.
    Closed,
}

/// What is needed to start a command at its terminal.
pub(super) struct Ends {
    master: OwnedFd,
    pts: Pts,
}

/// Whether we are the ones whom our terminal's keys are for.
pub(super) fn foreground() -> bool {
    tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size() -> Option<Winsize> {
    [stdout(), stdin(), stderr()]
        .iter()
        .find_map(|terminal| tcgetwinsize(terminal).ok())
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
}

/// How many rows the command draws on.
pub(super) fn rows() -> u16 {
    size().unwrap_or(SIZE).ws_row
}

impl Console {
    /// Makes a terminal like ours.
    pub(super) fn open() -> io::Result<(Arc<Self>, Ends)> {
        let (master, pts) = pty_process::blocking::open().map_err(of_pty)?;
        let master = OwnedFd::from(master);
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let terminal = io::stdin().is_terminal();
        if let (true, Ok(modes)) = (terminal, tcgetattr(stdin())) {
            tcsetattr(&pts, OptionalActions::Now, &modes)?;
        }
        tcsetwinsize(&master, size().unwrap_or(SIZE))?;
        let console = Self {
            master: Mutex::new(Some(master.try_clone()?)),
            ours: Mutex::new(if terminal { Ours::AsItWas } else { Ours::None }),
        };
        Ok((Arc::new(console), Ends { master, pts }))
    }

    /// Makes our terminal raw, if its keys are for us: what they mean is then the command's terminal's business.
    pub(super) fn enter(&self) {
        let mut ours = lock(&self.ours);
        if matches!(*ours, Ours::None | Ours::Closed) {
            return;
        }
        if !foreground() {
            // Who has it now has set it as they want it.
            *ours = Ours::AsItWas;
            out::raw(false);
            return;
        }
        let modes = match std::mem::replace(&mut *ours, Ours::AsItWas) {
            Ours::Raw(modes) => modes,
            _ => match tcgetattr(stdin()) {
                Ok(modes) => Box::new(modes),
                Err(_) => return,
            },
        };
        let mut raw = modes.clone();
        raw.make_raw();
        if tcsetattr(stdin(), OptionalActions::Now, &raw).is_ok() {
            *ours = Ours::Raw(modes);
            out::raw(true);
        }
    }

    fn leave(&self, then: Ours) {
        let mut ours = lock(&self.ours);
        let was = std::mem::replace(&mut *ours, then);
        if let Ours::Raw(modes) = was
            && foreground()
        {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &modes);
        }
        out::raw(false);
    }

    /// Gives our terminal back, for good.
    pub(super) fn close(&self) {
        self.leave(Ours::Closed);
    }

    /// Lets the command see its terminal hung up.
    pub(super) fn hang_up(&self) {
        lock(&self.master).take();
    }

    /// Tells the command the size of our terminal.
    pub(super) fn resize(&self) {
        if let (Some(master), Some(size)) = (&*lock(&self.master), size()) {
            let _ = tcsetwinsize(master, size);
        }
    }

    /// Types so much as there is room for.
    pub(super) fn type_in(&self, keys: &[u8]) -> Result<usize, Errno> {
        match &*lock(&self.master) {
            Some(master) => rustix::io::write(master, keys),
            None => Err(Errno::IO),
        }
    }

    /// The key that stops the command, if it would stop it when it were started by a shell: the command's terminal
    /// listens for it, the command is in its foreground and does not want to know of it.
    ///
    /// The kernel does not stop it then, because nothing in its session could continue it; we can.
    pub(super) fn stop_key(&self, command: Pid) -> Option<u8> {
        let master = lock(&self.master);
        let master = master.as_ref()?;
        let modes = tcgetattr(master).ok()?;
        let key = modes.special_codes[SpecialCodeIndex::VSUSP];
        let listens = modes.local_modes.contains(LocalModes::ISIG) && key != 0;
        (listens && tcgetpgrp(master) == Ok(command) && stops_by_default(command)).then_some(key)
    }

    /// Stops us and whoever is a job with us, with the terminal as it was, until a shell continues us.
    pub(super) fn stop_ourselves(&self) {
        if somebody_continues_us() {
            self.leave(Ours::AsItWas);
            let _ = kill_current_process_group(Signal::STOP);
        }
    }
}

/// Gives the terminal back when it goes, by a panic too.
#[derive(Debug)]
pub(super) struct Restore(pub(super) Arc<Console>);

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Ends {
    /// Starts the command as the first process of a session at its terminal. Standard input and standard error are our
    /// own where those are not terminals: a file that is read, a log that is written.
    pub(super) fn spawn(self, command: Command) -> io::Result<(Child, OwnedFd)> {
        let mut command = pty_process::blocking::Command::from(command);
        if !io::stdin().is_terminal() {
            command = command.stdin(Stdio::inherit());
        }
        if !io::stderr().is_terminal() {
            command = command.stderr(Stdio::piped());
        }
        let child = command.spawn(self.pts).map_err(of_pty)?;
        Ok((child, self.master))
    }
}

fn of_pty(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        pty_process::Error::Rustix(error) => error.into(),
    }
}

/// Whether the process neither handles nor ignores SIGTSTP.
fn stops_by_default(process: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap_or_default();
    let mask = |name: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    match (mask("SigCgt:"), mask("SigIgn:")) {
        (Some(caught), Some(ignored)) => (caught | ignored) & (1 << (SIGTSTP - 1)) == 0,
        _ => false,
    }
}

/// Whether our process group has a parent in our session, such as a shell with job control. Without one the kernel would
/// not stop us for the terminal's key either: nobody could continue us.
pub(super) fn somebody_continues_us() -> bool {
    let Some(us) = place_of("self") else { return false };
    let mut parent = us.parent;
    while let Some(place) = place_of(&parent.to_string()) {
        if place.group != us.group {
            return place.session == us.session;
        }
        parent = place.parent;
    }
    false
}

struct Place {
    parent: i32,
    group: i32,
    session: i32,
}

fn place_of(process: &str) -> Option<Place> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(1);
    let mut next = || fields.next()?.parse().ok();
    Some(Place {
        parent: next()?,
        group: next()?,
        session: next()?,
    })
}
