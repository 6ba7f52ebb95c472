//! Where the gateway, its data and the spools are, by what a program was told and by the environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::{Endpoint, Error, Running, publish::Locate, spool::LOCAL};

/// What a publisher says while there is no gateway on this machine.
pub const NOWHERE: &str = "no gateway runs on this machine";

/// What a program was told of the gateway: nothing, for the one on this machine in its usual place.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Its address.
    pub url: Option<String>,
    /// The token for it.
    pub token: Option<String>,
    /// The data directory of one on this machine.
    pub data_dir: Option<PathBuf>,
}

impl Place {
    /// As the program `turnwire` takes it: `TURNWIRE_URL`, `TURNWIRE_TOKEN`, `TURNWIRE_DATA_DIR`. What is empty is not set.
    #[must_use]
    pub fn from_env() -> Self {
        let text = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            url: text("TURNWIRE_URL"),
            token: text("TURNWIRE_TOKEN"),
            data_dir: text("TURNWIRE_DATA_DIR").map(PathBuf::from),
        }
    }

    /// The data directory.
    ///
    /// # Errors
    /// [`Error::Address`] when neither it nor `HOME` is known.
    pub fn data_dir(&self) -> Result<PathBuf, Error> {
        self.data_dir.clone().map_or_else(
            || default_dir("XDG_DATA_HOME", ".local/share", |name| env::var_os(name)),
            Ok,
        )
    }

    /// The directory of spools: inside a data directory that was named, else `$XDG_STATE_HOME/turnwire/spool`.
    ///
    /// # Errors
    /// As [`Place::data_dir`].
    pub fn spool_root(&self) -> Result<PathBuf, Error> {
        let below = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => default_dir("XDG_STATE_HOME", ".local/state", |name| env::var_os(name))?,
        };
        Ok(below.join("spool"))
    }

    /// What a spool for it says of its target, so that who finds it knows where its events were to go.
    #[must_use]
    pub fn target(&self) -> String {
        self.url
            .as_ref()
            .map_or_else(|| LOCAL.to_owned(), |url| url.trim_end_matches('/').to_owned())
    }

    /// The gateway, which must be there now.
    ///
    /// # Errors
    /// As [`Endpoint::new`] and [`Endpoint::local`].
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        match &self.url {
            Some(url) => Endpoint::new(url, self.token.as_deref()),
            None => local(&self.data_dir()?),
        }
    }
}

/// `$XDG_…/turnwire`; a value that is not absolute does not count, as the specification of base directories has it.
fn default_dir(var: &str, below_home: &str, env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    if let Some(dir) = env(var).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("turnwire"));
    }
    let home = env("HOME")
        .filter(|home| !home.is_empty())
        .ok_or_else(|| Error::Address {
            what: "the data directory".into(),
            why: "HOME is not set; name one (--data-dir, TURNWIRE_DATA_DIR)".into(),
        })?;
    Ok(Path::new(&home).join(below_home).join("turnwire"))
}

/// The gateway on a data directory. One without authentication leaves no token, and needs none.
fn local(dir: &Path) -> Result<Endpoint, Error> {
    match Endpoint::local(dir) {
        Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Endpoint::new(&Running::read(dir)?.url, None)
        }
        found => found,
    }
}

/// Finds the gateway for a publisher, also one that is started after it.
#[derive(Debug)]
pub struct Finder {
    place: Place,
    found: Mutex<Option<Endpoint>>,
}

impl Finder {
    /// Looks there.
    #[must_use]
    pub const fn new(place: Place) -> Self {
        Self {
            place,
            found: Mutex::new(None),
        }
    }
}

impl Locate for Finder {
    fn locate(&self) -> Result<Endpoint, String> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*found {
            return match endpoint.refresh() {
                Err(Error::NoServer { .. }) => Err(NOWHERE.to_owned()),
                // Where it ran before is where it is looked for while nothing says otherwise.
                Ok(_) | Err(_) => Ok(endpoint.clone()),
            };
        }
        let endpoint = if self.place.url.is_some() {
            self.place.endpoint().map_err(|error| error.to_string())?
        } else {
            let dir = self.place.data_dir().map_err(|error| error.to_string())?;
            match Endpoint::local(&dir) {
                Ok(endpoint) => endpoint,
                // Without a token file it is looked for anew each time: such an endpoint does not refresh.
                Err(_) => return local(&dir).map_err(|_| NOWHERE.to_owned()),
            }
        };
        Ok(found.insert(endpoint).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_follow_the_environment() {
        let dir = |vars: &[(&str, &str)]| {
            let vars: Vec<_> = vars.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
            default_dir("XDG_DATA_HOME", ".local/share", |name| {
                vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(
            dir(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]).unwrap(),
            Path::new("/d/turnwire")
        );
        assert_eq!(
            dir(&[("XDG_DATA_HOME", "d"), ("HOME", "/h")]).unwrap(),
            Path::new("/h/.local/share/turnwire")
        );
        assert!(dir(&[]).is_err());
    }
}
