//! What is said of an approval.

use serde_json::Value;
use turnwire_proto::{Epoch, Json, approval::Approval};

use crate::views::{approvals::News, one_line};

/// Fields of a tool's arguments that say most of what it is about to do.
const TELLING: [&str; 7] = ["command", "cmd", "file_path", "path", "url", "query", "question"];

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Note<'a> {
    pub(super) approval: &'a Approval,
    /// What people call the session.
    pub(super) session: &'a str,
    /// What ntfy knows it by: letters, digits and `-`, at most 64. Another log's have another name.
    pub(super) sequence: String,
}

impl<'a> Note<'a> {
    pub(super) fn new(news: &'a News, epoch: Epoch) -> Self {
        let approval = &news.standing.approval;
        let log: String = epoch.to_string().chars().take(8).collect();
        Self {
            approval,
            session: news.title.as_deref().unwrap_or(approval.session_id.as_str()),
            sequence: format!("turnwire-{log}-{}", approval.seq),
        }
    }

    /// The tool and the first line of what it would do.
    pub(super) fn line(&self) -> String {
        let about = self.approval.arguments.as_ref().and_then(first_line);
        match about {
            Some(about) if !self.approval.tool.is_empty() => format!("{}: {about}", self.approval.tool),
            Some(about) => about,
            None => self
                .approval
                .title
                .as_deref()
                .map_or_else(|| self.approval.tool.clone(), one_line),
        }
    }
}

fn first_line(arguments: &Json) -> Option<String> {
    let text = match arguments.read::<Value>().ok()? {
        Value::Object(fields) => {
            let telling = TELLING.iter().find_map(|name| fields.get(*name)?.as_str());
            let any = || fields.values().find_map(Value::as_str);
            match telling.or_else(any) {
                Some(text) => text.to_owned(),
                None if fields.is_empty() => return None,
                None => arguments.get().to_owned(),
            }
        }
        Value::String(text) => text,
        Value::Null => return None,
        _ => arguments.get().to_owned(),
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(one_line(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_first_line_is_what_it_is_about_to_do() {
        for (arguments, line) in [
            (
                r#"{"description":"x","command":"\n  cargo test\nrm -r /"}"#,
                Some("cargo test"),
            ),
            (r#"{"n":1,"note":"text"}"#, Some("text")),
            (r#"{"n":1}"#, Some(r#"{"n":1}"#)),
            (r#""plain""#, Some("plain")),
            ("[1,2]", Some("[1,2]")),
            ("{}", None),
            ("null", None),
            (r#"{"command":" \n "}"#, None),
        ] {
            assert_eq!(
                first_line(&Json::parse(arguments).unwrap()).as_deref(),
                line,
                "{arguments}"
            );
        }
        let long = Json::of(&serde_json::json!({"command": "x".repeat(5000)}));
        assert_eq!(first_line(&long).unwrap().chars().count(), 161);
    }
}
