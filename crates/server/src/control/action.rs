//! What each action takes: its arguments, checked against their type and limits, and which older commands it makes pointless.

use serde::{Serialize, de::DeserializeOwned};
use turnwire_proto::{
    Code, Object,
    command::{
        Action, CompactArgs, CustomArgs, HoldArgs, MessageArgs, NewSessionArgs, SetModelArgs, SetPermissionModeArgs,
        StopTaskArgs, TurnArgs,
    },
    is_deeper, limits,
};

use crate::http::{Refusal, body};

/// Checks the arguments of an action; what comes back is what the agent gets.
///
/// # Errors
/// An unknown field, one that is missing or wrong, one that is too large. It is named with `prefix` before it.
pub(crate) fn checked(action: Action, prefix: &str, args: &Object) -> Result<Object, Refusal> {
    match action {
        Action::Message => read::<MessageArgs>(prefix, args, |args| {
            if args.content.is_empty() {
                let field = format!("{prefix}content");
                return Err(Refusal::field(&field, format!("`{field}` must not be empty")));
            }
            text(prefix, "content", Some(&args.content), limits::MESSAGE)
        }),
        Action::Cancel | Action::Interrupt => read::<TurnArgs>(prefix, args, |_| Ok(())),
        Action::Hold | Action::Release => read::<HoldArgs>(prefix, args, |args| {
            text(prefix, "reason", args.reason.as_deref(), limits::REASON)
        }),
        Action::Compact => read::<CompactArgs>(prefix, args, |args| {
            text(prefix, "instructions", args.instructions.as_deref(), limits::MESSAGE)
        }),
        Action::SetModel => read::<SetModelArgs>(prefix, args, |_| Ok(())),
        Action::NewSession => read::<NewSessionArgs>(prefix, args, |args| {
            text(prefix, "prompt", args.prompt.as_deref(), limits::MESSAGE)
        }),
        Action::SetPermissionMode => read::<SetPermissionModeArgs>(prefix, args, |_| Ok(())),
        Action::StopTask => read::<StopTaskArgs>(prefix, args, |_| Ok(())),
        Action::Custom => read::<CustomArgs>(prefix, args, |args| {
            args.args
                .as_ref()
                .map_or(Ok(()), |args| object(&format!("{prefix}args"), args))
        }),
    }
}

fn read<T: DeserializeOwned + Serialize>(
    prefix: &str,
    args: &Object,
    check: impl Fn(&T) -> Result<(), Refusal>,
) -> Result<Object, Refusal> {
    let read: T = body::parse_within(prefix, args.get().as_bytes())?;
    check(&read)?;
    let checked = Object::of(&read);
    if checked.get().len() > limits::ARGS {
        return Err(too_large(prefix.strip_suffix('.').unwrap_or("body"), limits::ARGS));
    }
    Ok(checked)
}

fn text(prefix: &str, field: &str, value: Option<&str>, limit: usize) -> Result<(), Refusal> {
    match value {
        Some(value) if value.len() > limit => Err(too_large(&format!("{prefix}{field}"), limit)),
        _ => Ok(()),
    }
}

/// Checks JSON that is carried and not read.
///
/// # Errors
/// It is too large, or nested too deep.
pub(super) fn object(field: &str, value: &Object) -> Result<(), Refusal> {
    if value.get().len() > limits::MESSAGE {
        return Err(too_large(field, limits::MESSAGE));
    }
    // The envelope adds two levels of its own.
    if is_deeper(value.get(), limits::LEVELS - 2) {
        let text = format!("`{field}` is nested deeper than {} levels", limits::LEVELS - 2);
        return Err(Refusal::field(field, text).with("limit", limits::LEVELS - 2));
    }
    Ok(())
}

pub(super) fn too_large(field: &str, limit: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("`{field}` is larger than {limit} bytes"))
        .with("field", field)
        .with("limit", limit)
}

/// Whether a newer command of the first kind leaves nothing to do for an older one of the second, of the same agent and session:
/// both say how something is to be, and the last word counts.
pub(super) fn supersedes(newer: Action, older: Action) -> bool {
    match newer {
        Action::SetModel | Action::SetPermissionMode => newer == older,
        Action::Hold | Action::Release => matches!(older, Action::Hold | Action::Release),
        _ => false,
    }
}
