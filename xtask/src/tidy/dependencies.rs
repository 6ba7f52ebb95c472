//! Dependencies point one way. The tables say all that a crate may use; `deny.toml` holds the same line for what others
//! bring in.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell;

/// Who may use whom within the workspace. A crate that is not here may use nothing of it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("turnwire-log", &["turnwire-proto"]),
    ("turnwire-adapters", &["turnwire-proto", "turnwire-redact"]),
    ("turnwire-formats", &["turnwire-proto"]),
    ("turnwire-redact", &["turnwire-proto"]),
    ("turnwire-client", &["turnwire-proto", "turnwire-redact"]),
    (
        "turnwire-runner",
        &["turnwire-proto", "turnwire-adapters", "turnwire-client"],
    ),
    (
        "turnwire-watch",
        &["turnwire-proto", "turnwire-adapters", "turnwire-client"],
    ),
    (
        "turnwire-server",
        &[
            "turnwire-proto",
            "turnwire-log",
            "turnwire-adapters",
            "turnwire-formats",
            "turnwire-redact",
        ],
    ),
    (
        "turnwire",
        &[
            "turnwire-proto",
            "turnwire-adapters",
            "turnwire-formats",
            "turnwire-client",
            "turnwire-redact",
            "turnwire-runner",
            "turnwire-watch",
            "turnwire-server",
        ],
    ),
];

/// The same for tests and examples, beside the above.
const TESTS_MAY_USE: &[(&str, &[&str])] = &[
    // Itself, with the feature that holds the conformance suite.
    ("turnwire-log", &["turnwire-log"]),
    ("turnwire-server", &["turnwire-client"]),
    ("turnwire-runner", &["turnwire-server"]),
    ("turnwire", &["turnwire-log"]),
];

/// Crates from outside that only these may use.
const ONLY_UNDER: &[(&str, &[&str])] = &[
    ("rusqlite", &["turnwire-log", "turnwire-server", "turnwire-watch"]),
    ("async-nats", &["turnwire-log", "turnwire-server"]),
    ("axum", &["turnwire-server"]),
    ("hyper", &["turnwire-server"]),
    ("clap", &["turnwire", "xtask"]),
    ("anyhow", &["turnwire", "xtask"]),
];

/// Crates that do no I/O, so that none of these may be under them, not even in tests.
const PURE: (&[&str], &[&str]) = (
    &[
        "turnwire-proto",
        "turnwire-adapters",
        "turnwire-formats",
        "turnwire-redact",
    ],
    &["tokio", "hyper", "reqwest", "rustix", "futures-util"],
);

pub(super) fn check() -> Result<Vec<String>> {
    complaints(&shell::metadata(&shell::root().join("Cargo.toml"))?)
}

fn complaints(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let crate_name = text(package, "name")?;
        for dependency in package["dependencies"]
            .as_array()
            .context("a package lists its dependencies")?
        {
            let name = text(dependency, "name")?;
            let tests_only = dependency["kind"] == "dev";
            if let Some(rule) = broken_rule(crate_name, name, tests_only) {
                wrong.push(format!("{crate_name} uses {name}: {rule}"));
            }
        }
    }
    Ok(wrong)
}

fn broken_rule(crate_name: &str, uses: &str, tests_only: bool) -> Option<String> {
    let (pure, io) = PURE;
    if pure.contains(&crate_name) && io.contains(&uses) {
        return Some(format!("{crate_name} does no I/O"));
    }
    if uses.starts_with("turnwire") {
        let allowed = listed(MAY_USE, crate_name).contains(&uses)
            || (tests_only && listed(TESTS_MAY_USE, crate_name).contains(&uses));
        return (!allowed).then(|| "dependencies point one way (see ARCHITECTURE.md)".to_owned());
    }
    let owners = ONLY_UNDER
        .iter()
        .find(|(name, _)| *name == uses)
        .map(|(_, owners)| *owners)?;
    (!tests_only && !owners.contains(&crate_name)).then(|| format!("only {} may", owners.join(" and ")))
}

fn listed(table: &[(&str, &'static [&'static str])], name: &str) -> &'static [&'static str] {
    table.iter().find(|(it, _)| *it == name).map_or(&[], |(_, list)| list)
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("cargo metadata lacks {field}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dependencies_of_this_workspace_point_one_way() {
        assert_eq!(check().expect("cargo metadata runs"), Vec::<String>::new());
    }

    #[test]
    fn an_edge_against_the_grain_is_seen() {
        let metadata = json!({"packages": [
            {"name": "turnwire-proto", "dependencies": [{"name": "tokio", "kind": "dev"}]},
            {"name": "turnwire-log", "dependencies": [{"name": "turnwire-server", "kind": null}]},
            {"name": "turnwire-client", "dependencies": [{"name": "clap", "kind": "dev"}, {"name": "axum", "kind": null}]},
            {"name": "turnwire-server", "dependencies": [{"name": "turnwire-client", "kind": null}]},
        ]});
        let wrong = complaints(&metadata).expect("the metadata is whole");
        let edges: Vec<&str> = wrong.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(
            edges,
            [
                "turnwire-proto uses tokio",
                "turnwire-log uses turnwire-server",
                "turnwire-client uses axum",
                "turnwire-server uses turnwire-client",
            ]
        );
    }
}
