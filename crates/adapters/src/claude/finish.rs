//! `result`: how a turn ended, and what it has used.

use turnwire_proto::{Kind, Message, TurnEnd, Usage};

use super::{Claude, blocks::INTERRUPTED};
use crate::{
    scribe::{Page, add, less, money, nothing, since},
    view::{Obj, string},
};

impl Claude {
    pub(super) fn result(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        // Results come in the order of their turns.
        let newer = self.owed.pop_front().and_then(|turn| page.scribe.take_up(turn));
        self.begun = newer.is_some();
        self.result_of(line, page);
        if let Some(turn) = newer {
            page.scribe.take_up(turn);
        }
    }

    fn result_of(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.ensure_turn();
        let subtype = line.text("subtype").unwrap_or_else(|| "success".to_owned());
        let ok = subtype == "success" && !line.yes("is_error");
        let spoke = page.scribe.turn().is_some_and(|turn| turn.spoke);
        if ok
            && !spoke
            && let Some(content) = line.text("result")
        {
            let body = Message {
                role: "assistant".to_owned(),
                content,
                ..Message::default()
            };
            page.tell(Kind::MESSAGE, &body);
        }
        let note = if ok {
            remark(line)
        } else {
            Some(failure(&subtype, line, page))
        };
        if let Some(call) = line.obj("deferred_tool_use").and_then(|call| call.text("id")) {
            page.doom(&call, "deferred");
        }
        let cost = self.bill(line, page);
        let body = TurnEnd {
            ok,
            note,
            duration_ms: line.u64("duration_ms"),
            usage: None,
            cost_usd: cost,
            num_turns: line.u64("num_turns"),
            permission_denials: line.json("permission_denials").filter(|denials| denials.get() != "[]"),
        };
        page.end_turn(body);
    }

    /// Tells, model by model, what the turn has used and what its events have not yet told. The turn's cost where no model
    /// says its own.
    fn bill(&mut self, line: &Obj<'_>, page: &mut Page<'_>) -> Option<f64> {
        let totals = line
            .obj("modelUsage")
            .map(|models| per_model(&models))
            .unwrap_or_default();
        let turn = match line.obj("model_usage_since_last_result") {
            Some(models) => per_model(&models),
            None => totals
                .iter()
                .map(|(model, total)| (model.clone(), self.gained(model, total)))
                .collect(),
        };
        // Where models say what they have used in all, one that has used nothing since is told as none.
        let turn = if turn.is_empty() && totals.is_empty() {
            whole(line)
        } else {
            turn
        };
        let mut told = std::mem::take(&mut self.live);
        let mut left = Vec::new();
        for (model, used) in turn {
            let at = told
                .iter()
                .position(|(name, _)| name.starts_with(&*model) || model.starts_with(&**name));
            let before = at.map(|at| told.swap_remove(at).1).unwrap_or_default();
            left.push(Usage {
                model: (!model.is_empty()).then_some(model),
                ..less(&used, &before)
            });
        }
        // Told under a name that the bill does not know: it is in the bill all the same, and must not count twice.
        let mut strays = told.iter().fold(Usage::default(), |sum, (_, used)| add(&sum, used));
        let mut bill = Vec::new();
        for usage in left {
            let rest = less(&usage, &strays);
            strays = less(&strays, &usage);
            if !nothing(&rest) {
                bill.push(rest);
            } else if usage.cost_usd.is_some_and(|cost| cost > 0.0) {
                // The tokens have been told while they were made, without their price.
                bill.push(Usage {
                    model: usage.model,
                    cost_usd: usage.cost_usd,
                    ..Usage::default()
                });
            }
        }
        self.fill(line, &mut bill);
        for usage in &bill {
            page.usage(usage);
        }
        let total = line.f64("total_cost_usd");
        let before = self.cost;
        self.cost = total.unwrap_or(before);
        let priced = totals.iter().any(|(_, used)| used.cost_usd.is_some());
        if !totals.is_empty() {
            self.billed = totals;
        }
        let cost = total.map(|total| money(if total >= before { total - before } else { total }));
        cost.filter(|_| !priced)
    }

