//! One file at a time: how it opens, how long it is, what must not be in it.

/// The longest that a source file should be.
const LINES: usize = 600;

/// A longer file's opening comment has a line that begins so and gives the reason.
const REASON: &str = "Long because";

/// Paths of somebody's machine. In pieces, so that this file is not found by itself.
const STRAY: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/opt", "/ds"),
    concat!("HELP", "ERS.md"),
];

/// What others wrote, and what was recorded from real programs: kept as it was.
fn foreign(path: &str) -> bool {
    ["fixtures/", "vendor/", "golden/", "seeds/"]
        .iter()
        .any(|dir| path.contains(dir))
        || path.ends_with(".lock")
}

/// What is wrong with a file, each as `: complaint` or `:LINE: complaint`.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    if foreign(path) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for stray in STRAY.iter().filter(|stray| line.contains(**stray)) {
            wrong.push(format!(":{}: `{stray}` is of one machine only", number + 1));
        }
    }
    if ![".rs", ".js", ".mjs", ".css"]
        .iter()
        .any(|ending| path.ends_with(ending))
    {
        return wrong;
    }
    let opening = opening(text);
    let lines = text.lines().count();
    if lines > LINES && !opening.contains(REASON) {
        wrong.push(format!(
            ": {lines} lines: split it, or say at the top `{REASON} …` (the aim is {LINES})"
        ));
    }
    if path.ends_with(".rs") {
        if !text.starts_with("//!") {
            wrong.push(":1: does not open with a `//!` that says what idea it holds".to_owned());
        }
        wrong.extend(unwraps(path, text));
    }
    wrong
}

/// The comment that a file begins with.
fn opening(text: &str) -> String {
    let comment = |line: &&str| ["//", "/*", " *"].iter().any(|mark| line.starts_with(mark));
    text.lines().take_while(comment).collect::<Vec<_>>().join("\n")
}

/// Clippy finds these in the workspace; this finds them in the fuzz targets and the load generator too. A file that tells
/// clippy why it may is left alone, and so is what follows the first thing that is for tests only.
fn unwraps(path: &str, text: &str) -> Vec<String> {
    let call = concat!(".unwr", "ap()");
    if path.split('/').any(|part| part == "tests" || part == "tests.rs") || text.contains("clippy::unwrap_used") {
        return Vec::new();
    }
    let source = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
    let found = source.filter(|(_, line)| !line.trim_start().starts_with("//") && line.contains(call));
    found
        .map(|(number, _)| format!(":{}: `{call}`: say why it cannot fail, or pass it on", number + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes() {
        let text = "//! One idea.\n\nfn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() { g().unwrap() }\n}\n";
        assert_eq!(check("crates/log/src/page.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_file_must_say_what_it_is() {
        assert_eq!(check("crates/log/src/page.rs", "fn f() {}\n").len(), 1);
        assert_eq!(check("README.md", "# No such thing\n"), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_must_say_why() {
        let body = "// a line\nfn f() {}\n".repeat(LINES);
        assert_eq!(check("a.rs", &format!("//! One idea.\n\n{body}")).len(), 1);
        let reasoned = format!("//! One idea.\n//!\n//! {REASON} it is a table.\n\n{body}");
        assert_eq!(check("a.rs", &reasoned), Vec::<String>::new());
    }

    #[test]
    fn an_unwrap_in_source_is_found_and_one_in_tests_is_not() {
        let text = "//! One idea.\n\nfn f() { g().unwrap() }\n";
        assert_eq!(check("crates/log/src/page.rs", text).len(), 1);
        assert_eq!(check("crates/log/tests/page.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let text = format!("run {}x\n", STRAY[0]);
        assert_eq!(check("README.md", &text).len(), 1);
        assert_eq!(check("fixtures/claude/a.jsonl", &text), Vec::<String>::new());
    }
}
