//! The tables, in Markdown.

use std::fmt::Write as _;

use super::{
    cases::{BASE, Bar, CASES, Case, Must, OURS, Of, Sense, title},
    figures::Figures,
};

/// One line a case: what is owed, what was measured, whether it is enough, and what stands beside it.
pub(super) fn verdicts(figures: &Figures) -> String {
    let mut rows = Vec::new();
    for case in measured(figures) {
        let (least, least_met) = column(figures, case, Must::AtLeast);
        let (aim, aim_met) = column(figures, case, Must::Aim);
        rows.push(vec![
            case.what.to_owned(),
            ours(figures, case),
            least,
            least_met,
            aim,
            aim_met,
            beside(figures, case),
        ]);
    }
    let heads = ["workload", OURS, "at least", "met", "aim", "met", "beside it"];
    markdown(&heads, &rows)
}

/// One table a case: every target, every metric.
pub(super) fn details(figures: &Figures) -> String {
    let mut out = String::new();
    for case in measured(figures) {
        let (ratios, columns) = case.load.columns();
        let mut heads = vec!["target".to_owned()];
        for (i, metric) in columns.iter().enumerate() {
            heads.push(title(metric).replace('_', " "));
            if i < ratios {
                heads.push(format!("/ {BASE}"));
            }
        }
        heads.extend(["range of the first".to_owned(), "reps".to_owned()]);
        let rows: Vec<_> = present(figures, case)
            .map(|target| detail(figures, case, target))
            .collect();
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        let _ = writeln!(out, "\n**{}**\n\n{}", case.what, markdown(&heads, &rows).trim_end());
    }
    out
}

/// What `--write` writes.
pub(super) fn results(figures: &Figures, machine: &str, command: &str) -> String {
    format!(
        "# Results

Measured by

    {command}

{machine}
Ratios, not absolute figures, are what carries over to another machine: each is taken within one repetition, where the
server and `{BASE}` ran seconds apart, and the median is shown. [README.md](README.md) says what the workloads and the
limits are. Generator and server share the machine's cores. CPU is user and system time of the server's process,
network work in the kernel included. Durability is on: `{OURS} serve` as it comes, every event on disk before it is
acknowledged; so it is for coalesce-durable, durable-streams-rs and redis-always, and for limit in W4; not for NATS,
JetStream (no fsync per message), redis-everysec and nchan.

## What is owed, and what is met

{}
## Every figure
{}",
        verdicts(figures),
        details(figures)
    )
}

fn measured(figures: &Figures) -> impl Iterator<Item = &'static Case> {
    CASES.iter().filter(|case| present(figures, case).next().is_some())
}

fn present<'a>(figures: &'a Figures, case: &'a Case) -> impl Iterator<Item = &'static str> + 'a {
    case.targets
        .iter()
        .copied()
        .filter(|target| figures.reps(case, target) > 0)
}

/// The bars of one strength, and whether they are met.
fn column(figures: &Figures, case: &Case, must: Must) -> (String, String) {
    let bars: Vec<&Bar> = case.bars.iter().filter(|bar| bar.must == must).collect();
    if bars.is_empty() {
        return ("–".to_owned(), String::new());
    }
    let owed: Vec<_> = bars.iter().map(|bar| spell(bar)).collect();
    let met: Vec<_> = bars.iter().map(|bar| figures.met(case, bar)).collect();
    let met = if met.contains(&Some(false)) || !figures.faults(case, OURS).is_empty() {
        "**no**"
    } else if met.contains(&None) {
        "?"
    } else {
        "yes"
    };
    (owed.join(", "), met.to_owned())
}

fn spell(bar: &Bar) -> String {
    let sense = if bar.sense == Sense::NotBelow { '≥' } else { '≤' };
    match bar.of {
        Of::Target(to) => format!("{sense} {} × {to} in {}", bar.value, title(bar.metric)),
        Of::Nothing => format!("{sense} {} {}", bar.value, title(bar.metric)),
    }
}

