//! `hooks`: our hooks in an agent's settings.

mod diff;
mod settings;
mod splice;

use std::{
    env, fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use turnwire_client::Place;
use turnwire_proto::path;

use crate::{
    args::{Gateway, Hooks, HooksInstall, HooksShow, HooksUninstall, SettingsFile, Vendor},
    gateway, out,
};
use diff::Line;
use settings::{Headers, Hook, Wanted, events, word};

/// Seconds that the agent gives a hook that asks; what `turnwire hook` waits is less.
const ASKING: u64 = 600;
/// Seconds for one that only tells.
const TELLING: u64 = 10;
/// What is put behind the name of a copy.
const BACKUP: &str = ".before-turnwire";
/// Where a gateway listens that says nothing else.
const ADDRESS: &str = "http://127.0.0.1:8876/";

pub(crate) fn hooks(command: Hooks) -> anyhow::Result<ExitCode> {
    match command {
        Hooks::Install(args) => install(&args),
        Hooks::Uninstall(args) => uninstall(&args),
        Hooks::Show(args) => show(&args),
    }
}

fn install(args: &HooksInstall) -> anyhow::Result<ExitCode> {
    let file = File::of(&args.file)?;
    let wanted = wanted(args)?;
    let new = settings::install(&file.text, &wanted).with_context(|| file.untouched())?;
    if new == file.text {
        out::say(&format!("{}: the hooks are there already", file.path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let fresh = settings::list(&file.text)?.is_empty();
    if !file.confirmed(&new, args.yes)? {
        return Ok(ExitCode::FAILURE);
    }
    if fresh && file.exists {
        write(&file.backup(), &file.text, &file.path)?;
    }
    file.write(&new)?;
    out::say(&format!(
        "{}: {} hooks; `turnwire hooks uninstall` takes them out",
        file.path.display(),
        wanted.len()
    ));
    if args.file.vendor() == Vendor::Codex {
        out::say("Codex runs hooks only that you have looked at: open /hooks in it and trust these.");
    }
    if args.http {
        out::say(
            "Start Claude Code with TURNWIRE_TOKEN in its environment: a token that may publish, and nothing else\n\
             (`turnwire token create --name hooks --scope publish --quiet`). The settings name the variable, not the token.\n\
             An HTTP hook that fails is passed over: while the gateway is away nothing is recorded, and nobody is asked.",
        );
    } else if args.gateway.token.is_some() {
        out::say("The token is not written into the settings: have TURNWIRE_TOKEN in the agent's environment.");
    }
    Ok(ExitCode::SUCCESS)
}

fn uninstall(args: &HooksUninstall) -> anyhow::Result<ExitCode> {
    let file = File::of(&args.file)?;
    let mut new = settings::uninstall(&file.text).with_context(|| file.untouched())?;
    if new == file.text {
        out::say(&format!("{}: there are no hooks of ours", file.path.display()));
        return Ok(ExitCode::SUCCESS);
    }
    // Where nothing else was changed meanwhile, it is again what it was before, down to the last blank.
    let before = fs::read_to_string(file.backup()).ok();
    let same = |before: &String| {
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        parse(before).is_some() && parse(before) == parse(&new)
    };
    let restored = before.filter(same);
    if let Some(before) = &restored {
        new.clone_from(before);
    }
    let ours_alone =
        restored.is_none() && !file.backup().exists() && new.split_whitespace().collect::<String>() == "{}";
    if ours_alone {
        new.clear();
    }
    if !file.confirmed(&new, args.yes)? {
        return Ok(ExitCode::FAILURE);
    }
    if ours_alone {
        fs::remove_file(&file.path).with_context(|| format!("failed to delete {}", file.path.display()))?;
    } else {
        file.write(&new)?;
    }
    if restored.is_some() {
        let _ = fs::remove_file(file.backup());
    }
    out::say(&format!("{}: the hooks are taken out", file.path.display()));
    Ok(ExitCode::SUCCESS)
}

fn show(args: &HooksShow) -> anyhow::Result<ExitCode> {
    let file = File::of(&args.file)?;
    let hooks = settings::list(&file.text).with_context(|| file.untouched())?;
    if hooks.is_empty() {
        out::say(&format!("{}: there are no hooks of ours", file.path.display()));
        return Ok(ExitCode::FAILURE);
    }
    let mut shown = io::stdout().lock();
    writeln!(shown, "{}", file.path.display())?;
    for (event, what) in hooks {
        writeln!(shown, "  {event:<20} {what}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be there.
fn wanted(args: &HooksInstall) -> anyhow::Result<Vec<Wanted>> {
    let vendor = args.file.vendor();
    let gates = |event: &str| args.gate && matches!(event, "PreToolUse" | "BeforeTool");
    let asks = |event: &str| event == "PermissionRequest" || gates(event);
    // Gemini CLI counts in milliseconds.
    let unit = if vendor == Vendor::Gemini { 1000 } else { 1 };
    let timeout = |event: &str| unit * if asks(event) { ASKING } else { TELLING };
    if args.http {
        let url = http_url(args)?;
        let hook = |event: &str| Hook::Http {
            url: url.clone(),
            headers: Headers {
                authorization: "Bearer $TURNWIRE_TOKEN",
            },
            allowed_env_vars: ["TURNWIRE_TOKEN"],
            timeout: timeout(event),
        };
        // The vendor never calls an HTTP hook for this one.
        let events = events(vendor).iter().filter(|event| **event != "SessionStart");
        return Ok(events.map(|event| (*event, hook(event))).collect());
    }
    let program = env::current_exe().context("failed to find this program")?;
    let program = program.to_str().context("this program's path is not UTF-8")?;
    let mut words = vec![program.to_owned(), "hook".to_owned(), word(vendor).to_owned()];
    if let Some(agent) = &args.agent {
        words.extend(["--agent".to_owned(), agent.to_string()]);
    }
    words.extend(whereabouts(&args.gateway)?);
    let command = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let hook = |event: &str| Hook::Command {
        command: if gates(event) {
            format!("{command} --gate")
        } else {
            command.clone()
        },
        timeout: timeout(event),
    };
    Ok(events(vendor).iter().map(|event| (*event, hook(event))).collect())
}

/// The gateway as it was named here: where the agent runs, nothing names it.
fn whereabouts(gateway: &Gateway) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    if let Some(url) = &gateway.url {
        words.extend(["--url".to_owned(), url.clone()]);
    }
    if let Some(dir) = &gateway.data_dir {
        let dir = std::path::absolute(dir)?;
        let dir = dir.to_str().context("the data directory's path is not UTF-8")?;
        words.extend(["--data-dir".to_owned(), dir.to_owned()]);
    }
    Ok(words)
}

fn http_url(args: &HooksInstall) -> anyhow::Result<String> {
    let base = match gateway::endpoint(&args.gateway) {
        Ok(endpoint) => endpoint.url().to_string(),
        Err(error) if Place::from(&args.gateway).url.is_some() => return Err(error),
        Err(_) => ADDRESS.to_owned(),
    };
    let mut query = Vec::new();
    if let Some(agent) = &args.agent {
        query.push(format!("agent={}", turnwire_client::filled("{id}", agent.as_str())));
    }
    if args.gate {
        query.push("gate=pre_tool_use".to_owned());
    }
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    Ok(format!("{}{}{query}", base.trim_end_matches('/'), path::HOOKS_CLAUDE))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:=@%+,-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The settings as they are.
struct File {
    /// Where they really are: a link is followed, not replaced.
    path: PathBuf,
    text: String,
    exists: bool,
}

impl File {
    fn of(args: &SettingsFile) -> anyhow::Result<Self> {
        let (folder, file, variable) = match args.vendor() {
            Vendor::Claude => (".claude", "settings.json", Some("CLAUDE_CONFIG_DIR")),
            Vendor::Codex => (".codex", "hooks.json", Some("CODEX_HOME")),
            Vendor::Gemini => (".gemini", "settings.json", None),
        };
        let dir = match &args.project {
            Some(project) if !project.is_dir() => bail!("{} is not a directory", project.display()),
            Some(project) => project.join(folder),
            None => config_dir(folder, variable)?,
        };
        let path = dir.join(file);
        let path = fs::canonicalize(&path).unwrap_or(path);
        let (text, exists) = match fs::read_to_string(&path) {
            Ok(text) => (text, true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), false),
            Err(error) => return Err(error).with_context(|| format!("failed to read {}", path.display())),
        };
        Ok(Self { path, text, exists })
    }

    fn backup(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(BACKUP);
        name.into()
    }

    fn untouched(&self) -> String {
        format!("{} was not changed", self.path.display())
    }

    /// Shows what would change, and asks.
    fn confirmed(&self, new: &str, yes: bool) -> anyhow::Result<bool> {
        let mut shown = io::stdout().lock();
        writeln!(shown, "{}", self.path.display())?;
        for line in diff::diff(&self.text, new) {
            match line {
                Line::Same(line) => writeln!(shown, "  {line}")?,
                Line::Gone(line) => writeln!(shown, "- {line}")?,
                Line::New(line) => writeln!(shown, "+ {line}")?,
                Line::Skipped => writeln!(shown, "  …")?,
            }
        }
        shown.flush()?;
        if yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() {
            bail!("nothing was changed: nobody can be asked here; --yes writes it");
        }
        out::say("Write this? [y/N]");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        let agreed = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        if !agreed {
            out::say(&self.untouched());
        }
        Ok(agreed)
    }

    fn write(&self, text: &str) -> anyhow::Result<()> {
        write(&self.path, text, &self.path)
    }
}

fn config_dir(folder: &str, variable: Option<&str>) -> anyhow::Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable
        .and_then(set)
        .or_else(|| Some(set("HOME")?.join(folder)))
        .with_context(|| match variable {
            Some(variable) => format!("neither {variable} nor HOME is set"),
            None => "HOME is not set".to_owned(),
        })
}

/// Replaces a file as a whole, with the permissions of `like` where that is there.
fn write(path: &Path, text: &str, like: &Path) -> anyhow::Result<()> {
    let failed = || format!("failed to write {}", path.display());
    let dir = path.parent().context("it has no directory")?;
    fs::create_dir_all(dir).with_context(failed)?;
    let mut new = tempfile::NamedTempFile::new_in(dir).with_context(failed)?;
    new.write_all(text.as_bytes()).with_context(failed)?;
    if let Ok(meta) = fs::metadata(like) {
        new.as_file().set_permissions(meta.permissions()).with_context(failed)?;
    }
    new.as_file().sync_all().with_context(failed)?;
    new.persist(path).map_err(|error| error.error).with_context(failed)?;
    Ok(())
}
