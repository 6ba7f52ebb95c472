//! Lines out of pieces of any size.

/// Collects pieces until a line is whole. Split at LF and nothing else; a line over the limit is given out in parts.
#[derive(Debug)]
pub(super) struct Lines {
    part: Vec<u8>,
    limit: usize,
}

impl Lines {
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            part: Vec::new(),
            limit,
        }
    }

    /// Takes a piece, and gives the lines that it completes without their line breaks.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(at) = memchr::memchr(b'\n', piece) {
            if self.part.is_empty() {
                line(&piece[..at]);
            } else {
                self.part.extend_from_slice(&piece[..at]);
                line(&self.part);
                self.part.clear();
            }
            piece = &piece[at + 1..];
        }
        self.part.extend_from_slice(piece);
        if self.part.len() >= self.limit {
            line(&self.part);
            self.part = Vec::new();
        }
    }

    /// Gives what is left without a line break.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.part.is_empty() {
            line(&self.part);
            self.part = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"a\r\n\nbb\0\xe2\x80\xa8c\nlast";
        for size in 1..text.len() {
            let (mut lines, mut seen) = (Lines::new(100), Vec::new());
            for piece in text.chunks(size) {
                lines.feed(piece, |line| seen.push(line.to_vec()));
            }
            lines.end(|line| seen.push(line.to_vec()));
            assert_eq!(seen, [&b"a\r"[..], b"", b"bb\0\xe2\x80\xa8c", b"last"], "{size}");
        }
    }

    #[test]
    fn an_endless_line_is_given_out_in_parts() {
        let (mut lines, mut seen) = (Lines::new(10), 0);
        for _ in 0..100 {
            lines.feed(b"xxx", |part| {
                assert!(part.len() <= 12);
                seen += part.len();
            });
        }
        lines.end(|part| seen += part.len());
        assert_eq!(seen, 300);
    }
}
