//! `[[webhook]]`: what services may call, and how they prove who they are. Secrets come from variables and files alone.

use std::{env, fs, path::PathBuf, time::Duration};

use serde::Deserialize;
use turnwire_adapters::Mapping;
use turnwire_proto::Name;
use turnwire_server::config::{Encoding, InvalidProof, Proof, Signing, Webhook as Checked, WebhookConfig};

/// How far a signed time may be from this machine's: what Slack, Stripe and Standard Webhooks advise.
const TOLERANCE: u64 = 300;

/// One section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Webhook {
    pub(super) name: String,
    agent: Option<Name>,
    session_id: Option<Name>,
    #[serde(default)]
    map: Mapping,
    events: Option<String>,
    type_header: Option<String>,
    delivery_header: Option<String>,
    challenge: Option<String>,
    signature: Option<Signature>,
    token: Option<Token>,
}

/// A signature over the body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    header: String,
    #[serde(default)]
    prefix: String,
    separator: Option<char>,
    #[serde(default)]
    encoding: SignatureEncoding,
    signed: Option<String>,
    timestamp_header: Option<String>,
    #[serde(default)]
    timestamp_prefix: String,
    tolerance_secs: Option<u64>,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
    #[serde(default)]
    secret_encoding: SecretEncoding,
}

/// A secret that is sent as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    header: String,
    #[serde(default)]
    prefix: String,
    secret_env: Option<String>,
    secret_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SignatureEncoding {
    #[default]
    Hex,
    Base64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SecretEncoding {
    #[default]
    Text,
    Base64,
}

/// Why a section is none that a server can serve. It never holds the secret.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The variable is not there in this process's environment.
    NotSet(String),
    /// Anything else.
    Text(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSet(text) | Self::Text(text) => f.write_str(text),
        }
    }
}

impl Webhook {
    /// Its settings, checked, with its secret read.
    pub(super) fn config(&self) -> Result<WebhookConfig, Wrong> {
        let proof = match (&self.signature, &self.token) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                return Err(Wrong::Text(
                    "`signature` and `token` are two ways to know who calls: give one".to_owned(),
                ));
            }
            (Some(signature), None) => Some(signature.proof(self.delivery_header.is_some())?),
            (None, Some(token)) => Some(token.proof()?),
        };
        let config = WebhookConfig {
            name: self.name.clone(),
            agent: self.agent.clone(),
            session_id: self.session_id.clone(),
            mapping: self.map.clone(),
            events: self.events.clone(),
            type_header: self.type_header.clone(),
            delivery_header: self.delivery_header.clone(),
            challenge: self.challenge.clone(),
            proof,
        };
        Checked::new(config.clone()).map_err(|why| Wrong::Text(why.to_string()))?;
        Ok(config)
    }
}

impl Signature {
    fn proof(&self, delivery: bool) -> Result<Proof, Wrong> {
        let secret = secret("signature", self.secret_env.as_deref(), self.secret_file.as_ref())?;
        let how = Signing {
            header: self.header.clone(),
            prefix: self.prefix.clone(),
            separator: self.separator,
            encoding: match self.encoding {
                SignatureEncoding::Hex => Encoding::Plain,
                SignatureEncoding::Base64 => Encoding::Base64,
            },
            signed: self.signed.clone().unwrap_or_else(|| "{body}".to_owned()),
            timestamp_header: self.timestamp_header.clone(),
            timestamp_prefix: self.timestamp_prefix.clone(),
            tolerance: Duration::from_secs(self.tolerance_secs.unwrap_or(TOLERANCE)),
            secret_encoding: match self.secret_encoding {
                SecretEncoding::Text => Encoding::Plain,
                SecretEncoding::Base64 => Encoding::Base64,
            },
        };
        if self.tolerance_secs.is_some() && self.timestamp_header.is_none() {
            let text = "`signature`: `tolerance_secs` belongs to a `timestamp_header`";
            return Err(Wrong::Text(text.to_owned()));
        }
        Proof::signature(how, &secret, delivery).map_err(|why| wrong("signature", &why))
    }
}

impl Token {
    fn proof(&self) -> Result<Proof, Wrong> {
        let secret = secret("token", self.secret_env.as_deref(), self.secret_file.as_ref())?;
        Proof::token(&self.header, self.prefix.clone(), &secret).map_err(|why| wrong("token", &why))
    }
}

fn wrong(field: &str, why: &InvalidProof) -> Wrong {
    Wrong::Text(format!("`{field}`: {why}"))
}

/// The secret that a field names.
fn secret(field: &str, variable: Option<&str>, file: Option<&PathBuf>) -> Result<String, Wrong> {
    match (variable, file) {
        (Some(variable), None) => match env::var(variable) {
            Ok(secret) if !secret.is_empty() => Ok(secret),
            Err(env::VarError::NotUnicode(_)) => Err(Wrong::Text(format!(
                "`{field}`: the variable {variable} of `secret_env` is no text"
            ))),
            _ => Err(Wrong::NotSet(format!(
                "`{field}`: the variable {variable} of `secret_env` is not set"
            ))),
        },
        (None, Some(file)) => {
            let read = fs::read_to_string(file);
            let read = read.map_err(|error| {
                let file = file.display();
                Wrong::Text(format!("`{field}`: `secret_file` {file} cannot be read: {error}"))
            })?;
            // Editors end files with a line break.
            Ok(read.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => {
            let text = format!("`{field}` needs `secret_env` or `secret_file`, one of them: where its secret is");
            Err(Wrong::Text(text))
        }
    }
}
