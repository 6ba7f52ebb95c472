//! What is followed: directories with a pattern and an adapter, and the places where agents keep their files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use turnwire_adapters::{Context, Mapping, Spec, Subagent, by_file, by_name};
use turnwire_proto::Name;

use crate::{Error, pattern::Pattern};

/// Bytes of a subagent's note of itself; those seen have a few hundred.
const META: u64 = 64 * 1024;

/// A directory, what of it is followed, and how it is read.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) root: PathBuf,
    pub(crate) pattern: Pattern,
    /// How it was given, to know it again.
    pub(crate) name: String,
    adapter: Option<&'static Spec>,
    agent: Option<Name>,
    mapping: Option<Arc<Mapping>>,
    /// Its files are databases, whose rows are read.
    pub(crate) database: bool,
}

impl Source {
    /// Follows the files below `root` whose path below it matches `pattern`. Without an adapter each file's first line says whose it
    /// is. A `root` that is a file is followed alone.
    ///
    /// # Errors
    /// When the pattern is none.
    pub fn new(root: &Path, pattern: &str, adapter: Option<&'static Spec>) -> Result<Self, Error> {
        let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let (root, pattern) = match (absolute.is_file(), absolute.parent(), absolute.file_name()) {
            (true, Some(parent), Some(file)) => (parent.to_owned(), format!("/{}", escaped(&file.to_string_lossy()))),
            _ => (absolute, pattern.to_owned()),
        };
        Ok(Self {
            name: format!("{}\n{pattern}", root.display()),
            root,
            pattern: Pattern::new(pattern.strip_prefix('/').map_or(&*pattern, |_| &pattern[1..]))?,
            adapter,
            agent: None,
            mapping: None,
            database: false,
        })
    }

    /// Whose events they are.
    #[must_use]
    pub fn agent(mut self, agent: Option<Name>) -> Self {
        self.agent = agent;
        self
    }

    /// What the adapter `mapped` reads by.
    #[must_use]
    pub fn mapping(mut self, mapping: Option<Mapping>) -> Self {
        self.mapping = mapping.map(Arc::new);
        self
    }

    /// Its directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How a file is read that begins with this line.
    pub(crate) fn spec(&self, path: &Path, first: &[u8]) -> &'static Spec {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.adapter.unwrap_or_else(|| by_file(&name, first))
    }

    /// Whether the first line says how the file is read.
    pub(crate) const fn is_auto(&self) -> bool {
        self.adapter.is_none()
    }

    /// What is known of a file beside its lines. Agents' own files name their session; of others the file is one.
    pub(crate) fn context(&self, path: &Path, spec: &Spec) -> Context {
        let agents = ["claude-transcript", "codex-rollout", "gemini-chat", "opencode-session"].contains(&spec.name);
        Context {
            agent: self.agent.clone(),
            session: if agents { None } else { self.session(path) },
            subagent: subagent(path),
            mapping: self.mapping.clone(),
            ..Context::default()
        }
    }

    /// The session that a file is: its path below the root without the extension.
    pub(crate) fn session(&self, path: &Path) -> Option<Name> {
        let below = path.strip_prefix(&self.root).unwrap_or(path).with_extension("");
        let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
        Name::lossy(&parts.join("."))
    }
}

/// The file that is meant, whatever its name has in it.
fn escaped(name: &str) -> String {
    globset::escape(name)
}

/// What `agent-x.meta.json` says of the subagent whose lines are in `agent-x.jsonl`.
fn subagent(path: &Path) -> Option<Subagent> {
    let file = path.file_stem()?.to_str()?;
    if !file.starts_with("agent-") {
        return None;
    }
    let meta = path.with_file_name(format!("{file}.meta.json"));
    if meta.metadata().ok()?.len() > META {
        return None;
    }
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(meta).ok()?).ok()?;
    let text = |key: &str| meta[key].as_str().map(str::to_owned);
    Some(Subagent {
        tool_call_id: text("toolUseId"),
        agent_type: text("agentType"),
    })
}

/// An agent that keeps its sessions in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Claude Code's transcripts.
    Claude,
    /// Codex's rollouts.
    Codex,
    /// Gemini CLI's chats.
    Gemini,
    /// opencode's database.
    Opencode,
    /// waza's logs, wherever they are kept.
    Waza,
}

/// Where an agent keeps its files, by its own variables and the home directory; `dir` where somebody knows better.
///
/// # Errors
/// When neither a directory nor `HOME` is known.
pub fn known(agent: Known, dir: Option<&Path>, env: impl Fn(&str) -> Option<PathBuf>) -> Result<Source, Error> {
    let (variable, folder, below, pattern, adapter) = match agent {
        Known::Claude => (
            "CLAUDE_CONFIG_DIR",
            ".claude",
            "projects",
            "**/*.jsonl",
            "claude-transcript",
        ),
        Known::Codex => (
            "CODEX_HOME",
            ".codex",
            "sessions",
            "**/rollout-*.jsonl",
            "codex-rollout",
        ),
        Known::Gemini => (
            "GEMINI_CLI_HOME",
            ".gemini",
            "tmp",
            "*/chats/session-*.jsonl",
            "gemini-chat",
        ),
        Known::Opencode => (
            "XDG_DATA_HOME",
            ".local/share",
            "opencode",
            "opencode*.db",
            "opencode-session",
        ),
        Known::Waza => ("", ".", "", "*-session.jsonl", "waza"),
    };
    let found = || {
        let set = env(variable).filter(|path| path.is_absolute());
        // Gemini's names what the folder is in, the others' the folder itself.
        let set = set.map(|path| {
            if agent == Known::Gemini {
                path.join(folder)
            } else {
                path
            }
        });
        let dir = set.or_else(|| Some(env("HOME")?.join(folder)))?;
        Some(dir.join(below))
    };
    let root = dir.map(Path::to_owned).or_else(found).ok_or_else(|| Error::State {
        doing: "find the home directory for",
        path: folder.into(),
        source: std::io::Error::new(std::io::ErrorKind::NotFound, "HOME is not set"),
    })?;
    let source = Source::new(&root, pattern, by_name(adapter))?;
    Ok(Source {
        database: agent == Known::Opencode,
        ..source
    })
}
