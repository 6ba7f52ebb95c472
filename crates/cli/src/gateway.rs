//! Where things are: the data directory, the spool, and the gateway that a command talks to.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use turnwire_client::{Endpoint, Running, filled, publish::Locate, spool::LOCAL};
use turnwire_proto::Name;

use crate::{args, exit};

/// What a publisher says while there is no gateway on this machine.
pub(crate) const NOWHERE: &str = "no gateway runs on this machine";

/// `--data-dir`, or the default one.
pub(crate) fn data_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = given {
        return Ok(dir.to_owned());
    }
    default_dir("XDG_DATA_HOME", ".local/share", |name| env::var_os(name))
}

/// `$XDG_…/turnwire`; a value that is not absolute does not count, as the specification of base directories has it.
fn default_dir(var: &str, below_home: &str, env: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = env(var).map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return Ok(dir.join("turnwire"));
    }
    let home = env("HOME").filter(|home| !home.is_empty());
    let home = home.ok_or_else(|| anyhow::anyhow!("HOME is not set; say where with --data-dir"))?;
    Ok(Path::new(&home).join(below_home).join("turnwire"))
}

/// The directory of spools: inside a data directory that was named, else `$XDG_STATE_HOME/turnwire/spool`.
pub(crate) fn spool_root(gateway: &args::Gateway) -> anyhow::Result<PathBuf> {
    match &gateway.data_dir {
        Some(dir) => Ok(dir.join("spool")),
        None => Ok(default_dir("XDG_STATE_HOME", ".local/state", |name| env::var_os(name))?.join("spool")),
    }
}

/// Where the events of a spool are to go.
pub(crate) fn target(gateway: &args::Gateway) -> String {
    match &gateway.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => LOCAL.to_owned(),
    }
}

/// The gateway that a command talks to.
pub(crate) fn endpoint(gateway: &args::Gateway) -> anyhow::Result<Endpoint> {
    match &gateway.url {
        Some(url) => Endpoint::new(url, gateway.token.as_deref()).map_err(exit::from_client),
        None => {
            let dir = data_dir(gateway.data_dir.as_deref())?;
            local(&dir).map_err(exit::from_client)
        }
    }
}

/// The gateway on a data directory. One without authentication leaves no token, and needs none.
fn local(dir: &Path) -> Result<Endpoint, turnwire_client::Error> {
    match Endpoint::local(dir) {
        Err(turnwire_client::Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Endpoint::new(&Running::read(dir)?.url, None)
        }
        found => found,
    }
}

/// Finds the gateway for a publisher, also one that is started after it.
#[derive(Debug)]
pub(crate) struct Finder {
    gateway: args::Gateway,
    found: Mutex<Option<Endpoint>>,
}

impl Finder {
    pub(crate) fn new(gateway: &args::Gateway) -> Arc<Self> {
        Arc::new(Self {
            gateway: gateway.clone(),
            found: Mutex::new(None),
        })
    }
}

impl Finder {
    /// Where a person watches a session, as far as the gateway is known.
    pub(crate) fn link(&self, session: &Name) -> Option<String> {
        let endpoint = self.locate().ok()?;
        Some(session_link(&endpoint, session.as_str()))
    }
}

/// The page's address of a session.
pub(crate) fn session_link(endpoint: &Endpoint, session: &str) -> String {
    let escaped = filled("{id}", session);
    format!("{}#/session/{escaped}", endpoint.url())
}

impl Locate for Finder {
    fn locate(&self) -> Result<Endpoint, String> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*found {
            return match endpoint.refresh() {
                Err(turnwire_client::Error::NoServer { .. }) => Err(NOWHERE.to_owned()),
                // Where it ran before is where it is looked for while nothing says otherwise.
                Ok(_) | Err(_) => Ok(endpoint.clone()),
            };
        }
        let endpoint = match &self.gateway.url {
            Some(url) => Endpoint::new(url, self.gateway.token.as_deref()).map_err(|error| error.to_string())?,
            None => {
                let dir = data_dir(self.gateway.data_dir.as_deref()).map_err(|error| error.to_string())?;
                match Endpoint::local(&dir) {
                    Ok(endpoint) => endpoint,
                    // Without a token file it is looked for anew each time: such an endpoint does not refresh.
                    Err(_) => return local(&dir).map_err(|_| NOWHERE.to_owned()),
                }
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
