//! What of the page's files is there for its authors alone, comments and indentation, is not sent.
//!
//! It is no parser: it knows how this project writes. A `//` comment stands on a line of its own, what is between `/**` and `*/` (in a
//! style sheet `/*`) is a comment wherever it stands, and no text that is shown begins a line with either or depends on its indentation.

/// Without comments, indentation and empty lines; what is left of a line stays a line, so that an error's place can be found.
pub(super) fn lean(text: &str, opens: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    for line in text.lines() {
        let mut rest = line.trim_start();
        let before = out.len();
        while !rest.is_empty() {
            if is_inside {
                let Some((_, after)) = rest.split_once("*/") else { break };
                (rest, is_inside) = (after.trim_start(), false);
            } else if rest.starts_with("//") {
                break;
            } else if let Some((kept, after)) = rest.split_once(opens) {
                out.push_str(kept);
                (rest, is_inside) = (after, true);
            } else {
                out.push_str(rest);
                break;
            }
        }
        out.truncate(before + out[before..].trim_end().len());
        if out.len() > before {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::lean;

    #[test]
    fn comments_and_indentation_go_and_everything_else_stays() {
        let source = "// A file.\n\n/**\n * Two things.\n * @param {string} a\n */\nexport function f(a) {\n  // why\n  const b = /** @type {any} */ (a); // kept: it is not alone\n  \
                      /** One. */ const url = 'http://x'; /** two\n  lines */ return `<p>\n    ${b}\n  </p>`;\n}\n";
        let left = "export function f(a) {\nconst b = (a); // kept: it is not alone\nconst url = 'http://x';\nreturn `<p>\n${b}\n</p>`;\n}\n";
        assert_eq!(lean(source, "/**"), left);
    }

    #[test]
    fn a_style_sheet_loses_its_comments_too() {
        assert_eq!(
            lean("/* A. */\n\n.a {\n  margin: 0; /* why */\n}\n", "/*"),
            ".a {\nmargin: 0;\n}\n"
        );
    }
}
