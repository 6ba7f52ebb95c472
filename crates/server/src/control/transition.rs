//! The one table of what may become of a command, and what is made of a step that comes late or twice.

use turnwire_proto::command::State;

/// Whether a command may go from one state to another at once. The log is folded by this, and nothing is written against it.
pub(crate) const fn is_legal(from: State, to: State) -> bool {
    use State::{Acked, Delivered, Done, Expired, Failed, Queued, Withdrawn};
    match from {
        Queued => matches!(to, Delivered | Expired | Withdrawn),
        // An agent that is quick says at once what came of it.
        Delivered => matches!(to, Acked | Done | Failed | Expired | Withdrawn),
        // It is the agent's now: it does not expire, and only another command can stop it.
        Acked => matches!(to, Done | Failed),
        Done | Failed | Expired | Withdrawn => false,
    }
}

/// What is made of a step that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is taken.
    Step,
    /// It was taken before, or one behind it was: a second try whose first answer was lost.
    Before,
    /// Something else came first.
    Refused,
}

/// Judges a step. The first writer wins: what is final stays.
pub(super) fn judge(from: State, to: State) -> Verdict {
    if is_legal(from, to) {
        Verdict::Step
    } else if from == to || (to == State::Acked && matches!(from, State::Done | State::Failed)) {
        Verdict::Before
    } else {
        Verdict::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_after_a_final_state_and_nothing_goes_back() {
        let rank = |state: State| match state {
            State::Queued => 0,
            State::Delivered => 1,
            State::Acked => 2,
            _ => 3,
        };
        for from in State::ALL {
            for to in State::ALL {
                if is_legal(*from, *to) {
                    assert!(!from.is_final() && rank(*from) < rank(*to), "{from} {to}");
                }
            }
            let ends = State::ALL.iter().any(|to| is_legal(*from, *to));
            assert_eq!(ends, !from.is_final(), "{from}");
        }
    }
}
