//! Which adapter a command line asks for, and what else it tells.

use crate::{ADAPTERS, Spec};

/// What a command line tells of its output.
#[derive(Clone, Debug)]
pub struct Command {
    /// The adapter for it.
    pub spec: &'static Spec,
    /// What is asked, where it stands in the command line.
    pub prompt: Option<String>,
    /// Whether it goes on with an earlier conversation.
    pub resumed: bool,
}

/// Programs that run the rest of their command line, and their options that take a value.
const WRAPPERS: &[(&str, &[&str])] = &[
    ("env", &["-u", "--unset", "-C", "--chdir"]),
    ("nohup", &[]),
    ("time", &["-f", "-o"]),
    ("timeout", &["-s", "--signal", "-k", "--kill-after"]),
    ("stdbuf", &["-i", "-o", "-e"]),
    ("nice", &["-n"]),
    ("setsid", &[]),
    ("sudo", &["-u", "-g"]),
    ("exec", &[]),
    ("command", &[]),
    ("npx", &["-p", "--package", "-c"]),
    ("bunx", &[]),
    ("pnpx", &[]),
    ("node", &["-r", "--require", "--import"]),
    ("bun", &[]),
    ("npm", &[]),
    ("pnpm", &[]),
    ("yarn", &[]),
];

/// Words of a package runner that stand before the package.
const RUNNER_WORDS: &[&str] = &["exec", "x", "dlx", "run"];

/// Packages by another name than their program's.
const PACKAGES: &[(&str, &str)] = &[
    ("@anthropic-ai/claude-code", "claude"),
    ("@openai/codex", "codex"),
    ("@google/gemini-cli", "gemini"),
    ("opencode-ai", "opencode"),
    ("claude-code", "claude"),
    ("gemini-cli", "gemini"),
];

/// The adapter that a command line asks for by the agent that it runs and the format that it asks of it: also behind a
/// path, `FOO=1`, `env`, `npx`, `timeout` and their like, or in a shell's `-c`. `None` when that cannot be told.
#[must_use]
pub fn by_command<S: AsRef<str>>(command: &[S]) -> Option<Command> {
    let words: Vec<&str> = command.iter().map(AsRef::as_ref).collect();
    of(&words, 0)
}

fn of(words: &[&str], depth: u8) -> Option<Command> {
    let words = bare(words);
    let (program, rest) = words.split_first()?;
    let program = name(program);
    if depth < 3 && matches!(program, "sh" | "bash" | "zsh" | "dash" | "fish") {
        let flag = rest
            .iter()
            .position(|word| word.starts_with('-') && word.contains('c'))?;
        let (script, arguments) = rest[flag + 1..].split_first()?;
        return shell(script, arguments, depth);
    }
    match program {
        "claude" => claude(rest),
        "codex" => codex(rest),
        "gemini" => gemini(rest),
        "opencode" => opencode(rest),
        _ => None,
    }
}

/// The agent that a script runs: one of its commands, or `"$@"`, which is its arguments after the first. Where it runs more
/// than one, the adapter is the first one's, and what each is asked is not known.
fn shell(script: &str, arguments: &[&str], depth: u8) -> Option<Command> {
    let mut found: Vec<Command> = Vec::new();
    for words in commands(script) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if words.contains(&"$@") {
            found.extend(of(arguments.get(1..).unwrap_or_default(), depth + 1));
        } else {
            found.extend(of(&words, depth + 1));
        }
    }
    let alone = found.len() == 1;
    let first = found.into_iter().next()?;
    Some(Command {
        spec: first.spec,
        prompt: first.prompt.filter(|_| alone),
        resumed: first.resumed && alone,
    })
}

