//! What a person sees: colours where they are wanted, tables, and lines on standard error.

use std::{
    env,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::{EnvFilter, fmt};

/// SGR codes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// Wrong.
    Red,
    /// Right.
    Green,
    /// Beware.
    Yellow,
    /// A message.
    Blue,
    /// A tool.
    Magenta,
    /// A name.
    Cyan,
}

impl Colour {
    const fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

/// Whether to colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::decide(io::stdout().is_terminal(), |name| env::var(name).ok())
    }

    /// For text that is put into other text.
    pub(crate) const fn never() -> Self {
        Self(false)
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::decide(io::stderr().is_terminal(), |name| env::var(name).ok())
    }

    /// <https://no-color.org> before <https://bixense.com/clicolors> before what the stream is.
    fn decide(terminal: bool, var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| var(name).is_some_and(|value| !value.is_empty());
        if set("NO_COLOR") {
            return Self(false);
        }
        if var("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
            return Self(true);
        }
        let dumb = var("TERM").is_some_and(|term| term == "dumb");
        Self(terminal && !dumb && var("CLICOLOR").as_deref() != Some("0"))
    }

    /// The text in a colour, if there are any.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", colour.code())
        } else {
            text.to_owned()
        }
    }
}

/// Our terminal is raw: a line break alone would not begin a line.
static RAW: AtomicBool = AtomicBool::new(false);

/// Says whether our terminal is raw from now on.
pub(crate) fn raw(raw: bool) {
    RAW.store(raw, Ordering::Relaxed);
}

/// Says a line to the person at the terminal. Where standard error is gone there is nobody to tell.
pub(crate) fn say(text: &str) {
    let _ = Stderr.write_all(format!("{}: {text}\n", env!("CARGO_PKG_NAME")).as_bytes());
}

/// Standard error, with the line breaks that our terminal needs now.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if RAW.load(Ordering::Relaxed) {
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let bare = line.strip_suffix(b"\n");
                stderr.write_all(bare.unwrap_or(line))?;
                if bare.is_some() {
                    stderr.write_all(b"\r\n")?;
                }
            }
        } else {
            stderr.write_all(text)?;
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes lines to standard output at once.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes one JSON value in one line.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    Ok(print(&serde_json::to_string(value)?)?)
}

/// Rows under a head, each column as wide as its widest cell; the last one is not padded.
pub(crate) fn table(paint: Paint, head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let mut text = String::new();
        for (at, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < cells.len() {
                let pad = widths[at].saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', pad));
            }
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![paint.paint(Colour::Dim, &line(head.to_vec()))];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// What the program says of itself, on standard error; `RUST_LOG` says how much, `-v` more.
pub(crate) fn start_tracing(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_ansi(Paint::stderr().0)
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(terminal: bool, vars: &[(&str, &str)]) -> bool {
        Paint::decide(terminal, |name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .0
    }

    #[test]
    fn colours_are_for_terminals_unless_said_otherwise() {
        assert!(decided(true, &[]) && !decided(false, &[]));
        assert!(!decided(true, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]));
        assert!(decided(false, &[("CLICOLOR_FORCE", "1")]));
        assert!(decided(true, &[("NO_COLOR", "")]), "an empty value does not count");
        assert!(!decided(true, &[("TERM", "dumb")]) && !decided(true, &[("CLICOLOR", "0")]));
    }

    #[test]
    fn a_table_has_columns_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "1".into()], vec!["bbb".into(), String::new()]];
        assert_eq!(table(Paint(false), &["ID", "N"], &rows), "ID   N\na    1\nbbb");
    }
}
