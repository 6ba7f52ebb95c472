//! What would change in a file, line by line.

/// Lines that are shown round a change.
const AROUND: usize = 2;

/// One line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
    /// Lines that are left out.
    Skipped,
}

/// The difference of two texts, with a few lines round each change; nothing where they are the same.
pub(super) fn diff<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(a, b)| a == b)
        .count();
    let (mid_old, mid_new) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut lines: Vec<Line<'a>> = old[..start].iter().map(|line| Line::Same(line)).collect();
    between(mid_old, mid_new, &mut lines);
    lines.extend(old[old.len() - end..].iter().map(|line| Line::Same(line)));
    near(&lines)
}

/// By the longest common subsequence: settings have some hundred lines.
fn between<'a>(old: &[&'a str], new: &[&'a str], out: &mut Vec<Line<'a>>) {
    let mut longest = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for a in (0..old.len()).rev() {
        for b in (0..new.len()).rev() {
            longest[a][b] = if old[a] == new[b] {
                longest[a + 1][b + 1] + 1
            } else {
                longest[a + 1][b].max(longest[a][b + 1])
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            out.push(Line::Same(old[a]));
            (a, b) = (a + 1, b + 1);
        } else if b == new.len() || (a < old.len() && longest[a + 1][b] >= longest[a][b + 1]) {
            out.push(Line::Gone(old[a]));
            a += 1;
        } else {
            out.push(Line::New(new[b]));
            b += 1;
        }
    }
}

fn near<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    let changed: Vec<usize> = (0..lines.len())
        .filter(|at| !matches!(lines[*at], Line::Same(_)))
        .collect();
    let mut shown = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let next = changed.partition_point(|change| *change < at);
        let close = |change: Option<&usize>| change.is_some_and(|change| change.abs_diff(at) <= AROUND);
        if close(changed.get(next)) || close(next.checked_sub(1).and_then(|before| changed.get(before))) {
            shown.push(*line);
        } else if !changed.is_empty() && shown.last() != Some(&Line::Skipped) {
            shown.push(Line::Skipped);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_changed_and_a_little_round_it() {
        let old = "a\nb\nc\nd\ne\nf\ng";
        let new = "a\nb\nc\nd\nE\nf\ng\nh";
        use Line::{Gone, New, Same, Skipped};
        assert_eq!(
            diff(old, new),
            [
                Skipped,
                Same("c"),
                Same("d"),
                Gone("e"),
                New("E"),
                Same("f"),
                Same("g"),
                New("h")
            ]
        );
        assert!(diff(old, old).is_empty());
        assert_eq!(diff("", "x"), [New("x")]);
    }
}
