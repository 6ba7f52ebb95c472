//! Bodies as they were packed: plain, or by gzip, with a bound on what comes out of it.

use std::{borrow::Cow, io::Read};

use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use turnwire_proto::Code;

use super::{Refusal, too_large};

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
}

impl Packing {
    /// By `Content-Encoding`.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut given = headers.get_all(header::CONTENT_ENCODING).iter();
        let name = match (given.next(), given.next()) {
            (None, _) => return Ok(Self::Plain),
            (Some(one), None) => one.to_str().unwrap_or("?"),
            (Some(_), Some(_)) => "there twice",
        };
        Self::named(name).ok_or_else(|| {
            let text = format!("`Content-Encoding` is {name}; this route takes gzip, or none");
            Refusal::new(Code::BadMediaType, text).with("field", "content-encoding")
        })
    }

    /// By its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim() {
            "" => Some(Self::Plain),
            name if name.eq_ignore_ascii_case("identity") => Some(Self::Plain),
            name if name.eq_ignore_ascii_case("gzip") => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// What was packed, of at most `limit` bytes.
pub(super) fn unpack(packing: Packing, body: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, Refusal> {
    if packing == Packing::Plain {
        return Ok(Cow::Borrowed(body));
    }
    let mut unpacked = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(bound).read_to_end(&mut unpacked);
    read.map_err(|error| Refusal::field("body", format!("the body is not gzip: {error}")))?;
    if unpacked.len() > limit {
        return Err(too_large());
    }
    Ok(Cow::Owned(unpacked))
}
