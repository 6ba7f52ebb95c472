//! The files of a spool: made, found, locked, mended and deleted so that a crash at any point leaves nothing ambiguous.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use turnwire_proto::{Incoming, limits};

use super::{Meta, Position, SpoolError, read};

const LOCK: &str = "lock";
const META: &str = "meta.json";
const OFFSET: &str = "offset";
const SUFFIX: &str = ".ndjson";
const REJECTED: &str = ".rejected";
/// A directory that is being made or deleted has this before its name, and is nobody's spool.
const UNFINISHED: &str = ".unfinished-";
/// What a crash left of one is deleted after this long: no making or deleting takes a thousandth of it.
const UNFINISHED_FOR: Duration = Duration::from_secs(3600);

pub(super) fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}{SUFFIX}"))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

pub(super) fn make_root(root: &Path) -> Result<(), SpoolError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(root)
        .map_err(SpoolError::at("make", root))
}

/// Makes a spool's directory whole under another name, locked, and only then shows it.
pub(super) fn make(root: &Path, name: &str, meta: &Meta) -> Result<(File, File), SpoolError> {
    let hidden = root.join(format!("{UNFINISHED}{name}"));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&hidden)
        .map_err(SpoolError::at("make", &hidden))?;
    let lock = private()
        .write(true)
        .create_new(true)
        .open(hidden.join(LOCK))
        .map_err(SpoolError::at("make a lock in", &hidden))?;
    lock.try_lock()
        .map_err(|error| SpoolError::at("lock", &hidden)(error.into()))?;
    let meta = serde_json::to_vec(meta).unwrap_or_default();
    replace(&hidden.join(META), &meta)?;
    let file = make_segment(&hidden, 1).map_err(SpoolError::at("make a file in", &hidden))?;
    let shown = root.join(name);
    fs::rename(&hidden, &shown).map_err(SpoolError::at("make", &shown))?;
    Ok((lock, file))
}

pub(super) fn make_segment(dir: &Path, number: u64) -> io::Result<File> {
    private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(segment(dir, number))
}

/// Locks a spool whose process is gone.
pub(super) fn lock(dir: &Path) -> Result<Option<File>, SpoolError> {
    let path = dir.join(LOCK);
    let file = match private().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SpoolError::at("open", &path)(error)),
    };
    match file.try_lock() {
        // Who was faster may have drained and deleted it between our open and our lock.
        Ok(()) if file.metadata().is_ok_and(|data| data.nlink() > 0) => Ok(Some(file)),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(SpoolError::at("lock", &path)(error)),
    }
}

pub(super) fn read_meta(dir: &Path) -> Meta {
    fs::read(dir.join(META))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

pub(super) fn read_offset(dir: &Path) -> Option<Position> {
    serde_json::from_slice(&fs::read(dir.join(OFFSET)).ok()?).ok()
}

pub(super) fn write_offset(dir: &Path, at: Position) -> Result<(), SpoolError> {
    replace(&dir.join(OFFSET), &serde_json::to_vec(&at).unwrap_or_default())
}

/// Replaces a file as a whole: a reader sees the old text or the new one.
fn replace(path: &Path, text: &[u8]) -> Result<(), SpoolError> {
    let next = path.with_extension("next");
    private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&next)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&next, path))
        .map_err(SpoolError::at("replace", path))
}

fn rejected_path(dir: &Path) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(REJECTED);
    path.into()
}

pub(super) fn append_rejected(dir: &Path, line: &[u8]) -> Result<(), SpoolError> {
    let path = rejected_path(dir);
    private()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut file| file.write_all(line).and_then(|()| file.sync_data()))
        .map_err(SpoolError::at("write", &path))
}

/// What a spool is found to be after its process is gone.
#[derive(Debug)]
pub(super) struct Mended {
    pub(super) first: Position,
    pub(super) last: File,
    pub(super) end: Position,
    pub(super) before_last: u64,
}

