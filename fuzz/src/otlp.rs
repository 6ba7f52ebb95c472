//! Requests of OTLP, in both encodings and of all three signals: what can be decoded is kept, none of it is public, and the same
//! request again is the same events.

use turnwire_adapters::otlp::{Encoding, Signal, read};
use turnwire_proto::Timestamp;

use crate::publish::publishable;

pub(crate) fn run(body: &[u8]) {
    let encoding = if body.trim_ascii_start().starts_with(b"{") {
        Encoding::Json
    } else {
        Encoding::Protobuf
    };
    for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
        let Ok(told) = read(signal, encoding, body, Timestamp::UNIX_EPOCH) else {
            continue;
        };
        told.events.iter().for_each(publishable);
        assert!(
            told.events.iter().all(|event| event.session_id.is_some()),
            "none is public"
        );
        assert_eq!(told.records_of.len(), told.events.len());
        assert_eq!(
            told.records_of.iter().sum::<u64>(),
            told.records,
            "each record is in one event"
        );
        let again = read(signal, encoding, body, Timestamp::UNIX_EPOCH).map(|told| told.events);
        assert_eq!(again.ok(), Some(told.events));
    }
}
