//! Places in files, kept on disk: a journal of lines that each say how far one file has been told.
//!
//! Each process writes a journal of its own, which it holds by a lock for as long as it lives, and begins with all that it finds: of
//! processes that are gone it takes the journals over and deletes them, of others it only reads. So two that follow the same
//! files do not stand in each other's way; what both tell is told once, by its ids. A line that is half-written was not.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use turnwire_proto::EventId;

use crate::{
    Error,
    marks::{Identity, Marks},
};

/// A journal is written anew when it has this many lines and four times as many as files.
const REWRITE: usize = 4096;

/// How far a file has been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) id: Identity,
    /// All lines that end at or before this byte have been told.
    pub(crate) told: u64,
    /// Lines before this byte were not.
    #[serde(default)]
    pub(crate) from: u64,
    /// What the file was called when it was found, if not as now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    /// Nothing of what has been told is held back.
    #[serde(default)]
    pub(crate) rested: bool,
    #[serde(flatten)]
    pub(crate) marks: Marks,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    File { path: String, place: Place },
    Gone { path: String },
    Source { name: String },
}

/// The journal of this process.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    lines: usize,
    pub(crate) places: HashMap<String, Place>,
    /// Sources whose files have been found before.
    pub(crate) sources: HashSet<String>,
}

impl Journal {
    /// Begins with what earlier processes wrote.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("make", dir))?;
        let mut names: Vec<PathBuf> = fs::read_dir(dir)
            .map_err(failed("list", dir))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|it| it == "journal"))
            .collect();
        names.sort();
        let (mut places, mut sources) = (HashMap::new(), HashSet::new());
        let mut over = Vec::new();
        for path in names {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else {
                continue;
            };
            let free = file.try_lock().is_ok();
            let (found, more) = read(&file).map_err(failed("read", &path))?;
            merge(&mut places, found);
            sources.extend(more);
            if free {
                over.push((path, file));
            }
        }
        let (path, file) = make(dir)?;
        let mut journal = Self {
            dir: dir.to_owned(),
            path,
            file,
            lines: 0,
            places,
            sources,
        };
        journal.write_all()?;
        // Only now is it all in one that stays.
        for (path, _held) in over {
            let _ = fs::remove_file(path);
        }
        Ok(journal)
    }

    fn write_all(&mut self) -> Result<(), Error> {
        let mut text = Vec::new();
        for name in &self.sources {
            push(&mut text, &Line::Source { name: name.clone() });
        }
        for (path, place) in &self.places {
            push(&mut text, &file_line(path, place));
        }
        self.lines = self.places.len() + self.sources.len();
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(failed("write", &self.path))
    }

    /// Notes how far files have been told, those that are gone, and sources whose files have all been found.
    pub(crate) fn note(
        &mut self,
        files: Vec<(String, Option<Place>)>,
        sources: impl IntoIterator<Item = String>,
    ) -> Result<(), Error> {
        let mut text = Vec::new();
        for (path, place) in files {
            self.lines += 1;
            match place {
                Some(place) => {
                    push(&mut text, &file_line(&path, &place));
                    self.places.insert(path, place);
                }
                None => {
                    push(&mut text, &Line::Gone { path: path.clone() });
                    self.places.remove(&path);
                }
            }
        }
        for name in sources {
            self.lines += 1;
            push(&mut text, &Line::Source { name: name.clone() });
            self.sources.insert(name);
        }
        if text.is_empty() {
            return Ok(());
        }
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(failed("write", &self.path))?;
        if self.lines > REWRITE && self.lines / 4 > self.places.len() {
            let (path, file) = make(&self.dir)?;
            let before = std::mem::replace(&mut self.path, path);
            self.file = file;
            self.write_all()?;
            let _ = fs::remove_file(before);
        }
        Ok(())
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::State { doing, path, source }
}

fn file_line(path: &str, place: &Place) -> Line {
    Line::File {
        path: path.to_owned(),
        place: place.clone(),
    }
}

fn push(text: &mut Vec<u8>, line: &Line) {
    if serde_json::to_writer(&mut *text, line).is_ok() {
        text.push(b'\n');
    }
}

/// Names are in the order of their making: an id begins with its time. It is shown only when it is locked.
fn make(dir: &Path) -> Result<(PathBuf, File), Error> {
    let hidden = dir.join(format!("{}.new", EventId::new()));
    let path = hidden.with_extension("journal");
    let file = OpenOptions::new()
        .append(true)
        .read(true)
        .create_new(true)
        .mode(0o600)
        .open(&hidden)
        .map_err(failed("make", &hidden))?;
    file.try_lock().map_err(|error| failed("lock", &hidden)(error.into()))?;
    fs::rename(&hidden, &path).map_err(failed("make", &path))?;
    Ok((path, file))
}

type Found = (HashMap<String, Option<Place>>, HashSet<String>);

/// What a journal says at its end; `None` for files that are gone.
fn read(file: &File) -> io::Result<Found> {
    let (mut places, mut sources) = (HashMap::new(), HashSet::new());
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        match serde_json::from_slice(&line) {
            Ok(Line::File { path, place }) => drop(places.insert(path, Some(place))),
            Ok(Line::Gone { path }) => drop(places.insert(path, None)),
            Ok(Line::Source { name }) => drop(sources.insert(name)),
            // The last one, when its writer was killed.
            Err(_) => {}
        }
        line.clear();
    }
    Ok((places, sources))
}

/// Of the same file the further place holds, else the later word.
fn merge(places: &mut HashMap<String, Place>, found: HashMap<String, Option<Place>>) {
    for (path, place) in found {
        match (places.get(&path), place) {
            (Some(known), Some(place)) if known.id == place.id && known.told > place.told => {}
            (_, Some(place)) => drop(places.insert(path, place)),
            (_, None) => drop(places.remove(&path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(told: u64) -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place {
            id: Identity::from(&fs::metadata(dir.path()).unwrap()),
            told,
            from: 0,
            origin: None,
            rested: true,
            marks: Marks::default(),
        }
    }

    #[test]
    fn what_was_noted_is_there_again_and_one_journal_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (place(10), place(20));
        for round in 0..3 {
            let mut journal = Journal::open(dir.path()).unwrap();
            if round == 0 {
                let files = vec![("a".into(), Some(a.clone())), ("b".into(), Some(b.clone()))];
                journal.note(files, ["s".to_owned()]).unwrap();
                journal.note(vec![("a".into(), None)], []).unwrap();
            }
            assert_eq!((journal.places.get("a"), journal.places.get("b")), (None, Some(&b)));
            assert!(journal.sources.contains("s"));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_processes_keep_a_journal_each_and_the_further_place_holds() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Journal::open(dir.path()).unwrap();
        let mut second = Journal::open(dir.path()).unwrap();
        let (near, far) = (place(10), Place { told: 30, ..place(0) });
        let far = Place { id: near.id, ..far };
        first.note(vec![("a".into(), Some(far.clone()))], []).unwrap();
        second.note(vec![("a".into(), Some(near))], []).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        drop((first, second));
        assert_eq!(Journal::open(dir.path()).unwrap().places["a"], far);
    }

    #[test]
    fn half_a_line_is_no_line_and_a_long_journal_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let at = place(0);
        for told in 0..5000 {
            journal
                .note(vec![("a".into(), Some(Place { told, ..at.clone() }))], [])
                .unwrap();
        }
        assert!(journal.lines < 2000, "{}", journal.lines);
        journal.file.write_all(b"{\"file\":{\"path\":\"a\",\"pla").unwrap();
        drop(journal);
        assert_eq!(Journal::open(dir.path()).unwrap().places["a"].told, 4999);
    }
}
