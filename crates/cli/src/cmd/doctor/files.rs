//! Directories, disks and spools.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use turnwire_client::spool::LOCAL;
use turnwire_server::OpenError;

use super::Check;

/// A gateway with less than this will soon fail to write.
const SCARCE: u64 = 100 << 20;
/// With less than this it is time to look.
const LOW: u64 = 1 << 30;

pub(super) fn data_dir(dir: &Path) -> Vec<Check> {
    const NAME: &str = "data";
    let shown = dir.display();
    let meta = match fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => {
            return vec![Check::fail(
                NAME,
                format!("{shown} is not a directory"),
                "name another with --data-dir",
            )];
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Check::warn(
                NAME,
                format!("{shown} is not there yet"),
                "`turnwire serve` makes it",
            )];
        }
        Err(error) => {
            return vec![Check::fail(
                NAME,
                format!("{shown}: {error}"),
                "give it to the user who runs turnwire",
            )];
        }
    };
    let me = rustix::process::geteuid().as_raw();
    let mut checks = Vec::new();
    if meta.uid() != me {
        let todo = format!("run as that user, or: chown -R {me} {shown}");
        checks.push(Check::fail(
            NAME,
            format!("{shown} belongs to user {}, this is user {me}", meta.uid()),
            todo,
        ));
    }
    if rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_err() {
        checks.push(Check::fail(
            NAME,
            format!("{shown} cannot be written"),
            format!("chmod u+rwx {shown}"),
        ));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let mode = meta.permissions().mode() & 0o777;
        checks.push(Check::warn(
            NAME,
            format!("{shown} is open to others (mode {mode:o})"),
            format!("chmod 700 {shown}"),
        ));
    }
    for file in [
        "local.token",
        "state.db",
        "log.db",
        "index.db",
        "views.db",
        "server.json",
    ] {
        let path = dir.join(file);
        let open = fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
        if open {
            let todo = match file {
                "local.token" => format!("restart the gateway: it makes a new one (others may have read {file})"),
                _ => format!("chmod 600 {}", path.display()),
            };
            checks.push(Check::fail(NAME, format!("{file} is open to others"), todo));
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok(NAME, format!("{shown} is there, ours, and nobody else's")));
    }
    checks
}

pub(super) fn disk(dir: &Path) -> Option<Check> {
    const NAME: &str = "disk";
    let there = dir.ancestors().find(|dir| dir.is_dir())?;
    let space = rustix::fs::statvfs(there).ok()?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let found = format!("{} free on {}", bytes(free), there.display());
    Some(match free {
        0..SCARCE => Check::fail(
            NAME,
            found,
            "make room: when it is full, publishing is refused (nothing is lost at the edge)",
        ),
        SCARCE..LOW => Check::warn(NAME, found, "make room soon, or keep less"),
        _ => Check::ok(NAME, found),
    })
}

/// Only while no gateway runs: it would be in the way of one.
pub(super) fn stores(dir: &Path) -> Vec<Check> {
    const NAME: &str = "stores";
    if !dir.join("log.db").exists() {
        return Vec::new();
    }
    match turnwire_server::check(dir) {
        Ok(files) => {
            let wrong = files.iter().filter_map(|(file, wrong)| Some((file, wrong.as_ref()?)));
            let mut checks: Vec<Check> = wrong
                .map(|(file, wrong)| {
                    let todo = match *file {
                        "index.db" | "views.db" => {
                            format!("delete {}: it is made anew from the log", dir.join(file).display())
                        }
                        _ => "stop here, copy the whole directory, and restore from a backup".to_owned(),
                    };
                    Check::fail(NAME, format!("{file} is damaged: {wrong}"), todo)
                })
                .collect();
            if checks.is_empty() {
                let names: Vec<_> = files.iter().map(|(file, _)| *file).collect();
                checks.push(Check::ok(NAME, format!("{} are whole", names.join(", "))));
            }
            checks
        }
        Err(OpenError::Locked { pid, .. }) => {
            let todo = format!("look at process {pid}: it holds the data directory and does not answer");
            vec![Check::fail(
                NAME,
                "another turnwire has the data directory and cannot be reached",
                todo,
            )]
        }
        Err(error) => vec![Check::fail(NAME, error.to_string(), "see the message")],
    }
}

pub(super) fn spools(root: &Path, running: bool) -> Vec<Check> {
    const NAME: &str = "spool";
    let found = match turnwire_client::spool::list(root) {
        Ok(found) => found,
        Err(error) => {
            return vec![Check::fail(
                NAME,
                error.to_string(),
                "give it to the user who runs turnwire",
            )];
        }
    };
    let mut checks = Vec::new();
    for spool in &found {
        let dir = spool.dir.display();
        if spool.events > 0 && !spool.live {
            let to = if spool.meta.target == LOCAL {
                String::new()
            } else {
                format!(" --url {}", spool.meta.target)
            };
            let start = if running || !to.is_empty() {
                ""
            } else {
                "start a gateway, then "
            };
            let wait = if spool.events == 1 {
                "event waits"
            } else {
                "events wait"
            };
            let text = format!("{} {wait} in {dir} ({})", spool.events, spool.meta.about);
            checks.push(Check::warn(
                NAME,
                text,
                format!("{start}`turnwire publish --drain{to}`"),
            ));
        }
        if spool.rejected > 0 {
            let text = format!("{} events were refused for good: {dir}.rejected", spool.rejected);
            checks.push(Check::warn(NAME, text, "read why in it; delete it when it is settled"));
        }
    }
    if checks.is_empty() {
        let live = found.iter().filter(|spool| spool.live).count();
        checks.push(Check::ok(
            NAME,
            format!("nothing waits in {} ({live} recordings at work)", root.display()),
        ));
    }
    checks
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::State;

    #[test]
    fn a_directory_that_others_can_read_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("local.token"), "x").unwrap();
        fs::set_permissions(dir.path().join("local.token"), fs::Permissions::from_mode(0o644)).unwrap();
        let checks = data_dir(dir.path());
        let states: Vec<_> = checks.iter().map(|check| check.state).collect();
        assert_eq!(states, [State::Warn, State::Fail], "{checks:?}");
        assert!(checks.iter().all(|check| check.todo.is_some()));
        let missing = data_dir(&dir.path().join("x"));
        assert_eq!(missing[0].state, State::Warn);
    }
}
