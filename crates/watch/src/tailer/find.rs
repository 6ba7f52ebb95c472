//! Which files there are, and what has become of those that were known: grown, cut, replaced, renamed, gone.

use std::{
    fs::{self, File, Metadata},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use super::Tailer;
use crate::{
    Error, Stopped,
    follow::Followed,
    journal::Place,
    marks::{Identity, Marks},
    walk::walk,
};

impl Tailer {
    /// Looks at all files of all sources.
    pub(super) fn look_at_all(&mut self, stopped: &Stopped) -> Result<(), Error> {
        self.looked = Some(std::time::Instant::now());
        self.missing = self.sources.iter().any(|source| !source.root.is_dir());
        let mut new = Vec::new();
        for source in 0..self.sources.len() {
            let root = self.sources[source].root.clone();
            let name = self.sources[source].name.clone();
            if self.sources[source].database {
                if !self.look_at_databases(source) {
                    // Sessions that cannot be seen yet are not new when they can.
                    continue;
                }
            } else {
                for path in self.list(&root) {
                    self.look_in(source, &path, stopped);
                }
            }
            if !self.journal.sources.contains(&name) {
                new.push(name);
            }
        }
        let gone: Vec<PathBuf> = self.by_path.keys().filter(|path| !path.exists()).cloned().collect();
        for path in gone {
            self.look(&path, stopped);
        }
        self.counts.found.store(true, Ordering::Relaxed);
        if !new.is_empty() {
            // With them all files that were there before, so that those that come later are known to be new.
            self.note(Some(new))?;
        }
        Ok(())
    }

    /// The files below a directory, to which it listens from now on.
    fn list(&mut self, dir: &Path) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let wake = &mut self.wake;
        walk(dir, &mut |dir| wake.listen(dir), &mut |file| files.push(file));
        files
    }

    /// Looks at what has changed.
    pub(super) fn look(&mut self, path: &Path, stopped: &Stopped) {
        self.look_beside(path);
        if path.is_dir() {
            for file in self.list(path) {
                self.look_at(&file, stopped);
            }
        } else {
            self.look_at(path, stopped);
        }
    }

    fn look_at(&mut self, path: &Path, stopped: &Stopped) {
        let of = |source: &crate::Source| !source.database && path.starts_with(&source.root);
        let sources: Vec<usize> = (0..self.sources.len()).filter(|at| of(&self.sources[*at])).collect();
        for source in sources {
            self.look_in(source, path, stopped);
        }
    }

    /// Looks at a file, if it is one of this source's.
    fn look_in(&mut self, source: usize, path: &Path, stopped: &Stopped) {
        let below = path
            .strip_prefix(&self.sources[source].root)
            .ok()
            .and_then(Path::to_str);
        // What has no name in UTF-8 is no agent's.
        if !below.is_some_and(|below| self.sources[source].pattern.matches(below)) {
            return;
        }
        let known = self.by_path.get(path).copied();
        match (fs::metadata(path), known) {
            (Ok(data), Some(file)) if data.is_file() => self.changed(file, &data, stopped),
            (Ok(data), None) if data.is_file() => self.found(source, path, &data, stopped),
            (_, Some(file)) => self.vanished(file, stopped),
            (_, None) => {}
        }
    }

    /// A path that is not followed yet.
    fn found(&mut self, source: usize, path: &Path, data: &Metadata, stopped: &Stopped) {
        let id = Identity::from(data);
        if let Some(file) = self.by_id.get(&id).copied() {
            let still = self
                .files
                .get(&file)
                .is_some_and(|it| fs::metadata(&it.path).is_ok_and(|data| Identity::from(&data) == id));
            if !still {
                self.rename(file, path);
                self.changed(file, data, stopped);
            }
            // Else it is one file under two names.
            return;
        }
        let name = path.to_string_lossy().into_owned();
        let unseen = !self.journal.sources.contains(&self.sources[source].name);
        // What was noted of a file that is followed under another name by now is that one's.
        let noted = self.journal.places.get(&name);
        let noted = noted
            .filter(|place| place.id == id || !self.by_id.contains_key(&place.id))
            .cloned();
        let noted = noted.or_else(|| self.moved.remove(&id).filter(|place| is_it(path, place, data)));
        let mut place = noted.unwrap_or_else(|| {
            let from = if unseen && !self.import { data.len() } else { 0 };
            Place {
                id,
                told: from,
                from,
                origin: None,
                rested: true,
                marks: File::open(path).map(|file| Marks::of(&file, from)).unwrap_or_default(),
            }
        });
        if self.import && place.from > 0 {
            (place.told, place.from) = (0, 0);
        }
        let file = self.next;
        self.next += 1;
        let followed = Followed {
            path: path.to_owned(),
            source,
            origin: place.origin.unwrap_or(name),
            id: place.id,
            told: place.told,
            from: place.from,
            marks: place.marks,
            len: 0,
            changed: None,
            reader: None,
            queued: false,
            rested: place.rested,
            bulk: false,
        };
        self.files.insert(file, followed);
        self.by_path.insert(path.to_owned(), file);
        self.by_id.insert(place.id, file);
        self.dirty.insert(file);
        self.count_files();
        self.changed(file, data, stopped);
    }

    /// A file that is followed is there.
    fn changed(&mut self, file: usize, data: &Metadata, stopped: &Stopped) {
        let id = Identity::from(data);
        let Some(followed) = self.files.get_mut(&file) else {
            return;
        };
        if followed.id != id {
            return self.replaced(file, data, stopped);
        }
        let changed = data.modified().ok();
        if followed.len == data.len() && followed.changed == changed {
            return;
        }
        let shorter = data.len() < followed.told;
        if shorter || !File::open(&followed.path).is_ok_and(|file| followed.marks.hold(&file)) {
            tracing::info!("{} was cut: it is read from its start", followed.path.display());
            self.restart(file);
        }
        let Some(followed) = self.files.get_mut(&file) else {
            return;
        };
        let counted = followed.len.max(followed.told);
        let new = data.len().saturating_sub(counted);
        self.counts.total.fetch_add(new, Ordering::Relaxed);
        (followed.len, followed.changed) = (data.len(), changed);
        if followed.reader.as_ref().is_some_and(|reader| reader.at() > data.len()) {
            // The half line at its end was taken back.
            followed.reader = None;
        }
        let at = followed.reader.as_ref().map_or(followed.told, |reader| reader.at());
        let held_back = !followed.rested && followed.reader.is_none();
        if followed.len > at.max(followed.told) || held_back {
            self.want(file);
        }
    }

    /// All of a file is new.
    fn restart(&mut self, file: usize) {
        if let Some(followed) = self.files.get_mut(&file) {
            (followed.told, followed.from, followed.reader, followed.len) = (0, 0, None, 0);
            followed.rested = true;
            followed.marks = Marks::default();
            self.dirty.insert(file);
        }
    }

    /// Another file has the path. One that says the same and more has been written anew; else the old one has been read to its
    /// end, wherever it is now.
    fn replaced(&mut self, file: usize, data: &Metadata, stopped: &Stopped) {
        let Some(followed) = self.files.get_mut(&file) else {
            return;
        };
        let same = followed.marks.at() > 0
            && data.len() >= followed.told
            && File::open(&followed.path).is_ok_and(|file| followed.marks.hold(&file));
        let (old, path) = (followed.id, followed.path.clone());
        if same {
            followed.reader = None;
        } else {
            tracing::info!("{} was replaced: the new one is read from its start", path.display());
            let elsewhere = self.elsewhere(&path, old);
            self.drain(file, elsewhere.as_deref(), stopped);
            self.forget(file, old);
            self.restart(file);
            if let Some(followed) = self.files.get_mut(&file) {
                followed.origin = path.to_string_lossy().into_owned();
            }
        }
        let id = Identity::from(data);
        self.by_id.remove(&old);
        self.by_id.insert(id, file);
        if let Some(followed) = self.files.get_mut(&file) {
            followed.id = id;
            followed.len = 0;
            self.dirty.insert(file);
        }
        self.changed(file, data, stopped);
    }

    /// A path is no longer there: the file has another name, or none.
    fn vanished(&mut self, file: usize, stopped: &Stopped) {
        let Some(followed) = self.files.get(&file) else { return };
        let (path, id, source) = (followed.path.clone(), followed.id, followed.source);
        let elsewhere = self.elsewhere(&path, id);
        if let Some(name) = &elsewhere
            && let Ok(below) = name.strip_prefix(&self.sources[source].root)
            && below
                .to_str()
                .is_some_and(|below| self.sources[source].pattern.matches(below))
            && let Ok(data) = fs::metadata(name)
        {
            self.rename(file, name);
            return self.changed(file, &data, stopped);
        }
        self.drain(file, elsewhere.as_deref(), stopped);
        self.forget(file, id);
        if self
            .files
            .remove(&file)
            .is_some_and(|followed| followed.bulk && followed.queued)
        {
            self.waiting.retain(|waiting| *waiting != file);
            if self.ready.contains(&file) {
                self.bulk -= 1;
            }
        }
        self.ready.retain(|ready| *ready != file);
        self.dirty.remove(&file);
        self.by_path.remove(&path);
        self.by_id.remove(&id);
        self.gone.push(path.to_string_lossy().into_owned());
        self.count_files();
    }

    /// Should it come again under another name, it has been told this far.
    fn forget(&mut self, file: usize, id: Identity) {
        // A few hundred bytes each; files do not come and go by the thousand in one life.
        if self.moved.len() < 10_000
            && let Some(followed) = self.files.get_mut(&file)
        {
            followed.mark();
            let mut place = followed.place();
            place.origin = Some(followed.origin.clone());
            self.moved.insert(id, place);
        }
    }

    /// Reads the rest of a file that has lost its name, and ends it.
    fn drain(&mut self, file: usize, elsewhere: Option<&Path>, stopped: &Stopped) {
        let open = self.files.get(&file).is_some_and(|file| file.reader.is_some());
        if !open && elsewhere.is_none() {
            return;
        }
        while self.read_piece(file, elsewhere, stopped) {}
        if let Some(followed) = self.files.get_mut(&file) {
            let piece = followed.finish();
            self.tell(file, &piece, stopped);
        }
    }

    /// Where in its directory a file is that has lost its name.
    fn elsewhere(&self, path: &Path, id: Identity) -> Option<PathBuf> {
        let entries = fs::read_dir(path.parent()?).ok()?;
        entries
            .filter_map(Result::ok)
            .find(|entry| {
                entry
                    .metadata()
                    .is_ok_and(|data| data.is_file() && Identity::from(&data) == id)
            })
            .map(|entry| entry.path())
    }

    /// The same file under another name.
    fn rename(&mut self, file: usize, path: &Path) {
        let Some(followed) = self.files.get_mut(&file) else {
            return;
        };
        let old = std::mem::replace(&mut followed.path, path.to_owned());
        self.by_path.remove(&old);
        self.by_path.insert(path.to_owned(), file);
        self.gone.push(old.to_string_lossy().into_owned());
        self.dirty.insert(file);
    }
}

/// Whether a file is the one that was noted, and not another that got its number.
fn is_it(path: &Path, place: &Place, data: &Metadata) -> bool {
    data.len() >= place.told && place.marks.at() > 0 && File::open(path).is_ok_and(|file| place.marks.hold(&file))
}
