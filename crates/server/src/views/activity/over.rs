//! What is over: sessions that have ended, and turns of which a source tells when they have been overtaken. The same comes of it in
//! whatever order the sources tell.

use turnwire_proto::{Event, SessionEnd};

use super::{Entry, NEXT_TURN, SESSION_END};
use crate::views::{approvals, runs, tools, turns};

impl Entry<'_> {
    pub(super) fn session_end(&mut self, event: &Event, body: &SessionEnd) -> rusqlite::Result<()> {
        self.hold(None)?;
        self.close_others(event, None, SESSION_END)?;
        tools::close_session(self.db, self.session.n, event)?;
        approvals::session_ended(self.db, self.session.n, event)?;
        runs::session_ended(self.db, self.session.n, event)?;
        self.session.end(event.timestamp, body.exit_code.map(i64::from));
        self.settle()
    }

    /// A session that is over has failed as its exit code says; where none is told, when its last turn has, which may be told after the end.
    pub(super) fn settle(&mut self) -> rusqlite::Result<()> {
        if self.session.is_over() {
            self.put_back()?;
            let last = turns::last(self.db, self.session.n)?;
            self.session.ended(last.is_some_and(|turn| turn.has_failed()));
        }
        Ok(())
    }

    /// The turn in hand is told late: another one began after it, or the session ended, and no source has told its end.
    pub(super) fn overtaken(&mut self, event: &Event) -> rusqlite::Result<()> {
        self.put_back()?;
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.is_open()) else {
            return Ok(());
        };
        let next = turns::began_since(self.db, self.session.n, event)?;
        let over = self.session.over_since().filter(|over| *over >= event.timestamp);
        let (at, note) = match (next, over) {
            (Some(at), _) => (at, NEXT_TURN),
            (None, Some(at)) => (at, SESSION_END),
            (None, None) => return Ok(()),
        };
        turn.close_at(at, event.seq, note);
        let (used, place) = (turn.counts(), turn.place());
        self.spend(event.timestamp, None, used);
        self.leave_turn(place, event)?;
        self.settle()
    }
}
