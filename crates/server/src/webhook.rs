//! Webhooks: what each is for, and how a body of any service becomes events.

use std::{collections::HashMap, fmt, sync::Arc};

use http::HeaderName;
use turnwire_adapters::{
    Mapping,
    mapped::{Mapped, Read, TooMany, elements, text_at},
};
use turnwire_proto::{Name, PUBLIC_SOURCE, Timestamp};

use crate::auth::{Proof, Service};

/// Characters of a name: it is a segment of a path.
const NAME: usize = 64;
/// Bytes of a challenge that is answered.
const CHALLENGE: usize = 1024;

/// One webhook, as it is set up. Plain data; [`Webhook::new`] checks it.
#[derive(Clone, Debug, Default)]
pub struct WebhookConfig {
    /// The end of its path.
    pub name: String,
    /// The agent: of all events, or where the mapping says where it stands, of those that name none.
    pub agent: Option<Name>,
    /// The session, likewise.
    pub session_id: Option<Name>,
    /// What its bodies are read by.
    pub mapping: Mapping,
    /// Where the array is that a body holds, as a JSON Pointer.
    pub events: Option<String>,
    /// The header that says what a body is.
    pub type_header: Option<String>,
    /// The header that identifies a delivery.
    pub delivery_header: Option<String>,
    /// Where a challenge stands that is to be answered, as a JSON Pointer.
    pub challenge: Option<String>,
    /// How the caller proves who it is; without, by a token of this server's.
    pub proof: Option<Proof>,
}

/// What is wrong with one. It begins with the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidWebhook(String);

/// One webhook.
pub struct Webhook {
    pub(crate) name: Name,
    mapped: Mapped,
    events: Option<String>,
    challenge: Option<String>,
    pub(crate) type_header: Option<HeaderName>,
    pub(crate) delivery_header: Option<HeaderName>,
    pub(crate) service: Option<Service>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// Checks a webhook.
    ///
    /// # Errors
    /// The field that is wrong, and what it must be.
    pub fn new(config: WebhookConfig) -> Result<Self, InvalidWebhook> {
        let wrong = |text: String| InvalidWebhook(text);
        let name = config.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME || !name.chars().all(plain) || name.starts_with('.') {
            let text =
                format!("`name` has 1 to {NAME} letters, digits, `-`, `_` and `.`, and does not begin with a `.`");
            return Err(wrong(text));
        }
        let name = Name::new(&name).map_err(|error| wrong(format!("`name` {error}")))?;
        let mut mapping = config.mapping;
        mapping.check().map_err(|why| wrong(format!("`map`: {why}")))?;
        for (field, pointer) in [("events", &config.events), ("challenge", &config.challenge)] {
            if pointer
                .as_ref()
                .is_some_and(|it| !it.is_empty() && !it.starts_with('/'))
            {
                return Err(wrong(format!("`{field}` is a JSON Pointer and begins with `/`")));
            }
        }
        let header = |field: &str, header: Option<String>| {
            let parsed = header.map(|header| header.parse()).transpose();
            parsed.map_err(|_| wrong(format!("`{field}` is not the name of a header")))
        };
        let source = mapping.source.get_or_insert_with(|| name.to_string());
        if source == PUBLIC_SOURCE {
            return Err(wrong(format!(
                "`map`: `source` {PUBLIC_SOURCE} would show it to every reader"
            )));
        }
        // A service writes where its section says: what names a session or an agent by chance does not count.
        let session = config.session_id.or_else(|| Name::lossy(&format!("webhook-{name}")));
        let only = session.clone().filter(|_| mapping.session_id.is_none());
        mapping.session_id.get_or_insert_default();
        mapping.agent.get_or_insert_default();
        Ok(Self {
            service: config.proof.map(|proof| Service::new(name.clone(), only, proof)),
            type_header: header("type_header", config.type_header)?,
            delivery_header: header("delivery_header", config.delivery_header)?,
            mapped: Mapped::new(mapping, config.agent, session),
            events: config.events,
            challenge: config.challenge,
            name,
        })
    }

    /// What a body tells: at most `limit` things.
    pub(crate) fn read(&self, body: &[u8], kind: Option<&str>, limit: usize) -> Result<Told, TooMany> {
        let at = Timestamp::now();
        let body = String::from_utf8_lossy(body);
        let texts = elements(&body, self.events.as_deref(), limit)?;
        let read = |text: &str| self.mapped.read(text.as_bytes(), kind, at);
        let challenge = self.challenge.as_deref().and_then(|pointer| text_at(&body, pointer));
        Ok(Told {
            events: texts.into_iter().filter_map(read).collect(),
            challenge: challenge.filter(|text| text.len() <= CHALLENGE),
        })
    }
}

/// What a body tells.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) events: Vec<Read>,
    /// What the caller wants to have back.
    pub(crate) challenge: Option<String>,
}

/// All webhooks, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Webhooks(Arc<HashMap<String, Arc<Webhook>>>);

impl Webhooks {
    /// # Errors
    /// The name that two have.
    pub(crate) fn new(all: Vec<WebhookConfig>) -> Result<Self, InvalidWebhook> {
        let mut webhooks = HashMap::new();
        for config in all {
            let webhook = Webhook::new(config)?;
            if let Some(other) = webhooks.insert(webhook.name.to_string(), Arc::new(webhook)) {
                return Err(InvalidWebhook(format!(
                    "`name`: two webhooks are called {}",
                    other.name
                )));
            }
        }
        Ok(Self(Arc::new(webhooks)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Webhook>> {
        self.0.get(name)
    }
}
