//! A process between the runner and a vendor's program, which ends all that the program has started.
//!
//! What is guaranteed on Linux, as long as this process is not itself killed by SIGKILL:
//! - when the runner is gone, however it ended, SIGKILL included, the program and all that descends from it are killed;
//! - when the program has ended, what it left running is killed, also what has left its process group or session: orphans of
//!   this process's descendants become its children (a "child subreaper"), and it ends only when it has none.
//!
//! When this process is killed by SIGKILL, the kernel kills the program itself with it (`PR_SET_PDEATHSIG`), and nothing ends what
//! that has left running. Where there is no Linux the program is run as it is, in a process group that the runner ends.
//!
//! The first argument is the runner's process id; the others are the program and its arguments.

use std::{ffi::OsString, process::ExitCode};

/// Does what the module says, and ends as the program did (128 + n after signal n; 126 or 127 when it could not be run).
#[must_use]
pub fn supervise(args: Vec<OsString>) -> ExitCode {
    let code = imp::supervise(args).unwrap_or_else(|error| {
        tracing::error!("{error}");
        126
    });
    ExitCode::from(code)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::{
        ffi::{OsStr, OsString},
        fs, io,
        os::{
            fd::AsFd,
            unix::{net::UnixStream, process::CommandExt},
        },
        process::Command,
        thread,
        time::{Duration, Instant},
    };

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{
            Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, kill_process_group,
            pidfd_open, set_child_subreaper, set_parent_process_death_signal, wait,
        },
    };

    /// The first argument of the second half, which becomes the program.
    const BECOME: &str = "become";
    /// How long the program may take to end after it was asked to.
    const GRACE: Duration = Duration::from_secs(2);

    pub(super) fn supervise(mut args: Vec<OsString>) -> io::Result<u8> {
        if args.len() < 2 {
            return Ok(2);
        }
        let first = args.remove(0);
        if first == BECOME {
            return become_program(&args);
        }
        // A runner that was killed before this line is not our parent any more.
        let runner = first.to_str().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        if runner.is_none() || runner != getppid() {
            return Ok(0);
        }
        watch(&args)
    }

    /// Becomes the program, which the kernel then kills when the supervisor is killed.
    fn become_program(args: &[OsString]) -> io::Result<u8> {
        let parent = args[0]
            .to_str()
            .and_then(|pid| pid.parse().ok())
            .and_then(Pid::from_raw);
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if parent != getppid() || args.len() < 2 {
            return Ok(0);
        }
        let error = Command::new(&args[1]).args(&args[2..]).exec();
        let why = format!("{}: {error}\n", args[1].display());
        let _ = io::Write::write_all(&mut io::stderr(), why.as_bytes());
        Ok(if error.kind() == io::ErrorKind::NotFound {
            127
        } else {
            126
        })
    }

    fn watch(args: &[OsString]) -> io::Result<u8> {
        set_child_subreaper(Some(getpid()))?;
        let runner = getppid().ok_or(io::ErrorKind::NotFound)?;
        let runner_end = pidfd_open(runner, PidfdFlags::empty())?;
        if getppid() != Some(runner) {
            return Ok(0);
        }
        let (asked, sender) = UnixStream::pair()?;
        for signal in [
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGHUP,
        ] {
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        let ourselves = std::env::current_exe()?;
        let mine = getpid().as_raw_nonzero().to_string();
        // What calls this module calls it by the same words: all arguments of ours but those of this run.
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        let ours = words.len().saturating_sub(args.len() + 1);
        let child = Command::new(ourselves)
            .args(&words[..ours])
            .args([OsStr::new(BECOME), OsStr::new(&mine)])
            .args(args)
            .process_group(0)
            .spawn()?;
        let program = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::NotFound)?;
        let program_end = pidfd_open(program, PidfdFlags::empty())?;
        let over = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let mut fds = [
            PollFd::new(&program_end, PollFlags::IN),
            PollFd::new(&runner_end, PollFlags::IN),
            PollFd::from_borrowed_fd(asked.as_fd(), PollFlags::IN),
        ];
        loop {
            match poll(&mut fds, None) {
                Ok(_) if fds.iter().any(over) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (ended, orphaned) = (over(&fds[0]), over(&fds[1]));
        if !ended {
            ask_to_end(program, &program_end, orphaned);
        }
        // Nobody else reaps: the handle of the program is not waited on.
        drop(child);
        Ok(end_all(program))
    }

    /// Asks the program's group to end and waits for it a while; without a runner there is nobody to wait for.
    fn ask_to_end(program: Pid, end: &impl AsFd, at_once: bool) {
        if at_once {
            return;
        }
        let _ = kill_process_group(program, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: left.subsec_nanos().max(1_000_000).into(),
            };
            let mut fds = [PollFd::new(end, PollFlags::IN)];
            if poll(&mut fds, Some(&wait)).is_ok_and(|count| count > 0) {
                return;
            }
        }
    }

    /// Kills what is there until nothing is: whoever is killed leaves its children to this process.
    fn end_all(program: Pid) -> u8 {
        let mut code = None;
        let _ = kill_process_group(program, Signal::KILL);
        loop {
            for child in children() {
                let _ = kill_process(child, Signal::KILL);
            }
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == program => code = Some(exit(status)),
                Ok(Some(_)) => {}
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return code.unwrap_or(137),
            }
        }
    }

    fn exit(status: WaitStatus) -> u8 {
        let code = status
            .exit_status()
            .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
        u8::try_from(code.unwrap_or(1)).unwrap_or(1)
    }

    /// The processes whose parent this one is.
    fn children() -> Vec<Pid> {
        let mine = getpid().as_raw_nonzero().get();
        let Ok(processes) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let parent = |pid: i32| -> Option<i32> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold anything; the state and the parent come behind the last one.
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
        };
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent(*pid) == Some(mine))
            .filter_map(Pid::from_raw)
            .collect()
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command};

    pub(super) fn supervise(args: Vec<OsString>) -> io::Result<u8> {
        match args.get(1) {
            Some(program) => Err(Command::new(program).args(&args[2..]).exec()),
            None => Ok(2),
        }
    }
}
