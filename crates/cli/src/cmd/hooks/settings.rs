//! An agent's settings with our hooks in them: put in, put in place of older ones, and taken out. Claude Code, Codex and Gemini CLI have
//! the same shape for them, each in a file of its own.
//!
//! Ours is known by what it does: a command `turnwire hook …`, or a URL of the gateway's route. Nothing marks it, so one
//! that a person has written or moved is ours as well.

use std::ops::Range;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::Value;
use turnwire_proto::path;

use super::splice::{self, Layout};
use crate::args::Vendor;

/// Events that are told, in the order in which they are written. Only those that observe: a hook of `WorktreeCreate` would have
/// to do the vendor's work.
const CLAUDE: &[&str] = &[
    "SessionStart",
    "UserPromptSubmit",
    "MessageDisplay",
    "PreToolUse",
    "PermissionRequest",
    "PermissionDenied",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "SubagentStart",
    "SubagentStop",
    "TaskCreated",
    "TaskCompleted",
    "Elicitation",
    "ElicitationResult",
    "Notification",
    "PreCompact",
    "PostCompact",
    "Stop",
    "StopFailure",
    "SessionEnd",
];

/// The same of Codex.
const CODEX: &[&str] = &[
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PermissionRequest",
    "PostToolUse",
    "SubagentStart",
    "SubagentStop",
    "PreCompact",
    "PostCompact",
    "Stop",
    "SessionEnd",
];

/// The same of Gemini CLI. Its hooks of the model have the whole conversation in each payload, and tell nothing more.
const GEMINI: &[&str] = &[
    "SessionStart",
    "BeforeAgent",
    "BeforeTool",
    "AfterTool",
    "AfterAgent",
    "Notification",
    "SessionEnd",
];

/// Events that are told of a vendor's.
pub(super) const fn events(vendor: Vendor) -> &'static [&'static str] {
    match vendor {
        Vendor::Claude => CLAUDE,
        Vendor::Codex => CODEX,
        Vendor::Gemini => GEMINI,
    }
}

/// What a vendor is called behind `turnwire hook`.
pub(super) const fn word(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Claude => "claude",
        Vendor::Codex => "codex",
        Vendor::Gemini => "gemini",
    }
}

