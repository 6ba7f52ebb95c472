//! Who waits for a command's end, and is told of it when it is in the log.

use std::collections::HashMap;

use tokio::sync::oneshot;
use turnwire_proto::{EventId, command::Command};

/// A command's end.
#[derive(Debug)]
pub(crate) enum End {
    /// It has come.
    Come(Box<Command>),
    /// It will be told here; never, when the desk ends before.
    ToCome(oneshot::Receiver<Command>),
}

/// See the module. Bounded by what asks: each one that waits is a request, and those that have gone leave with the next that
/// waits for the same command, or with its end, which every command comes to.
#[derive(Debug, Default)]
pub(super) struct Ends {
    waiting: HashMap<EventId, Vec<oneshot::Sender<Command>>>,
}

impl Ends {
    pub(super) fn wait(&mut self, id: EventId) -> oneshot::Receiver<Command> {
        let (tell, told) = oneshot::channel();
        let waiting = self.waiting.entry(id).or_default();
        waiting.retain(|one| !one.is_closed());
        waiting.push(tell);
        told
    }

    /// Tells of a command that has come to its end.
    pub(super) fn tell(&mut self, command: &Command) {
        for one in self.waiting.remove(&command.id).into_iter().flatten() {
            // Whoever has gone is not told.
            let _ = one.send(command.clone());
        }
    }

    /// The commands that are waited for.
    pub(super) fn waited_for(&self) -> Vec<EventId> {
        self.waiting.keys().copied().collect()
    }
}
