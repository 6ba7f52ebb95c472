//! What was tried and what was acknowledged, and whether a log agrees with it.

use std::collections::{BTreeMap, HashMap, HashSet};

use turnwire_log::{Bounds, PageBuilder};
use turnwire_proto::{Epoch, Event, NewEvent, Seq, sse};

use crate::work::Batch;

/// Everything that is known of the log under test.
#[derive(Default)]
pub(crate) struct Ledger {
    /// By batch: the places that its acknowledgement told, when there was one.
    tried: BTreeMap<Batch, Option<(Seq, Seq)>>,
    /// Batches that were found, whole.
    found: HashSet<Batch>,
    /// Every event that was found: it must stay so.
    stands: BTreeMap<Seq, (Batch, u16)>,
    head: Seq,
    epoch: Option<Epoch>,
}

type Frames = [(Seq, Vec<u8>)];

impl Ledger {
    /// Takes a line of the child; whether it was an acknowledgement. What the test harness says is passed over.
    pub(crate) fn hear(&mut self, line: &str) -> bool {
        if let Some(batch) = line.strip_prefix("try ") {
            self.tried.insert(batch.parse().unwrap(), None);
            return false;
        }
        let Some(answer) = line.strip_prefix("ack ") else {
            return false;
        };
        let places: Vec<Seq> = answer.split(' ').skip(3).map(|seq| seq.parse().unwrap()).collect();
        let earlier = self.tried.insert(answer.parse().unwrap(), Some((places[0], places[1])));
        assert!(earlier.is_some(), "what was answered had been tried: {line}");
        true
    }

    /// What was tried and not answered, in the order of the batches.
    pub(crate) fn pending(&self) -> Vec<Batch> {
        self.tried
            .iter()
            .filter(|(_, answer)| answer.is_none())
            .map(|(batch, _)| *batch)
            .collect()
    }

    pub(crate) fn acked(&self) -> usize {
        self.tried.values().flatten().count()
    }

    /// The newest place at the last look.
    pub(crate) const fn head(&self) -> Seq {
        self.head
    }

    /// Compares what stands behind the last look's head after `run` was killed.
    pub(crate) fn look(&mut self, run: u32, bounds: &Bounds, frames: &Frames) -> Result<(), String> {
        if *self.epoch.get_or_insert(bounds.epoch) != bounds.epoch {
            return Err("it has become another log".into());
        }
        if bounds.head < frames.last().map_or(self.head, |(seq, _)| *seq) {
            return Err(format!("the head is {} where it was {}", bounds.head, self.head));
        }
        if bounds.first != Seq::ZERO.next() {
            return Err(format!("something was trimmed: {bounds:?}"));
        }
        let mut rest = frames;
        let mut numbers: HashMap<u16, u32> = HashMap::new();
        while let Some((_, frame)) = rest.first() {
            let (batch, behind) = self.batch(frame, rest)?;
            rest = behind;
            // An earlier run's batches come again in the order of their retries.
            if batch.run == run
                && numbers
                    .insert(batch.task, batch.number)
                    .is_some_and(|last| last >= batch.number)
            {
                return Err(format!("{batch} stands behind a later batch of its task"));
            }
        }
        self.head = bounds.head;
        self.acknowledged()
    }

