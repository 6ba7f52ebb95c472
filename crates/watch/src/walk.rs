//! All files below a directory. Links to directories are not followed, but the root may be one.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Levels below the root. Agents nest four or five.
const DEPTH: usize = 16;

/// Calls `dir` for each directory and `file` for each file.
pub(crate) fn walk(root: &Path, dir: &mut dyn FnMut(&Path), file: &mut dyn FnMut(PathBuf)) {
    let mut left = vec![(root.to_owned(), 0)];
    while let Some((path, depth)) = left.pop() {
        // Listed before it is read: what appears meanwhile is told.
        dir(&path);
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.filter_map(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH => left.push((entry.path(), depth + 1)),
                Ok(kind) if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) => file(entry.path()),
                _ => {}
            }
        }
    }
}
