//! Databases among what is followed: found, looked at when they change, read a piece at a time.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{FINISHED, Tailer};
use crate::{
    Stopped,
    marks::Identity,
    stored::{Begin, Stored, Told},
};

/// Between two looks at one that is written to: each asks for all of its sessions.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

impl Tailer {
    /// Looks at the databases of a source; whether all could be seen.
    pub(super) fn look_at_databases(&mut self, source: usize) -> bool {
        let root = self.sources[source].root.clone();
        self.wake.listen(&root);
        let begin = Begin {
            unseen: !self.journal.sources.contains(&self.sources[source].name),
            import: self.import,
        };
        let mut seen = true;
        for path in self.databases_in(source, &root) {
            let Ok(data) = fs::metadata(&path) else { continue };
            let known = self
                .stored
                .iter()
                .position(|one| one.path == path && one.source == source);
            let at = known.unwrap_or_else(|| {
                self.stored.push(Stored::new(path.clone(), source));
                self.stored.len() - 1
            });
            let places = &self.journal.places;
            let one = &mut self.stored[at];
            let told = |session: &str| {
                let place = places.get(&format!("{}#{session}", path.display()))?;
                Some(Told {
                    told: place.told,
                    from: place.from,
                })
            };
            seen &= one.look(Identity::from(&data), begin, told);
            if known.is_none() {
                if self.import {
                    self.counts.total.fetch_add(one.bytes(), Ordering::Relaxed);
                }
                self.count_files();
            }
        }
        seen
    }

    /// Its databases, whatever stands beside them.
    fn databases_in(&self, source: usize, root: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
        let is_one = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| self.sources[source].pattern.matches(name)) && path.is_file()
        };
        entries.map(|entry| entry.path()).filter(is_one).collect()
    }

    /// Has the databases looked at of which one has changed with this file, which may be its log.
    pub(super) fn look_beside(&mut self, path: &Path) {
        let of = |source: &crate::Source| source.database && path.parent() == Some(&*source.root);
        let sources: Vec<usize> = (0..self.sources.len()).filter(|at| of(&self.sources[*at])).collect();
        for source in sources {
            let mut known = self.stored.iter_mut().filter(|one| one.source == source).peekable();
            if known.peek().is_none() {
                self.look_at_databases(source);
            } else {
                known.for_each(|one| one.later = true);
            }
        }
    }

    /// Looks again at those that somebody held.
    pub(super) fn look_later(&mut self) {
        let sources: Vec<usize> = self
            .stored
            .iter()
            .filter(|one| one.later)
            .map(|one| one.source)
            .collect();
        for source in sources {
            self.look_at_databases(source);
        }
    }

    /// Reads a piece of the conversation whose turn it is; whether there was one.
    pub(super) fn read_stored(&mut self, stopped: &Stopped) -> bool {
        for at in 0..self.stored.len() {
            let source = self.stored[at].source;
            let ended = self.stored[at].ended();
            self.push(&ended, stopped);
            let Some(piece) = self.stored[at].read(&self.sources[source]) else {
                continue;
            };
            if self.push(&piece.events, stopped) {
                self.stored[at].has_told(&piece);
                self.counts.read.fetch_add(piece.bytes, Ordering::Relaxed);
                self.counts.lines.fetch_add(piece.lines, Ordering::Relaxed);
                self.unnoted += piece.bytes;
            }
            if self.import {
                let end = self.stored[at].finish(&piece.root, FINISHED);
                self.push(&end, stopped);
            }
            return true;
        }
        false
    }

    /// Counts what is followed.
    pub(super) fn count_files(&self) {
        let files = self.files.len() + self.stored.len();
        self.counts.files.store(files as u64, Ordering::Relaxed);
    }
}
