//! Writing: one write(2) a push, at a known place, so that a failed one is overwritten by the next.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, atomic::Ordering},
};

use turnwire_proto::{Defaults, Incoming, Json, NewEvent, Object, Timestamp, limits};

use super::{Limits, Position, Spool, SpoolError, files, lock};

/// Bytes kept free for telling that the rest was lost.
const RESERVE: u64 = 16 * 1024;
/// Bytes of a string that is cut because its event is too large.
const CUT: usize = 64 * 1024;
/// Bytes of the buffer that is kept from push to push.
const BUFFER: usize = 1024 * 1024;

/// The one who writes.
#[derive(Debug)]
pub(super) struct Writer {
    file: Arc<File>,
    segment: u64,
    len: u64,
    /// Bytes of the segments before this one that are still on disk.
    before: u64,
    dirty: bool,
    /// Full segments that the next [`Spool::sync`] syncs: whoever pushes does not wait for the disk. At most as many as a
    /// spool has segments.
    full: Vec<Arc<File>>,
    losses: Option<Losses>,
    buffer: Vec<u8>,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Events written.
    pub kept: u64,
    /// Events that there was no room for; they are also in [`Spool::take_losses`].
    pub lost: u64,
}

/// What there was no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losses {
    /// Deltas, whose whole message or tool output comes later.
    pub deltas: u64,
    /// Other events.
    pub events: u64,
    /// When the first was lost.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

impl Writer {
    pub(super) fn new(file: File, segment: u64, len: u64, before: u64) -> Self {
        Self {
            file: Arc::new(file),
            segment,
            len,
            before,
            dirty: len > 0,
            full: Vec::new(),
            losses: None,
            buffer: Vec::new(),
        }
    }

    pub(super) const fn position(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.len,
        }
    }

    pub(super) const fn forget(&mut self, bytes: u64) {
        self.before = self.before.saturating_sub(bytes);
    }

    const fn used(&self) -> u64 {
        self.before + self.len
    }

    fn lose(&mut self, delta: bool, reason: &str) {
        let losses = self.losses.get_or_insert_with(|| Losses {
            deltas: 0,
            events: 0,
            since: Timestamp::now(),
            reason: reason.to_owned(),
        });
        *if delta { &mut losses.deltas } else { &mut losses.events } += 1;
    }

    /// Writes the buffer as whole lines, or nothing of it.
    fn write(&mut self) -> io::Result<()> {
        if let Err(error) = self.file.write_all_at(&self.buffer, self.len) {
            // What was half-written is cut; where even that fails, the next write begins at the same place.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += self.buffer.len() as u64;
        self.dirty = true;
        Ok(())
    }
}

impl Spool {
    /// Writes events, in order, with the ids that they have. Never waits for the gateway and never fails the caller: what
    /// there is no room for is counted, and [`Spool::take_losses`] tells it.
    pub fn push(&self, events: &[NewEvent]) -> Pushed {
        self.push_within(events, RESERVE)
    }

    /// Writes an event that tells of losses, for which room was kept.
    pub fn push_told(&self, event: &NewEvent) -> Pushed {
        self.push_within(std::slice::from_ref(event), 0)
    }

    fn push_within(&self, events: &[NewEvent], reserve: u64) -> Pushed {
        let mut writer = lock(&self.writer);
        let mut pushed = Pushed::default();
        let mut taken = Vec::new();
        writer.buffer.clear();
        for event in events {
            let start = writer.buffer.len();
            encode(event, &mut writer.buffer);
            let used = writer.used() + writer.buffer.len() as u64;
            let delta = event.kind.is_delta();
            if room(&self.limits, used, delta, reserve) {
                taken.push(delta);
            } else {
                writer.buffer.truncate(start);
                writer.lose(delta, "the spool is full");
                pushed.lost += 1;
            }
        }
        if taken.is_empty() {
            return pushed;
        }
        match writer.write() {
            Ok(()) => {
                pushed.kept = taken.len() as u64;
                self.counts.pushed.fetch_add(pushed.kept, Ordering::Release);
                if writer.len >= self.limits.segment {
                    self.roll(&mut writer);
                }
                self.end.send_replace(writer.position());
                writer.buffer.clear();
                writer.buffer.shrink_to(BUFFER);
            }
            Err(error) => {
                let reason = format!("the spool could not be written: {error}");
                pushed.lost += taken.len() as u64;
                for delta in taken {
                    writer.lose(delta, &reason);
                }
            }
        }
        pushed
    }

