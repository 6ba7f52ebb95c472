//! How much a request holds, before it is decoded: an empty record is two bytes on the wire and some hundred in memory.

use super::{Encoding, MAX_RECORDS};

/// Objects of JSON to a record. A record of an agent has some forty attributes, each of them two objects of twenty bytes.
const OBJECTS: usize = 16;

/// Whether it may hold more than [`MAX_RECORDS`].
pub(super) fn is_too_much(encoding: Encoding, body: &[u8]) -> bool {
    match encoding {
        Encoding::Json => memchr::memchr_iter(b'{', body).count() > MAX_RECORDS * OBJECTS,
        Encoding::Protobuf => {
            let mut count = 0;
            // Resources, scopes, records: all three signals have them in the same fields.
            for resource in messages(body, 1) {
                count += 1;
                for scope in messages(resource, 2) {
                    count += 1 + messages(scope, 2).count();
                    if count > MAX_RECORDS {
                        return true;
                    }
                }
            }
            count > MAX_RECORDS
        }
    }
}

/// The messages of this field, up to where the bytes are no protobuf: decoding says so.
fn messages(mut bytes: &[u8], field: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let key = varint(&mut bytes)?;
            let length = match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut bytes)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (within, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            if key == field << 3 | 2 {
                return Some(within);
            }
        }
    })
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::{
        super::wire::{LogRecord, Logs, ResourceLogs, ScopeLogs},
        *,
    };

    #[test]
    fn records_are_counted_before_they_are_decoded() {
        let request = |records: usize| Logs {
            resource_logs: vec![ResourceLogs {
                resource: None,
                scope_logs: vec![ScopeLogs {
                    scope: None,
                    log_records: vec![LogRecord::default(); records],
                }],
            }],
        };
        assert!(!is_too_much(
            Encoding::Protobuf,
            &request(MAX_RECORDS - 2).encode_to_vec()
        ));
        assert!(is_too_much(Encoding::Protobuf, &request(MAX_RECORDS).encode_to_vec()));
        assert!(is_too_much(Encoding::Protobuf, &[10, 0].repeat(MAX_RECORDS + 1)));
        assert!(!is_too_much(Encoding::Protobuf, &[0xff; 100]));
        assert!(is_too_much(Encoding::Json, &b"{".repeat(MAX_RECORDS * OBJECTS + 1)));
    }
}
