//! Lines out of what is drawn on a terminal: what would be found in its scrollback and, at the end, on its screen.
//!
//! - A line that is a JSON object goes on as it is, at once and without the CR that a terminal adds.
//! - Other text is a line when its line break comes, without escape sequences, as it then stood: of a progress bar that
//!   overwrites itself only the last state.
//! - Once a program moves the cursor up, a line goes on when it has left the screen at the top, or at the end, if it was
//!   not given out before: a picture that is drawn a thousand times is told once. When a whole screen has passed without
//!   such a move it is plain text again.
//! - What is drawn on the alternate screen (an editor, a pager) leaves nothing, as on a real terminal.
//!
//! Lines are not wrapped at the right margin: a long line stays one.

use std::collections::VecDeque;

use serde::de::IgnoredAny;
use vte::{Params, Parser, Perform};

/// Characters of a line of text; what is longer is taken as several.
const WIDE: usize = 16 * 1024;

/// A terminal that only remembers text.
pub(super) struct Screen {
    parser: Parser,
    grid: Grid,
    /// A line that begins like an object, until its end tells whether it is one.
    object: Option<Vec<u8>>,
    limit: usize,
    /// The last byte was a line break.
    at_start: bool,
}

impl Screen {
    /// Of so many rows; an object of more than `limit` bytes is given out in parts.
    pub(super) fn new(rows: u16, limit: usize) -> Self {
        Self {
            parser: Parser::new(),
            grid: Grid::new(usize::from(rows).clamp(2, 500)),
            object: None,
            limit,
            at_start: true,
        }
    }

    /// Takes a piece, and gives the lines that it completes.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(first) = piece.first() {
            let end = memchr::memchr(b'\n', piece).map(|at| at + 1);
            let (part, rest) = piece.split_at(end.unwrap_or(piece.len()));
            piece = rest;
            if self.at_start && *first == b'{' && !self.grid.alternate {
                self.object = Some(Vec::new());
            }
            self.at_start = end.is_some();
            match &mut self.object {
                Some(object) => {
                    object.extend_from_slice(part);
                    if end.is_some() || object.len() >= self.limit {
                        self.object_ends(&mut line);
                    }
                }
                None => self.parser.advance(&mut self.grid, part),
            }
            self.grid.told.drain(..).for_each(|text| line(text.as_bytes()));
        }
    }

    /// Gives what is left.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        self.object_ends(&mut line);
        self.grid.end();
        self.grid.told.drain(..).for_each(|text| line(text.as_bytes()));
    }

    fn object_ends(&mut self, line: &mut impl FnMut(&[u8])) {
        let Some(object) = self.object.take() else { return };
        let text = object.trim_ascii_end();
        if object.len() >= self.limit || serde_json::from_slice::<IgnoredAny>(text).is_ok() {
            line(text);
            // It takes a row of the screen all the same.
            self.grid.given_out();
        } else {
            self.parser.advance(&mut self.grid, &object);
        }
    }
}

#[derive(Debug, Default)]
struct Row {
    text: Vec<char>,
    /// What was given out of it last.
    told: Option<Vec<char>>,
}

#[derive(Debug)]
struct Grid {
    height: usize,
    rows: VecDeque<Row>,
    row: usize,
    column: usize,
    saved: (usize, usize),
    alternate: bool,
    /// The cursor was moved up: rows may still change.
    drawn: bool,
    /// Line breaks since then.
    breaks: usize,
    told: Vec<String>,
}

impl Grid {
    fn new(height: usize) -> Self {
        Self {
            height,
            rows: VecDeque::from([Row::default()]),
            row: 0,
            column: 0,
            saved: (0, 0),
            alternate: false,
            drawn: false,
            breaks: 0,
            told: Vec::new(),
        }
    }

    // Invariant: `row` is always one of `rows`.
    fn here(&mut self) -> &mut Vec<char> {
        &mut self.rows[self.row].text
    }

    fn tell(&mut self, row: usize) {
        let row = &mut self.rows[row];
        if row.told.as_ref() != Some(&row.text) {
            self.told.push(row.text.iter().collect());
            row.told = Some(row.text.clone());
        }
    }

    /// Gives a row out that will not change any more, unless there is nothing on it.
    fn settle(&mut self, row: usize) {
        if self.rows[row].text.iter().any(|c| !c.is_whitespace()) {
            self.tell(row);
        }
    }

