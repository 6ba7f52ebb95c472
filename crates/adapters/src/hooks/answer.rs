//! What a vendor's hook is answered: the decision, in the vendor's words.

use serde_json::{Value, json};
use turnwire_proto::Object;

use super::How;

/// What the agent is told of a refusal begins with this, by which its result is known again.
pub(super) const DENIED: &str = "Not permitted: ";

/// What was decided about a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The tool may run, with other arguments where there are some.
    Allow {
        /// What it is called with instead.
        arguments: Option<Object>,
        /// Why, for the vendor's records.
        message: Option<String>,
    },
    /// It may not.
    Deny {
        /// What the agent is told.
        message: String,
    },
    /// Nothing: the vendor goes on as without a hook.
    Nothing,
}

/// The JSON that the vendor takes.
#[must_use]
pub fn answer(how: How, verdict: &Verdict) -> Value {
    let specific = match (how, verdict) {
        (_, Verdict::Nothing) => return json!({}),
        (How::CodexPermission, Verdict::Allow { arguments: Some(_), .. }) => {
            // The vendor takes no others, and what was approved is not what would run.
            let message = "the call was approved with other arguments, which Codex does not take".to_owned();
            return answer(how, &Verdict::Deny { message });
        }
        (How::CodexPermission, _) => return answer(How::Permission, verdict),
        (How::CodexGate | How::GeminiGate, Verdict::Allow { arguments: None, .. }) => return json!({}),
        (How::CodexGate, Verdict::Allow { arguments, .. }) => {
            let verdict = Verdict::Allow {
                arguments: arguments.clone(),
                message: None,
            };
            return answer(How::Gate, &verdict);
        }
        (How::CodexGate, Verdict::Deny { .. }) => return answer(How::Gate, verdict),
        (How::GeminiGate, Verdict::Allow { arguments, .. }) => {
            let input = arguments.as_ref().map(value).unwrap_or_default();
            json!({"hookEventName": "BeforeTool", "tool_input": input})
        }
        (How::GeminiGate, Verdict::Deny { message }) => {
            return json!({"decision": "deny", "reason": format!("{DENIED}{message}")});
        }
        (How::Permission, Verdict::Allow { arguments, .. }) => {
            let mut decision = json!({"behavior": "allow"});
            if let Some(arguments) = arguments {
                decision["updatedInput"] = value(arguments);
            }
            json!({"hookEventName": "PermissionRequest", "decision": decision})
        }
        (How::Permission, Verdict::Deny { message }) => json!({
            "hookEventName": "PermissionRequest",
            "decision": {"behavior": "deny", "message": format!("{DENIED}{message}")},
        }),
        (How::Gate, Verdict::Allow { arguments, message }) => {
            let mut specific = json!({"hookEventName": "PreToolUse", "permissionDecision": "allow"});
            if let Some(arguments) = arguments {
                specific["updatedInput"] = value(arguments);
            }
            if let Some(message) = message {
                specific["permissionDecisionReason"] = message.as_str().into();
            }
            specific
        }
        (How::Gate, Verdict::Deny { message }) => json!({
            "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": format!("{DENIED}{message}"),
        }),
    };
    json!({"hookSpecificOutput": specific})
}

fn value(arguments: &Object) -> Value {
    // An object's text is JSON.
    serde_json::from_str(arguments.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Json;

    use super::*;

    #[test]
    fn a_decision_is_in_the_vendors_words() {
        let arguments = Object::new(Json::parse(r#"{"command":"ls"}"#).unwrap());
        let allow = |arguments: Option<Object>| Verdict::Allow {
            arguments,
            message: None,
        };
        let deny = Verdict::Deny { message: "no".into() };
        for (how, verdict, want) in [
            (How::Permission, Verdict::Nothing, r#"{}"#),
            (How::Gate, Verdict::Nothing, r#"{}"#),
            (
                How::Permission,
                allow(arguments.clone()),
                r#"{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"allow","updatedInput":{"command":"ls"}}}}"#,
            ),
            (
                How::Permission,
                deny.clone(),
                r#"{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"deny","message":"Not permitted: no"}}}"#,
            ),
            (
                How::Gate,
                allow(arguments.clone()),
                r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow","updatedInput":{"command":"ls"}}}"#,
            ),
            (
                How::Gate,
                deny.clone(),
                r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"Not permitted: no"}}"#,
            ),
            (
                How::CodexPermission,
                Verdict::Allow {
                    arguments: None,
                    message: Some("yes".into()),
                },
                r#"{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"allow"}}}"#,
            ),
            (
                How::CodexPermission,
                allow(arguments.clone()),
                r#"{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"deny","message":"Not permitted: the call was approved with other arguments, which Codex does not take"}}}"#,
            ),
            (
                How::CodexGate,
                Verdict::Allow {
                    arguments: None,
                    message: Some("yes".into()),
                },
                "{}",
            ),
            (
                How::CodexGate,
                allow(arguments.clone()),
                r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow","updatedInput":{"command":"ls"}}}"#,
            ),
            (
                How::GeminiGate,
                Verdict::Allow {
                    arguments: None,
                    message: Some("yes".into()),
                },
                "{}",
            ),
            (
                How::GeminiGate,
                allow(arguments),
                r#"{"hookSpecificOutput":{"hookEventName":"BeforeTool","tool_input":{"command":"ls"}}}"#,
            ),
            (
                How::GeminiGate,
                deny,
                r#"{"decision":"deny","reason":"Not permitted: no"}"#,
            ),
        ] {
            let want: Value = serde_json::from_str(want).unwrap();
            assert_eq!(answer(how, &verdict), want);
        }
    }
}