    /// Says in the bill how full the main model's context is: only `result` knows how much it takes.
    fn fill(&mut self, line: &Obj<'_>, bill: &mut Vec<Usage>) {
        let (Some((model, tokens)), Some(models)) = (&self.context, line.obj("modelUsage")) else {
            return;
        };
        let main = |name: &str| name.starts_with(&**model) || model.starts_with(name);
        let window = models
            .entries()
            .find(|(name, _)| main(name))
            .and_then(|(_, used)| Obj::parse(used.get())?.u64("contextWindow"));
        let at = bill.iter().position(|usage| usage.model.as_deref().is_some_and(main));
        let at = at.unwrap_or_else(|| {
            bill.push(Usage {
                model: Some(model.clone()),
                ..Usage::default()
            });
            bill.len() - 1
        });
        (bill[at].context_tokens, bill[at].context_window) = (Some(*tokens), window);
    }

    /// What a model has used since the last result.
    fn gained(&self, model: &str, total: &Usage) -> Usage {
        let Some((_, before)) = self.billed.iter().find(|(name, _)| name == model) else {
            return total.clone();
        };
        let cost = match (total.cost_usd, before.cost_usd) {
            (Some(now), Some(then)) if now >= then => Some(money(now - then)),
            (now, _) => now,
        };
        Usage {
            cost_usd: cost,
            ..since(total, before)
        }
    }
}

fn per_model(models: &Obj<'_>) -> Vec<(String, Usage)> {
    let usage = |used: Obj<'_>| Usage {
        input_tokens: used.u64("inputTokens"),
        output_tokens: used.u64("outputTokens"),
        cache_read_input_tokens: used.u64("cacheReadInputTokens"),
        cache_creation_input_tokens: used.u64("cacheCreationInputTokens"),
        reasoning_tokens: used.u64("thinkingTokens"),
        cost_usd: used.f64("costUSD"),
        ..Usage::default()
    };
    let read =
        |(model, used): (&str, &serde_json::value::RawValue)| Some((model.to_owned(), usage(Obj::parse(used.get())?)));
    models.entries().filter_map(read).collect()
}

/// The turn's tokens where they are not told model by model.
fn whole(line: &Obj<'_>) -> Vec<(String, Usage)> {
    line.obj("usage")
        .map(|used| vec![(String::new(), tokens(&used))])
        .unwrap_or_default()
}

/// Tokens as the API counts them.
pub(super) fn tokens(used: &Obj<'_>) -> Usage {
    Usage {
        input_tokens: used.u64("input_tokens"),
        output_tokens: used.u64("output_tokens"),
        cache_read_input_tokens: used.u64("cache_read_input_tokens"),
        cache_creation_input_tokens: used.u64("cache_creation_input_tokens"),
        ..Usage::default()
    }
}

/// What is to be said of a turn that ended well.
fn remark(line: &Obj<'_>) -> Option<String> {
    let terminal = line.text("terminal_reason").filter(|reason| reason != "completed");
    let stop = line
        .text("stop_reason")
        .filter(|reason| !matches!(reason.as_str(), "end_turn" | "stop_sequence" | "tool_use"));
    terminal.or(stop)
}

/// Why a turn failed. It is told as an error, unless the turn has just said the same.
fn failure(subtype: &str, line: &Obj<'_>, page: &mut Page<'_>) -> String {
    let errors: Vec<_> = line.list("errors").into_iter().filter_map(string).collect();
    let terminal = line.text("terminal_reason");
    // `aborted_tools`, `aborted_streaming`: a person has stopped it, which is no error of the program's.
    if subtype == "error_during_execution" && terminal.as_deref().is_some_and(|why| why.starts_with("aborted")) {
        return INTERRUPTED.to_owned();
    }
    let text = match (errors.is_empty(), line.text("result")) {
        (false, _) => errors.join("; "),
        (true, Some(result)) => result,
        (true, None) => terminal.unwrap_or_else(|| subtype.replace('_', " ")),
    };
    if !page.has_said(&text) {
        let component = if line.get("api_error_status").is_some() {
            "api"
        } else {
            "claude-code"
        };
        page.error(component, &text, None);
    }
    match subtype {
        "success" => text,
        subtype => format!("{subtype}: {text}"),
    }
}
