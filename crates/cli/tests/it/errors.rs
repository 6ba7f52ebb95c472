//! What a person is told when something is wrong: a sentence, what to do, and an exit code that a script can tell apart.

use crate::{
    gateway::{Answer, Gateway},
    world::{World, stderr},
};

#[test]
fn what_went_wrong_is_one_sentence_with_what_to_do_and_its_exit_code() {
    let world = World::new();
    let refusing = Gateway::new(|_| Answer::Unauthorized);
    for (args, code, begins, todo) in [
        (
            &["sessions"][..],
            69,
            "failed to find a server that runs on ",
            "turnwire serve",
        ),
        (
            &["sessions", "--url", "http://127.0.0.1:1"],
            69,
            "failed to reach the server: ",
            "",
        ),
        (
            &["sessions", "--url", &refusing.url],
            77,
            "the server refused with status 401: ",
            "turnwire token create",
        ),
    ] {
        let output = world.turnwire(args).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let said = said
            .strip_prefix("turnwire: error: ")
            .unwrap_or_else(|| panic!("{said}"));
        assert!(said.starts_with(begins) && said.contains(todo), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}
