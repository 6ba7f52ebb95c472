//! What several sources tell is one turn and one call, and what no source has said the turn of is of the one in whose time it happened.

use turnwire_proto::{Event, Seq};

use super::{Entry, IDLE, RUNNING, THINKING};
use crate::views::{loose, tools, turns, turns::Turn};

impl Entry<'_> {
    /// Two rows are one turn, as different sources have told. It is in hand then.
    pub(super) fn join(&mut self, event: &Event, one: Seq, other: Seq) -> rusqlite::Result<()> {
        self.put_back()?;
        let Some(merged) = turns::merge(self.db, self.session.n, one, other)? else {
            return Ok(());
        };
        let [a, b] = &merged.were;
        let more = merged.turn.counts() - (a.counts() + b.counts());
        if let (Some(_), Some(at)) = (a.counted, b.counted) {
            self.session.turns -= 1;
            self.meter.turn(at, b.model.as_deref(), -1);
        }
        let place = merged.turn.place();
        let (is_open, was_open) = (merged.turn.is_open(), a.is_open() || b.is_open());
        self.turn = Some(merged.turn);
        self.spend(event.timestamp, None, more);
        self.reunite(place)?;
        if was_open && !is_open {
            self.leave_turn(place, event)?;
            if [THINKING, RUNNING].iter().any(|state| self.session.is(state)) && !self.open()? {
                self.session.enter(IDLE, event.timestamp);
            }
        }
        Ok(())
    }

    /// Calls of a turn of which it is known only now that they are one.
    fn reunite(&mut self, place: Seq) -> rusqlite::Result<()> {
        let calls = tools::reunite(self.db, self.session.n, place)?;
        calls.iter().for_each(|change| self.count(change));
        Ok(())
    }

    /// A turn's end tells from when to when it lasted: what another source, which knows no turns, has told of that time before belongs to it.
    pub(super) fn claim(&mut self, turn: &mut Turn) -> rusqlite::Result<()> {
        let (Some(span), true) = (turn.span(), self.session.mixed) else {
            return Ok(());
        };
        let taken = loose::take(self.db, self.session.n, span, |source| turn.named_by(source))?;
        let before = turn.counts();
        for (source, used) in taken.used {
            turn.spend(&source, used);
        }
        self.spend(span.1, None, turn.counts() - before + taken.more);
        tools::claim(self.db, self.session.n, turn.place(), span)?;
        self.reunite(turn.place())
    }

    /// Whether that the event is of the turn in hand is a guess: it says no turn, nor has its source ever, and when this one ends is not known yet.
    /// Its end will claim what belongs to it.
    pub(super) fn is_guess(&self, event: &Event) -> bool {
        let source = event.source.as_str();
        let is_guess = |turn: &Turn| turn.is_open() && !turn.named_by(source);
        event.turn_id.is_none() && self.session.mixed && self.turn.as_ref().is_some_and(is_guess)
    }

    /// Where a call happens.
    pub(super) fn place_of_call(&mut self, event: &Event) -> rusqlite::Result<tools::Place> {
        let mut place = self.place_of(event)?;
        if self.is_guess(event) {
            place.turn = None;
        }
        Ok(place)
    }

    /// A call is counted once, as all that is told of it says.
    pub(super) fn count(&mut self, change: &tools::Change) {
        if change.before == change.after && change.also.is_none() {
            return;
        }
        for (call, more) in [(&change.before, -1), (&change.also, -1), (&change.after, 1)] {
            if let Some(call) = call {
                self.session.tool_calls += more;
                self.session.tool_failures += if call.success { 0 } else { more };
                self.meter.call(call, more);
            }
        }
    }

    /// A call of which two sources tell is in one turn. A subagent's may outlive its own.
    pub(super) fn same_call(
        &mut self,
        event: &Event,
        place: tools::Place,
        change: &tools::Change,
        is_main: bool,
    ) -> rusqlite::Result<()> {
        match (change.turn, place.turn) {
            (Some(one), Some(other)) if one != other && is_main && event.turn_id.is_some() => {
                self.join(event, one, other)
            }
            _ => Ok(()),
        }
    }
}