/// The words without what only runs or surrounds the command.
fn bare<'a>(mut words: &'a [&'a str]) -> &'a [&'a str] {
    while let Some((first, rest)) = words.split_first() {
        let is_setting = |word: &str| {
            let (key, _) = word.split_once('=').unwrap_or_default();
            !key.is_empty() && !key.starts_with('-') && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if is_setting(first) {
            words = rest;
            continue;
        }
        let Some((wrapper, valued)) = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name(first)) else {
            return words;
        };
        words = rest;
        while let Some((word, rest)) = words.split_first() {
            if valued.contains(word) {
                words = rest.get(1..).unwrap_or_default();
            } else if word.starts_with('-')
                || RUNNER_WORDS.contains(word)
                || (*wrapper == "timeout" && word.starts_with(|c: char| c.is_ascii_digit()))
            {
                words = rest;
            } else {
                break;
            }
        }
    }
    words
}

/// A program's name without its folder, its extension or its version: `/opt/x/claude.cmd`, `@openai/codex@latest`.
fn name(word: &str) -> &str {
    let versionless = word.rfind('@').filter(|at| *at > 0).map_or(word, |at| &word[..at]);
    if let Some((_, program)) = PACKAGES.iter().find(|(package, _)| *package == versionless) {
        return program;
    }
    // A script within a package: `…/@anthropic-ai/claude-code/cli.js`.
    let package = PACKAGES.iter().find(|(package, _)| {
        let inside = word
            .split(package)
            .nth(1)
            .is_some_and(|rest| rest.starts_with(['/', '\\']));
        inside && [".js", ".mjs", ".cjs"].iter().any(|end| word.ends_with(end))
    });
    if let Some((_, program)) = package {
        return program;
    }
    let file = versionless.rsplit(['/', '\\']).next().unwrap_or_default();
    ["exe", "cmd", "js", "mjs"]
        .iter()
        .find_map(|end| file.strip_suffix(end)?.strip_suffix('.'))
        .unwrap_or(file)
}

/// A script's commands as words, well enough for quotes; what a shell would compute stays as it is.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut open) = (String::new(), false);
    let mut quote = None;
    let mut chars = script.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '\\') => word.extend(chars.next()),
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, c) if c.is_whitespace() || ";|&()".contains(c) => {
                if open || !word.is_empty() {
                    commands
                        .last_mut()
                        .expect("there is always one")
                        .push(std::mem::take(&mut word));
                    open = false;
                }
                if ";|&()\n".contains(c) {
                    commands.push(Vec::new());
                }
            }
            (None, c) => word.push(c),
        }
    }
    if open || !word.is_empty() {
        commands.last_mut().expect("there is always one").push(word);
    }
    commands
}

/// The value of an option, also as `--option=value`.
fn option<'a>(words: &[&'a str], names: &[&str]) -> Option<&'a str> {
    words
        .iter()
        .enumerate()
        .find_map(|(at, word)| match word.split_once('=') {
            Some((name, value)) if names.contains(&name) => Some(value),
            _ if names.contains(word) => words.get(at + 1).copied(),
            _ => None,
        })
}

fn has(words: &[&str], names: &[&str]) -> bool {
    words
        .iter()
        .any(|word| names.contains(&word.split_once('=').map_or(*word, |(name, _)| name)))
}

fn found(name: &str, prompt: Option<&str>, resumed: bool) -> Option<Command> {
    Some(Command {
        spec: ADAPTERS.iter().find(|spec| spec.name == name)?,
        prompt: prompt.filter(|prompt| !prompt.is_empty()).map(str::to_owned),
        resumed,
    })
}

/// The words that are no options, where each option in `valued` has a value after it.
fn positional<'a>(words: &[&'a str], valued: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--" {
            found.extend(words.by_ref());
        } else if valued.contains(word) {
            words.next();
        } else if !word.starts_with('-') || *word == "-" {
            found.push(*word);
        }
    }
    found
}

fn claude(words: &[&str]) -> Option<Command> {
    if !matches!(option(words, &["--output-format"]), Some("stream-json" | "json")) {
        return None;
    }
    // Some options take any number of values, so that only a word right after `-p` or right at the start is surely the
    // prompt.
    let after = words
        .iter()
        .position(|word| matches!(*word, "-p" | "--print"))
        .and_then(|at| words.get(at + 1));
    let prompt = after
        .filter(|word| !word.starts_with('-'))
        .or_else(|| words.first().filter(|word| !word.starts_with('-')));
    found(
        "claude",
        prompt.copied(),
        has(words, &["-c", "--continue", "-r", "--resume"]),
    )
}

fn codex(words: &[&str]) -> Option<Command> {
    const VALUED: &[&str] = &[
        "-c",
        "--config",
        "-m",
        "--model",
        "-C",
        "--cd",
        "-s",
        "--sandbox",
        "-p",
        "--profile",
        "-i",
        "--image",
        "-o",
        "--output-last-message",
        "--output-schema",
        "--color",
        "--add-dir",
        "--enable",
        "--disable",
        "-a",
        "--ask-for-approval",
        "--local-provider",
    ];
    let all = positional(words, VALUED);
    if all == ["app-server"] {
        return found("codex-app", None, false);
    }
    let rest = all.strip_prefix(&["exec"]).or_else(|| all.strip_prefix(&["e"]))?;
    if !has(words, &["--json", "--experimental-json"]) {
        return None;
    }
    if let Some(rest) = rest.strip_prefix(&["resume"]) {
        // Without `--last` the session comes first.
        let prompt = rest.get(usize::from(!has(words, &["--last"])));
        return found("codex", prompt.copied(), true);
    }
    found("codex", rest.first().copied().filter(|prompt| *prompt != "-"), false)
}

