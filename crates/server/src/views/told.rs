//! Who has told what of a row. Several sources may tell of one turn or call, in any order; each tells its start and its end once at the
//! most, and whatever they say is put together in a way that does not depend on who came first.

/// The source of what the server writes itself: none of what an agent does.
pub(super) const SERVER: &str = "turnwire";
/// It has told the start.
pub(super) const START: u8 = 1;
/// It has told the end.
pub(super) const END: u8 = 2;
/// It has no id for it.
pub(super) const UNNAMED: u8 = 4;

/// Sources that one row keeps: beyond it they are as good as the last one.
const SOURCES: usize = 16;

/// The sources of a row. As text: a line each, what it told and its name, which has no line break.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told(Vec<(String, u8)>);

impl Told {
    pub(super) fn read(text: &str) -> Self {
        let one = |line: &str| {
            let (what, source) = line.split_once(' ')?;
            Some((source.to_owned(), what.parse().ok()?))
        };
        Self(text.lines().filter_map(one).collect())
    }

    pub(super) fn text(&self) -> String {
        let lines: Vec<_> = self.0.iter().map(|(source, what)| Self::line(source, *what)).collect();
        lines.join("\n")
    }

    /// The line of a source that has told just this.
    pub(super) fn line(source: &str, what: u8) -> String {
        format!("{what} {source}")
    }

    /// Whether this source has told this; of `0`, whether it has told anything.
    pub(super) fn has(&self, source: &str, what: u8) -> bool {
        self.0.iter().any(|(name, told)| name == source && told & what == what)
    }

    /// Whether a source tells of both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|(source, _)| other.has(source, 0))
    }

    /// Takes those of another row of the same.
    pub(super) fn absorb(&mut self, other: Self) {
        for (source, what) in other.0 {
            self.add(&source, what);
        }
    }

    /// In the order of the alphabet, which does not tell who was first.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut sources: Vec<_> = self.0.iter().map(|(source, _)| source.clone()).collect();
        sources.sort();
        sources
    }

    pub(super) fn add(&mut self, source: &str, what: u8) {
        if let Some((_, told)) = self.0.iter_mut().find(|(name, _)| name == source) {
            *told |= what;
        } else if self.0.len() < SOURCES {
            self.0.push((source.to_owned(), what));
        }
    }
}

/// Of two texts with the sizes of their wholes the fuller one: the longer, then the later in the alphabet. Whether it is the second.
pub(super) fn is_fuller(a: (&str, Option<u32>), b: (&str, Option<u32>)) -> bool {
    let size = |(text, bytes): (&str, Option<u32>)| bytes.map_or(text.len(), |bytes| bytes as usize);
    (size(b), b.0) > (size(a), a.0)
}

/// The fuller of two words that may be there.
pub(super) fn fuller(a: Option<String>, b: Option<String>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if is_fuller((&a, None), (&b, None)) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// The lesser of two that may be there.
pub(super) fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_read_as_it_was_written() {
        let mut told = Told::default();
        told.add("claude-code", START);
        told.add("a source of two words", END | UNNAMED);
        told.add("claude-code", END);
        let told = Told::read(&told.text());
        assert!(told.has("claude-code", START | END) && !told.has("claude-code", UNNAMED));
        assert!(told.has("a source of two words", UNNAMED) && !told.has("a source of two words", START));
        assert!(!told.has("another", 0) && told.has("claude-code", 0));
    }

    #[test]
    fn the_fuller_text_does_not_depend_on_the_order() {
        for (a, b) in [
            (("ab", None), ("b", None)),
            (("ab", None), ("ac", None)),
            (("a", Some(9)), ("abc", None)),
        ] {
            assert_ne!(is_fuller(a, b), is_fuller(b, a), "{a:?} {b:?}");
        }
        assert!(!is_fuller(("a", None), ("a", None)));
    }
}