    fn line_break(&mut self) {
        if self.drawn {
            self.breaks += 1;
            self.drawn = self.breaks < self.height;
        } else {
            self.tell(self.row);
        }
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push_back(Row::default());
        }
        if self.rows.len() > self.height {
            self.settle(0);
            self.rows.pop_front();
            self.row -= 1;
        }
    }

    fn given_out(&mut self) {
        let row = &mut self.rows[self.row];
        row.text.clear();
        row.told = Some(Vec::new());
        self.column = 0;
        self.line_break();
    }

    fn end(&mut self) {
        (0..self.rows.len()).for_each(|row| self.settle(row));
    }

    fn go_to(&mut self, row: usize, column: usize) {
        let row = row.min(self.height - 1);
        if row < self.row {
            self.drawn = true;
            self.breaks = 0;
        }
        while self.rows.len() <= row {
            self.rows.push_back(Row::default());
        }
        self.row = row;
        self.column = column.min(WIDE - 1);
    }

    fn erase_display(&mut self, how: usize) {
        match how {
            0 => {
                let column = self.column;
                self.here().truncate(column);
                self.rows.truncate(self.row + 1);
            }
            1 => self.rows.iter_mut().take(self.row).for_each(|row| row.text.clear()),
            _ => self.rows.iter_mut().for_each(|row| row.text.clear()),
        }
    }

    fn erase_line(&mut self, how: usize) {
        let column = self.column;
        let row = self.here();
        match how {
            0 => row.truncate(column),
            1 => row.iter_mut().take(column + 1).for_each(|c| *c = ' '),
            _ => row.clear(),
        }
    }

    /// Inserts and deletes rows or characters at the cursor.
    fn shift(&mut self, action: char, count: usize) {
        let (row, column) = (self.row, self.column);
        match action {
            'L' => {
                for _ in 0..count.min(self.height) {
                    self.rows.insert(row, Row::default());
                }
                self.rows.truncate(self.height);
            }
            'M' => {
                let end = self.rows.len().min(row + count);
                self.rows.drain(row..end);
                if self.rows.len() == row {
                    self.rows.push_back(Row::default());
                }
            }
            'P' => {
                let line = self.here();
                let end = line.len().min(column + count);
                line.drain(column.min(end)..end);
            }
            'X' => self.here().iter_mut().skip(column).take(count).for_each(|c| *c = ' '),
            _ => {
                let line = self.here();
                let at = column.min(line.len());
                line.splice(at..at, std::iter::repeat_n(' ', count));
                line.truncate(WIDE);
            }
        }
    }
}