fn segments(dir: &Path) -> Result<Vec<u64>, SpoolError> {
    let mut numbers: Vec<u64> = fs::read_dir(dir)
        .map_err(SpoolError::at("list", dir))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Cuts or completes the last line. A half-written line is not an event; one that lacks only its line break is.
pub(super) fn mend(dir: &Path) -> Result<Mended, SpoolError> {
    let numbers = segments(dir)?;
    let number = numbers.last().copied().unwrap_or(1);
    let path = segment(dir, number);
    let mut last = private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(SpoolError::at("open", &path))?;
    let len = mend_tail(&mut last).map_err(SpoolError::at("mend", &path))?;
    let before_last = numbers
        .iter()
        .filter(|other| **other != number)
        .map(|other| segment(dir, *other).metadata().map_or(0, |data| data.len()))
        .sum();
    Ok(Mended {
        first: Position {
            segment: numbers.first().copied().unwrap_or(1),
            offset: 0,
        },
        last,
        end: Position {
            segment: number,
            offset: len,
        },
        before_last,
    })
}

fn mend_tail(file: &mut File) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let len = file.metadata()?.len();
    let (mut start, mut part) = (len, Vec::new());
    while start > 0 {
        let from = start.saturating_sub(STEP);
        part.resize(usize::try_from(start - from).unwrap_or(0), 0);
        file.read_exact_at(&mut part, from)?;
        if let Some(at) = memchr::memrchr(b'\n', &part) {
            start = from + at as u64 + 1;
            break;
        }
        start = from;
    }
    if start == len {
        return Ok(len);
    }
    let mut tail = vec![0; usize::try_from(len - start).unwrap_or(0)];
    file.read_exact_at(&mut tail, start)?;
    if Incoming::parse_within(&tail, limits::INCOMING).is_ok() {
        file.seek(SeekFrom::End(0))?;
        file.write_all(b"\n")?;
        return Ok(len + 1);
    }
    file.set_len(start)?;
    Ok(start)
}

pub(super) fn count(dir: &Path, from: Position, end: Position) -> Result<u64, SpoolError> {
    let mut total = 0;
    for number in segments(dir)?
        .into_iter()
        .filter(|n| (from.segment..=end.segment).contains(n))
    {
        let start = if number == from.segment { from.offset } else { 0 };
        let stop = if number == end.segment { end.offset } else { u64::MAX };
        total += read::count_lines(&segment(dir, number), start, stop)?;
    }
    Ok(total)
}

/// Takes a spool out of sight first, so that nobody finds half of one.
pub(super) fn remove(dir: &Path) -> Result<(), SpoolError> {
    let (Some(root), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Ok(());
    };
    let hidden = root.join(format!("{UNFINISHED}gone-{name}"));
    fs::rename(dir, &hidden)
        .and_then(|()| fs::remove_dir_all(&hidden))
        .map_err(SpoolError::at("delete", dir))
}

/// A spool that is there, without taking it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its directory.
    pub dir: PathBuf,
    /// What was written about it.
    pub meta: Meta,
    /// Whether its process lives.
    pub live: bool,
    /// Events that are not yet with a gateway.
    pub events: u64,
    /// Events of it that were set aside.
    pub rejected: u64,
}

/// All spools under `root`, the oldest first; and files of rejected events whose spool is gone.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn list(root: &Path) -> Result<Vec<Found>, SpoolError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(SpoolError::at("list", root)(error)),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    let mut found = Vec::new();
    for name in &names {
        let path = root.join(name);
        if name.starts_with(UNFINISHED) {
            sweep(&path);
        } else if let Some(spool) = name.strip_suffix(REJECTED) {
            if !names.iter().any(|other| other == spool) {
                found.push(Found {
                    dir: root.join(spool),
                    meta: Meta::default(),
                    live: false,
                    events: 0,
                    rejected: read::count_lines(&path, 0, u64::MAX)?,
                });
            }
        } else if path.join(LOCK).exists() {
            found.extend(look(&path));
        }
    }
    Ok(found)
}

/// `None` when it went away meanwhile.
fn look(dir: &Path) -> Option<Found> {
    let live = lock(dir).ok()?.is_none();
    let end = Position {
        segment: u64::MAX,
        offset: 0,
    };
    let events = count(dir, read_offset(dir).unwrap_or_default(), end).ok()?;
    Some(Found {
        meta: read_meta(dir),
        live,
        events,
        rejected: read::count_lines(&rejected_path(dir), 0, u64::MAX).unwrap_or(0),
        dir: dir.to_owned(),
    })
}

/// Deletes what a crash left half-made or half-deleted.
fn sweep(hidden: &Path) {
    let old = hidden
        .metadata()
        .and_then(|data| data.modified())
        .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNFINISHED_FOR));
    if old {
        let _ = fs::remove_dir_all(hidden);
    }
}

/// Directories of spools that say the same of themselves, whoever has them, the oldest first.
pub(super) fn alike(root: &Path, meta: &Meta) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(LOCK).exists())
        .filter(|path| {
            !path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
        })
        .filter(|path| {
            let other = read_meta(path);
            (&other.target, &other.about) == (&meta.target, &meta.about)
        })
        .collect();
    found.sort_unstable();
    found
}