    /// Takes one whole batch from the start of `frames` and gives back what follows it.
    fn batch<'a>(&mut self, first: &[u8], frames: &'a Frames) -> Result<(Batch, &'a Frames), String> {
        let (batch, _) = which(first)?;
        if !self.tried.contains_key(&batch) {
            return Err(format!("{batch} was never tried"));
        }
        if !self.found.insert(batch) {
            return Err(format!("{batch} is there twice"));
        }
        let Some((whole, behind)) = frames.split_at_checked(usize::from(batch.size())) else {
            return Err(format!("{batch} is torn: the log ends in it"));
        };
        for (index, (seq, frame)) in (0..).zip(whole) {
            if which(frame)? != (batch, index) {
                return Err(format!("{batch} is torn: its event {index} is not at {seq}"));
            }
            same_bytes(*seq, frame, &batch.event(index))?;
            let last = self.stands.last_key_value().map_or(Seq::ZERO, |(seq, _)| *seq);
            if *seq <= last.max(self.head) {
                return Err(format!("place {seq} of {batch} was given before"));
            }
            self.stands.insert(*seq, (batch, index));
        }
        let (first, last) = (whole[0].0, whole[whole.len() - 1].0);
        match self.tried[&batch] {
            Some(told) if told != (first, last) => Err(format!("{batch} is at {first} to {last}, not at {told:?}")),
            _ => Ok((batch, behind)),
        }
    }

    fn acknowledged(&self) -> Result<(), String> {
        let lost = self
            .tried
            .iter()
            .find(|(batch, answer)| answer.is_some() && !self.found.contains(batch));
        lost.map_or(Ok(()), |(batch, answer)| {
            Err(format!("{batch} was acknowledged at {answer:?} and is not there"))
        })
    }

    /// Compares everything from the start: what was there once is there.
    pub(crate) fn look_again(&self, frames: &Frames) -> Result<(), String> {
        let mut stands = self.stands.iter();
        for (seq, frame) in frames {
            let Some((place, (batch, index))) = stands.next() else {
                return Err(format!("{seq} was not there before"));
            };
            if (*place, (*batch, *index)) != (*seq, which(frame)?) {
                return Err(format!(
                    "event {index} of {batch} was at {place}, where {seq} comes next"
                ));
            }
            same_bytes(*seq, frame, &batch.event(*index))?;
        }
        stands.next().map_or(Ok(()), |(seq, (batch, _))| {
            Err(format!("{batch} at {seq} is not there any more"))
        })
    }

    /// A task's session was erased, with so many events.
    pub(crate) fn erased(&mut self, run: u32, task: u16, events: u64) -> Result<(), String> {
        let of = |batch: &Batch| batch.run == run && batch.task == task;
        let before = self.stands.len();
        self.stands.retain(|_, (batch, _)| !of(batch));
        self.tried.retain(|batch, _| !of(batch));
        let gone = (before - self.stands.len()) as u64;
        if gone == events {
            Ok(())
        } else {
            Err(format!("{events} events were erased of {gone}"))
        }
    }
}

fn which(frame: &[u8]) -> Result<(Batch, u16), String> {
    let event = Event::parse(sse::json_of(frame)).map_err(|error| format!("a frame is torn: {error}"))?;
    Ok(Batch::of(event.id))
}

fn same_bytes(seq: Seq, frame: &[u8], event: &NewEvent) -> Result<(), String> {
    let (mut body, mut page) = (Vec::new(), PageBuilder::default());
    event.encode_body(&mut body);
    page.push(seq, &body, event.raw.as_ref().map(|raw| raw.get().as_bytes()));
    if page.finish(seq, seq).run == frame {
        return Ok(());
    }
    Err(format!(
        "the bytes at {seq} are not those of the event that was appended"
    ))
}

mod tests {
    use super::*;

    fn frames(first: u64, batch: Batch) -> Vec<(Seq, Vec<u8>)> {
        let places = (first..).filter_map(Seq::new);
        let frame = |(seq, event): (Seq, NewEvent)| {
            let (mut body, mut page) = (Vec::new(), PageBuilder::default());
            event.encode_body(&mut body);
            page.push(seq, &body, event.raw.as_ref().map(|raw| raw.get().as_bytes()));
            (seq, page.finish(seq, seq).run.to_vec())
        };
        places.zip(batch.events()).map(frame).collect()
    }

    fn bounds(head: u64) -> Bounds {
        let one = Seq::ZERO.next();
        Bounds {
            first: one,
            first_delta: one,
            head: Seq::new(head).unwrap(),
            epoch: Epoch::from_bytes([1; 16]),
        }
    }

