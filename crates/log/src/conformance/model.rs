//! A log beside a sorted map: random appends, reads, trims and restarts must come to the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use tokio::runtime::Handle;
use turnwire_proto::{EventId, NewEvent, Selector, Seq};

use super::{
    PATIENCE, Subject, Subjects,
    check::{append, backward, bounds, forward, frame, select},
    event::{SESSIONS, any_event, any_selector, at, name},
    trim::trim,
};
use crate::{Limit, Log, Retention};

/// Histories that are tried; each begins with an empty log.
const HISTORIES: u32 = 48;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Item>),
    Read { what: Selector, at: Index, limit: Limit },
    Trim(What),
    Restart,
}

/// An event of a batch: a new one, or one that is there already, or an earlier one of the batch.
#[derive(Clone, Debug)]
enum Item {
    New(Box<NewEvent>),
    Known(Index),
    Earlier(Index),
}

#[derive(Clone, Debug)]
enum What {
    Events(i64),
    Deltas(i64),
    Raw(i64),
    Bytes(Index),
    Session(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let item = prop_oneof![
        6 => any_event().prop_map(|event| Item::New(Box::new(event))),
        1 => any::<Index>().prop_map(Item::Known),
        1 => any::<Index>().prop_map(Item::Earlier),
    ];
    let limit = (0..9_usize, prop_oneof![Just(8 << 20), 0..3000_usize]);
    let limit = limit.prop_map(|(events, bytes)| Limit { events, bytes });
    let trim = prop_oneof![
        (0..400_i64).prop_map(What::Events),
        (0..1000_i64).prop_map(What::Deltas),
        (0..1000_i64).prop_map(What::Raw),
        any::<Index>().prop_map(What::Bytes),
        proptest::sample::select(&SESSIONS[..]).prop_map(What::Session),
    ];
    prop_oneof![
        5 => proptest::collection::vec(item, 0..12).prop_map(Step::Append),
        4 => (any_selector(), any::<Index>(), limit).prop_map(|(what, at, limit)| Step::Read { what, at, limit }),
        2 => trim.prop_map(Step::Trim),
        1 => Just(Step::Restart),
    ]
}

/// What a trim has to delete, and what it may.
struct Goes {
    must: BTreeSet<Seq>,
    may: BTreeSet<Seq>,
}

impl Goes {
    fn just<'a>(goes: impl Iterator<Item = (&'a Seq, &'a NewEvent)>) -> Self {
        let must = set(goes);
        Self {
            may: must.clone(),
            must,
        }
    }
}

fn set<'a>(events: impl Iterator<Item = (&'a Seq, &'a NewEvent)>) -> BTreeSet<Seq> {
    events.map(|(place, _)| *place).collect()
}

/// What a log holds, told by what was done to it.
#[derive(Default)]
struct Model {
    events: BTreeMap<Seq, NewEvent>,
    places: HashMap<EventId, Seq>,
    head: Seq,
    /// The newest place that went with the start.
    gone: Seq,
    gone_delta: Seq,
}

impl Model {
    fn batch(&self, items: &[Item]) -> Vec<NewEvent> {
        let mut batch: Vec<NewEvent> = Vec::new();
        for item in items {
            match item {
                Item::New(event) => batch.push((**event).clone()),
                Item::Known(index) if !self.events.is_empty() => {
                    let known = self.events.values().nth(index.index(self.events.len()));
                    batch.extend(known.cloned());
                }
                Item::Earlier(index) if !batch.is_empty() => batch.push(batch[index.index(batch.len())].clone()),
                Item::Known(_) | Item::Earlier(_) => {}
            }
        }
        batch
    }

