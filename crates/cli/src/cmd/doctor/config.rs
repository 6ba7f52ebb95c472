//! The configuration file: whether `serve` would take it, and whether the secrets that it names are there.

use std::path::Path;

use super::Check;
use crate::config_file::{self, Wrong};

pub(super) fn config(named: Option<&Path>, data_dir: &Path) -> Vec<Check> {
    const NAME: &str = "config";
    let todo = "mend it: `serve` refuses to start with it";
    let file = match config_file::read(named, data_dir) {
        Ok(file) => file,
        Err(error) => return vec![Check::fail(NAME, format!("{error:#}"), todo)],
    };
    let mut checks = Vec::new();
    if let Err(error) = file.watch() {
        checks.push(Check::fail(NAME, format!("{error:#}"), todo));
    }
    for (section, config) in file.each_webhook() {
        checks.push(match config {
            Ok(config) if config.proof.is_some() => Check::ok("webhook", format!("{section}: its secret is there")),
            Ok(_) => Check::ok("webhook", format!("{section}: called with a token that may publish")),
            Err(Wrong::NotSet(why)) => Check::warn(
                "webhook",
                format!("{section}: {why} in this environment"),
                "set it where `serve` is started: it refuses to start without it",
            ),
            Err(Wrong::Text(why)) => Check::fail("webhook", format!("{section}: {why}"), todo),
        });
    }
    checks
}
