//! The page's modules as one: a browser asks for one file instead of many, and what is alike in them shrinks together.
//!
//! It is no parser: it knows how this project writes modules. An import stands on a line of its own, what is exported is declared where
//! it is exported and never set again, and no module imports itself by way of others. Anything else is an error: a test sees it first.

use std::{collections::BTreeMap, fmt::Write};

/// The module `entry` after all that it imports, each in a function of its own. Names from outside stay imports.
pub(super) fn bundle(modules: &BTreeMap<&str, &str>, entry: &str) -> Result<String, String> {
    let mut bundle = Bundle {
        modules,
        done: Vec::new(),
        outside: Vec::new(),
        out: String::new(),
    };
    bundle.add(entry, &mut Vec::new())?;
    let outside = bundle.outside.iter().enumerate();
    let mut out: String = outside
        .map(|(at, name)| format!("import * as $x{at} from '{name}';\n"))
        .collect();
    out.push_str(&bundle.out);
    Ok(out)
}

struct Bundle<'a> {
    modules: &'a BTreeMap<&'a str, &'a str>,
    /// Those that stand in `out`, in its order.
    done: Vec<String>,
    /// What is imported by a name that is no file of the page.
    outside: Vec<String>,
    out: String,
}

impl Bundle<'_> {
    /// Its place among those that are done. `path` are the modules that wait for it.
    fn add(&mut self, name: &str, path: &mut Vec<String>) -> Result<usize, String> {
        if let Some(at) = self.done.iter().position(|done| done == name) {
            return Ok(at);
        }
        if path.iter().any(|waiting| waiting == name) {
            return Err(format!("{name} imports itself, by way of {}", path.join(", ")));
        }
        let source = *self
            .modules
            .get(name)
            .ok_or_else(|| format!("there is no module {name}"))?;
        path.push(name.to_owned());
        let (mut body, mut exports) = (String::new(), Vec::new());
        for line in source.lines() {
            let unknown = || format!("{name}: what is meant by {line:?}");
            if let Some(import) = line.strip_prefix("import ") {
                body.push_str(&self.import(name, import, path)?.ok_or_else(unknown)?);
            } else if let Some(declared) = line.strip_prefix("export ") {
                exports.push(exported(declared).ok_or_else(unknown)?);
                body.push_str(declared);
            } else {
                body.push_str(line);
            }
            body.push('\n');
        }
        path.pop();
        let at = self.done.len();
        self.done.push(name.to_owned());
        // Writing to a string does not fail.
        let _ = writeln!(
            self.out,
            "const $m{at}=(()=>{{\n{body}return {{{}}};\n}})();",
            exports.join(",")
        );
        Ok(at)
    }

    /// What an import is within its function; nothing for a form that is not known.
    fn import(&mut self, name: &str, import: &str, path: &mut Vec<String>) -> Result<Option<String>, String> {
        let parts = import
            .strip_suffix("';")
            .and_then(|import| import.rsplit_once(" from '"));
        let Some((what, from)) = parts else { return Ok(None) };
        let source = if from.starts_with('.') {
            format!("$m{}", self.add(&resolved(name, from), path)?)
        } else {
            let known = self.outside.iter().position(|outside| outside == from);
            let at = known.unwrap_or_else(|| {
                self.outside.push(from.to_owned());
                self.outside.len() - 1
            });
            format!("$x{at}")
        };
        Ok(Some(if what.starts_with('{') {
            format!("const {}={source};", what.replace(" as ", ":"))
        } else if let Some(all) = what.strip_prefix("* as ") {
            format!("const {all}={source};")
        } else {
            format!("const {what}={source}.default;")
        }))
    }
}

/// What `from` names, as seen from the module `name`.
fn resolved(name: &str, from: &str) -> String {
    let mut path: Vec<&str> = name.split('/').collect();
    path.pop();
    for part in from.split('/') {
        match part {
            "." => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.join("/")
}

/// The name that a declaration declares.
fn exported(declared: &str) -> Option<&str> {
    let after = ["const ", "class ", "function ", "async function ", "function* "];
    let rest = after.iter().find_map(|word| declared.strip_prefix(word))?;
    let end = rest.find(|sign: char| !sign.is_alphanumeric() && sign != '_' && sign != '$')?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::bundle;

    fn of(modules: &[(&'static str, &'static str)]) -> Result<String, String> {
        bundle(&modules.iter().copied().collect::<BTreeMap<_, _>>(), "app.js")
    }

    #[test]
    fn each_module_stands_once_after_what_it_imports() {
        let text = of(&[
            (
                "app.js",
                "import { a, b as c } from './view/a.js';\nimport * as d from './d.js';\na(c, d);\n",
            ),
            (
                "view/a.js",
                "import htm from 'htm';\nimport { d } from '../d.js';\nexport const b = d;\nexport async function a() {}\n",
            ),
            ("d.js", "import { x } from 'htm';\nexport class d {}\n"),
        ]);
        let wanted = "import * as $x0 from 'htm';\nconst $m0=(()=>{\nconst { x }=$x0;\nclass d {}\nreturn {d};\n})();\nconst $m1=(()=>{\n\
                      const htm=$x0.default;\nconst { d }=$m0;\nconst b = d;\nasync function a() {}\nreturn {b,a};\n})();\nconst $m2=(()=>{\n\
                      const { a, b:c }=$m1;\nconst d=$m0;\na(c, d);\nreturn {};\n})();\n";
        assert_eq!(text.unwrap(), wanted);
    }

    #[test]
    fn what_it_does_not_know_is_an_error_that_names_it() {
        for (source, why) in [
            ("export let a = 1;\n", "export let"),
            ("export { a };\n", "export { a }"),
            ("import './b.js';\n", "import './b.js'"),
            ("import { a } from './b.js';\n", "there is no module b.js"),
            ("import { a } from './app.js';\n", "app.js imports itself"),
        ] {
            assert!(of(&[("app.js", source)]).unwrap_err().contains(why), "{source}");
        }
    }
}
