//! Many modules made one script: one request instead of a hundred, and half of the bytes.
//!
//! The modules are ours, so their form is known, and what departs from it is an error that names the module:
//! - an import is one line at the left margin: `import { a, b as c } from './x.js';`, `import * as x from …`, `import x from …`;
//! - what is exported is a declaration: `export const x`, `export function x`, `export class x`;
//! - imports make no circle.
//!
//! Each module becomes the body of a function that returns what it exports, after those that it imports. What is imported by a bare
//! name (`preact`) stays an import. Comments that stand on lines of their own, and those of types, are left out.

use std::collections::BTreeSet;

/// A module by its path below `ui/`, such as `view/session.js`.
type Module<'a> = (&'a str, &'a str);

/// `entry` and all that it imports, directly or not, as one script.
///
/// # Errors
/// Says which module departs from the form, and how.
pub(super) fn modules(entry: &str, all: &[Module<'_>]) -> Result<String, String> {
    let mut joined = Joined::default();
    joined.add(entry, all)?;
    let mut script: String = joined
        .bare
        .iter()
        .map(|name| format!("import * as {} from '{name}';\n", variable(name)))
        .collect();
    script.push_str(&joined.script);
    Ok(script)
}

#[derive(Default)]
struct Joined {
    script: String,
    /// Modules that are in it.
    done: BTreeSet<String>,
    /// Those whose imports are being added.
    open: Vec<String>,
    /// What is imported by a bare name.
    bare: BTreeSet<String>,
}

impl Joined {
    fn add(&mut self, path: &str, all: &[Module<'_>]) -> Result<(), String> {
        if self.done.contains(path) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == path) {
            return Err(format!("{path}: imports itself by way of {}", self.open.join(", ")));
        }
        let found = all.iter().find(|(name, _)| *name == path);
        let (_, text) = found.ok_or_else(|| format!("{path}: imported, and not there"))?;
        self.open.push(path.to_owned());
        let (mut body, mut exports) = (String::new(), Vec::new());
        for line in without_comments(text).lines() {
            let wrong = || format!("{path}: not in the form that can be joined: {line}");
            if line.starts_with("import ") {
                let (names, from) = import(line).ok_or_else(wrong)?;
                let module = if from.starts_with('.') {
                    let target = resolve(path, from);
                    self.add(&target, all)?;
                    variable(&target)
                } else {
                    self.bare.insert(from.to_owned());
                    variable(from)
                };
                body.push_str(&bound(names, &module).ok_or_else(wrong)?);
            } else if let Some(declaration) = line.strip_prefix("export ") {
                exports.push(declared(declaration).ok_or_else(wrong)?.to_owned());
                body.push_str(declaration);
            } else {
                body.push_str(line);
            }
            body.push('\n');
        }
        self.open.pop();
        self.done.insert(path.to_owned());
        let exports = exports.join(", ");
        let module = format!(
            "const {} = (() => {{\n{body}return {{ {exports} }};\n}})();\n",
            variable(path)
        );
        self.script.push_str(&module);
        Ok(())
    }
}

/// `import NAMES from 'FROM';` as its names and where from.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, from) = line
        .strip_prefix("import ")?
        .strip_suffix("';")?
        .split_once(" from '")?;
    Some((names, from))
}

/// The names of an import as declarations of what `module` has.
fn bound(names: &str, module: &str) -> Option<String> {
    if let Some(all) = names.strip_prefix("* as ") {
        return Some(format!("const {all} = {module};"));
    }
    if names.starts_with('{') && names.ends_with('}') {
        return Some(format!("const {} = {module};", names.replace(" as ", ": ")));
    }
    is_name(names).then(|| format!("const {names} = {module}.default;"))
}

/// The name that a declaration gives.
fn declared(declaration: &str) -> Option<&str> {
    let rest = declaration.strip_prefix("async ").unwrap_or(declaration);
    let kinds = ["const ", "class ", "function* ", "function "];
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    let end = rest.find(|c: char| !is_sign(c)).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

fn is_sign(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_sign)
}

/// A module's variable in the script: its path, so that a stack trace can be read.
pub(super) fn variable(path: &str) -> String {
    let name = path.trim_end_matches(".js");
    let sign = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!("${}", name.chars().map(sign).collect::<String>())
}

/// What `from` names in the module at `path`.
fn resolve(path: &str, from: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in from.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Without lines that are a comment, and without comments of types, wherever they stand: `/** … */`.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.lines() {
        let mut rest = line;
        let mut kept = String::new();
        loop {
            if inside {
                let Some((_, after)) = rest.split_once("*/") else { break };
                (inside, rest) = (false, after.strip_prefix(' ').unwrap_or(after));
            }
            let Some((before, after)) = rest.split_once("/**") else {
                kept.push_str(rest);
                break;
            };
            kept.push_str(before);
            (inside, rest) = (true, after);
        }
        let bare = kept.trim_start();
        if bare.starts_with("//") || bare.is_empty() {
            continue;
        }
        out.push_str(kept.trim_end());
        out.push('\n');
    }
    out
}

/// Style sheets, one after another, without their comments.
pub(super) fn styles<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for mut text in all {
        while let Some((before, after)) = text.split_once("/*") {
            out.push_str(before);
            text = after.split_once("*/").map_or("", |(_, after)| after);
        }
        out.push_str(text);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_stands_after_those_that_it_imports_and_once() {
        let all = [
            (
                "app.js",
                "// The page.\nimport { render } from 'preact';\nimport { a as b } from './view/a.js';\nimport * as c from './c.js';\n\nrender(b(c.x));\n",
            ),
            (
                "c.js",
                "/** A number. @type {number} */\nexport const x = /** @type {any} */ (1);\n",
            ),
            (
                "view/a.js",
                "import htm from 'htm';\nimport { x } from '../c.js';\n/**\n * Long.\n */\nexport function a(y) {\n  // Why.\n  return htm(x + y);\n}\n",
            ),
            ("unused.js", "export const never = 1;\n"),
        ];
        assert_eq!(
            modules("app.js", &all).unwrap(),
            "import * as $htm from 'htm';\nimport * as $preact from 'preact';\n\
             const $c = (() => {\nconst x = (1);\nreturn { x };\n})();\n\
             const $view_a = (() => {\nconst htm = $htm.default;\nconst { x } = $c;\nfunction a(y) {\n  return htm(x + y);\n}\nreturn { a };\n})();\n\
             const $app = (() => {\nconst { render } = $preact;\nconst { a: b } = $view_a;\nconst c = $c;\nrender(b(c.x));\nreturn {  };\n})();\n"
        );
    }

    #[test]
    fn a_module_in_another_form_is_an_error_that_names_it() {
        for (text, says) in [
            ("import './b.js';", "app.js: not in the form"),
            (
                "import {\n  a,\n} from './b.js';",
                "app.js: not in the form that can be joined: import {",
            ),
            ("export default 1;", "app.js: not in the form"),
            ("export let a = 1;", "app.js: not in the form"),
            ("export { a };", "app.js: not in the form"),
            ("import { a } from './b.js';", "b.js: imported, and not there"),
            ("import { a } from './app.js';", "app.js: imports itself"),
        ] {
            let error = modules("app.js", &[("app.js", text)]).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }

    #[test]
    fn style_sheets_keep_their_order_and_lose_their_comments() {
        let all = ["/* One */\na { color: red; }", "b { color: blue; /* why */ }"];
        assert_eq!(styles(all.into_iter()), "\na { color: red; }\nb { color: blue;  }\n");
    }
}
