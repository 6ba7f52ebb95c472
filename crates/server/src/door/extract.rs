//! What leaves an event for a file: long texts, and images in base64. The rest of its JSON stays the bytes that came.

use std::{fmt::Write as _, ops::Range, sync::LazyLock};

use base64::{Engine, alphabet, engine};
use memchr::memmem::Finder;
use sha2::{Digest, Sha256};
use turnwire_proto::{BLOBS, BLOBS_RENAMED, BlobRef, Json, Kind, NewEvent, Object, limits, path, room};

/// Levels of nesting that are looked into; no event has more.
const LEVELS: usize = 128;
/// Whatever alphabet and padding a vendor likes.
const LENIENT: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What every image has beside it or before it.
static IMAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("image/"));
static OURS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(BLOBS));

/// A blob, before it is in its file.
#[derive(Debug)]
pub(super) struct Blob {
    pub(super) hash: String,
    pub(super) contents: Vec<u8>,
}

/// An event without what leaves it; `None` when all of it stays.
pub(super) fn extract(event: &NewEvent) -> Option<(NewEvent, Vec<Blob>)> {
    let data = event.data.get();
    let raw = event.raw.as_ref().map(Json::get);
    // What agents are told from the log must be there whole.
    let stays = [Kind::COMMAND, Kind::COMMAND_STATE, Kind::APPROVAL_DECISION].contains(&event.kind);
    // What a person decides on, and what is said, is read as one: it leaves only when there is no room for it.
    let read_as_one = [Kind::MESSAGE, Kind::APPROVAL_REQUEST].contains(&event.kind);
    let up_to = |as_one: bool| if as_one { limits::EVENT } else { limits::BLOB };
    let fits = read_as_one && event.size() <= limits::EVENT;
    // The vendor's line makes room first.
    let alone = read_as_one && data.len() + raw.map_or(0, room::stays) <= limits::EVENT;
    let (longest, longest_raw) = (up_to(fits || alone), up_to(fits));
    let may = |json: &str, longest: usize| !stays && (json.len() > longest || IMAGE.find(json.as_bytes()).is_some());
    let named = OURS.find(data.as_bytes()).is_some();
    if !named && !may(data, longest) && !raw.is_some_and(|raw| may(raw, longest_raw)) {
        return None;
    }
    let (mut refs, mut blobs) = (Vec::new(), Vec::new());
    let renamed = named.then(|| rename(data)).flatten();
    let data = renamed.as_deref().unwrap_or(data);
    let smaller = may(data, longest)
        .then(|| leave(data, "/data", longest, &mut refs, &mut blobs))
        .flatten();
    let raw = raw
        .filter(|raw| may(raw, longest_raw))
        .and_then(|raw| leave(raw, "/raw", longest_raw, &mut refs, &mut blobs));
    if refs.is_empty() && renamed.is_none() {
        return None;
    }
    let mut data = smaller.unwrap_or_else(|| data.to_owned());
    if !refs.is_empty() {
        data.truncate(data.trim_end().len() - 1);
        let comma = if data.trim_end().ends_with('{') { "" } else { "," };
        let list = Json::of(&refs);
        // Writing to a string does not fail.
        let _ = write!(data, "{comma}\"{BLOBS}\":{}}}", list.get());
    }
    let mut out = event.clone();
    out.data = Object::new(Json::parse(&data).ok()?)?;
    if let Some(raw) = raw {
        out.raw = Some(Json::parse(&raw).ok()?);
    }
    Some((out, blobs))
}

/// The list of an event's blobs, as [`extract`] wrote it: the last field of its data.
pub(crate) fn listed(data: &str) -> Option<Vec<BlobRef>> {
    let key = format!("\"{BLOBS}\":");
    let at = memchr::memmem::rfind(data.as_bytes(), key.as_bytes())?;
    let list = data[at + key.len()..].strip_suffix('}')?;
    serde_json::from_str(list).ok()
}