impl Perform for Grid {
    fn print(&mut self, c: char) {
        if self.alternate {
            return;
        }
        if self.column >= WIDE {
            self.tell(self.row);
            self.here().clear();
            self.column = 0;
        }
        let column = self.column;
        let line = self.here();
        if line.len() <= column {
            line.resize(column + 1, ' ');
        }
        line[column] = c;
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            _ if self.alternate => {}
            b'\n' => self.line_break(),
            b'\r' => self.column = 0,
            b'\t' => self.print('\t'),
            8 => self.column = self.column.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore {
            return;
        }
        let param = |at: usize| {
            params
                .iter()
                .nth(at)
                .and_then(|it| it.first())
                .map_or(0, |it| usize::from(*it))
        };
        if intermediates == b"?" {
            if matches!(action, 'h' | 'l') && params.iter().flatten().any(|it| matches!(it, 47 | 1047 | 1049)) {
                self.alternate = action == 'h';
            }
            return;
        }
        if self.alternate || !intermediates.is_empty() {
            return;
        }
        let (how, count) = (param(0), param(0).max(1));
        let (row, column) = (self.row, self.column);
        match action {
            'A' => self.go_to(row.saturating_sub(count), column),
            'B' | 'e' => self.go_to(row + count, column),
            'C' | 'a' => self.go_to(row, column + count),
            'D' => self.go_to(row, column.saturating_sub(count)),
            'E' => self.go_to(row + count, 0),
            'F' => self.go_to(row.saturating_sub(count), 0),
            'G' | '`' => self.go_to(row, count - 1),
            'H' | 'f' => self.go_to(count - 1, param(1).max(1) - 1),
            'd' => self.go_to(count - 1, column),
            'J' => self.erase_display(how),
            'K' => self.erase_line(how),
            'L' | 'M' | 'P' | 'X' | '@' => self.shift(action, count),
            's' => self.saved = (row, column),
            'u' => self.go_to(self.saved.0, self.saved.1),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        if self.alternate || !intermediates.is_empty() {
            return;
        }
        match byte {
            b'7' => self.saved = (self.row, self.column),
            b'8' => self.go_to(self.saved.0, self.saved.1),
            b'M' => self.go_to(self.row.saturating_sub(1), self.column),
            b'D' => self.line_break(),
            b'E' => {
                self.column = 0;
                self.line_break();
            }
            b'c' => self.erase_display(2),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, the same however the bytes are cut.
    fn lines(rows: u16, text: &str) -> Vec<String> {
        let read = |size: usize| {
            let (mut screen, mut seen) = (Screen::new(rows, 1 << 20), Vec::new());
            let mut take = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
            for piece in text.as_bytes().chunks(size) {
                screen.feed(piece, &mut take);
            }
            screen.end(&mut take);
            seen
        };
        let whole = read(usize::MAX);
        for size in 1..10 {
            assert_eq!(read(size), whole, "pieces of {size}");
        }
        whole
    }

    #[test]
    fn plain_lines_are_as_they_were_without_what_the_terminal_adds() {
        assert_eq!(
            lines(
                24,
                "one\r\n\r\n  \x1b[1;31mtwo\x1b[0m\tb \r\n\x1b]0;title\x07héllo 👋\r\nlast"
            ),
            ["one", "", "  two\tb ", "héllo 👋", "last"]
        );
    }

    #[test]
    fn an_object_passes_byte_for_byte_and_at_once() {
        let object = r#"{"type":"x","text":"a\u001b[1mb"}"#;
        assert_eq!(
            lines(24, &format!("{object}\r\n{{\r\n \"pretty\": 1\r\n}}\r\n{object}")),
            [object, "{", " \"pretty\": 1", "}", object]
        );
        let (mut screen, mut seen) = (Screen::new(24, 1 << 20), 0);
        screen.feed(
            format!("a\r\n\x1b[A\x1b[2K{object}\r\n{object}\r\n").as_bytes(),
            |line| {
                seen += usize::from(line == object.as_bytes());
            },
        );
        assert_eq!(seen, 1, "on a line of its own also among what is drawn");
    }

    #[test]
    fn of_what_is_overwritten_the_last_state_counts() {
        assert_eq!(
            lines(24, "  1%\r 50%\r100%\r\nab\x08c\r\n"),
            ["  1%".replace("  1", "100"), "ac".into()]
        );
    }

    #[test]
    fn a_picture_that_is_drawn_again_and_again_is_told_once() {
        let mut text = "before\r\n".to_owned();
        for frame in 0..1000 {
            if frame > 0 {
                text.push_str("\x1b[2A\x1b[0J");
            }
            text.push_str(&format!("working {frame}\r\n> input\r\n"));
        }
        text.push_str("\x1b[2A\x1b[0Jdone\r\n");
        assert_eq!(lines(24, &text), ["before", "working 0", "> input", "done"]);
    }

    #[test]
    fn what_is_written_above_a_picture_is_kept() {
        let mut text = "status 0\r\n".to_owned();
        for n in 1..=50 {
            text.push_str(&format!("\x1b[1A\x1b[2Kline {n}\r\nstatus {n}\r\n"));
        }
        let seen = lines(10, &text);
        let kept: Vec<_> = seen.iter().filter(|line| line.starts_with("line")).collect();
        assert_eq!(kept.len(), 50, "{seen:?}");
        assert_eq!(seen.last().map(String::as_str), Some("status 50"));
        assert_eq!(seen.len(), 52);
    }

    #[test]
    fn text_is_plain_again_after_a_screen_of_it() {
        let (mut screen, mut seen) = (Screen::new(5, 1 << 20), Vec::new());
        let text: String = (0..20).map(|n| format!("{n}\r\n")).collect();
        screen.feed(format!("\x1b[H\x1b[2Jx\r\n\x1b[A{text}").as_bytes(), |line| {
            seen.push(String::from_utf8_lossy(line).into_owned());
        });
        assert_eq!(seen.last().map(String::as_str), Some("19"), "{seen:?}");
        assert_eq!(seen.len(), 21, "{seen:?}");
    }

    #[test]
    fn an_alternate_screen_leaves_nothing() {
        assert_eq!(
            lines(24, "a\r\n\x1b[?1049h\x1b[Hhidden\r\n{\"n\":1}\r\n\x1b[?1049lb\r\n"),
            ["a", "b"]
        );
    }

    #[test]
    fn nothing_makes_it_panic_or_grow() {
        let mut state = 1_u32;
        let mut text = Vec::new();
        for n in 0..200_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bytes = state.to_be_bytes();
            match bytes[0] % 8 {
                0 => text.extend_from_slice(
                    format!("\x1b[{};{}", bytes[1], u16::from_be_bytes([bytes[2], bytes[3]])).as_bytes(),
                ),
                1 => text.extend_from_slice(&[0x1b, b'[', b'@' + bytes[1] % 60]),
                2 => text.extend_from_slice(&[0x1b, bytes[1]]),
                3 if n % 7 == 0 => text.extend_from_slice(b"\r\n{"),
                _ => text.push(bytes[1]),
            }
        }
        let mut screen = Screen::new(3, 1000);
        screen.feed(&text, |line| assert!(line.len() <= 8 * WIDE));
        screen.end(|line| assert!(line.len() <= 8 * WIDE));
        assert!(screen.grid.rows.len() <= 3);
    }
}
