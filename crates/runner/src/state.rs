//! What outlives the runner: one file, replaced as a whole and synced before anything that depends on it is done.
//!
//! What must stay true: an order that is begun is written here before it has any effect, so that one that comes again, also after a
//! restart, is not done twice; and its result is written before it is told, so that it can be told again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use turnwire_proto::{EventId, Name, Object};

const FILE: &str = "state.json";
const LOCK: &str = "lock";
/// Sessions that are remembered; the one that was used longest ago is forgotten first.
pub(crate) const SESSIONS: usize = 256;
/// Orders that are remembered, besides those whose result is still to be told. A server repeats at most 256.
const TAKEN: usize = 1024;

/// Why the state cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another runner has it.
    #[error("another runner uses {}", .0.display())]
    Taken(PathBuf),
    /// It cannot be read or written.
    #[error("failed to {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateError {
    fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// All of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The agent's model, where one was chosen.
    pub model: Option<Name>,
    pub permission_mode: Option<Name>,
    /// No session begins a turn.
    pub held: bool,
    /// Where a message without a session goes.
    pub current: Option<Name>,
    /// Least recently used first.
    pub sessions: Vec<Session>,
    /// Oldest first.
    pub taken: Vec<Taken>,
}

/// One session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub id: Name,
    /// The vendor's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Other than the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<Name>,
    #[serde(default)]
    pub held: bool,
}

/// An order that was taken on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub id: EventId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Name>,
    /// It is a turn, whose id is the order's.
    #[serde(default)]
    pub turn: bool,
    /// What came of it; absent while it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The server knows it.
    #[serde(default)]
    pub told: bool,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Done(Option<Object>),
    Failed(String),
}

impl State {
    pub(crate) fn session(&self, id: &Name) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == *id)
    }

    /// A session as the one used last, made when it is not there.
    pub(crate) fn used(&mut self, id: &Name) -> &mut Session {
        let at = self.sessions.iter().position(|session| session.id == *id);
        let session = at.map_or_else(
            || Session {
                id: id.clone(),
                conversation: None,
                model: None,
                permission_mode: None,
                held: false,
            },
            |at| self.sessions.remove(at),
        );
        if self.sessions.len() >= SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }

    pub(crate) fn model_of(&self, session: &Name) -> Option<Name> {
        let own = self.session(session).and_then(|session| session.model.clone());
        own.or_else(|| self.model.clone())
    }

    pub(crate) fn mode_of(&self, session: &Name) -> Option<Name> {
        let own = self
            .session(session)
            .and_then(|session| session.permission_mode.clone());
        own.or_else(|| self.permission_mode.clone())
    }

    pub(crate) fn is_held(&self, session: &Name) -> bool {
        self.held || self.session(session).is_some_and(|session| session.held)
    }

    pub(crate) fn taken(&self, id: EventId) -> Option<&Taken> {
        self.taken.iter().rev().find(|taken| taken.id == id)
    }

    pub(crate) fn take(&mut self, id: EventId, session: Option<Name>, turn: bool) {
        if self.taken(id).is_none() {
            self.taken.push(Taken {
                id,
                session,
                turn,
                end: None,
                told: false,
            });
        }
    }

    pub(crate) fn finish(&mut self, id: EventId, end: End) {
        if let Some(taken) = self.taken.iter_mut().rev().find(|taken| taken.id == id) {
            taken.end.get_or_insert(end);
        }
    }

    /// The server knows what came of it: nothing but the id is needed any more.
    pub(crate) fn told(&mut self, id: EventId) {
        if let Some(taken) = self.taken.iter_mut().rev().find(|taken| taken.id == id) {
            taken.told = true;
            taken.end = Some(End::Done(None));
        }
        let over = self
            .taken
            .iter()
            .filter(|taken| taken.told)
            .count()
            .saturating_sub(TAKEN);
        let mut left = over;
        self.taken.retain(|taken| {
            let goes = taken.told && left > 0;
            left -= usize::from(goes);
            !goes
        });
    }
}

/// The state and its file.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    state: Mutex<State>,
    /// Held, not read: closing it lets another runner have the state.
    _lock: File,
}

impl Store {
    /// Opens it; what cannot be read is an error and not an empty state: sessions would be forgotten, and orders done twice.
    pub(crate) fn open(dir: &Path) -> Result<Self, StateError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(StateError::at("make", dir))?;
        let lock_path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(StateError::at("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Taken(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(StateError::at("lock", &lock_path)(error)),
        }
        let path = dir.join(FILE);
        let state = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| StateError::at("read", &path)(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(StateError::at("read", &path)(error)),
        };
        Ok(Self {
            dir: dir.to_owned(),
            state: Mutex::new(state),
            _lock: lock,
        })
    }

    /// A look at it.
    pub(crate) async fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&*self.state.lock().await)
    }

    /// Changes it; it is on disk when this returns. What could not be written has not happened.
    pub(crate) async fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, StateError> {
        let mut state = self.state.lock().await;
        let mut next = state.clone();
        let answer = change(&mut next);
        let (dir, bytes) = (self.dir.clone(), serde_json::to_vec(&next).unwrap_or_default());
        let written = tokio::task::spawn_blocking(move || replace(&dir, &bytes)).await;
        written.unwrap_or_else(|error| Err(StateError::at("write", &self.dir)(io::Error::other(error))))?;
        *state = next;
        Ok(answer)
    }
}

fn replace(dir: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let (path, new) = (dir.join(FILE), dir.join("state.json.new"));
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(StateError::at("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_taken_is_known_after_a_restart_and_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let session = Name::new("s").unwrap();
        let ids: Vec<_> = (0..TAKEN + 10).map(|_| EventId::new()).collect();
        let store = Store::open(dir.path()).unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StateError::Taken(_))));
        store
            .change(|state| {
                state.used(&session).conversation = Some("c".to_owned());
                for id in &ids[1..] {
                    state.take(*id, None, false);
                    state.finish(*id, End::Failed("x".to_owned()));
                    state.told(*id);
                }
                state.take(ids[0], Some(session.clone()), true);
            })
            .await
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        store
            .look(|state| {
                assert_eq!(state.taken.len(), TAKEN + 1);
                assert!(
                    state
                        .taken(ids[0])
                        .is_some_and(|taken| taken.end.is_none() && taken.turn)
                );
                assert!(state.taken(ids[1]).is_none() && state.taken(ids[TAKEN]).is_some());
                assert_eq!(state.session(&session).unwrap().conversation.as_deref(), Some("c"));
            })
            .await;
    }

    #[test]
    fn a_state_that_cannot_be_read_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(matches!(Store::open(dir.path()), Err(StateError::File { .. })));
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"{");
    }

    #[test]
    fn the_session_used_longest_ago_is_forgotten_first() {
        let mut state = State::default();
        let name = |n: usize| Name::new(&format!("s{n}")).unwrap();
        for n in 0..SESSIONS {
            state.used(&name(n));
        }
        state.used(&name(0));
        state.used(&name(SESSIONS));
        assert_eq!(state.sessions.len(), SESSIONS);
        assert!(state.session(&name(0)).is_some() && state.session(&name(1)).is_none());
    }
}
