//! Payloads of hooks, one a line: each is kept, none is public, and a second try of a delivery is the first.

use turnwire_adapters::hooks::{Delivery, claude};
use turnwire_proto::{EventId, Kind, Timestamp};

use crate::publish::publishable;

pub(crate) fn run(output: &[u8]) {
    for payload in output.split(|b| *b == b'\n') {
        let delivery = Delivery {
            id: EventId::from_bytes([7; 16]),
            // So that an input is all that a finding needs.
            gate: payload.last().is_some_and(|byte| byte % 2 == 0),
            ..Delivery::new(Timestamp::UNIX_EPOCH)
        };
        let told = claude(payload, &delivery);
        told.events.iter().for_each(publishable);
        assert!(
            told.events.iter().all(|event| event.session_id.is_some()),
            "none is public"
        );
        assert_eq!(
            told.events.iter().filter(|event| event.raw.is_some()).count(),
            1,
            "it is kept"
        );
        let asked = told.events.iter().filter(|event| event.kind == Kind::APPROVAL_REQUEST);
        assert_eq!(asked.count(), usize::from(told.asks.is_some()));
        assert_eq!(claude(payload, &delivery).events, told.events);
    }
}
