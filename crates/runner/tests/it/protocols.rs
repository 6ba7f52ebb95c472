//! Control protocols, spoken by shell scripts: what the vendors' own programs do in front of a model is tested with them, and this is
//! what they were not seen to do.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, time::Duration};

use turnwire_proto::Name;
use turnwire_runner::{Driver, Failure, Outcome, Prompt, Setup, Signal, Verdict, drivers};

/// A driver of a program that answers each line that has a word by a line, or does what is said there in shell.
struct Played {
    driver: Box<dyn Driver>,
    _dir: tempfile::TempDir,
}

fn play(driver: &str, answers: &[(&str, &str)], conversation: Option<&str>) -> Played {
    let dir = tempfile::tempdir().unwrap();
    let mut script = "#!/bin/sh\nwhile read -r line; do case \"$line\" in\n".to_owned();
    for (word, answer) in answers {
        let does = match answer.starts_with('{') {
            true => format!("cat <<'END'\n{answer}\nEND\n"),
            false => (*answer).to_owned(),
        };
        script.push_str(&format!("*'{word}'*) {does} ;;\n"));
    }
    script.push_str("esac; done\n");
    let program = dir.path().join("agent");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let setup = Setup {
        program: Some(OsString::from(program)),
        conversation: conversation.map(str::to_owned),
        ..Setup::default()
    };
    Played {
        driver: (drivers::by_name(driver).unwrap().make)(setup),
        _dir: dir,
    }
}

impl Played {
    async fn prompt(&mut self) -> Result<(), Failure> {
        let prompt = Prompt {
            turn: Name::new("turn").unwrap(),
            text: "hello".to_owned(),
        };
        self.driver.prompt(&prompt).await
    }

    /// What it says until `last` is said.
    async fn until(&mut self, last: impl Fn(&Signal) -> bool) -> Vec<Signal> {
        let mut said = Vec::new();
        let wait = async {
            while said.last().is_none_or(|signal| !last(signal)) {
                said.push(self.driver.next().await);
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
        said
    }
}

fn is_over(signal: &Signal) -> bool {
    matches!(signal, Signal::TurnOver(_))
}

const CODEX: [(&str, &str); 2] = [
    (
        r#""method":"initialize""#,
        r#"{"id":"turnwire-1-initialize","result":{}}"#,
    ),
    (
        r#""method":"thread/start""#,
        r#"{"id":"turnwire-2-thread/start","result":{"thread":{"id":"t"},"model":"m"}}"#,
    ),
];
const TURN: &str = r#"{"id":"turnwire-3-turn/start","result":{"turn":{"id":"u"}}}"#;
const ASKS: &str =
    r#"{"method":"item/commandExecution/requestApproval","id":0,"params":{"threadId":"t","turnId":"u","itemId":"i"}}"#;

#[tokio::test]
async fn what_codex_asks_that_is_no_question_to_a_person_is_declined_and_the_turn_goes_on() {
    let asks = format!(
        "{TURN}\n{}",
        r#"{"method":"attestation/generate","id":7,"params":{"threadId":"t"}}"#
    );
    let over = r#"{"method":"turn/completed","params":{"threadId":"t","turn":{"id":"u","status":"completed"}}}"#;
    let answers = [
        CODEX[0],
        CODEX[1],
        (r#""method":"turn/start""#, &*asks),
        (r#""code":-32601"#, over),
    ];
    let mut codex = play("codex", &answers, None);
    codex.prompt().await.unwrap();
    let said = codex.until(is_over).await;
    assert!(matches!(said.last(), Some(Signal::TurnOver(Outcome::Done))));
    assert!(!said.iter().any(|signal| matches!(signal, Signal::Asks(_))), "{said:?}");
    codex.driver.end().await;
}

#[tokio::test]
async fn a_codex_that_ends_in_the_midst_of_a_turn_waits_for_nobody_any_more() {
    let asks = format!("cat <<'END'\n{TURN}\n{ASKS}\nEND\nexit 3");
    let answers = [CODEX[0], CODEX[1], (r#""method":"turn/start""#, &*asks)];
    let mut codex = play("codex", &answers, None);
    codex.prompt().await.unwrap();
    let said = codex.until(|signal| matches!(signal, Signal::Exited(_))).await;
    let place = |is: fn(&Signal) -> bool| said.iter().position(is).unwrap_or_else(|| panic!("{said:?}"));
    let asked = place(|signal| matches!(signal, Signal::Asks(_)));
    let gone = place(|signal| matches!(signal, Signal::AskGone(_)));
    let exited = place(|signal| matches!(signal, Signal::Exited(Some(3))));
    assert!(asked < gone && gone < exited, "{said:?}");
    // An answer that comes too late is none.
    let (id, approved) = (Name::new("u.0").unwrap(), Verdict::Approved { arguments: None });
    assert_eq!(codex.driver.answer(&id, &approved).await, Ok(()));
}

#[tokio::test]
async fn a_start_that_fails_says_why_and_the_next_one_may_succeed() {
    let refuses = r#"{"id":"turnwire-2-thread/start","error":{"code":-32600,"message":"no such model"}}"#;
    let answers = [CODEX[0], (CODEX[1].0, refuses)];
    let mut codex = play("codex", &answers, None);
    for _ in 0..2 {
        let failure = codex.prompt().await.unwrap_err();
        assert_eq!(failure, Failure::Refused("thread/start: no such model".to_owned()));
    }
    let dies = [("initialize", "echo broken >&2; exit 9")];
    let failure = play("gemini", &dies, None).prompt().await.unwrap_err().to_string();
    assert!(failure.contains("code 9") && failure.contains("broken"), "{failure}");
}

#[tokio::test]
async fn an_acp_agent_that_wants_a_login_is_no_failure_and_one_that_cannot_load_begins_anew() {
    let hello = (
        r#""method":"initialize""#,
        r#"{"id":"turnwire-1-initialize","result":{"agentCapabilities":{}}}"#,
    );
    let login = r#"{"id":"turnwire-2-session/new","error":{"code":-32000,"message":"Authentication required"}}"#;
    let mut agent = play("acp", &[hello, (r#""method":"session/new""#, login)], None);
    agent.prompt().await.unwrap();
    let said = agent.until(is_over).await;
    assert!(matches!(said.last(), Some(Signal::TurnOver(Outcome::NeedsLogin))));

    let new = r#"{"id":"turnwire-2-session/new","result":{"sessionId":"another"}}"#;
    let over = r#"{"id":"turnwire-3-session/prompt","result":{"stopReason":"end_turn"}}"#;
    let answers = [
        hello,
        (r#""method":"session/new""#, new),
        (r#""method":"session/prompt""#, over),
    ];
    let mut agent = play("acp", &answers, Some("before"));
    agent.prompt().await.unwrap();
    let said = agent.until(is_over).await;
    let is_told =
        |signal: &Signal| matches!(signal, Signal::Stderr(line) if line.starts_with(b"this agent cannot go on"));
    assert!(said.iter().any(is_told), "{said:?}");
    let begins = |signal: &Signal| matches!(signal, Signal::Conversation(session) if session == "another");
    assert!(said.iter().any(begins), "{said:?}");
    agent.driver.end().await;
}
