//! The configuration file: what has no place in flags. `docs/config.md` has the table.

use std::path::Path;

use serde::Deserialize;
use turnwire_server::config::OwnPattern;

use crate::exit;

/// Its name in the data directory.
const NAME: &str = "turnwire.toml";

/// All of it. A key that is not known is an error that names it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    redact: Vec<Redact>,
}

/// A secret of the operator's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redact {
    name: String,
    pattern: String,
}

impl File {
    /// Patterns of secrets.
    pub(crate) fn redact(&self) -> Vec<OwnPattern> {
        let pattern = |Redact { name, pattern }: &Redact| OwnPattern {
            name: name.clone(),
            pattern: pattern.clone(),
        };
        self.redact.iter().map(pattern).collect()
    }
}

/// Reads the file that is named, or else the one in the data directory, if there is one.
///
/// # Errors
/// It cannot be read, or is not what it should be; the error says where.
pub(crate) fn read(named: Option<&Path>, data_dir: &Path) -> anyhow::Result<File> {
    let usual = data_dir.join(NAME);
    let path = named.unwrap_or(&usual);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(exit::failure(2, format!("read {}: {error}", path.display()))),
    };
    toml::from_str(&text).map_err(|error| exit::failure(2, format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_known_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(None, dir.path()).unwrap().redact().is_empty());
        let file = dir.path().join(NAME);
        std::fs::write(&file, "[[redact]]\nname = \"badge\"\npattern = 'B-\\d+'\n").unwrap();
        assert_eq!(read(None, dir.path()).unwrap().redact()[0].pattern, r"B-\d+");
        std::fs::write(&file, "[[redact]]\nname = \"badge\"\npatern = 'x'\n").unwrap();
        let error = read(None, dir.path()).unwrap_err().to_string();
        assert!(error.contains("turnwire.toml") && error.contains("patern"), "{error}");
        let error = read(Some(&dir.path().join("none.toml")), dir.path())
            .unwrap_err()
            .to_string();
        assert!(error.contains("none.toml"), "{error}");
    }
}
