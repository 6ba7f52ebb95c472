//! All of an event that a producer fills.

use std::borrow::Cow;

use turnwire_proto::{Json, Name, NewEvent, Object};

use crate::{Kinds, Redactor};

/// Bytes of the shortest secret with what tells it, such as `xoxb-` and ten more.
const SHORTEST: usize = 15;

impl Redactor {
    /// A batch without its secrets, and what kinds they were. It is copied only when there are any.
    #[must_use]
    pub fn batch<'a>(&self, batch: &'a [NewEvent]) -> (Cow<'a, [NewEvent]>, Kinds) {
        let mut kinds = Kinds::new();
        let mut out: Option<Vec<NewEvent>> = None;
        for (at, event) in batch.iter().enumerate() {
            if let Some((clean, found)) = self.event(event) {
                kinds.extend(found);
                out.get_or_insert_with(|| batch.to_vec())[at] = clean;
            }
        }
        (out.map_or(Cow::Borrowed(batch), Cow::Owned), kinds)
    }

    /// An event without its secrets; `None` when it has none. Its id, kind and time are what they were.
    #[must_use]
    pub fn event(&self, event: &NewEvent) -> Option<(NewEvent, Kinds)> {
        let data = self.json(event.data.get());
        let raw = event.raw.as_ref().and_then(|raw| self.json(raw.get()));
        // No secret with its sign is shorter: most names are, and cost nothing.
        let long = |name: &Name| name.as_str().len() >= SHORTEST || !self.0.own.is_empty();
        let name = |name: &Name| if long(name) { self.text(name.as_str()) } else { None };
        let source = name(&event.source);
        let [agent, session_id, turn_id] =
            [&event.agent, &event.session_id, &event.turn_id].map(|given| given.as_ref().and_then(name));
        if data.is_none() && raw.is_none() && [&source, &agent, &session_id, &turn_id].iter().all(|one| one.is_none()) {
            return None;
        }
        let mut clean = event.clone();
        let mut kinds = Kinds::new();
        let mut take = |json: Option<(Json, Kinds)>| {
            json.map(|(json, found)| {
                kinds.extend(found);
                json
            })
        };
        if let Some(data) = take(data) {
            clean.data = Object::new(data).unwrap_or_else(Object::empty);
        }
        if let Some(raw) = take(raw) {
            clean.raw = Some(raw);
        }
        let mut named = |text: Option<(String, Kinds)>| {
            text.and_then(|(text, found)| {
                kinds.extend(found);
                Name::lossy(&text)
            })
        };
        if let Some(source) = named(source) {
            clean.source = source;
        }
        for (field, text) in [
            (&mut clean.agent, agent),
            (&mut clean.session_id, session_id),
            (&mut clean.turn_id, turn_id),
        ] {
            if let Some(name) = named(text) {
                *field = Some(name);
            }
        }
        Some((clean, kinds))
    }
}
