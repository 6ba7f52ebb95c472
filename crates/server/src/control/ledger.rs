//! The commands that are not at their end, in memory: a fold of the log, and the order in which each agent gets its own.
//!
//! It decides nothing and writes nothing. What is at its end stays until the views have it, so that a command is always found in
//! one of the two.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use turnwire_proto::{
    EventId, Name, Object, Seq, Timestamp,
    command::{Command, State},
};

use super::transition::is_legal;

/// How long after an agent has taken a command on it must have said what came of it. Longer than a turn may take, and there lest
/// an agent that is gone for ever leaves orders that never end.
pub(super) const RESULT_WAIT_MS: i64 = 24 * 3600 * 1000;

/// A step of a command, as its `command_state` event says it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) id: EventId,
    pub(crate) state: State,
    pub(crate) reason: Option<String>,
    pub(crate) result: Option<Object>,
    pub(crate) by: Option<String>,
}

impl Step {
    pub(crate) const fn new(id: EventId, state: State) -> Self {
        Self {
            id,
            state,
            reason: None,
            result: None,
            by: None,
        }
    }

    pub(crate) fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    commands: HashMap<EventId, Command>,
    /// Open commands of each agent, by their places.
    open: HashMap<Name, BTreeMap<Seq, EventId>>,
    /// When something must become of each open command.
    due: BTreeSet<(Timestamp, EventId)>,
    /// Commands at their end that are still here, by the place of their last event.
    ended: VecDeque<(Seq, EventId)>,
    bytes: usize,
}

impl Ledger {
    /// Takes a command in. One whose id is here already changes nothing.
    pub(super) fn insert(&mut self, command: Command) {
        if self.commands.contains_key(&command.id) || command.state.is_final() {
            return;
        }
        self.bytes += size(&command);
        self.due.insert((due(&command), command.id));
        let open = self.open.entry(command.agent.clone()).or_default();
        open.insert(command.seq, command.id);
        self.commands.insert(command.id, command);
    }

    /// Takes a step whose event stands at `seq`. One that the table does not allow changes nothing.
    pub(super) fn step(&mut self, step: &Step, at: Timestamp, seq: Seq) {
        let Some(command) = self.commands.get_mut(&step.id) else {
            return;
        };
        if !is_legal(command.state, step.state) {
            return;
        }
        self.due.remove(&(due(command), command.id));
        self.bytes -= size(command);
        command.state = step.state;
        command.updated = at;
        command.reason.clone_from(&step.reason);
        command.result.clone_from(&step.result);
        command.by.clone_from(&step.by);
        self.bytes += size(command);
        if !command.state.is_final() {
            self.due.insert((due(command), command.id));
            return;
        }
        if let Some(open) = self.open.get_mut(&command.agent) {
            open.remove(&command.seq);
            if open.is_empty() {
                self.open.remove(&command.agent);
            }
        }
        self.ended.push_back((seq, command.id));
    }

    /// Lets go of what the views have.
    pub(super) fn forget(&mut self, folded: Seq) {
        while let Some((seq, id)) = self.ended.front()
            && *seq <= folded
        {
            if let Some(command) = self.commands.remove(id) {
                self.bytes -= size(&command);
            }
            self.ended.pop_front();
        }
    }

    pub(super) fn get(&self, id: &EventId) -> Option<&Command> {
        self.commands.get(id)
    }

    /// An agent's open commands behind a place, oldest first.
    pub(super) fn open(&self, agent: &Name, after: Seq) -> impl Iterator<Item = &Command> {
        let open = self.open.get(agent);
        open.into_iter()
            .flat_map(move |open| open.range(after.next()..).map(|(_, id)| id))
            .filter_map(|id| self.commands.get(id))
    }

    /// Agents that have open commands.
    pub(super) fn agents(&self) -> impl Iterator<Item = &Name> {
        self.open.keys()
    }

    /// What must become of commands by now.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<Step> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(_, id)| self.commands.get(id))
            .map(|command| match command.state {
                State::Acked => Step::new(command.id, State::Failed).because("no_result"),
                _ => Step::new(command.id, State::Expired),
            })
            .collect()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Commands that are here.
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// Bytes of them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

fn due(command: &Command) -> Timestamp {
    if command.state == State::Acked {
        let at = command.updated.millis().saturating_add(RESULT_WAIT_MS);
        Timestamp::from_millis(at).unwrap_or(command.updated)
    } else {
        command.expires
    }
}

/// What a command costs in memory: its texts, and what is round them.
fn size(command: &Command) -> usize {
    const ROUND: usize = 512;
    let texts = [&command.reason, &command.by].into_iter().flatten().map(String::len);
    let objects = [Some(&command.args), command.result.as_ref()];
    ROUND
        + texts.sum::<usize>()
        + objects
            .into_iter()
            .flatten()
            .map(|json| json.get().len())
            .sum::<usize>()
}