    async fn append(&mut self, log: &dyn Log, batch: &[NewEvent]) {
        let done = append(log, batch).await;
        let mut fresh: Vec<&NewEvent> = Vec::new();
        for event in batch {
            if !self.places.contains_key(&event.id) && fresh.iter().all(|new| new.id != event.id) {
                fresh.push(event);
            }
        }
        assert_eq!(
            (done.written, done.duplicates),
            (fresh.len(), batch.len() - fresh.len())
        );
        let written = forward(log, &Selector::all(), self.head, Limit::RUN).await;
        assert_eq!(written.len(), fresh.len(), "just the new ones stand behind the head");
        for ((place, _), event) in written.iter().zip(fresh) {
            self.places.insert(event.id, *place);
            self.events.insert(*place, event.clone());
            self.head = *place;
        }
        let places: Vec<_> = batch.iter().map(|event| self.places[&event.id]).collect();
        let ends = (places.iter().min().copied(), places.iter().max().copied());
        assert_eq!(
            (done.first, done.last),
            (ends.0.unwrap_or_default(), ends.1.unwrap_or_default())
        );
    }

    async fn read(&self, log: &dyn Log, what: &Selector, at: Index, limit: Limit) {
        // Beyond the head, too.
        let at = Seq::new(at.index(usize::try_from(self.head.get()).expect("a short history") + 3) as u64);
        let at = at.expect("a short history");
        let behind = select(self.events.range(at.next()..), what);
        assert_eq!(forward(log, what, at, limit).await, behind, "after {at}");
        let ahead = select(self.events.range(..at), what);
        assert_eq!(backward(log, what, at, limit).await, ahead, "before {at}");
    }

    async fn trim(&mut self, log: &dyn Log, what: &What) {
        let (policy, goes) = self.policy(what);
        let trimmed = trim(log, &policy).await;
        let everything = Selector {
            raw: true,
            ..Selector::all()
        };
        let left: BTreeMap<_, _> = forward(log, &everything, Seq::ZERO, Limit::RUN)
            .await
            .into_iter()
            .collect();
        let lines = |model: &Self| model.events.values().filter(|event| event.raw.is_some()).count();
        let (events_before, lines_before) = (self.events.len(), lines(self));
        if matches!(what, What::Raw(_)) {
            for (place, event) in &mut self.events {
                if goes.may.contains(place) && left.get(place) != Some(&frame(*place, event, &everything).1) {
                    event.raw = None;
                    continue;
                }
                assert!(
                    event.raw.is_none() || !goes.must.contains(place),
                    "the line at {place} stays: {policy:?}"
                );
            }
        } else {
            assert!(
                goes.must.iter().all(|place| !left.contains_key(place)),
                "{policy:?} {:?}",
                goes.must
            );
            let gone = |place: &Seq| goes.may.contains(place) && !left.contains_key(place);
            let last = self
                .events
                .keys()
                .filter(|place| gone(place))
                .max()
                .copied()
                .unwrap_or_default();
            match what {
                What::Events(_) | What::Bytes(_) => self.gone = self.gone.max(last),
                What::Deltas(_) => self.gone_delta = self.gone_delta.max(last),
                What::Raw(_) | What::Session(_) => {}
            }
            self.events.retain(|place, _| !gone(place));
            let events = &self.events;
            self.places.retain(|_, place| events.contains_key(place));
        }
        let expected = select(self.events.iter(), &everything);
        assert_eq!(
            left.into_iter().collect::<Vec<_>>(),
            expected,
            "nothing else goes: {policy:?}"
        );
        let gone = (events_before - self.events.len(), lines_before - lines(self));
        assert_eq!(
            (trimmed.events, trimmed.raw),
            (gone.0 as u64, gone.1 as u64),
            "{policy:?}"
        );
    }

