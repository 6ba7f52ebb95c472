//! Where things are: the data directory, the spool, and the gateway that a command talks to.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use turnwire_client::{Endpoint, Place, filled, publish::Locate};
use turnwire_proto::Name;

use crate::{args, exit};

pub(crate) use turnwire_client::NOWHERE;

impl From<&args::Gateway> for Place {
    fn from(gateway: &args::Gateway) -> Self {
        Self {
            url: gateway.url.clone(),
            token: gateway.token.clone(),
            data_dir: gateway.data_dir.clone(),
        }
    }
}

/// `--data-dir`, or the default one.
pub(crate) fn data_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let place = Place {
        data_dir: given.map(Path::to_owned),
        ..Place::default()
    };
    place.data_dir().map_err(exit::from_client)
}

/// The directory of spools.
pub(crate) fn spool_root(gateway: &args::Gateway) -> anyhow::Result<PathBuf> {
    Place::from(gateway).spool_root().map_err(exit::from_client)
}

/// Where the events of a spool are to go.
pub(crate) fn target(gateway: &args::Gateway) -> String {
    Place::from(gateway).target()
}

/// The gateway that a command talks to.
pub(crate) fn endpoint(gateway: &args::Gateway) -> anyhow::Result<Endpoint> {
    Place::from(gateway).endpoint().map_err(exit::from_client)
}

/// Finds the gateway for a publisher, also one that is started after it.
#[derive(Debug)]
pub(crate) struct Finder(turnwire_client::Finder);

impl Finder {
    pub(crate) fn new(gateway: &args::Gateway) -> Arc<Self> {
        Arc::new(Self(turnwire_client::Finder::new(gateway.into())))
    }

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
        self.0.locate()
    }
}