    /// Two batches, one of them acknowledged, each of some events.
    fn story() -> (Ledger, Vec<(Seq, Vec<u8>)>, usize) {
        let batches = (0..)
            .map(|number| Batch {
                run: 1,
                task: 0,
                number,
            })
            .filter(|batch| batch.size() > 3);
        let batches: Vec<_> = batches.take(2).collect();
        let mut ledger = Ledger::default();
        for batch in &batches {
            ledger.hear(&format!("try {batch}"));
        }
        let size = usize::from(batches[0].size());
        ledger.hear(&format!("ack {} 1 {size}", batches[0]));
        let mut all = frames(1, batches[0]);
        all.extend(frames(size as u64 + 1, batches[1]));
        (ledger, all, size)
    }

    type Frame = (Seq, Vec<u8>);

    fn looked(change: impl FnOnce(&mut Vec<Frame>, usize)) -> Result<(), String> {
        let (mut ledger, mut all, size) = story();
        let head = all.last().unwrap().0.get();
        change(&mut all, size);
        ledger.look(1, &bounds(head), &all)?;
        ledger.look_again(&all)
    }

    #[test]
    fn the_check_sees_what_is_lost_torn_repeated_or_changed() {
        looked(|_, _| {}).unwrap();
        looked(|all, size| all.truncate(size)).expect("what was not acknowledged need not be there");
        type Change = fn(&mut Vec<Frame>, usize);
        let wrong: [(&str, Change); 8] = [
            ("not there", |all, size| drop(all.drain(..size))),
            ("torn", |all, size| all.truncate(size + 2)),
            ("torn", |all, _| drop(all.remove(1))),
            ("torn", |all, size| all.insert(size, all[size + 1].clone())),
            ("twice", |all, size| all.extend_from_within(..size)),
            ("torn", |all, _| {
                let second = all[1].1.clone();
                all[1].1 = std::mem::replace(&mut all[2].1, second);
            }),
            ("bytes", |all, _| {
                let at = all[0].1.iter().rposition(|b| *b == b'"').unwrap();
                all[0].1.insert(at, b'x');
            }),
            ("not at", |all, _| {
                for (seq, frame) in &mut *all {
                    let event = Event::parse(sse::json_of(frame)).unwrap();
                    let (batch, index) = Batch::of(event.id);
                    *seq = seq.next();
                    *frame = frames(seq.get() - u64::from(index), batch)[usize::from(index)]
                        .1
                        .clone();
                }
                all.pop();
            }),
        ];
        for (n, (word, change)) in wrong.into_iter().enumerate() {
            let found = looked(change).expect_err(word);
            assert!(found.contains(word), "{n}: {found:?} is not about {word:?}");
        }
    }

    #[test]
    fn the_check_sees_a_place_that_is_given_again() {
        let (mut ledger, all, size) = story();
        ledger.look(1, &bounds(size as u64), &all[..size]).unwrap();
        ledger.erased(1, 0, size as u64).unwrap();
        let other = Batch {
            run: 2,
            task: 1,
            number: 0,
        };
        ledger.hear(&format!("try {other}"));
        let again = frames(size as u64, other);
        let found = ledger.look(2, &bounds(size as u64 + 300), &again).unwrap_err();
        assert!(found.contains("given before"), "{found}");
    }

    #[test]
    fn the_check_sees_a_head_that_goes_back_and_what_vanishes_later() {
        let (mut ledger, all, size) = story();
        ledger.look(1, &bounds(all.len() as u64), &all).unwrap();
        assert!(ledger.look_again(&all[..size]).unwrap_err().contains("any more"));
        assert!(ledger.look_again(&all[1..]).is_err());
        assert!(ledger.look(2, &bounds(size as u64), &[]).unwrap_err().contains("head"));
        assert!(
            ledger
                .look(
                    2,
                    &Bounds {
                        epoch: Epoch::new(),
                        ..bounds(9999)
                    },
                    &[]
                )
                .is_err()
        );
    }
}
