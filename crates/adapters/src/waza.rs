//! waza: the log of an evaluation, `<time>-session.jsonl`, that `waza run --session-log` appends to while it runs.
//!
//! What is particular to it:
//! - A line is `{timestamp, type, data?}`. No line says which run it is of: a file is a run, and its session is the file's name,
//!   which the caller knows; without one it is made of the first line's time.
//! - `session_complete` has the sums of the run: it is the `run_complete`, once, and the end of the session.
//! - Newer logs have a `run_complete` of their own, which is the end of one try of a task: a note.
//! - A task's status is `passed`, `failed`, `error` or `n/a`.

use turnwire_proto::{GraderResult, Json, Kind, RunComplete, SessionEnd, SessionStart, TaskComplete, TaskStart, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, with},
    view::Obj,
};

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Waza::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Waza {
    /// Of how many tasks, as `session_start` says.
    total: Option<u64>,
    complete: bool,
    named: bool,
}

impl Vendor for Waza {
    const SOURCE: &'static str = "waza";
    const FILE: bool = true;

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let time = line.time("timestamp");
        page.at(time);
        if !std::mem::replace(&mut self.named, true) && page.scribe.context.session.is_none() {
            page.session(&format!("waza-{}", time.unwrap_or_else(|| page.now()).millis()));
        }
        let data = line.obj("data").unwrap_or_default();
        match line.str("type").as_deref() {
            Some("session_start") => self.start(&data, page),
            Some("task_start") => {
                let total = data.u64("total_tasks").or(self.total);
                let body = TaskStart {
                    task: data.text("task_name").unwrap_or_default(),
                    number: data.u64("task_num"),
                    total,
                };
                page.tell(Kind::TASK_START, &body);
            }
            Some("task_complete") => {
                let body = TaskComplete {
                    task: data.text("task_name").unwrap_or_default(),
                    outcome: outcome(&data),
                    score: data.f64("score"),
                    duration_ms: data.u64("duration_ms"),
                };
                page.tell(Kind::TASK_COMPLETE, &body);
            }
            Some("grader_result") => {
                let body = GraderResult {
                    grader: data.text("grader_name").unwrap_or_default(),
                    passed: data.yes("passed"),
                    grader_type: data.text("grader_type"),
                    score: data.f64("score"),
                    message: data.text("feedback"),
                };
                page.tell(Kind::GRADER_RESULT, &body);
            }
            Some("run_complete") => tried(&data, page),
            Some("session_complete") => self.end(&data, page),
            Some("error") => {
                let message = data.text("message").unwrap_or_else(|| "error".to_owned());
                let component = data.text("task_name").unwrap_or_else(|| "waza".to_owned());
                page.error(&component, &message, None);
            }
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
    }
}

impl Waza {
    fn start(&mut self, data: &Obj<'_>, page: &mut Page<'_>) {
        self.total = data.u64("task_count");
        let body = SessionStart {
            model: data.text("model"),
            ..SessionStart::default()
        };
        let more = [
            ("spec", data.json("spec_path")),
            ("engine", data.json("engine")),
            ("task_count", data.json("task_count")),
        ];
        page.start_session(body, &more);
    }

    fn end(&mut self, data: &Obj<'_>, page: &mut Page<'_>) {
        if std::mem::replace(&mut self.complete, true) {
            return page.keep("session_complete");
        }
        let body = RunComplete {
            total: data.u64("total_tests").or(self.total),
            passed: data.u64("passed"),
            failed: data.u64("failed"),
            errors: data.u64("errors"),
            duration_ms: data.u64("duration_ms"),
        };
        page.known_by(&["run_complete"]);
        page.tell(Kind::RUN_COMPLETE, &body);
        let end = SessionEnd {
            reason: Some("complete".to_owned()),
            ..SessionEnd::default()
        };
        page.end_session(&end);
    }
}

/// `passed`, also where a log says `pass`.
fn outcome(data: &Obj<'_>) -> String {
    match data.str("status").as_deref() {
        Some("pass") => "passed".to_owned(),
        Some("fail") => "failed".to_owned(),
        Some(status) if !status.is_empty() => status.to_owned(),
        _ => "n/a".to_owned(),
    }
}

/// One try of a task has ended.
fn tried(data: &Obj<'_>, page: &mut Page<'_>) {
    let task = data.text("task_name").unwrap_or_default();
    let number = data
        .u64("run_number")
        .map_or_else(|| "?".to_owned(), |number| number.to_string());
    let digest = data.obj("session_digest").unwrap_or_default();
    let more = [
        ("task", data.json("task_name")),
        ("run", data.json("run_number")),
        ("digest", data.json("session_digest")),
    ];
    page.note(&format!("{task}: try {number} is over"), &more);
    let used = digest.obj("usage").unwrap_or_default();
    let usage = Usage {
        input_tokens: used.u64("input_tokens"),
        output_tokens: used.u64("output_tokens"),
        cache_read_input_tokens: used.u64("cache_read_tokens"),
        ..Usage::default()
    };
    if usage != Usage::default() {
        let of = [("session", digest.text("session_id").map(|id| Json::of(&id)))];
        page.write(Kind::USAGE, with(&usage, &of));
    }
}
