//! Where a reader is in the log: what it asks for when it comes back, and what it must not be given twice.
//!
//! A place means something only together with the epoch of the log that gave it, so the two are never mixed: a new
//! connection's epoch becomes the position's when something of that connection has moved the position, not before.

use turnwire_proto::{Epoch, GapReason, Seq};

/// A reader's place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// Everything that is selected up to here is known.
    after: Option<Seq>,
    /// The log that `after` is a place in; unknown while only the caller has named a place.
    epoch: Option<Epoch>,
    /// `after` stands on an event, a gap, the server's word or the caller's. When it stands on the head that a `hello` told, what comes
    /// is not measured against it.
    sure: bool,
    /// The log that the open connection reads.
    stream: Option<Epoch>,
    /// The head that the open connection's `hello` told, until it stands for a place.
    head: Option<Seq>,
    /// The caller asked for the newest events, and has had none yet.
    tail: bool,
}

/// What an event is to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The next one.
    Fresh,
    /// It has had it.
    Repeat,
    /// The log is another, and nobody has said so: the reader must be told of this gap first.
    Untold {
        /// The place that means nothing any more.
        after: Seq,
    },
}

impl Position {
    pub(crate) fn new(after: Option<Seq>, epoch: Option<Epoch>, tail: bool) -> Self {
        Self {
            after,
            epoch,
            sure: after.is_some(),
            tail: tail && after.is_none(),
            ..Self::default()
        }
    }

    /// The cursor to come back with.
    pub(crate) const fn after(&self) -> Option<Seq> {
        self.after
    }

    /// The epoch to name with the cursor.
    pub(crate) const fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// A new connection is open.
    pub(crate) const fn opened(&mut self) {
        self.stream = None;
        self.head = None;
    }

    pub(crate) const fn hello(&mut self, epoch: Epoch, head: Seq) {
        self.stream = Some(epoch);
        match self.after {
            Some(_) if self.epoch.is_none() => self.epoch = Some(epoch),
            Some(_) => {}
            // Live from the head. Were the connection cut before its first event, coming back without a cursor would skip
            // what was written meanwhile.
            None if !self.tail => {
                self.after = Some(head);
                self.epoch = Some(epoch);
            }
            None => self.head = Some(head),
        }
    }

    /// A sign of life. Servers send it when they wait, so all up to the head that they told has been sent.
    pub(crate) const fn idle(&mut self) {
        if let (None, Some(head)) = (self.after, self.head) {
            self.after = Some(head);
            self.epoch = self.stream;
        }
    }

    /// Everything that is selected up to here has been sent.
    pub(crate) fn reached(&mut self, seq: Seq) {
        // An old place is not measured against a new log's: the gap between them is still to be told.
        if self.is_same_log() && self.after.is_none_or(|after| !self.sure || after < seq) {
            self.stand(seq);
        }
    }

    fn is_same_log(&self) -> bool {
        self.stream.is_none() || self.epoch.is_none() || self.stream == self.epoch
    }

    pub(crate) fn event(&mut self, seq: Seq) -> Verdict {
        if let Some(after) = self.after {
            if !self.is_same_log() {
                self.stand(seq.prev());
                return Verdict::Untold { after };
            }
            if self.sure && seq <= after {
                return Verdict::Repeat;
            }
        }
        self.stand(seq);
        Verdict::Fresh
    }

    pub(crate) fn gap(&mut self, next: Seq, reason: GapReason) {
        match reason {
            // Events that are no deltas still come from this range.
            GapReason::DeltasTrimmed => {}
            GapReason::Trimmed => {
                let same_log = self.stream == self.epoch;
                let after = self.after.filter(|_| same_log).unwrap_or(Seq::ZERO);
                self.stand(after.max(next.prev()));
            }
            GapReason::OtherEpoch | GapReason::BeyondHead => self.stand(next.prev()),
        }
    }

    fn stand(&mut self, after: Seq) {
        self.after = Some(after);
        self.epoch = self.stream.or(self.epoch);
        self.sure = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap()
    }

    fn place(position: &Position) -> (u64, Option<Epoch>) {
        (position.after().unwrap().get(), position.epoch())
    }

