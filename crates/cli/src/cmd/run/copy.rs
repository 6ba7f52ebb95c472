//! Copying: from the command's pipe to our own output, byte for byte, as soon as there is something; then to the recorder.

use std::{
    io::{self, PipeReader, PipeWriter},
    os::fd::{BorrowedFd, OwnedFd},
    process::Child,
    sync::Arc,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use tokio::sync::oneshot;

use super::console::Console;
use crate::{out, record::Feed};

/// As much as a pipe holds.
const PIECE: usize = 64 * 1024;
/// How long an output may be silent after the command has ended, before who still holds it open is left behind.
const LEFT_BEHIND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Stdout => rustix::stdio::stdout(),
            Self::Stderr => rustix::stdio::stderr(),
        }
    }
}

/// The threads that copy.
pub(super) struct Copier {
    /// Closing one tells its thread that the command has ended.
    alive: Vec<PipeWriter>,
    done: Vec<oneshot::Receiver<How>>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Everyone has closed it.
    End,
    /// Someone holds it open, and says nothing.
    LeftBehind,
    /// Our own output takes no more, so the command's does neither.
    Closed,
}

impl Copier {
    /// `terminal` is the command's own, if it has one.
    pub(super) fn start(
        child: &mut Child,
        terminal: Option<(OwnedFd, &Arc<Console>)>,
        feed: Option<&Feed>,
    ) -> io::Result<Self> {
        let (master, console) = terminal.unzip();
        let stdout = child.stdout.take().map(OwnedFd::from).or(master);
        let stdout = stdout.map(|from| (Stream::Stdout, from));
        let stderr = child.stderr.take().map(|pipe| (Stream::Stderr, OwnedFd::from(pipe)));
        let mut copier = Self {
            alive: Vec::new(),
            done: Vec::new(),
        };
        for (stream, from) in stdout.into_iter().chain(stderr) {
            let (ended, alive) = io::pipe()?;
            let (tell, done) = oneshot::channel();
            let feed = feed.cloned();
            let console = console.filter(|_| matches!(stream, Stream::Stdout)).cloned();
            std::thread::Builder::new().name("copier".into()).spawn(move || {
                let how = copy(&from, stream, &ended, feed.as_ref());
                // Who writes on gets what it would get without us: SIGPIPE, or the end of its terminal.
                drop(from);
                if let Some(console) = console {
                    console.hang_up();
                }
                let _ = tell.send(how);
            })?;
            copier.alive.push(alive);
            copier.done.push(done);
        }
        Ok(copier)
    }

    /// Waits for the rest of the output after the command has ended.
    pub(super) async fn finish(self, quiet: bool) {
        drop(self.alive);
        let mut left = false;
        for done in self.done {
            left |= done.await == Ok(How::LeftBehind);
        }
        if left && !quiet {
            out::say(
                "the command has ended; something that it started still holds its output open, and is left behind",
            );
        }
    }
}

fn copy(from: &OwnedFd, to: Stream, ended: &PipeReader, feed: Option<&Feed>) -> How {
    let mut buffer = vec![0; PIECE];
    let mut ended = Some(ended);
    loop {
        match wait(from, ended) {
            Woken::Readable => {}
            Woken::Ended => {
                ended = None;
                continue;
            }
            Woken::Silent => return How::LeftBehind,
        }
        let read = match rustix::io::read(from, &mut buffer) {
            Ok(0) => return How::End,
            Ok(read) => read,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(_) => return How::End,
        };
        if write_all(to.fd(), &buffer[..read]).is_err() {
            return How::Closed;
        }
        match (feed, to) {
            (Some(feed), Stream::Stdout) => feed.stdout(&buffer[..read]),
            (Some(feed), Stream::Stderr) => feed.stderr(&buffer[..read]),
            (None, _) => {}
        }
    }
}

enum Woken {
    Readable,
    Ended,
    Silent,
}

fn wait(from: &OwnedFd, ended: Option<&PipeReader>) -> Woken {
    let patience = if ended.is_some() { None } else { Some(&LEFT_BEHIND) };
    let mut fds = vec![PollFd::new(from, PollFlags::IN)];
    fds.extend(ended.map(|ended| PollFd::new(ended, PollFlags::IN)));
    loop {
        return match poll(&mut fds, patience) {
            Err(Errno::INTR) => continue,
            Ok(0) => Woken::Silent,
            Ok(_) if fds[0].revents().is_empty() => Woken::Ended,
            // A read tells what the matter is.
            Ok(_) | Err(_) => Woken::Readable,
        };
    }
}

/// Writes all of it, also when our output was made non-blocking by who shares it.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::new(&to, PollFlags::OUT)];
                match poll(&mut fds, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn what_is_written_to_a_full_non_blocking_pipe_arrives_whole() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let thread = std::thread::spawn(move || write_all(writer.as_fd(), &sent));
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert!(got == expected);
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn the_end_of_the_command_does_not_cut_what_is_still_in_the_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (ended, alive) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        drop(alive);
        let from = OwnedFd::from(reader);
        assert!(matches!(wait(&from, Some(&ended)), Woken::Readable));
        rustix::io::read(&from, &mut [0; 1]).unwrap();
        assert!(matches!(wait(&from, Some(&ended)), Woken::Ended));
    }
}
