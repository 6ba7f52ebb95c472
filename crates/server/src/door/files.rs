//! The files of blobs, each named by the hash of its contents.
//!
//! A file is whole and on disk before its event is: it is written under another name, synced, renamed, and its directory synced.
//! One that is there already is used again. What no event names is removed some time later (`collect.rs`); what is about to be
//! named is never removed, because whoever puts a file says so before looking whether it is there, and removing looks under the
//! same lock.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use turnwire_proto::is_hash;

use super::extract::Blob;

/// The directory's name in the data directory.
const DIR: &str = "blobs";
/// Where files are written before they have their name.
const DRAFTS: &str = "new";

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    dir: Arc<PathBuf>,
    used: Arc<Mutex<Used>>,
}

/// What must not be removed now.
#[derive(Debug, Default)]
struct Used {
    /// Put by a batch that is not written yet, and by how many.
    pinned: HashMap<String, usize>,
    /// Put since a collection last began.
    recent: HashSet<String>,
    /// Drafts so far, for their names.
    drafts: u64,
}

/// Keeps files from being removed, until their event is in the log or will not be.
#[derive(Debug)]
pub(crate) struct Pins {
    files: Files,
    hashes: Vec<String>,
}

impl Drop for Pins {
    fn drop(&mut self) {
        let mut used = self.files.used();
        for hash in &self.hashes {
            if let Some(count) = used.pinned.get_mut(hash) {
                *count -= 1;
                if *count == 0 {
                    used.pinned.remove(hash);
                }
            }
        }
    }
}

impl Files {
    /// In a data directory. Drafts that a killed server has left are removed.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join(DIR);
        match fs::remove_dir_all(dir.join(DRAFTS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            dir: Arc::new(dir),
            used: Arc::default(),
        })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a blob is, if it is. `None` for what is no hash.
    pub(crate) fn path(&self, hash: &str) -> Option<PathBuf> {
        is_hash(hash).then(|| self.dir.join(&hash[..2]).join(&hash[2..]))
    }

    /// Puts blobs on disk. Blocks.
    pub(super) fn put(&self, blobs: &[Blob]) -> io::Result<Pins> {
        let hashes: Vec<String> = blobs.iter().map(|blob| blob.hash.clone()).collect();
        {
            let mut used = self.used();
            for hash in &hashes {
                *used.pinned.entry(hash.clone()).or_default() += 1;
                used.recent.insert(hash.clone());
            }
        }
        let pins = Pins {
            files: self.clone(),
            hashes,
        };
        let mut folders = HashSet::new();
        for blob in blobs {
            let Some(path) = self.path(&blob.hash) else { continue };
            let folder = path.parent().unwrap_or(&self.dir).to_owned();
            if !fs::metadata(&path).is_ok_and(|there| there.len() == blob.contents.len() as u64) {
                self.write(&path, &folder, &blob.contents)?;
            }
            // Another batch may have made the file and not have synced the folder yet.
            folders.insert(folder);
        }
        for folder in folders {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(pins)
    }

    fn write(&self, path: &Path, folder: &Path, contents: &[u8]) -> io::Result<()> {
        let drafts = self.dir.join(DRAFTS);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&drafts)?;
        if !folder.is_dir() {
            builder.create(folder)?;
            fs::File::open(&*self.dir)?.sync_all()?;
            fs::File::open(self.dir.parent().unwrap_or(&self.dir))?.sync_all()?;
        }
        let number = {
            let mut used = self.used();
            used.drafts += 1;
            used.drafts
        };
        let draft = drafts.join(number.to_string());
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Blobs that were put so long ago and are not about to be named. From here on, what is put again is remembered.
    pub(super) fn old(&self, age: Duration) -> io::Result<Vec<String>> {
        {
            let used = &mut *self.used();
            // What is pinned now may be in the log only after whoever collects has looked there.
            used.recent = used.pinned.keys().cloned().collect();
        }
        let (mut old, now) = (Vec::new(), SystemTime::now());
        let Some(folders) = read_dir(&self.dir)? else {
            return Ok(old);
        };
        for folder in folders {
            let folder = folder?;
            let start = folder.file_name().to_string_lossy().into_owned();
            let Some(files) = read_dir(&folder.path())?.filter(|_| start.len() == 2) else {
                continue;
            };
            for file in files {
                let file = file?;
                let hash = format!("{start}{}", file.file_name().to_string_lossy());
                let made = file.metadata()?.modified()?;
                // One from the future is of a clock that was set back: it is as good as new.
                if is_hash(&hash) && now.duration_since(made).is_ok_and(|since| since >= age) {
                    old.push(hash);
                }
            }
        }
        Ok(old)
    }

    /// Removes a blob, unless it was put meanwhile. Whether it did, and how large it was.
    pub(super) fn remove(&self, hash: &str) -> io::Result<bool> {
        let Some(path) = self.path(hash) else { return Ok(false) };
        let used = self.used();
        if used.pinned.contains_key(hash) || used.recent.contains(hash) {
            return Ok(false);
        }
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What is in a directory; `None` when there is none.
fn read_dir(path: &Path) -> io::Result<Option<fs::ReadDir>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(text: &str) -> Blob {
        let hash = format!("{:064x}", text.len());
        Blob {
            hash,
            contents: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn what_is_about_to_be_named_is_not_removed_and_what_is_not_is() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(dir.path()).unwrap();
        let (one, hash) = (blob("one"), blob("one").hash);
        let pins = files.put(&[one, blob("three")]).unwrap();
        assert_eq!(files.old(Duration::ZERO).unwrap().len(), 2);
        assert!(!files.remove(&hash).unwrap(), "its event is being written");
        drop(pins);
        assert!(
            !files.remove(&hash).unwrap(),
            "its event was written after the collection has looked"
        );
        assert_eq!(files.old(Duration::from_hours(1)).unwrap().len(), 0, "it is young");
        assert_eq!(files.old(Duration::ZERO).unwrap().len(), 2);
        // Put again after the collection has looked.
        drop(files.put(&[blob("one")]).unwrap());
        assert!(!files.remove(&hash).unwrap());
        files.old(Duration::ZERO).unwrap();
        assert!(files.remove(&hash).unwrap());
        assert!(!files.path(&hash).unwrap().exists());
        assert!(files.path("../../etc/passwd").is_none());
    }
}
