//! What a call does, in words that do not depend on who tells it: what sources that name tools and arguments each in their own way have in common.
//!
//! - A command is the words that a shell is given: `/bin/bash -lc 'ls -l'` and `ls -l` are the same.
//! - A patch is the files that it adds, changes and deletes, whether its text is told or what came of it.
//! - Anything else is its tool and its arguments, whatever the order of their fields; `mcp__SERVER__TOOL` is `SERVER.TOOL`.

use serde_json::Value;
use turnwire_proto::Json;

/// What is kept of it as it is, in bytes: of more there is a hash.
const WHOLE: usize = 512;

/// What a call of this tool with these arguments does.
pub(super) fn of(tool: &str, arguments: &Json) -> String {
    let arguments: Value = arguments.read().unwrap_or_default();
    let work = patch(&arguments)
        .or_else(|| command(&arguments).map(|command| format!("$ {}", inner(&command).unwrap_or(command))))
        .unwrap_or_else(|| {
            let name = tool.strip_prefix("mcp__").map(|name| name.replacen("__", ".", 1));
            format!("= {} {arguments}", name.as_deref().unwrap_or(tool))
        });
    if work.len() <= WHOLE {
        return work;
    }
    format!("{}# {}", &work[..1], blake3::hash(work.as_bytes()).to_hex())
}

/// Whether two are the same. A file may be told by a path that begins further down.
pub(super) fn same(a: &str, b: &str) -> bool {
    let is_patch = |work: &str| work.starts_with("+\n");
    if !is_patch(a) || !is_patch(b) {
        return a == b;
    }
    let alike = |(a, b): (&str, &str)| {
        let (Some((how_a, a)), Some((how_b, b))) = (a.split_once(' '), b.split_once(' ')) else {
            return a == b;
        };
        let is_end = |whole: &str, end: &str| {
            whole
                .strip_suffix(end)
                .is_some_and(|dir| dir.is_empty() || dir.ends_with('/'))
        };
        how_a == how_b && (is_end(a, b) || is_end(b, a))
    };
    a.lines().count() == b.lines().count() && a.lines().zip(b.lines()).all(alike)
}

/// What a shell is to run.
fn command(arguments: &Value) -> Option<String> {
    let fields = arguments.as_object()?;
    match fields.get("command").or_else(|| fields.get("cmd"))? {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => match words.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.as_slice() {
            [_, how, text] if runs_text(how) => Some((*text).to_owned()),
            words => Some(words.join(" ")),
        },
        _ => None,
    }
}

/// `-c`, `-lc`.
fn runs_text(option: &str) -> bool {
    option.starts_with('-') && option.ends_with('c') && !option.starts_with("--")
}

/// What a command that is a shell with a text has that shell run.
fn inner(command: &str) -> Option<String> {
    let words = words(command)?;
    match words.as_slice() {
        [shell, how, text] if shell.ends_with("sh") && runs_text(how) => Some(text.clone()),
        _ => None,
    }
}

/// The words of a command, as a POSIX shell quotes them; at most three, more are none.
fn words(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
        if words.len() > 3 {
            return None;
        }
    }
    words.extend(word);
    Some(words)
}

/// The files of a patch: of its text, wherever that stands, or of a list of changes. In the order of what is done and of their names.
fn patch(arguments: &Value) -> Option<String> {
    let text = arguments.as_str().map(str::to_owned).or_else(|| command(arguments));
    let mut files: Vec<String> = match text {
        Some(text) if text.contains("*** Begin Patch") => text.lines().filter_map(patched).collect(),
        Some(_) => return None,
        None => arguments
            .get("changes")?
            .as_array()?
            .iter()
            .map(changed)
            .collect::<Option<_>>()?,
    };
    if files.is_empty() {
        return None;
    }
    // By the last part of the path, which all tell.
    files.sort_by(|a, b| {
        (a.split(' ').next(), a.rsplit('/').next(), a).cmp(&(b.split(' ').next(), b.rsplit('/').next(), b))
    });
    Some(format!("+\n{}", files.join("\n")))
}

fn patched(line: &str) -> Option<String> {
    let (how, path) = line.strip_prefix("*** ")?.split_once(" File: ")?;
    matches!(how, "Add" | "Update" | "Delete").then(|| format!("{} {}", how.to_ascii_lowercase(), path.trim()))
}

fn changed(change: &Value) -> Option<String> {
    Some(format!("{} {}", change["kind"].as_str()?, change["path"].as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn work(tool: &str, arguments: &Value) -> String {
        of(tool, &Json::of(arguments))
    }

    #[test]
    fn a_command_is_what_the_shell_is_given() {
        let odd = r#"printf '%s' "a b" \ $x"#;
        for (told, run) in [
            (json!({"command": "/bin/bash -lc 'echo hello'"}), "echo hello"),
            (json!({"command": "echo hello"}), "echo hello"),
            (json!({"cmd": "echo hello", "yield_time_ms": 10}), "echo hello"),
            (json!({"command": ["/bin/zsh", "-c", "echo hello"]}), "echo hello"),
            (json!({"command": "/bin/bash -lc ls"}), "ls"),
            (json!({"command": r#"/bin/bash -lc "printf '%s' \"a b\" \\ \$x""#}), odd),
            (json!({"command": r"/bin/sh -c 'it'\''s'"}), "it's"),
            (
                json!({"command": "/bin/bash -lc 'not closed"}),
                "/bin/bash -lc 'not closed",
            ),
            (json!({"command": "git commit -c x"}), "git commit -c x"),
        ] {
            assert_eq!(work("any", &told), format!("$ {run}"), "{told}");
        }
        let long = "x".repeat(10_000);
        let wrapped = json!({"command": format!("/bin/bash -lc 'echo {long}'")});
        assert_eq!(work("a", &wrapped), work("b", &json!({"cmd": format!("echo {long}")})));
        assert_ne!(work("a", &wrapped), work("b", &json!({"cmd": format!("echo {long}x")})));
    }

    #[test]
    fn a_patch_is_its_files() {
        let text = "*** Begin Patch\n*** Update File: src/b.rs\n@@\n-x\n+y\n*** Add File: a.txt\n+one\n*** End Patch\n";
        let told = work("apply_patch", &json!({"command": text}));
        assert_eq!(told, work("apply_patch", &json!(text)));
        assert_eq!(
            told,
            work(
                "exec_command",
                &json!({"cmd": format!("apply_patch <<'EOF'\n{text}EOF")})
            )
        );
        let changes = |dir: &str| json!({"changes": [{"path": format!("/home/{dir}/a.txt"), "kind": "add"}, {"path": "/home/dev/src/b.rs", "kind": "update"}]});
        assert!(same(&told, &work("file_change", &changes("dev"))));
        let other = json!({"changes": [{"path": "/home/dev/ba.txt", "kind": "add"}, {"path": "/home/dev/src/b.rs", "kind": "update"}]});
        assert!(!same(&told, &work("file_change", &other)));
        let other = json!({"changes": [{"path": "/home/dev/a.txt", "kind": "add"}]});
        assert!(!same(&told, &work("file_change", &other)));
    }

    #[test]
    fn anything_else_is_its_tool_and_its_arguments() {
        let (a, b) = (json!({"q": 1, "r": "x"}), json!({"r": "x", "q": 2}));
        assert_eq!(
            work("mcp__docs__find", &a),
            work("docs.find", &json!({"r": "x", "q": 1}))
        );
        assert_ne!(work("docs.find", &a), work("docs.find", &b));
        assert_ne!(work("docs.find", &a), work("docs.list", &a));
    }
}