    #[test]
    fn a_live_reader_that_is_cut_before_its_first_event_comes_back_to_where_it_began() {
        let mut live = Position::new(None, None, false);
        let epoch = Epoch::new();
        live.opened();
        assert_eq!(live.after(), None);
        live.hello(epoch, seq(7));
        assert_eq!(place(&live), (7, Some(epoch)));
        // The head was told a moment after the stream began: what lies before it is not held back.
        assert_eq!(live.event(seq(6)), Verdict::Fresh);
        assert_eq!(place(&live), (6, Some(epoch)));
        assert_eq!(live.event(seq(6)), Verdict::Repeat);
        assert_eq!(live.event(seq(8)), Verdict::Fresh);
    }

    #[test]
    fn a_reader_of_the_tail_has_a_place_once_it_has_the_tail() {
        let mut tail = Position::new(None, None, true);
        let epoch = Epoch::new();
        tail.opened();
        tail.idle();
        tail.hello(epoch, seq(7));
        assert_eq!(tail.after(), None, "the tail has not come yet");
        let mut empty = tail.clone();
        assert_eq!(tail.event(seq(3)), Verdict::Fresh);
        assert_eq!(place(&tail), (3, Some(epoch)));
        empty.idle();
        assert_eq!(place(&empty), (7, Some(epoch)), "there was no tail");
    }

    #[test]
    fn a_reader_comes_back_to_where_it_was_told_that_it_is() {
        let (old, new) = (Epoch::new(), Epoch::new());
        let mut tail = Position::new(None, None, true);
        tail.opened();
        tail.hello(old, seq(70));
        tail.reached(seq(50));
        assert_eq!(place(&tail), (50, Some(old)), "the tail begins here");
        assert_eq!(tail.event(seq(51)), Verdict::Fresh);
        tail.reached(seq(90));
        tail.reached(seq(80));
        assert_eq!(place(&tail), (90, Some(old)), "nothing was selected up to here");
        assert_eq!(tail.event(seq(90)), Verdict::Repeat);

        tail.opened();
        tail.hello(new, seq(3));
        tail.reached(seq(99));
        assert_eq!(place(&tail), (90, Some(old)), "another log's place is none of this one");
        tail.gap(seq(1), GapReason::OtherEpoch);
        tail.reached(seq(2));
        assert_eq!(place(&tail), (2, Some(new)));
    }

    #[test]
    fn what_a_reader_has_had_is_not_given_again() {
        let mut position = Position::new(Some(seq(5)), None, false);
        position.opened();
        position.hello(Epoch::new(), seq(9));
        for (n, verdict) in [
            (5, Verdict::Repeat),
            (6, Verdict::Fresh),
            (6, Verdict::Repeat),
            (4, Verdict::Repeat),
            (9, Verdict::Fresh),
        ] {
            assert_eq!(position.event(seq(n)), verdict, "{n}");
        }
    }

    #[test]
    fn an_old_place_is_never_named_with_a_new_epoch() {
        let (old, new) = (Epoch::new(), Epoch::new());
        let mut position = Position::new(Some(seq(50)), Some(old), false);
        position.opened();
        position.hello(new, seq(3));
        assert_eq!(
            place(&position),
            (50, Some(old)),
            "cut before the gap: it is told again"
        );
        position.gap(seq(1), GapReason::OtherEpoch);
        assert_eq!(place(&position), (0, Some(new)));
        assert_eq!(position.event(seq(1)), Verdict::Fresh);
        assert_eq!(place(&position), (1, Some(new)));
    }

    #[test]
    fn another_log_that_nobody_told_of_is_a_gap() {
        let (old, new) = (Epoch::new(), Epoch::new());
        let mut position = Position::new(Some(seq(50)), Some(old), false);
        position.opened();
        position.hello(new, seq(90));
        assert_eq!(position.event(seq(7)), Verdict::Untold { after: seq(50) });
        assert_eq!(position.event(seq(7)), Verdict::Fresh);
        assert_eq!(place(&position), (7, Some(new)));
    }

    #[test]
    fn a_gap_moves_the_reader_over_what_is_gone_and_over_nothing_else() {
        let mut position = Position::new(Some(seq(5)), None, false);
        position.opened();
        position.hello(Epoch::new(), seq(90));
        position.gap(seq(50), GapReason::DeltasTrimmed);
        assert_eq!(position.after(), Some(seq(5)));
        position.gap(seq(20), GapReason::Trimmed);
        assert_eq!(position.after(), Some(seq(19)), "cut here, the gap is not told again");
        position.gap(seq(10), GapReason::Trimmed);
        assert_eq!(position.after(), Some(seq(19)));
        position.gap(seq(4), GapReason::BeyondHead);
        assert_eq!(position.event(seq(4)), Verdict::Fresh, "the log went back");
    }
}