/// One hook, as the settings have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Hook {
    Command {
        command: String,
        timeout: u64,
    },
    #[serde(rename_all = "camelCase")]
    Http {
        url: String,
        headers: Headers,
        allowed_env_vars: [&'static str; 1],
        timeout: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Headers {
    #[serde(rename = "Authorization")]
    pub(super) authorization: &'static str,
}

/// Hooks that are called together.
#[derive(Serialize)]
struct Group<'a> {
    hooks: [&'a Hook; 1],
}

/// A hook and its event.
pub(super) type Wanted = (&'static str, Hook);

/// Places of a hook of ours, from the outermost.
struct Found {
    event: String,
    hooks: Range<usize>,
    events: Vec<Range<usize>>,
    nth_event: usize,
    groups: Vec<Range<usize>>,
    nth_group: usize,
    items: Vec<Range<usize>>,
    inner: Range<usize>,
    nth: usize,
}

fn whole(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    start..text.trim_end().len()
}

fn value(text: &str, at: &Range<usize>) -> Value {
    serde_json::from_str(&text[at.clone()]).unwrap_or_default()
}

/// Whether a hook is one of ours.
fn is_ours(hook: &Value) -> bool {
    let command = hook["command"].as_str().and_then(|command| {
        let words = [Vendor::Claude, Vendor::Codex, Vendor::Gemini].map(word);
        let split = |word: &str| command.split_once(&format!(" hook {word}"));
        let (program, rest) = words.iter().find_map(|word| split(word))?;
        let name = program.trim_matches(['\'', '"']).rsplit('/').next()?;
        Some(name == "turnwire" && (rest.is_empty() || rest.starts_with(' ')))
    });
    let url = hook["url"].as_str().map(|url| {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        path.ends_with(path::HOOKS_CLAUDE)
    });
    command.or(url) == Some(true)
}

/// All hooks of ours, in the order of the text.
fn find(text: &str) -> anyhow::Result<Vec<Found>> {
    let Some(hooks) = hooks(text)? else {
        return Ok(Vec::new());
    };
    let members = splice::members(text, &hooks)?;
    let events: Vec<_> = members.iter().map(|member| member.value.clone()).collect();
    let mut found = Vec::new();
    for (nth_event, member) in members.iter().enumerate() {
        // What is of another shape is not ours.
        let groups = splice::items(text, &member.value).unwrap_or_default();
        for (nth_group, group) in groups.iter().enumerate() {
            let inside = splice::members(text, group).unwrap_or_default();
            let Some(list) = inside.into_iter().find(|inside| inside.key == "hooks") else {
                continue;
            };
            let items = splice::items(text, &list.value).unwrap_or_default();
            for nth in 0..items.len() {
                if is_ours(&value(text, &items[nth])) {
                    found.push(Found {
                        event: member.key.clone(),
                        hooks: hooks.clone(),
                        events: events.clone(),
                        nth_event,
                        groups: groups.clone(),
                        nth_group,
                        items: items.clone(),
                        inner: list.value.clone(),
                        nth,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Where the object of all hooks is.
fn hooks(text: &str) -> anyhow::Result<Option<Range<usize>>> {
    let top = splice::members(text, &whole(text)).context("it is not a JSON object")?;
    let Some(hooks) = top.into_iter().rfind(|member| member.key == "hooks") else {
        return Ok(None);
    };
    splice::members(text, &hooks.value).map_err(|error| anyhow!("`hooks` is not an object: {error}"))?;
    Ok(Some(hooks.value))
}

/// The text with these hooks, and no others of ours.
pub(super) fn install(text: &str, wanted: &[Wanted]) -> anyhow::Result<String> {
    let mut text = if text.trim().is_empty() {
        "{}\n".to_owned()
    } else {
        text.to_owned()
    };
    let layout = Layout::of(&text);
    let mut had: Vec<String> = Vec::new();
    // From the last: what is before it does not move.
    for found in find(&text)?.into_iter().rev() {
        let hook = wanted
            .iter()
            .find(|(event, _)| *event == found.event)
            .map(|(_, hook)| hook);
        match hook {
            Some(hook) if !had.contains(&found.event) => {
                let at = &found.items[found.nth];
                let same = serde_json::to_value(hook)? == value(&text, at);
                if !same {
                    splice::replace(&mut text, &layout, at.clone(), 5, hook);
                }
                had.push(found.event);
            }
            _ => take_out(&mut text, &found),
        }
    }
    for (event, hook) in wanted.iter().filter(|(event, _)| !had.iter().any(|had| had == event)) {
        put_in(&mut text, &layout, event, hook)?;
    }
    Ok(text)
}

fn put_in(text: &mut String, layout: &Layout, event: &str, hook: &Hook) -> anyhow::Result<()> {
    let group = Group { hooks: [hook] };
    let Some(hooks) = hooks(text)? else {
        let all = whole(text);
        let hooks = std::collections::BTreeMap::from([(event, [group])]);
        return Ok(splice::push_member(text, layout, (&all, 1), "hooks", &hooks)?);
    };
    let member = splice::members(text, &hooks)?
        .into_iter()
        .rfind(|member| member.key == event);
    match member {
        None => splice::push_member(text, layout, (&hooks, 2), event, &[group])?,
        Some(member) => splice::push_item(text, layout, (&member.value, 3), &group)
            .map_err(|error| anyhow!("`hooks.{event}` is not an array: {error}"))?,
    }
    Ok(())
}

/// Takes a hook out, and what it leaves empty.
fn take_out(text: &mut String, found: &Found) {
    let top = || splice::members(text, &whole(text)).unwrap_or_default();
    if found.items.len() > 1 {
        splice::remove(text, &found.inner, &found.items, found.nth);
    } else if found.groups.len() > 1 {
        splice::remove(text, &found.events[found.nth_event], &found.groups, found.nth_group);
    } else if found.events.len() > 1 {
        splice::remove(text, &found.hooks, &found.events, found.nth_event);
    } else {
        let members = top();
        let n = members.iter().position(|member| member.value == found.hooks);
        let values: Vec<_> = members.into_iter().map(|member| member.value).collect();
        if let Some(n) = n {
            let all = whole(text);
            splice::remove(text, &all, &values, n);
        }
    }
}

/// The text without hooks of ours.
pub(super) fn uninstall(text: &str) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    if text.trim().is_empty() {
        return Ok(text);
    }
    // One at a time: what is empty after one was not before.
    while let Some(found) = find(&text)?.pop() {
        take_out(&mut text, &found);
    }
    Ok(text)
}

/// Which hooks of ours there are: the event, and what is called.
pub(super) fn list(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let shown = |found: Found| {
        let hook = value(text, &found.items[found.nth]);
        let what = hook["command"].as_str().or_else(|| hook["url"].as_str());
        (found.event, what.unwrap_or_default().to_owned())
    };
    Ok(find(text)?.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(gate: &str) -> Vec<Wanted> {
        let hook = |_| Hook::Command {
            command: format!("'/opt/my tools/turnwire' hook claude{gate}"),
            timeout: 10,
        };
        CLAUDE.iter().map(|event| (*event, hook(event))).collect()
    }

    const FULL: &str = r#"{
    "model": "opus",   "zeta": [1,2 ,3],
    "hooks": {
        "Stop": [
            {"matcher": "", "hooks": [{"type": "command", "command": "say done"}]}
        ],
        "SessionEnd": [ { "hooks": [ { "type": "command", "command": "turnwired hook claude" } ] } ]
    },
    "été": "\u00e9"
}
"#;

    #[test]
    fn what_was_there_stays_byte_for_byte_and_comes_back_byte_for_byte() {
        for text in [
            FULL,
            "{}\n",
            "{\"a\":1}",
            "{\"hooks\":{\"Stop\":[{\"hooks\":[{\"type\":\"command\",\"command\":\"x\"}]}]}}",
            "{\r\n\t\"a\": 1\r\n}\r\n",
            "  {\n \"a\": {},\n \"b\": 2}  \n",
        ] {
            let with = install(text, &wanted("")).unwrap();
            assert_eq!(list(&with).unwrap().len(), CLAUDE.len(), "{with}");
            for line in text.lines().filter(|line| line.len() > 4) {
                assert!(with.contains(line.trim_end_matches(['}', ']', ' '])), "{line}\n{with}");
            }
            assert_eq!(install(&with, &wanted("")).unwrap(), with, "twice is once");
            assert_eq!(uninstall(&with).unwrap(), text);
        }
    }

    #[test]
    fn other_hooks_of_ours_are_replaced_where_they_stand_and_others_are_not_touched() {
        let one = install(FULL, &wanted("")).unwrap();
        let moved = one.replace("\"model\": \"opus\",", "\"model\": \"opus\", \"added\": true,");
        let two = install(&moved, &wanted(" --gate")).unwrap();
        assert_eq!(
            two,
            moved
                .replace("hook claude\"", "hook claude --gate\"")
                .replace("turnwired hook claude --gate", "turnwired hook claude")
        );
        let few = install(&two, &wanted("")[..3]).unwrap();
        assert_eq!(list(&few).unwrap().len(), 3);
        let without = uninstall(&few).unwrap();
        assert_eq!(
            without,
            FULL.replace("\"model\": \"opus\",", "\"model\": \"opus\", \"added\": true,")
        );
    }

    #[test]
    fn a_hook_of_ours_that_was_moved_among_others_is_taken_out_alone() {
        let text = r#"{"hooks":{"Stop":[{"matcher":"x","hooks":[{"command":"a"},{"type":"http","url":"http://h:1/api/hooks/claude?gate=pre_tool_use"},{"command":"b"}]}]}}"#;
        let want = r#"{"hooks":{"Stop":[{"matcher":"x","hooks":[{"command":"a"},{"command":"b"}]}]}}"#;
        assert_eq!(uninstall(text).unwrap(), want);
        let first = text.replacen(r#"{"command":"a"},"#, "", 1);
        assert_eq!(uninstall(&first).unwrap(), want.replacen(r#"{"command":"a"},"#, "", 1));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_not_touched() {
        for bad in ["[]", "{\"hooks\": 7}", "{\"hooks\":{\"Stop\":{}}}", "{ // mine\n}", "{"] {
            assert!(install(bad, &wanted("")).is_err(), "{bad}");
        }
        assert!(
            install("", &wanted(""))
                .unwrap()
                .starts_with("{\n  \"hooks\": {\n    \"SessionStart\": [\n      {")
        );
    }
}
