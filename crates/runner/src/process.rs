//! One program of a vendor's: its lines, its standard input, and an end that leaves nothing of it behind.
//!
//! It leads a process group of its own. [`Process::end`] ends that group, and so does dropping the process. A supervisor put
//! before the program ([`crate::supervise`]) does more: what has left the group ends too, and all of it when the runner is killed.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use turnwire_proto::limits;

use crate::{Failure, drivers::Setup};

/// Bytes of a line; what is longer is taken as several. An image or a whole file may stand in one.
const LINE: usize = limits::BATCH_BYTES;
/// Lines that have been read and not asked for: beyond it the program waits, as for any pipe.
const AHEAD: usize = 4;
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// How long output is waited for after the program's end: something else may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Things that it was told and has not read: beyond it a program does not read any more.
const UNREAD: usize = 64;

/// What a process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A line, without its line break.
    Line(Bytes),
    /// A line of standard error.
    Stderr(Bytes),
    /// It has ended, and said everything: its exit code, 128 + n after signal n.
    Exited(Option<i32>),
}

/// A program that runs, or has ended.
#[derive(Debug)]
pub struct Process {
    child: Child,
    group: Option<Pid>,
    supervised: bool,
    stdin: Option<mpsc::Sender<Bytes>>,
    output: mpsc::Receiver<Output>,
    exited: Option<(ExitStatus, Instant)>,
    /// Who reads and writes; ends with the process.
    _pumps: JoinSet<()>,
}

/// Where a program is that is called so: by its path, or in `PATH`.
#[must_use]
pub fn find(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    let is_there = |path: &Path| path.is_file();
    if path.components().count() > 1 {
        return Some(path.to_owned()).filter(|path| is_there(path));
    }
    let dirs = env::var_os("PATH")?;
    env::split_paths(&dirs)
        .map(|dir| dir.join(path))
        .find(|path| is_there(path))
}

impl Process {
    /// Starts `program` with `args`, where and how `setup` says. `more` may change the command, its environment for example.
    ///
    /// # Errors
    /// It is not there, or cannot be run.
    pub fn start(
        setup: &Setup,
        program: &OsStr,
        args: &[OsString],
        more: impl FnOnce(&mut Command),
    ) -> Result<Self, Failure> {
        let shown = program.display();
        if find(program).is_none() {
            return Err(Failure::Gone(format!("{shown} is not installed, or not in PATH")));
        }
        let supervised = !setup.supervisor.is_empty();
        let words: Vec<&OsStr> = if supervised {
            let ours = setup.supervisor.iter().map(OsString::as_os_str);
            ours.chain([program]).collect()
        } else {
            vec![program]
        };
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(cwd) = &setup.cwd {
            command.current_dir(cwd);
        }
        more(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| Failure::Gone(format!("{shown} cannot be run: {error}")))?;
        let (sender, output) = mpsc::channel(AHEAD);
        let mut pumps = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            pumps.spawn(read(stdout, sender.clone(), Output::Line));
        }
        if let Some(stderr) = child.stderr.take() {
            pumps.spawn(read(stderr, sender, Output::Stderr));
        }
        let stdin = child.stdin.take().map(|stdin| {
            let (sender, told) = mpsc::channel(UNREAD);
            pumps.spawn(write(told, stdin));
            sender
        });
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self {
            stdin,
            group,
            child,
            supervised,
            output,
            exited: None,
            _pumps: pumps,
        })
    }

    /// Writes to its standard input, in the background and whole: nothing that drops whoever calls this cuts what is written.
    ///
    /// # Errors
    /// It is closed, or the program does not read.
    pub fn send(&mut self, bytes: impl Into<Bytes>) -> Result<(), Failure> {
        let sent = self.stdin.as_ref().map(|stdin| stdin.try_send(bytes.into()));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Err(Failure::Gone("the program does not read its input".to_owned()))
            }
            _ => Err(Failure::Gone("the program takes no more input".to_owned())),
        }
    }

    /// [`Process::send`] of bytes that are not its own.
    ///
    /// # Errors
    /// As there.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.send(bytes.to_vec())
    }

    /// Ends its standard input, behind what was sent.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next thing that it says; [`Output::Exited`] is the last, and is said again and again. Cancel-safe.
    pub async fn next(&mut self) -> Output {
        loop {
            let end = self.exited.map(|(_, end)| end);
            tokio::select! {
                biased;
                said = self.output.recv() => match said {
                    Some(said) => return said,
                    None => {
                        let status = self.child.wait().await.ok();
                        self.kill_rest();
                        return Output::Exited(status.and_then(code));
                    }
                },
                status = self.child.wait(), if end.is_none() => {
                    let Ok(status) = status else { return Output::Exited(None) };
                    self.kill_rest();
                    self.exited = Some((status, Instant::now() + LAST_WORDS));
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    return Output::Exited(self.exited.and_then(|(status, _)| code(status)));
                }
            }
        }
    }

    /// Ends it and its process group, and waits until it has ended.
    pub async fn end(&mut self) {
        self.stdin = None;
        self.signal(Signal::TERM);
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = self.child.wait().await;
        }
        self.kill_rest();
    }

    /// What is left of the group after its leader.
    fn kill_rest(&mut self) {
        self.signal(Signal::KILL);
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // One that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A supervisor that is killed outright cannot end what has left the group.
        self.signal(if self.supervised { Signal::TERM } else { Signal::KILL });
    }
}

/// As a shell says it.
fn code(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

async fn write(mut told: mpsc::Receiver<Bytes>, mut stdin: ChildStdin) {
    while let Some(bytes) = told.recv().await {
        // Who does not read any more says so by its end.
        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Splits at LF and nothing else, as all vendors' lines are.
async fn read(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Output>, make: fn(Bytes) -> Output) {
    let mut held: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let mut rest = &buffer[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            held.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if to.send(make(std::mem::take(&mut held).into())).await.is_err() {
                return;
            }
        }
        held.extend_from_slice(rest);
        let last = read == 0 && !held.is_empty();
        if (last || held.len() >= LINE) && to.send(make(std::mem::take(&mut held).into())).await.is_err() {
            return;
        }
        if read == 0 {
            return;
        }
    }
}
