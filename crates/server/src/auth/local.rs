//! `local.token`: the command line's token on the same machine. Whoever may read the file may do everything.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use turnwire_log::{StoreError, kv::SqliteKv};
use turnwire_proto::{Name, Scope, Scopes, Timestamp};

use super::{Auth, ChangeError, NewToken, Secret, TokenKind};

/// The file's name in the data directory.
pub const FILE: &str = "local.token";

/// Why there is no `local.token`.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it met.
        source: io::Error,
    },
    /// Its token could not be made.
    #[error("make the token for {FILE}: {0}")]
    Change(#[from] ChangeError),
}

impl From<StoreError> for LocalError {
    fn from(error: StoreError) -> Self {
        Self::Change(error.into())
    }
}

/// The tokens of a data directory, beside a running server or without one: what the command line works on.
///
/// # Errors
/// `state.db` cannot be opened.
pub async fn open(dir: &Path) -> Result<Auth, StoreError> {
    Auth::open(Arc::new(SqliteKv::open(dir)?)).await
}

/// Makes sure that `dir` has a `local.token` that is good and that nobody else may read. An older one that is lost, or that
/// others might have read, is revoked.
///
/// # Errors
/// The file or its token cannot be made.
pub async fn ensure(auth: &Auth, dir: &Path) -> Result<(), LocalError> {
    if auth.is_disabled() {
        return Ok(());
    }
    let path = dir.join(FILE);
    let in_file = |source| LocalError::File {
        path: path.clone(),
        source,
    };
    if is_private(&path).map_err(in_file)?
        && let Some(secret) = read(dir).map_err(in_file)?
        && let Ok(principal) = auth.authenticate(secret.expose())
        && principal.scopes().admin()
        && principal.kind() == TokenKind::Local
    {
        return Ok(());
    }
    let older: Vec<_> = auth
        .tokens()
        .await?
        .into_iter()
        .filter(|token| token.kind() == TokenKind::Local)
        .collect();
    let minted = auth
        .create_token(NewToken {
            name: Name::new("local").expect("it is short and plain"),
            kind: TokenKind::Local,
            scopes: Scopes(vec![Scope::Admin]),
            expires: None::<Timestamp>,
        })
        .await?;
    write(&path, &minted.secret).map_err(in_file)?;
    for token in older {
        match auth.revoke(token.id()).await {
            Ok(()) | Err(ChangeError::Gone | ChangeError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The token in `dir`, if there is one.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(dir: &Path) -> io::Result<Option<Secret>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Ok(Secret::parse_token(text.trim_end())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_file() && metadata.permissions().mode() & 0o077 == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_private(path: &Path) -> io::Result<bool> {
    Ok(path.is_file())
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    use io::Write;
    let fresh = path.with_extension("token.new");
    // Left by a process that died here.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    writeln!(file, "{}", secret.expose())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use turnwire_log::kv::MemoryKv;

    use super::*;

    async fn local_tokens(auth: &Auth) -> usize {
        let tokens = auth.tokens().await.unwrap();
        tokens.iter().filter(|token| token.kind() == TokenKind::Local).count()
    }

    #[tokio::test]
    async fn the_local_token_is_kept_while_it_is_good_and_replaced_when_not() {
        let dir = tempfile::tempdir().unwrap();
        let auth = Auth::open(Arc::new(MemoryKv::new())).await.unwrap();
        assert!(read(dir.path()).unwrap().is_none());
        ensure(&auth, dir.path()).await.unwrap();
        let first = read(dir.path()).unwrap().unwrap();
        assert!(auth.authenticate(first.expose()).unwrap().scopes().admin());
        ensure(&auth, dir.path()).await.unwrap();
        assert_eq!(read(dir.path()).unwrap().unwrap(), first);

        let id = auth.authenticate(first.expose()).unwrap().id().to_owned();
        auth.revoke(&id).await.unwrap();
        ensure(&auth, dir.path()).await.unwrap();
        let second = read(dir.path()).unwrap().unwrap();
        assert_ne!(second, first);

        fs::write(dir.path().join(FILE), b"rubbish \xff").unwrap();
        ensure(&auth, dir.path()).await.unwrap();
        assert!(auth.authenticate(second.expose()).is_err(), "what was lost is revoked");
        assert_eq!(local_tokens(&auth).await, 1);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_local_token_that_others_could_read_is_replaced() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let auth = Auth::open(Arc::new(MemoryKv::new())).await.unwrap();
        ensure(&auth, dir.path()).await.unwrap();
        let path = dir.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = read(dir.path()).unwrap().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        ensure(&auth, dir.path()).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(auth.authenticate(first.expose()).is_err());
        assert_eq!(local_tokens(&auth).await, 1);
    }
}