    /// Begins a new segment. Where that fails, the old one simply grows on.
    fn roll(&self, writer: &mut Writer) {
        if let Ok(file) = files::make_segment(&self.dir, writer.segment + 1) {
            writer.before += writer.len;
            let full = std::mem::replace(&mut writer.file, Arc::new(file));
            writer.full.push(full);
            (writer.segment, writer.len, writer.dirty) = (writer.segment + 1, 0, false);
        }
    }

    /// What was lost since the last time, once there is room again to write more than about it.
    pub fn take_losses(&self) -> Option<Losses> {
        let mut writer = lock(&self.writer);
        if !room(&self.limits, writer.used(), true, RESERVE) {
            return None;
        }
        writer.losses.take()
    }

    /// What was lost and not yet told, whether or not there is room: for the end of a run.
    pub fn take_losses_at_end(&self) -> Option<Losses> {
        lock(&self.writer).losses.take()
    }

    /// Makes what was written survive a power loss. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), SpoolError> {
        let files = {
            let mut writer = lock(&self.writer);
            let mut files = std::mem::take(&mut writer.full);
            if std::mem::take(&mut writer.dirty) {
                files.push(Arc::clone(&writer.file));
            }
            files
        };
        files
            .iter()
            .try_for_each(|file| file.sync_data())
            .map_err(SpoolError::at("sync", &self.dir))
    }
}

const fn room(limits: &Limits, used: u64, delta: bool, reserve: u64) -> bool {
    let limit = if delta { limits.bytes / 4 * 3 } else { limits.bytes };
    used + reserve <= limit
}

/// One line, its line break included. Of an event that is larger than a gateway takes, the vendor line is cut, then what is long in
/// its body: an event that is refused for its size would be lost as a whole.
fn encode(event: &NewEvent, out: &mut Vec<u8>) {
    if event.fits() {
        event.encode_line(out);
    } else {
        smaller(event, NewEvent::fits).encode_line(out);
    }
    out.push(b'\n');
}

/// A line for a gateway that does not take it as large as it is, though others do: as small as every gateway takes. `None`: it is.
pub(crate) fn shortened(line: &[u8]) -> Option<Vec<u8>> {
    let any = Defaults::new("turnwire", Timestamp::UNIX_EPOCH);
    let event = Incoming::parse_within(line.trim_ascii_end(), limits::INCOMING);
    let event = event.ok()?.into_event(&any);
    let fits = |event: &NewEvent| event.size() <= limits::EVENT;
    if fits(&event) {
        return None;
    }
    let mut short = Vec::new();
    smaller(&event, fits).encode_line(&mut short);
    short.push(b'\n');
    Some(short)
}

fn smaller(event: &NewEvent, fits: impl Fn(&NewEvent) -> bool) -> NewEvent {
    let mut smaller = event.clone();
    smaller.raw = smaller.raw.map(|raw| {
        let bytes = raw.get().len();
        Json::of(&serde_json::json!({ "truncated": true, "bytes": bytes }))
    });
    if !fits(&smaller) {
        smaller.data = cut(&smaller.data);
    }
    smaller
}

/// The same body with every string over [`CUT`] bytes cut, then, if that is not enough, with a preview in its place.
fn cut(data: &Object) -> Object {
    use serde_json::Value;
    fn shorten(text: &mut String) {
        if text.len() > CUT {
            let bytes = text.len();
            text.truncate(floor(text, CUT));
            text.push_str(&format!("… <cut: {bytes} bytes in all>"));
        }
    }
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) => shorten(text),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            _ => {}
        }
    }
    let Ok(mut value) = data.read::<Value>() else {
        return Object::empty();
    };
    walk(&mut value);
    let bytes = data.get().len();
    value["truncated"] = true.into();
    value["bytes"] = bytes.into();
    let smaller = Object::of(&value);
    if smaller.get().len() + CUT <= limits::EVENT {
        return smaller;
    }
    let mut preview = data.get().to_owned();
    shorten(&mut preview);
    Object::of(&serde_json::json!({ "truncated": true, "bytes": bytes, "preview": preview }))
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