/// `data` with a producer's own field of our name under another one.
fn rename(data: &str) -> Option<String> {
    let mut walk = Walk::new(data);
    walk.value(0);
    let mut out = data.to_owned();
    for place in walk.ours.iter().rev() {
        out.replace_range(place.clone(), BLOBS_RENAMED);
    }
    (!walk.ours.is_empty()).then_some(out)
}

/// A JSON value without what leaves it.
fn leave(json: &str, from: &str, longest: usize, refs: &mut Vec<BlobRef>, blobs: &mut Vec<Blob>) -> Option<String> {
    let mut walk = Walk::new(json);
    walk.value(0);
    let mut found = walk.found;
    found.sort_by_key(|one| one.place.start);
    let (mut out, mut copied) = (String::new(), 0);
    for Candidate { place, pointer, what } in found {
        let Ok(text) = serde_json::from_str::<String>(&json[place.start - 1..place.end + 1]) else {
            continue;
        };
        let Some(Leaving {
            contents,
            media_type,
            preview,
        }) = what.leaving(text, longest)
        else {
            continue;
        };
        let hash = const_hex(&Sha256::digest(&contents));
        let (shown, kept) = match preview {
            Preview::Head(bytes) => (String::from_utf8_lossy(&contents[..bytes]).into_owned(), bytes),
            Preview::Nothing => (String::new(), 0),
            Preview::Path => (path::BLOB.replace("{hash}", &hash), 0),
        };
        let shown = Json::of(&shown);
        out.push_str(&json[copied..place.start - 1]);
        out.push_str(shown.get());
        copied = place.end + 1;
        refs.push(BlobRef {
            at: format!("{from}{pointer}"),
            hash: hash.clone(),
            bytes: contents.len() as u64,
            media_type: media_type.to_owned(),
            preview: kept as u64,
        });
        blobs.push(Blob { hash, contents });
    }
    out.push_str(&json[copied..]);
    (copied > 0).then_some(out)
}

fn const_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What a string may be that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Text,
    /// Base64 of an image, as its neighbour says.
    Image,
    /// A `data:` URL of one.
    Url,
}

struct Leaving {
    contents: Vec<u8>,
    media_type: &'static str,
    preview: Preview,
}

enum Preview {
    Head(usize),
    Nothing,
    Path,
}

impl What {
    /// The contents of a string, if it is one that leaves.
    fn leaving(self, text: String, longest: usize) -> Option<Leaving> {
        let image = match self {
            Self::Text => None,
            Self::Image => decoded(&text),
            Self::Url => text.split_once(";base64,").and_then(|(_, base64)| decoded(base64)),
        };
        if let Some((contents, media_type)) = image {
            let preview = if self == Self::Url {
                Preview::Path
            } else {
                Preview::Nothing
            };
            return Some(Leaving {
                contents,
                media_type,
                preview,
            });
        }
        if text.len() <= longest {
            return None;
        }
        let head = text.floor_char_boundary(limits::PREVIEW);
        Some(Leaving {
            contents: text.into_bytes(),
            media_type: "text/plain",
            preview: Preview::Head(head),
        })
    }
}

/// An image, and which: its first bytes say, not its neighbours.
fn decoded(base64: &str) -> Option<(Vec<u8>, &'static str)> {
    let mut clean: Vec<u8> = base64.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    for byte in &mut clean {
        match byte {
            b'-' => *byte = b'+',
            b'_' => *byte = b'/',
            _ => {}
        }
    }
    let contents = LENIENT.decode(clean).ok()?;
    let media_type = match contents.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => return None,
    };
    Some((contents, media_type))
}

struct Candidate {
    /// The inside of the string.
    place: Range<usize>,
    pointer: String,
    what: What,
}

/// Walks over valid JSON and notes what may leave. What is not JSON ends it.
struct Walk<'a> {
    json: &'a str,
    at: usize,
    pointer: String,
    found: Vec<Candidate>,
    /// Keys of the outermost object that have our name.
    ours: Vec<Range<usize>>,
}