    /// The policy, and the places that it has to empty and may empty.
    fn policy(&self, what: &What) -> (Retention, Goes) {
        let none = Retention::default();
        let older = |secs| {
            let oldest = self
                .events
                .iter()
                .take_while(move |(_, event)| event.timestamp < at(secs));
            let all = self.events.iter().filter(move |(_, event)| event.timestamp < at(secs));
            (oldest, all)
        };
        match what {
            What::Events(secs) => {
                let before = Some(at(*secs));
                let goes = Goes::just(older(*secs).0);
                (
                    Retention {
                        events_before: before,
                        ..none
                    },
                    goes,
                )
            }
            What::Deltas(secs) => {
                let (oldest, all) = older(*secs);
                let delta = |(_, event): &(&Seq, &NewEvent)| event.kind.is_delta();
                let goes = Goes {
                    must: set(oldest.filter(delta)),
                    may: set(all.filter(delta)),
                };
                (
                    Retention {
                        deltas_before: Some(at(*secs)),
                        ..none
                    },
                    goes,
                )
            }
            What::Raw(secs) => {
                let (oldest, all) = older(*secs);
                let goes = Goes {
                    must: set(oldest),
                    may: set(all),
                };
                (
                    Retention {
                        raw_before: Some(at(*secs)),
                        ..none
                    },
                    goes,
                )
            }
            What::Bytes(index) => {
                let size = |event: &NewEvent| {
                    let mut body = Vec::new();
                    event.encode_body(&mut body);
                    body.len() as u64
                };
                let mut bytes: u64 = self.events.values().map(size).sum();
                let most = index.index(usize::try_from(bytes).expect("a short history") + 1) as u64;
                let goes = Goes::just(self.events.iter().take_while(|(_, event)| {
                    let over = bytes > most;
                    bytes -= size(event);
                    over
                }));
                (
                    Retention {
                        max_bytes: Some(most),
                        ..none
                    },
                    goes,
                )
            }
            What::Session(session) => {
                let session = Some(name(session));
                let goes = Goes::just(self.events.iter().filter(|(_, event)| event.session_id == session));
                (Retention { session, ..none }, goes)
            }
        }
    }

    async fn bounds(&self, log: &dyn Log) {
        let found = bounds(log).await;
        assert_eq!(found.head, self.head);
        let first_kept = self.events.keys().next().copied().unwrap_or_else(|| self.head.next());
        assert!(
            self.gone < found.first && found.first <= first_kept,
            "{found:?}, {first_kept} is kept"
        );
        let deltas = self.events.iter().filter(|(_, event)| event.kind.is_delta());
        let first_delta = deltas
            .map(|(place, _)| *place)
            .next()
            .unwrap_or_else(|| self.head.next());
        assert!(
            self.gone_delta < found.first_delta && found.first_delta <= first_delta.max(found.first),
            "{found:?}"
        );
        let tail = log.tail(&Selector::all()).await.expect("the store can be read");
        assert!(*tail.borrow() <= self.head);
    }
}

/// The same histories every time; one that fails is made as short as can be.
pub async fn it_does_what_a_sorted_map_does(subjects: &Subjects) {
    let config = ProptestConfig {
        cases: HISTORIES,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let histories = proptest::collection::vec(step(), 1..30);
    tokio::task::block_in_place(|| {
        let tried = runner.run(&histories, |steps| {
            Handle::current().block_on(async {
                let subject = subjects.subject().await;
                let played = tokio::time::timeout(PATIENCE, play(&subject, &steps)).await;
                played.map_err(|_| TestCaseError::fail("the log hangs"))
            })
        });
        if let Err(broken) = tried {
            panic!("{broken}");
        }
    });
}

async fn play(subject: &Subject, steps: &[Step]) {
    let mut log = subject.open().await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(items) => {
                let batch = model.batch(items);
                model.append(&*log, &batch).await;
            }
            Step::Read { what, at, limit } => model.read(&*log, what, *at, *limit).await,
            Step::Trim(what) => model.trim(&*log, what).await,
            Step::Restart if subject.kept => log = subject.reopen(log).await,
            Step::Restart => {}
        }
        model.bounds(&*log).await;
    }
    let everything = Selector {
        raw: true,
        ..Selector::all()
    };
    let expected = select(model.events.iter(), &everything);
    assert_eq!(forward(&*log, &everything, Seq::ZERO, Limit::RUN).await, expected);
}
