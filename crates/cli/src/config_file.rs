//! The configuration file: what has no place in flags. `docs/config.md` has the table.

mod webhook;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use turnwire_adapters::{Mapping, by_name};
use turnwire_proto::Name;
use turnwire_server::config::{OwnPattern, WebhookConfig};
use turnwire_watch::{Known, Source, known};

use crate::exit;
pub(crate) use webhook::Wrong;

/// Its name in the data directory.
const NAME: &str = "turnwire.toml";

/// All of it. A key that is not known is an error that names it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    watch: Vec<Watch>,
    redact: Vec<Redact>,
    webhook: Vec<webhook::Webhook>,
}

/// A secret of the operator's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redact {
    name: String,
    pattern: String,
}

/// Files that the gateway follows itself.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Watch {
    /// An agent whose place is known: `claude`, `codex`, `gemini`, `opencode`, or `waza` with `dir`.
    known: Option<String>,
    /// A directory or a file.
    dir: Option<PathBuf>,
    pattern: Option<String>,
    adapter: Option<String>,
    agent: Option<Name>,
    /// What `adapter = "mapped"` reads by.
    map: Option<Mapping>,
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

    /// What is followed.
    ///
    /// # Errors
    /// A section cannot be followed; the error says which field is wrong.
    pub(crate) fn watch(&self) -> anyhow::Result<Vec<Source>> {
        let wrong = |number: usize, why: String| exit::failure(2, format!("{NAME}: [[watch]] {}: {why}", number + 1));
        self.watch
            .iter()
            .enumerate()
            .map(|(number, section)| section.source().map_err(|why| wrong(number, why)))
            .collect()
    }
}

impl File {
    /// Webhooks, each by its section, as far as it can be served.
    pub(crate) fn each_webhook(&self) -> impl Iterator<Item = (String, Result<WebhookConfig, Wrong>)> {
        self.webhook.iter().enumerate().map(|(number, section)| {
            let taken = self.webhook[..number].iter().any(|other| other.name == section.name);
            let config = match taken {
                true => Err(Wrong::Text("`name`: another section has this name".to_owned())),
                false => section.config(),
            };
            (format!("[[webhook]] {}", section.name), config)
        })
    }

    /// All webhooks.
    ///
    /// # Errors
    /// One cannot be served; the error says which field is wrong.
    pub(crate) fn webhooks(&self) -> anyhow::Result<Vec<WebhookConfig>> {
        self.each_webhook()
            .map(|(section, config)| config.map_err(|why| exit::failure(2, format!("{NAME}: {section}: {why}"))))
            .collect()
    }
}

impl Watch {
    fn source(&self) -> Result<Source, String> {
        let env = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let source = match (self.known.as_deref(), &self.dir) {
            (Some(name), dir) => {
                if self.pattern.is_some() || self.adapter.is_some() || self.map.is_some() {
                    return Err("`known` says `pattern` and `adapter` itself".to_owned());
                }
                let agent = match (name, dir) {
                    ("claude", _) => Known::Claude,
                    ("codex", _) => Known::Codex,
                    ("gemini", _) => Known::Gemini,
                    ("opencode", _) => Known::Opencode,
                    ("waza", Some(_)) => Known::Waza,
                    ("waza", None) => return Err("`known = \"waza\"` needs `dir`: it logs where it is told".to_owned()),
                    _ => {
                        return Err(format!(
                            "`known` is claude, codex, gemini, opencode or waza, not {name:?}"
                        ));
                    }
                };
                known(agent, dir.as_deref(), env)
            }
            (None, Some(dir)) => {
                let adapter = match self.adapter.as_deref() {
                    None | Some("auto") => None,
                    Some(name) => Some(by_name(name).ok_or_else(|| format!("`adapter` {name:?} is not there"))?),
                };
                if let Some(map) = &self.map {
                    map.check().map_err(|why| format!("`map`: {why}"))?;
                }
                if self.map.is_some() != adapter.is_some_and(|adapter| adapter.name == "mapped") {
                    return Err("`map` and `adapter = \"mapped\"` belong together".to_owned());
                }
                Source::new(dir, self.pattern.as_deref().unwrap_or("*.jsonl"), adapter)
            }
            (None, None) => return Err("`dir` or `known` is missing".to_owned()),
        };
        let source = source.map_err(|error| error.to_string())?;
        Ok(source.agent(self.agent.clone()).mapping(self.map.clone()))
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

    fn sources(text: &str) -> Result<Vec<Source>, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), text).unwrap();
        read(None, dir.path())
            .and_then(|file| file.watch())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_is_a_known_place_or_a_directory() {
        let text = r#"
            [[watch]]
            known = "waza"
            dir = "/results"

            [[watch]]
            dir = "/logs"
            pattern = "**/*.ndjson"
            adapter = "mapped"
            agent = "my-agent"
            map = { type = "/kind", text = "/msg", kinds = { said = "message" } }
        "#;
        let roots: Vec<_> = sources(text)
            .unwrap()
            .iter()
            .map(|source| source.root().to_owned())
            .collect();
        assert_eq!(roots, [Path::new("/results"), Path::new("/logs")]);
        assert!(sources("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, want) in [
            ("[[watch]]\ndirr = '/x'", "dirr"),
            ("[[watch]]\n", "`dir` or `known`"),
            ("[[watch]]\nknown = 'claud'", "`known`"),
            ("[[watch]]\nknown = 'waza'", "`dir`"),
            ("[[watch]]\nknown = 'codex'\npattern = '*'", "`pattern`"),
            ("[[watch]]\ndir = '/x'\nadapter = 'none'", "`adapter`"),
            ("[[watch]]\ndir = '/x'\npattern = '[a'", "the pattern `[a`"),
            ("[[watch]]\ndir = '/x'\nadapter = 'mapped'", "`map`"),
            (
                "[[watch]]\ndir = '/x'\nadapter = 'mapped'\nmap = { text = 'a' }",
                "`text`",
            ),
            (
                "[[watch]]\ndir = '/x'\n[[watch]]\ndir = '/y'\nmap = { txt = '/a' }",
                "txt",
            ),
        ] {
            let error = sources(text).unwrap_err();
            assert!(
                error.contains("turnwire.toml") && error.contains(want),
                "{text}: {error}"
            );
        }
    }

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
