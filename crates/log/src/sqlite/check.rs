//! A look at the files while no server has them: for `turnwire doctor`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{OpenError, lock};

/// The files of a data directory that are SQLite's.
const FILES: [&str; 4] = ["log.db", "index.db", "views.db", "state.db"];

/// What is wrong with each file that is there; `None` where nothing is. Takes the directory's lock meanwhile.
///
/// # Errors
/// [`OpenError::Locked`] while a server has it.
pub fn check(dir: &Path) -> Result<Vec<(&'static str, Option<String>)>, OpenError> {
    let _lock = lock::Lock::take(dir)?;
    let there = FILES.into_iter().filter(|file| dir.join(file).exists());
    Ok(there.map(|file| (file, wrong(&dir.join(file)).err())).collect())
}

fn wrong(file: &Path) -> Result<(), String> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let text = connection
        // Ends at the first thing that is wrong; does not compare indexes with tables, which takes minutes on a large log.
        .and_then(|db| db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)))
        .map_err(|error| error.to_string())?;
    if text == "ok" { Ok(()) } else { Err(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{Options, SqliteLog};

    #[test]
    fn a_whole_file_is_fine_a_torn_one_is_not_and_an_open_one_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(dir.path(), Options::default()).unwrap();
        assert!(matches!(check(dir.path()), Err(OpenError::Locked { .. })));
        drop(log);
        assert_eq!(check(dir.path()).unwrap(), [("log.db", None), ("index.db", None)]);
        std::fs::write(dir.path().join("state.db"), vec![7; 5000]).unwrap();
        let found = check(dir.path()).unwrap();
        assert!(found[2].0 == "state.db" && found[2].1.is_some(), "{found:?}");
    }
}
