//! The batches that are appended. All of an event follows from its id, so that both sides know its bytes.

use std::{fmt, str::FromStr, sync::OnceLock};

use turnwire_proto::{EventId, Json, Kind, Name, NewEvent, Object, Timestamp};

/// Tasks of the child that append at the same time.
pub(crate) const TASKS: u16 = 6;

/// Letters of which every text is a piece: twice the longest.
const NOISE: u64 = 10_000;

fn noise() -> &'static str {
    static NOISE_TEXT: OnceLock<String> = OnceLock::new();
    NOISE_TEXT.get_or_init(|| {
        let mut random = Random::new(0);
        (0..NOISE)
            .map(|_| char::from(b'a' + u8::try_from(random.below(26)).unwrap()))
            .collect()
    })
}

/// Which batch: of which run of the child, by which of its tasks, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Batch {
    pub(crate) run: u32,
    pub(crate) task: u16,
    pub(crate) number: u32,
}

impl Batch {
    /// Most are small, some are large.
    pub(crate) fn size(self) -> u16 {
        let mut random = self.random(u16::MAX);
        let most = [1, 1, 2, 4, 8, 30, 100][usize::try_from(random.below(7)).unwrap()];
        1 + u16::try_from(random.below(most)).unwrap()
    }

    pub(crate) fn events(self) -> Vec<NewEvent> {
        (0..self.size()).map(|index| self.event(index)).collect()
    }

    pub(crate) fn event(self, index: u16) -> NewEvent {
        let mut random = self.random(index);
        let length = [20, 100, 300, 5000][usize::try_from(random.below(4)).unwrap()];
        let start = usize::try_from(random.below(NOISE / 2)).unwrap();
        let text = &noise()[start..start + usize::try_from(random.below(length)).unwrap()];
        let data = Json::of(&std::collections::BTreeMap::from([("text", text)]));
        let kinds = [Kind::MESSAGE, Kind::TEXT_DELTA, Kind::TOOL_CALL];
        let when = Timestamp::from_millis(i64::from(self.run) * 1000).unwrap();
        let event = NewEvent::new(
            kinds[usize::from(index) % kinds.len()].clone(),
            Name::new("kill").unwrap(),
            when,
            Object::new(data).unwrap(),
        );
        NewEvent {
            id: self.id(index),
            raw: (random.below(4) == 0).then(|| Json::of(text)),
            ..event.in_session(session(self.run, self.task))
        }
    }

    fn id(self, index: u16) -> EventId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.run.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.task.to_be_bytes());
        bytes[6..10].copy_from_slice(&self.number.to_be_bytes());
        bytes[10..12].copy_from_slice(&index.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    /// Which batch an event is of, and which of it.
    pub(crate) fn of(id: EventId) -> (Self, u16) {
        let bytes = id.as_bytes();
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        (
            Self {
                run: long(0),
                task: short(4),
                number: long(6),
            },
            short(10),
        )
    }

    /// What happens to the batch is drawn from here, too.
    pub(crate) fn random(self, salt: u16) -> Random {
        let task = u64::from(self.task) << 16 | u64::from(salt);
        Random::new((u64::from(self.run) << 32 | u64::from(self.number)) ^ task.rotate_left(40))
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.run, self.task, self.number)
    }
}

impl FromStr for Batch {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ').map(str::parse::<u32>);
        let mut word = || words.next()?.ok();
        let batch = (|| {
            Some(Self {
                run: word()?,
                task: word()?.try_into().ok()?,
                number: word()?,
            })
        })();
        batch.ok_or(())
    }
}

pub(crate) fn session(run: u32, task: u16) -> Name {
    Name::new(&format!("{run}-{task}")).unwrap()
}

/// SplitMix64 (Steele, Lea and Flood 2014): small, and the same on both sides.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