impl<'a> Walk<'a> {
    const fn new(json: &'a str) -> Self {
        Self {
            json,
            at: 0,
            pointer: String::new(),
            found: Vec::new(),
            ours: Vec::new(),
        }
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = &self.json.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.json.as_bytes().get(self.at).copied()
    }

    /// The inside of the string that begins here.
    fn string(&mut self) -> Option<Range<usize>> {
        let bytes = self.json.as_bytes();
        let start = self.at + 1;
        let mut end = start;
        loop {
            end += memchr::memchr2(b'"', b'\\', bytes.get(end..)?)?;
            if bytes[end] == b'"' {
                self.at = end + 1;
                return Some(start..end);
            }
            end += 2;
        }
    }

    /// One value; a string's place.
    fn value(&mut self, level: usize) -> Option<Option<Range<usize>>> {
        match self.peek()? {
            b'{' if level < LEVELS => self.object(level).map(|()| None),
            b'[' if level < LEVELS => self.array(level).map(|()| None),
            b'{' | b'[' => None,
            b'"' => {
                let place = self.string()?;
                let url = self.json[place.clone()].starts_with("data:image/");
                if url || place.len() > limits::BLOB {
                    self.note(place.clone(), if url { What::Url } else { What::Text });
                }
                Some(Some(place))
            }
            _ => {
                let rest = &self.json.as_bytes()[self.at..];
                self.at += rest.iter().take_while(|b| !b",]}".contains(b)).count();
                Some(None)
            }
        }
    }

    fn note(&mut self, place: Range<usize>, what: What) {
        let pointer = self.pointer.clone();
        self.found.push(Candidate { place, pointer, what });
    }

    fn object(&mut self, level: usize) -> Option<()> {
        self.at += 1;
        let (mut contents, mut image) = (None, false);
        while self.peek()? != b'}' {
            if self.peek()? == b',' {
                self.at += 1;
                continue;
            }
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.string()?;
            let name = &self.json[key.clone()];
            if level == 0 && name == BLOBS {
                self.ours.push(key);
            }
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
            let (outer, before) = (self.pointer.len(), self.found.len());
            self.enter(name);
            if let Some(place) = self.value(level + 1)? {
                match name {
                    "data" | "blob" | "base64" if self.found.len() == before => {
                        contents = Some((place, self.pointer.clone()))
                    }
                    "data" | "blob" | "base64" => {
                        contents = self.found.last().map(|found| (place, found.pointer.clone()))
                    }
                    "media_type" | "mimeType" | "mime_type" | "mediaType" | "type" => {
                        image |= self.json[place].starts_with("image/");
                    }
                    _ => {}
                }
            }
            self.pointer.truncate(outer);
        }
        self.at += 1;
        if let Some((place, pointer)) = contents.filter(|_| image) {
            match self.found.iter_mut().find(|found| found.place == place) {
                Some(found) if found.what == What::Text => found.what = What::Image,
                Some(_) => {}
                None => self.found.push(Candidate {
                    place,
                    pointer,
                    what: What::Image,
                }),
            }
        }
        Some(())
    }

    fn array(&mut self, level: usize) -> Option<()> {
        self.at += 1;
        let mut index = 0_usize;
        while self.peek()? != b']' {
            if self.peek()? == b',' {
                self.at += 1;
                continue;
            }
            let outer = self.pointer.len();
            // Writing to a string does not fail.
            let _ = write!(self.pointer, "/{index}");
            self.value(level + 1)?;
            self.pointer.truncate(outer);
            index += 1;
        }
        self.at += 1;
        Some(())
    }

    /// One step of a JSON pointer: the key as it reads.
    fn enter(&mut self, key: &str) {
        let read = key
            .contains('\\')
            .then(|| serde_json::from_str::<String>(&format!("\"{key}\"")).ok())
            .flatten();
        let read = read.as_deref().unwrap_or(key);
        self.pointer.push('/');
        self.pointer.push_str(&read.replace('~', "~0").replace('/', "~1"));
    }
}
