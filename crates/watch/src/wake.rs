//! What ends a wait: the kernel tells of a change, somebody says stop, or time is over.
//!
//! Where the kernel does not tell (another system, no more watches, a file system that knows no events), directories are looked
//! through every second; where it does, every ten seconds all the same.

use std::{
    collections::{HashMap, HashSet},
    io::{self, PipeReader, PipeWriter},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Between two looks at everything while the kernel tells of changes.
const LOOK: Duration = Duration::from_secs(10);
/// Between two looks while it does not.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// Ends a [`Stopped`] by being dropped.
#[derive(Debug)]
pub struct Stop(#[expect(dead_code, reason = "closing it is what it does")] PipeWriter);

/// What a tailer waits on to be stopped.
#[derive(Debug)]
pub struct Stopped(PipeReader);

/// A way to stop a tailer from another thread.
///
/// # Errors
/// When the process may have no more files open.
pub fn stop() -> io::Result<(Stop, Stopped)> {
    let (reader, writer) = io::pipe()?;
    Ok((Stop(writer), Stopped(reader)))
}

impl Stopped {
    /// Whether it has been said.
    pub(crate) fn is_said(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

/// What the kernel tells.
#[derive(Debug)]
pub(crate) struct Wake {
    inotify: Option<OwnedFd>,
    dirs: HashMap<i32, PathBuf>,
    known: HashSet<PathBuf>,
    /// Something was not told: only a look at everything helps.
    pub(crate) blind: bool,
}

impl Wake {
    pub(crate) fn new(polling: bool) -> Self {
        Self {
            inotify: if polling { None } else { linux::open() },
            dirs: HashMap::new(),
            known: HashSet::new(),
            blind: false,
        }
    }

    /// How long until everything is looked at again.
    pub(crate) const fn look_every(&self) -> Duration {
        if self.inotify.is_some() { LOOK } else { POLL }
    }

    /// Listens to a directory from now on.
    pub(crate) fn listen(&mut self, dir: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if self.known.contains(dir) {
            return;
        }
        match linux::add(inotify, dir) {
            Ok(watch) => {
                self.dirs.insert(watch, dir.to_owned());
                self.known.insert(dir.to_owned());
            }
            // It has just gone, or may not be read.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS | rustix::io::Errno::NOTDIR) => {}
            Err(error) => {
                tracing::warn!("no more directories can be listened to, they are looked at instead: {error}");
                (self.inotify, self.dirs, self.known) = (None, HashMap::new(), HashSet::new());
            }
        }
    }

    /// Waits at most `time` for a change or a stop; what has changed goes to `changed`.
    pub(crate) fn wait(&mut self, time: Duration, stopped: &Stopped, changed: &mut dyn FnMut(PathBuf)) {
        let mut fds = vec![PollFd::new(&stopped.0, PollFlags::IN)];
        if let Some(inotify) = &self.inotify {
            fds.push(PollFd::new(inotify, PollFlags::IN));
        }
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let _ = poll(&mut fds, Some(&time));
        drop(fds);
        self.told(changed);
    }

    /// Takes what has been told, without waiting.
    pub(crate) fn told(&mut self, changed: &mut dyn FnMut(PathBuf)) {
        let Some(inotify) = &self.inotify else { return };
        linux::read(inotify, &mut |told| match told {
            linux::Told::Changed(watch, name) => {
                if let Some(dir) = self.dirs.get(&watch) {
                    changed(name.map_or_else(|| dir.clone(), |name| dir.join(name)));
                }
            }
            linux::Told::Gone(watch) => {
                if let Some(dir) = self.dirs.remove(&watch) {
                    self.known.remove(&dir);
                }
            }
            linux::Told::Lost => self.blind = true,
        });
    }
}

#[cfg(target_os = "linux")]
mod linux {
    //! inotify.

    use std::{ffi::OsStr, mem::MaybeUninit, os::fd::OwnedFd, os::unix::ffi::OsStrExt, path::Path, path::PathBuf};

    use rustix::{
        fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
        io::Errno,
    };

    /// What is told.
    pub(super) enum Told {
        /// Something in a directory.
        Changed(i32, Option<PathBuf>),
        /// The directory is no longer there.
        Gone(i32),
        /// More happened than the kernel keeps.
        Lost,
    }

    pub(super) fn open() -> Option<OwnedFd> {
        inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .inspect_err(|error| {
                tracing::warn!("the kernel tells nothing of files, they are looked at instead: {error}")
            })
            .ok()
    }

    pub(super) fn add(inotify: &OwnedFd, dir: &Path) -> Result<i32, Errno> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(inotify, dir, flags)
    }

    pub(super) fn read(inotify: &OwnedFd, tell: &mut dyn FnMut(Told)) {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                tell(Told::Lost);
            } else if event.events().contains(ReadFlags::IGNORED) {
                tell(Told::Gone(event.wd()));
            } else {
                let name = event
                    .file_name()
                    .map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes())));
                tell(Told::Changed(event.wd(), name));
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    //! A system whose events are not used.

    use std::{os::fd::OwnedFd, path::Path, path::PathBuf};

    use rustix::io::Errno;

    /// What would be told.
    #[expect(dead_code, reason = "nothing is told here")]
    pub(super) enum Told {
        Changed(i32, Option<PathBuf>),
        Gone(i32),
        Lost,
    }

    pub(super) fn open() -> Option<OwnedFd> {
        None
    }

    pub(super) fn add(_: &OwnedFd, _: &Path) -> Result<i32, Errno> {
        Err(Errno::NOSYS)
    }

    pub(super) fn read(_: &OwnedFd, _: &mut dyn FnMut(Told)) {}
}
