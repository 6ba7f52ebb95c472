//! `task_*` lines: what works in the background. A subagent has a start and an end of its own, which pair; a command is its
//! call's progress.

use turnwire_proto::{Empty, Json, Kind, ToolProgress};

use super::Claude;
use crate::{
    scribe::{Page, with},
    view::Obj,
};

/// Tasks that are remembered; beyond it the oldest is given up.
const TASKS: usize = 256;

/// A task in the background.
#[derive(Debug)]
pub(super) struct Task {
    id: String,
    call: Option<String>,
    agent: Life,
}

/// How far a subagent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It is none, or its start was not told.
    None,
    Working,
    Over,
}

impl Task {
    fn call(&self) -> Option<Json> {
        self.call.as_ref().map(Json::of)
    }

    /// Ends a subagent that works.
    fn end(&mut self, line: &Obj<'_>, status: Option<&str>, page: &mut Page<'_>) -> bool {
        if self.agent != Life::Working {
            return false;
        }
        self.agent = Life::Over;
        let more = [
            ("task_id", Some(Json::of(&self.id))),
            ("tool_call_id", self.call()),
            ("status", status.map(Json::of)),
            ("error", line.obj("patch").and_then(|patch| patch.json("error"))),
            ("summary", line.json("summary")),
            ("usage", line.json("usage")),
        ];
        page.write(Kind::AGENT_END, with(&Empty {}, &more));
        true
    }
}

impl Claude {
    pub(super) fn task(&mut self, subtype: &str, line: &Obj<'_>, page: &mut Page<'_>) {
        let id = line.text("task_id").unwrap_or_default();
        let task = self.remembered(&id, line, page);
        let patch = line.obj("patch").unwrap_or_default();
        let status = line.text("status").or_else(|| patch.text("status"));
        let over = matches!(
            status.as_deref(),
            Some("completed" | "failed" | "stopped" | "killed" | "cancelled")
        );
        let agent = line.get("subagent_type").is_some() || line.is("task_type", "local_agent");
        if subtype == "task_started" && agent && task.agent == Life::None {
            task.agent = Life::Working;
            let more = [
                ("agent", line.json("subagent_type")),
                ("task_id", line.json("task_id")),
                ("tool_call_id", task.call()),
                ("description", line.json("description")),
            ];
            page.write(Kind::AGENT_START, with(&Empty {}, &more));
            return;
        }
        if over && task.end(line, status.as_deref(), page) {
            return;
        }
        if let (false, Some(tool_call_id)) = (over, task.call.clone()) {
            let body = ToolProgress {
                tool_call_id,
                tool: line.text("last_tool_name"),
                content: line.text("description"),
                elapsed_ms: line.obj("usage").and_then(|usage| usage.u64("duration_ms")),
                arguments_delta: None,
            };
            page.tell(Kind::TOOL_PROGRESS, &body);
        } else {
            let what = line.text("summary").or_else(|| line.text("description")).unwrap_or(id);
            let text = format!("task {}: {what}", status.as_deref().unwrap_or("changed"));
            let more = [("tool_call_id", task.call()), ("output_file", line.json("output_file"))];
            page.note(&text, &more);
        }
    }

    fn remembered(&mut self, id: &str, line: &Obj<'_>, page: &mut Page<'_>) -> &mut Task {
        let known = self.tasks.iter().position(|task| task.id == id);
        let at = known.unwrap_or_else(|| {
            if self.tasks.len() >= TASKS {
                let mut oldest = self.tasks.remove(0);
                page.aside(|page| oldest.end(&Obj::default(), Some("unknown"), page));
            }
            self.tasks.push(Task {
                id: id.to_owned(),
                call: line.text("tool_use_id"),
                agent: Life::None,
            });
            self.tasks.len() - 1
        });
        &mut self.tasks[at]
    }

    /// The output ends: whether the subagents that still worked did well is not known.
    pub(super) fn end_tasks(&mut self, page: &mut Page<'_>) {
        for task in &mut self.tasks {
            task.end(&Obj::default(), Some("unknown"), page);
        }
    }
}