/// The server's own figures: the first metric with its ratio to the limit, and all that a bar speaks of.
fn ours(figures: &Figures, case: &Case) -> String {
    let (_, columns) = case.load.columns();
    let mut parts = Vec::new();
    let mut said = Vec::new();
    if let Some(value) = figures.median(case, OURS, columns[0]) {
        said.push((columns[0], Of::Nothing));
        let ratio = figures
            .to_base(case, OURS, columns[0])
            .map_or_else(String::new, |ratio| {
                said.push((columns[0], Of::Target(BASE)));
                format!(" = **{}** × {BASE}", show(ratio))
            });
        parts.push(format!("{} {}{ratio}", show(value), title(columns[0])));
    }
    for bar in case.bars {
        let known = said.contains(&(bar.metric, bar.of));
        let Some(value) = figures.measured(case, bar).filter(|_| !known) else {
            continue;
        };
        said.push((bar.metric, bar.of));
        parts.push(match bar.of {
            Of::Target(to) => format!("**{}** × {to} in {}", show(value), title(bar.metric)),
            Of::Nothing => format!("**{}** {}", show(value), title(bar.metric)),
        });
    }
    parts.extend(figures.faults(case, OURS).iter().map(|fault| format!("**{fault}**")));
    if parts.is_empty() {
        "not measured".to_owned()
    } else {
        parts.join(", ")
    }
}

fn beside(figures: &Figures, case: &Case) -> String {
    let (_, columns) = case.load.columns();
    // Where the first column is of the server and the kernel together, the second is what the bar is about.
    let metric = case.bars.first().map_or(columns[0], |bar| bar.metric);
    let peer = |target: &str| {
        let mut text = format!("{target} {}", show(figures.median(case, target, metric)?));
        let faults = figures.faults(case, target);
        if !faults.is_empty() {
            text += &format!(" ({})", faults.join(", "));
        }
        Some(text)
    };
    present(figures, case)
        .filter(|target| *target != OURS)
        .filter_map(peer)
        .collect::<Vec<_>>()
        .join(", ")
}

fn detail(figures: &Figures, case: &Case, target: &str) -> Vec<String> {
    let (ratios, columns) = case.load.columns();
    let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), show);
    let mut cells = vec![target.to_owned()];
    for (i, metric) in columns.iter().enumerate() {
        cells.push(cell(figures.median(case, target, metric)));
        if i < ratios {
            cells.push(format!("**{}**", cell(figures.to_base(case, target, metric))));
        }
    }
    let values = figures.values(case, target, columns[0]);
    cells.push(match values.as_slice() {
        [first, .., last] => format!("{}-{}", show(*first), show(*last)),
        _ => "-".to_owned(),
    });
    cells.push(figures.reps(case, target).to_string());
    cells
}

/// A table whose columns also line up as plain text.
fn markdown(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count(), 3]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..heads.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let last = widths.len() - 1;
        for (i, cell) in cells.enumerate() {
            // The last column may be long, and nothing stands behind it.
            let width = if i < last { widths[i] } else { 0 };
            let _ = write!(out, "| {cell:<width$} ");
        }
        out.push_str("|\n");
    };
    line(&mut heads.iter().copied());
    let last = widths.len() - 1;
    let rule = |i: usize| "-".repeat(if i < last { widths[i] } else { 3 });
    let rules: Vec<_> = (0..widths.len()).map(rule).collect();
    line(&mut rules.iter().map(String::as_str));
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    out
}

/// A number with as many digits as mean something.
fn show(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => thousands(&format!("{value:.0}")),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.095 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let shown = [2_712_345.6, -123_456.0, 212.4, 64.0, 13.64, 0.123, 0.0345].map(show);
        assert_eq!(shown, ["2,712,346", "-123,456", "212", "64", "13.6", "0.12", "0.0345"]);
    }

    #[test]
    fn tables_line_up() {
        let table = markdown(&["a", "bcde"], &[vec!["wide one".to_owned(), "1".to_owned()]]);
        assert_eq!(table, "| a        | bcde |\n| -------- | --- |\n| wide one | 1 |\n");
    }
}
