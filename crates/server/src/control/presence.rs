//! Which agents are there: who has a downlink open, since when the others are silent, and what each has said of itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use turnwire_proto::{Name, Timestamp, command::Report};

/// Agents that are remembered. Each has a token that an administrator made.
pub(super) const MAX_AGENTS: usize = 4096;

/// One agent, as far as it is known.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) online: bool,
    /// Since when it is online or offline.
    pub(super) since: Timestamp,
    /// When it last gave a sign of life.
    pub(super) seen: Timestamp,
    /// The same by a clock that nobody sets.
    sign: Instant,
    /// Its newest downlink.
    line: Option<(u64, Arc<Line>)>,
    /// Raised when it has a new command or a new downlink.
    bell: watch::Sender<u64>,
    pub(super) report: Report,
}

/// An open downlink, as the desk knows it.
#[derive(Debug, Default)]
struct Line {
    closed: Mutex<Option<Instant>>,
}

/// An open downlink, as its connection has it: the agent is there for as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    /// Which one it is.
    pub(super) id: u64,
    line: Arc<Line>,
    /// Tells the desk that there is something to look at.
    told: Arc<Notify>,
    pub(super) bell: watch::Receiver<u64>,
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.line.closed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.told.notify_one();
    }
}

impl Agent {
    /// When it has been silent for this long; `None` while it is not silent, or known to be.
    fn lost(&self, silence: Duration) -> Option<Instant> {
        if !self.online {
            return None;
        }
        let closed = match &self.line {
            None => self.sign,
            Some((_, line)) => (*line.closed.lock().unwrap_or_else(PoisonError::into_inner))?,
        };
        Some(closed.max(self.sign) + silence)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Presence {
    agents: BTreeMap<Name, Agent>,
    /// Downlinks that were opened.
    opened: u64,
    silence: Duration,
    told: Arc<Notify>,
}

impl Presence {
    pub(super) fn new(silence: Duration, told: Arc<Notify>) -> Self {
        Self {
            agents: BTreeMap::new(),
            opened: 0,
            silence,
            told,
        }
    }

    /// Takes in what the views know of an agent. One that was online has to show it again in time.
    pub(super) fn restore(&mut self, name: Name, online: bool, since: Timestamp, seen: Timestamp, report: Report) {
        // After a torn write all is read again: open downlinks stay, and what was said of sessions is nowhere else.
        if let Some(known) = self.agents.get_mut(&name) {
            (known.online, known.since) = (online, since);
            return;
        }
        let agent = Agent {
            online,
            since,
            seen,
            sign: Instant::now(),
            line: None,
            bell: watch::Sender::new(0),
            report,
        };
        self.agents.insert(name, agent);
    }

    pub(super) fn get(&self, name: &Name) -> Option<&Agent> {
        self.agents.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &Agent)> {
        self.agents.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Makes room for one more. `false`: there is none.
    pub(super) fn has_room(&mut self, name: &Name) -> bool {
        if self.agents.contains_key(name) || self.agents.len() < MAX_AGENTS {
            return true;
        }
        let gone = self.agents.iter().filter(|(_, agent)| !agent.online);
        let oldest = gone.min_by_key(|(_, agent)| agent.seen).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.agents.remove(&name).is_some())
    }

    /// A sign of life of an agent whose presence is in the log.
    pub(super) fn seen(&mut self, name: &Name, now: Timestamp) {
        let agent = self.agents.entry(name.clone()).or_insert_with(|| Agent {
            online: false,
            since: now,
            seen: now,
            sign: Instant::now(),
            line: None,
            bell: watch::Sender::new(0),
            report: Report::default(),
        });
        (agent.seen, agent.sign) = (now, Instant::now());
    }

    /// The log says that it is there, or that it is not.
    pub(super) fn set(&mut self, name: &Name, online: bool, now: Timestamp) {
        if online {
            self.seen(name, now);
        }
        if let Some(agent) = self.agents.get_mut(name) {
            (agent.online, agent.since) = (online, now);
        }
    }

    /// What it says of itself.
    pub(super) fn report(&mut self, name: &Name, report: Report) {
        if let Some(agent) = self.agents.get_mut(name) {
            agent.report = report;
        }
    }

    /// A new downlink takes the place of the one before, which hears of it.
    pub(super) fn open(&mut self, name: &Name) -> Option<Held> {
        let agent = self.agents.get_mut(name)?;
        let line = Arc::<Line>::default();
        self.opened += 1;
        agent.line = Some((self.opened, line.clone()));
        agent.bell.send_modify(|rung| *rung += 1);
        let bell = agent.bell.subscribe();
        Some(Held {
            id: self.opened,
            line,
            told: self.told.clone(),
            bell,
        })
    }

    /// Whether a downlink is still the newest of its agent.
    pub(super) fn is_newest(&self, name: &Name, id: u64) -> bool {
        let line = self.agents.get(name).and_then(|agent| agent.line.as_ref());
        line.is_some_and(|(newest, _)| *newest == id)
    }

    /// There is something new for an agent.
    pub(super) fn ring(&self, name: &Name) {
        if let Some(agent) = self.agents.get(name) {
            agent.bell.send_modify(|rung| *rung += 1);
        }
    }

    /// Agents that have been silent for too long.
    pub(super) fn lost(&self, now: Instant) -> Vec<Name> {
        let late = |agent: &Agent| agent.lost(self.silence).is_some_and(|at| at <= now);
        let lost = self.agents.iter().filter(|(_, agent)| late(agent));
        lost.map(|(name, _)| name.clone()).collect()
    }

    /// When the next one will have been.
    pub(super) fn next_lost(&self) -> Option<Instant> {
        self.agents.values().filter_map(|agent| agent.lost(self.silence)).min()
    }

    pub(super) fn online(&self) -> usize {
        self.agents.values().filter(|agent| agent.online).count()
    }
}