fn gemini(words: &[&str]) -> Option<Command> {
    if has(words, &["--acp", "--experimental-acp"]) {
        return found("acp", None, false);
    }
    if !matches!(option(words, &["--output-format", "-o"]), Some("stream-json" | "json")) {
        return None;
    }
    // `stream-json` repeats the prompt; `json` does not.
    let json = option(words, &["--output-format", "-o"]) == Some("json");
    let prompt = option(words, &["-p", "--prompt"]).filter(|_| json);
    found("gemini", prompt, has(words, &["-r", "--resume"]))
}

fn opencode(words: &[&str]) -> Option<Command> {
    const VALUED: &[&str] = &[
        "--format",
        "-m",
        "--model",
        "-s",
        "--session",
        "--agent",
        "-f",
        "--file",
        "--title",
        "--attach",
        "-p",
        "--password",
        "-u",
        "--username",
        "--dir",
        "--port",
        "--variant",
        "--command",
        "--log-level",
    ];
    let all = positional(words, VALUED);
    let message = all.strip_prefix(&["run"])?;
    if option(words, &["--format"]) != Some("json") {
        return None;
    }
    // It puts words of several words into quotes; of one that stands alone they are taken off where it is read again.
    let quoted = |word: &&str| match word.contains(' ') {
        true => format!("\"{}\"", word.replace('"', "\\\"")),
        false => (*word).to_owned(),
    };
    let prompt = match message {
        [one] => (*one).to_owned(),
        several => several.iter().map(quoted).collect::<Vec<_>>().join(" "),
    };
    found(
        "opencode",
        Some(&prompt),
        has(words, &["-c", "--continue", "-s", "--session"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(&'static str, Option<String>, bool)> {
        let words = commands(line).remove(0);
        by_command(&words).map(|command| (command.spec.name, command.prompt, command.resumed))
    }

    #[test]
    fn a_command_line_tells_its_adapter_and_its_prompt() {
        let (hi, none) = (Some("say hi".to_owned()), None::<String>);
        for (line, want) in [
            (
                "claude -p 'say hi' --output-format stream-json --verbose",
                ("claude", hi.clone(), false),
            ),
            (
                "claude --output-format=stream-json --verbose -p",
                ("claude", none.clone(), false),
            ),
            (
                "claude --resume abc --print 'say hi' --output-format json",
                ("claude", hi.clone(), true),
            ),
            (
                "FOO=1 BAR= /opt/bin/claude -p 'say hi' --output-format stream-json",
                ("claude", hi.clone(), false),
            ),
            (
                "env -u X A=1 claude -p 'say hi' --output-format stream-json",
                ("claude", hi.clone(), false),
            ),
            (
                "npx -y @anthropic-ai/claude-code@2.1.328 -p 'say hi' --output-format stream-json",
                ("claude", hi.clone(), false),
            ),
            (
                "node /x/node_modules/@anthropic-ai/claude-code/cli.js -p 'say hi' --output-format stream-json",
                ("claude", hi.clone(), false),
            ),
            (
                "timeout -k 5 60s codex exec --json -m gpt-5 'say hi'",
                ("codex", hi.clone(), false),
            ),
            (
                "codex exec --json --skip-git-repo-check resume --last 'say hi'",
                ("codex", hi.clone(), true),
            ),
            (
                "codex -C /x exec resume 01a1 'say hi' --json",
                ("codex", hi.clone(), true),
            ),
            ("gemini -p 'say hi' -o stream-json", ("gemini", none.clone(), false)),
            (
                "gemini.cmd -p 'say hi' --output-format json",
                ("gemini", hi.clone(), false),
            ),
            ("opencode run --format json say hi", ("opencode", hi.clone(), false)),
            (
                "opencode run --format json fix 'the bug'",
                ("opencode", Some("fix \"the bug\"".to_owned()), false),
            ),
            (
                "pnpm dlx opencode-ai run -s ses_1 --format json 'say hi'",
                ("opencode", hi.clone(), true),
            ),
            (
                "bash -lc 'cd x && claude -p \"say hi\" --output-format stream-json'",
                ("claude", hi.clone(), false),
            ),
            ("bash -c '\"$@\"' x codex exec --json 'say hi'", ("codex", hi, false)),
            (
                "bash -c '\"$@\"; codex exec --json resume --last b' x codex exec --json a",
                ("codex", none, false),
            ),
        ] {
            assert_eq!(read(line), Some(want), "{line}");
        }
    }

    #[test]
    fn a_command_line_that_asks_for_no_format_of_ours_tells_nothing() {
        for line in [
            "claude -p hi",
            "claude",
            "codex exec hi",
            "codex --json",
            "gemini -p hi",
            "opencode serve --format json",
            "make test",
            "echo claude --output-format stream-json",
            "env",
            "bash -c",
            "",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
