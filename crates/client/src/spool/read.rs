//! Reading: whole lines from a place on, and moving that place.

use std::{fs::File, io::Read, os::unix::fs::FileExt, path::Path, sync::atomic::Ordering};

use serde::Serialize;
use turnwire_proto::{ErrorReply, Json, Timestamp};

use super::{Position, Spool, SpoolError, files, lock};

/// Whole lines of one segment.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The lines, each with its line break.
    pub bytes: bytes::Bytes,
    /// The end of each line in `bytes`.
    pub ends: Vec<usize>,
    /// The place before the first line.
    pub start: Position,
    /// The place after the last line.
    pub next: Position,
}

impl Batch {
    /// How many lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lines `range`, with their line breaks.
    #[must_use]
    pub fn lines(&self, range: std::ops::Range<usize>) -> bytes::Bytes {
        let start = range.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = range.end.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.bytes.slice(start..end.max(start))
    }
}

/// A line of the file of rejected events.
#[derive(Serialize)]
struct Rejected<'a> {
    at: Timestamp,
    reason: &'a ErrorReply,
    event: Json,
}

impl Spool {
    /// Lines after what is drained: at most `events`, and at most `bytes` unless a single line is longer.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, events: usize, bytes: usize) -> Result<Batch, SpoolError> {
        let end = *self.end.borrow();
        let mut from = self.drained();
        loop {
            let path = files::segment(&self.dir, from.segment);
            let file = File::open(&path).map_err(SpoolError::at("open", &path))?;
            let len = if from.segment == end.segment {
                end.offset
            } else {
                file.metadata().map_err(SpoolError::at("read", &path))?.len()
            };
            if from.offset < len {
                return lines(&file, &path, from, len, events, bytes);
            }
            if from.segment >= end.segment {
                return Ok(Batch {
                    start: from,
                    next: from,
                    ..Batch::default()
                });
            }
            from = Position {
                segment: from.segment + 1,
                offset: 0,
            };
        }
    }

    /// Notes that the gateway has all up to `next`, which is `events` more lines.
    ///
    /// # Errors
    /// When the offset cannot be written: the events are sent once more later, and written once.
    pub fn advance(&self, next: Position, events: u64) -> Result<(), SpoolError> {
        let before = std::mem::replace(&mut *lock(&self.drained), next);
        self.counts.passed.fetch_add(events, Ordering::Release);
        // Room first: on a full disk the offset could not be written before. Without it the segments say where it is.
        for segment in before.segment..next.segment {
            let path = files::segment(&self.dir, segment);
            let len = path.metadata().map_or(0, |data| data.len());
            if std::fs::remove_file(&path).is_ok() {
                lock(&self.writer).forget(len);
            }
        }
        files::write_offset(&self.dir, next)
    }

    /// Keeps a line that the gateway will never take, with its reason, where a person finds it.
    ///
    /// # Errors
    /// When it cannot be written: then the line must not be passed over.
    pub fn set_aside(&self, line: &[u8], reason: &ErrorReply) -> Result<(), SpoolError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let rejected = Rejected {
            at: Timestamp::now(),
            reason,
            event: Json::from_line(line),
        };
        let mut text = Json::of(&rejected).get().to_owned();
        text.push('\n');
        files::append_rejected(&self.dir, text.as_bytes())?;
        self.counts.rejected.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn count_from(&self, from: Position) -> Result<u64, SpoolError> {
        let end = *self.end.borrow();
        files::count(&self.dir, from, end)
    }
}

fn lines(file: &File, path: &Path, from: Position, len: u64, events: usize, bytes: usize) -> Result<Batch, SpoolError> {
    let mut want = bytes;
    loop {
        let left = usize::try_from(len - from.offset).unwrap_or(usize::MAX);
        let mut buffer = vec![0; want.min(left)];
        file.read_exact_at(&mut buffer, from.offset)
            .map_err(SpoolError::at("read", path))?;
        let most = if want > bytes { 1 } else { events };
        let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', &buffer)
            .map(|at| at + 1)
            .take(most)
            .collect();
        if ends.is_empty() && buffer.len() < left {
            want = want.saturating_mul(2);
            continue;
        }
        if ends.is_empty() {
            // Invariant: only whole lines are ever published; the end of a segment without a line break is none of ours.
            buffer.push(b'\n');
            ends.push(buffer.len());
            let next = Position { offset: len, ..from };
            return Ok(Batch {
                bytes: buffer.into(),
                ends,
                start: from,
                next,
            });
        }
        let taken = ends.last().copied().unwrap_or(0);
        buffer.truncate(taken);
        let next = Position {
            offset: from.offset + taken as u64,
            ..from
        };
        return Ok(Batch {
            bytes: buffer.into(),
            ends,
            start: from,
            next,
        });
    }
}

/// Lines in a file from `offset` to `end`.
pub(super) fn count_lines(path: &Path, offset: u64, end: u64) -> Result<u64, SpoolError> {
    use std::io::Seek;
    let mut file = File::open(path).map_err(SpoolError::at("open", path))?;
    file.seek(std::io::SeekFrom::Start(offset))
        .map_err(SpoolError::at("read", path))?;
    let mut part = file.take(end.saturating_sub(offset));
    let (mut buffer, mut count) = (vec![0; 256 * 1024], 0);
    loop {
        let read = part.read(&mut buffer).map_err(SpoolError::at("read", path))?;
        if read == 0 {
            return Ok(count);
        }
        count += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
}
