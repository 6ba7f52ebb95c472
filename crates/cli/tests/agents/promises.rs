//! What every driver of a program that asks owes, whichever vendor's it is.

use std::fs;

use serde_json::{Value, json};
use turnwire_proto::{Json, NewEvent};
use turnwire_runner::{Failure, Outcome, Signal, Tell, Verdict};

use crate::{driving::Driving, scripted::Scripted};

/// A turn is answered, is the caller's, and says how many tokens it was given.
pub(crate) async fn a_turn_is_answered(program: &mut Driving, input_tokens: u64) {
    let turn = program.prompt("Say something.").await.unwrap();
    assert_eq!(program.over().await, Outcome::Done);
    assert_eq!(program.said(), ["It is done."]);
    let kind = |event: &&NewEvent| event.kind.as_str() == "turn_end";
    let ends: Vec<_> = program.events.iter().filter(kind).collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].turn_id.as_ref(), Some(&turn), "the turn is the caller's");
    let end = &program.bodies("turn_end")[0];
    let told = (&end["ok"], &end["usage"]["input_tokens"]);
    assert_eq!(told, (&json!(true), &json!(input_tokens)));
    let named = |signal: &Signal| matches!(signal, Signal::Conversation(_));
    assert!(program.signals.iter().any(named), "a later process can go on with it");
}

/// A new process answers, and its model is told in `field` what was said to the one before.
pub(crate) async fn it_goes_on_with_the_conversation(program: &mut Driving, model: &Scripted, field: &str) {
    program.prompt("And now?").await.unwrap();
    assert_eq!(program.over().await, Outcome::Done);
    let (_, last) = model
        .asked()
        .into_iter()
        .rfind(|(_, asked)| asked["tools"].is_array())
        .unwrap();
    let known = last[field].to_string().contains("Say something.");
    assert!(known, "it knows what was said: {last}");
}

/// A tool runs when it is approved, and only then: not when it is denied, and not with other arguments, which no such vendor takes.
/// `what` names the tool's request in its arguments; `told` is a denial's word where the vendor hands it on to its model.
pub(crate) async fn a_tool_runs_when_it_is_approved(mut program: Driving, what: &str, told: Option<&str>) {
    program.prompt("Use the TOOL.").await.unwrap();
    let (ask, request) = program.asks().await;
    let wanted = request["arguments"][what].as_str().unwrap();
    assert!(wanted.contains("made.txt"), "{request}");
    let made = program.path("project/made.txt");
    assert!(!made.exists(), "it waits");
    let approved = Verdict::Approved { arguments: None };
    program.driver.answer(&ask.id, &approved).await.unwrap();
    assert_eq!(program.over().await, Outcome::Done);
    assert_eq!(fs::read_to_string(&made).unwrap(), "from a tool\n");
    fs::remove_file(&made).unwrap();

    let denied = Verdict::Denied {
        message: "Not today.".to_owned(),
    };
    let other = Verdict::Approved {
        arguments: Some(Json::parse(r#"{"command":"ls"}"#).unwrap()),
    };
    for verdict in [denied, other] {
        let edited = matches!(verdict, Verdict::Approved { .. });
        program.prompt("Use the TOOL again.").await.unwrap();
        let (again, _) = program.asks().await;
        assert_ne!(again.id, ask.id);
        let answered = program.driver.answer(&again.id, &verdict).await;
        assert_eq!(matches!(answered, Err(Failure::Unsupported(_))), edited, "{answered:?}");
        assert_eq!(program.over().await, Outcome::Done);
        assert!(!made.exists());
    }
    let calls = program.bodies("tool_call");
    let outcomes: Vec<_> = calls.iter().map(|call| (&call["success"], &call["error"])).collect();
    let refused = (&json!(false), &json!("denied"));
    assert_eq!(outcomes, [(&json!(true), &Value::Null), refused, refused]);
    if let Some(word) = told {
        assert!(calls[1]["output"].as_str().unwrap().contains(word), "it is told why");
    }
    let decisions = program.bodies("approval_decision");
    let decisions: Vec<_> = decisions.iter().map(|decision| &decision["decision"]).collect();
    assert_eq!(decisions, ["approved", "denied", "denied"]);
    program.end().await;
}

/// An interrupt ends the turn and takes back what it asked, and the next turn is answered.
pub(crate) async fn an_interrupt_ends_the_turn(mut program: Driving) {
    program.prompt("HOLD it.").await.unwrap();
    program.piece().await;
    program.driver.tell(Tell::Interrupt).await.unwrap();
    assert_eq!(program.over().await, Outcome::Interrupted);
    program.prompt("Use the TOOL.").await.unwrap();
    let (ask, _) = program.asks().await;
    program.driver.tell(Tell::Interrupt).await.unwrap();
    program
        .until(|signal, _| matches!(signal, Signal::AskGone(id) if *id == ask.id).then_some(()))
        .await;
    assert_eq!(program.over().await, Outcome::Interrupted);
    program.prompt("Say something.").await.unwrap();
    assert_eq!(program.over().await, Outcome::Done);
    assert_eq!(program.said().last().unwrap(), "It is done.");
    program.end().await;
}
