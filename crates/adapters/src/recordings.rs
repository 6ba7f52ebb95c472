//! What real agents have printed, for demonstrations: a choice of the recordings in `fixtures/`.

use crate::by_name;

/// One run of an agent, as it was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Recording {
    /// The adapter that reads it.
    pub adapter: &'static str,
    /// What it shows.
    pub name: &'static str,
    /// What the agent printed.
    pub lines: &'static str,
    /// The folder's `index.json`.
    index: &'static str,
}

macro_rules! recordings {
    ($($adapter:literal: $($name:literal)*;)*) => {
        /// A choice that shows tools, edits, refusals, streamed text and several turns.
        pub const RECORDINGS: &[Recording] = &[$($(Recording {
            adapter: $adapter,
            name: $name,
            lines: include_str!(concat!("../fixtures/", $adapter, "/", $name, ".jsonl")),
            index: include_str!(concat!("../fixtures/", $adapter, "/index.json")),
        },)*)*];
    };
}

recordings! {
    "claude": "basic-tools" "partial-messages" "edit-file" "permission-denied" "input-stream-multi-turn" "text-only";
    "codex": "basic-tools" "file-changes" "reasoning" "multi-turn-resume";
    "gemini": "basic-tools" "edit-and-todos" "tool-not-allowed" "text-only";
    "opencode": "basic-tools" "edit-and-todos" "text-only";
}

impl Recording {
    /// The command line that was run.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let index: serde_json::Value = serde_json::from_str(self.index).unwrap_or_default();
        let words = index[self.name]["argv"].as_array().cloned().unwrap_or_default();
        words
            .iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }

    /// The adapter that reads it.
    #[must_use]
    pub fn spec(&self) -> &'static crate::Spec {
        by_name(self.adapter).expect("a recording is in the folder of its adapter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recording_has_lines_a_command_and_an_adapter() {
        for recording in RECORDINGS {
            assert!(recording.lines.lines().count() > 2, "{recording:?}");
            assert!(!recording.command().is_empty(), "{}", recording.name);
            assert_eq!(recording.spec().name, recording.adapter);
        }
    }
}
