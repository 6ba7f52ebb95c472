//! The key of the markers' hashes: made once for a data directory, and its owner's alone.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file's name in the data directory.
pub(super) const FILE: &str = "redaction.key";

/// The key of a data directory, if a server has made one.
#[must_use]
pub fn known_markers_key(dir: &Path) -> Option<[u8; 32]> {
    fs::read(dir.join(FILE)).ok()?.try_into().ok()
}

/// Reads the key of a data directory, or makes it.
pub(super) fn open(dir: &Path) -> io::Result<[u8; 32]> {
    let file = dir.join(FILE);
    match fs::read(&file) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "it has not 32 bytes; without it, markers of before and after cannot be compared: delete it to begin anew",
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&file),
        Err(error) => Err(error),
    }
}

/// Whole or not at all, also when the power fails.
fn make(file: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let draft = file.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut made = options.write(true).create_new(true).mode(0o600).open(&draft)?;
    made.write_all(&key)?;
    made.sync_all()?;
    fs::rename(&draft, file)?;
    if let Some(dir) = file.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(key)
}
