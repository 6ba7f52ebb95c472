//! Services that call webhooks: they have no token of ours, and prove by a secret which they share with the operator who they are.
//!
//! - A signature is HMAC-SHA256 over the bytes of the body, or over a text that holds the body, a time and the delivery's id:
//!   what GitHub, Slack, Stripe and Standard Webhooks do, and most others.
//! - A token is the secret itself in a header, as GitLab sends it.
//! - Both are compared in the same time whatever is sent. There is no lockout: it would let strangers shut a service out, and a
//!   secret of [`SECRET`] bytes is not guessed.

use std::{fmt, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName};
use ring::hmac;
use subtle::ConstantTimeEq;
use turnwire_proto::{Name, Scope, Scopes, Timestamp};

use super::{
    denied::Denied,
    grant::{Grant, Publish},
    principal::{Principal, TokenKind},
    secret::Hash,
};

/// Bytes that a shared secret has at the least.
const SECRET: usize = 16;
/// Signatures of one header that are looked at: services send two while a secret is changed.
const ENTRIES: usize = 16;

/// How a secret, or a signature, is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is (a secret), or in hexadecimal digits (a signature).
    #[default]
    Plain,
    /// In base64.
    Base64,
}

/// How a service signs. Plain data; [`Proof::signature`] checks it.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The header that has the signature.
    pub header: String,
    /// What stands before it.
    pub prefix: String,
    /// What stands between several of them.
    pub separator: Option<char>,
    /// How it is written.
    pub encoding: Encoding,
    /// What is signed: a text with `{body}`, `{timestamp}` and `{delivery}` in it.
    pub signed: String,
    /// The header that has the time, in seconds since 1970.
    pub timestamp_header: Option<String>,
    /// What stands before it.
    pub timestamp_prefix: String,
    /// How far it may be from this machine's.
    pub tolerance: Duration,
    /// How the secret is written. Of base64, what stands before a `_` is a name and no part of it.
    pub secret_encoding: Encoding,
}

/// What is wrong with a proof. It never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProof {
    /// Not a header's name.
    #[error("`{0}` is not the name of a header")]
    Header(&'static str),
    /// What is signed cannot be made.
    #[error("`signed` {0}")]
    Signed(&'static str),
    /// A prefix of what is not there.
    #[error("`timestamp_prefix` belongs to a `timestamp_header`")]
    Prefix,
    /// Too short a secret.
    #[error("the secret has fewer than {SECRET} bytes: whoever calls could guess it")]
    Short,
    /// Not what it is said to be.
    #[error("the secret is not base64")]
    Base64,
}

/// How a service proves who it is.
#[derive(Clone)]
pub struct Proof(Way);

#[derive(Clone)]
enum Way {
    /// By a secret in a header.
    Token(Token),
    /// By what it signs.
    Signature(Box<Signature>),
}

/// A secret that is sent as it is.
#[derive(Clone)]
struct Token {
    header: HeaderName,
    prefix: String,
    secret: Hash,
}

/// A signature, ready to be looked at.
#[derive(Clone)]
struct Signature {
    header: HeaderName,
    prefix: String,
    separator: Option<char>,
    encoding: Encoding,
    signed: Vec<Part>,
    timestamp: Option<(HeaderName, String)>,
    tolerance: Duration,
    key: hmac::Key,
}

/// A part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    Timestamp,
    Delivery,
}

impl fmt::Debug for Proof {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, header) = match &self.0 {
            Way::Token(token) => ("Token", &token.header),
            Way::Signature(signature) => ("Signature", &signature.header),
        };
        f.debug_struct(kind).field("header", header).finish_non_exhaustive()
    }
}

impl Proof {
    /// A secret that is sent as it is, in this header behind this prefix.
    ///
    /// # Errors
    /// The header is none, or the secret too short.
    pub fn token(header: &str, prefix: String, secret: &str) -> Result<Self, InvalidProof> {
        let token = Token {
            header: named(header, "header")?,
            prefix,
            secret: Hash::of(&key(secret, Encoding::Plain)?),
        };
        Ok(Self(Way::Token(token)))
    }

    /// A signature. `delivery`: whether it is known where the delivery's id stands.
    ///
    /// # Errors
    /// A part does not fit the others, or the secret is too short.
    pub fn signature(how: Signing, secret: &str, delivery: bool) -> Result<Self, InvalidProof> {
        let signed = parts(&how.signed)?;
        let count = |part| signed.iter().filter(|it| **it == part).count();
        let wrong = |why| Err(InvalidProof::Signed(why));
        match (count(Part::Timestamp), &how.timestamp_header) {
            (0, Some(_)) => return wrong("has no `{timestamp}`: one that is not signed proves nothing"),
            (1.., None) => return wrong("has `{timestamp}`, and there is no `timestamp_header`"),
            _ => {}
        }
        if count(Part::Body) != 1 {
            return wrong("must have `{body}` once");
        }
        if count(Part::Delivery) > 0 && !delivery {
            return wrong("has `{delivery}`, and the section no `delivery_header`");
        }
        if how.timestamp_header.is_none() && !how.timestamp_prefix.is_empty() {
            return Err(InvalidProof::Prefix);
        }
        let timestamp = how.timestamp_header.as_deref();
        let timestamp = timestamp.map(|header| named(header, "timestamp_header")).transpose()?;
        let signature = Signature {
            header: named(&how.header, "header")?,
            prefix: how.prefix,
            separator: how.separator,
            encoding: how.encoding,
            signed,
            timestamp: timestamp.map(|header| (header, how.timestamp_prefix)),
            tolerance: how.tolerance,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key(secret, how.secret_encoding)?),
        };
        Ok(Self(Way::Signature(Box::new(signature))))
    }

    /// Whether a request is of whoever has the secret.
    fn check(&self, called: &Called<'_>) -> Result<(), Denied> {
        match &self.0 {
            Way::Token(token) => token.check(called.headers),
            Way::Signature(signature) => signature.check(called),
        }
    }
}

/// A request as a proof sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Called<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The delivery's id.
    pub(crate) delivery: Option<&'a str>,
    pub(crate) body: &'a [u8],
    pub(crate) now: Timestamp,
}

/// A service, and what it may write.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    principal: Arc<Principal>,
    proof: Proof,
}

impl Service {
    /// A service that may write to this session, or to any.
    pub(crate) fn new(name: Name, session: Option<Name>, proof: Proof) -> Self {
        let reach = session.map_or(turnwire_proto::Reach::All, turnwire_proto::Reach::Session);
        let scopes = Scopes(vec![Scope::Publish(reach)]);
        let id = format!("webhook:{name}");
        Self {
            principal: Arc::new(Principal::new(id, name, TokenKind::Token, scopes, Timestamp::now())),
            proof,
        }
    }

    /// Lets the caller write when it proves that it is this service.
    pub(crate) fn grant(&self, called: &Called<'_>) -> Result<Grant<Publish>, Denied> {
        self.proof.check(called)?;
        Ok(Grant::of_service(&self.principal))
    }
}

fn named(text: &str, field: &'static str) -> Result<HeaderName, InvalidProof> {
    text.parse().map_err(|_| InvalidProof::Header(field))
}

/// The bytes of a secret.
fn key(secret: &str, encoding: Encoding) -> Result<Vec<u8>, InvalidProof> {
    let bytes = match encoding {
        Encoding::Plain => secret.as_bytes().to_vec(),
        Encoding::Base64 => {
            let digits = secret.rsplit('_').next().unwrap_or_default();
            STANDARD.decode(digits).map_err(|_| InvalidProof::Base64)?
        }
    };
    if bytes.len() < SECRET {
        return Err(InvalidProof::Short);
    }
    Ok(bytes)
}

/// The parts of what is signed.
fn parts(signed: &str) -> Result<Vec<Part>, InvalidProof> {
    let mut parts = Vec::new();
    let mut rest = signed;
    while let Some((text, tail)) = rest.split_once('{') {
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let (name, tail) = tail.split_once('}').unwrap_or((tail, ""));
        parts.push(match name {
            "body" => Part::Body,
            "timestamp" => Part::Timestamp,
            "delivery" => Part::Delivery,
            _ => {
                return Err(InvalidProof::Signed(
                    "knows `{body}`, `{timestamp}` and `{delivery}`, and has another `{`",
                ));
            }
        });
        rest = tail;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

impl Token {
    fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let given = headers.get(&self.header).map(http::HeaderValue::as_bytes);
        let given = given.and_then(|value| value.strip_prefix(self.prefix.as_bytes()));
        let given = given.ok_or_else(|| Denied::Unproven(self.header.to_string()))?;
        match Hash::of(given).same(&self.secret) {
            true => Ok(()),
            false => Err(Denied::Disproved(self.header.to_string())),
        }
    }
}

impl Signature {
    fn check(&self, called: &Called<'_>) -> Result<(), Denied> {
        let unproven = |header: &HeaderName| Denied::Unproven(header.to_string());
        let mut given = self.entries(called.headers, &self.header, &self.prefix).peekable();
        if given.peek().is_none() {
            return Err(unproven(&self.header));
        }
        let timestamp = match &self.timestamp {
            None => "",
            Some((header, prefix)) => {
                let mut entries = self.entries(called.headers, header, prefix);
                entries.next().ok_or_else(|| unproven(header))?
            }
        };
        let mut context = hmac::Context::with_key(&self.key);
        for part in &self.signed {
            context.update(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Body => called.body,
                Part::Timestamp => timestamp.as_bytes(),
                Part::Delivery => called.delivery.unwrap_or_default().as_bytes(),
            });
        }
        let right = context.sign();
        let is_right = |text: &str| {
            let given = decode(text, self.encoding);
            given.is_some_and(|given| given.as_slice().ct_eq(right.as_ref()).into())
        };
        if !given.take(ENTRIES).any(is_right) {
            return Err(Denied::Disproved(self.header.to_string()));
        }
        // Only now: who cannot sign is not told what this machine's clock says.
        match &self.timestamp {
            Some((header, _)) if !self.is_near(timestamp, called.now) => Err(Denied::Untimely {
                header: header.to_string(),
                tolerance: self.tolerance.as_secs(),
            }),
            _ => Ok(()),
        }
    }

    /// What stands behind a prefix in a header.
    fn entries<'a>(
        &'a self,
        headers: &'a HeaderMap,
        header: &HeaderName,
        prefix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        let entries = values.flat_map(move |value| match self.separator {
            Some(separator) => value.split(separator).collect::<Vec<_>>(),
            None => vec![value],
        });
        entries.filter_map(move |entry| entry.trim().strip_prefix(prefix))
    }

    fn is_near(&self, timestamp: &str, now: Timestamp) -> bool {
        let Ok(seconds) = timestamp.parse::<i64>() else {
            return false;
        };
        seconds.abs_diff(now.millis().div_euclid(1000)) <= self.tolerance.as_secs()
    }
}

/// The bytes of a signature; `None` of what has not the form of one.
fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Plain => {
            let digit = |byte: &u8| {
                char::from(*byte)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let byte = |[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
            rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing() -> Signing {
        Signing {
            header: "x-signature".into(),
            prefix: String::new(),
            separator: None,
            encoding: Encoding::Plain,
            signed: "{body}".into(),
            timestamp_header: None,
            timestamp_prefix: String::new(),
            tolerance: Duration::from_secs(300),
            secret_encoding: Encoding::Plain,
        }
    }

    fn check(
        proof: &Proof,
        headers: &[(&'static str, &str)],
        delivery: Option<&str>,
        body: &str,
        now: i64,
    ) -> Result<(), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        proof.check(&Called {
            headers: &map,
            delivery,
            body: body.as_bytes(),
            now: Timestamp::from_millis(now * 1000).unwrap(),
        })
    }

    /// GitHub's example, of "Validating webhook deliveries".
    #[test]
    fn githubs_example_is_right_and_a_changed_one_is_not() {
        let how = Signing {
            prefix: "sha256=".into(),
            ..signing()
        };
        let proof = Proof::signature(how, "It's a Secret to Everybody", false).unwrap();
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(
            check(&proof, &[("x-signature", good)], None, "Hello, World!", 0),
            Ok(())
        );
        let wrong = Err(Denied::Disproved("x-signature".into()));
        assert_eq!(check(&proof, &[("x-signature", good)], None, "Hello, World?", 0), wrong);
        for other in [
            "sha256=",
            "sha256=75",
            "sha256=zz",
            &good[..good.len() - 1],
            &format!("{good}00"),
        ] {
            assert_eq!(
                check(&proof, &[("x-signature", other)], None, "Hello, World!", 0),
                wrong,
                "{other}"
            );
        }
        for headers in [&[][..], &[("x-signature", "757107ea0eb2")]] {
            let missing = check(&proof, headers, None, "Hello, World!", 0);
            assert_eq!(missing, Err(Denied::Unproven("x-signature".into())));
        }
    }

    /// Slack's example, of "Verifying requests from Slack".
    #[test]
    fn slacks_example_is_right_within_its_time() {
        let how = Signing {
            prefix: "v0=".into(),
            signed: "v0:{timestamp}:{body}".into(),
            timestamp_header: Some("X-Slack-Request-Timestamp".into()),
            ..signing()
        };
        let proof = Proof::signature(how, "8f742231b10e8888abcd99yyyzzz85a5", false).unwrap();
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                    channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                    response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
                    trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let headers = [
            (
                "x-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
            ("x-slack-request-timestamp", "1531420618"),
        ];
        for (now, near) in [
            (1_531_420_618, true),
            (1_531_420_918, true),
            (1_531_420_919, false),
            (1_531_420_317, false),
        ] {
            let checked = check(&proof, &headers, None, body, now);
            assert_eq!(checked.is_ok(), near, "{now}: {checked:?}");
        }
        // Another time is not what was signed.
        let other = [headers[0], ("x-slack-request-timestamp", "1531420619")];
        assert_eq!(
            check(&proof, &other, None, body, 1_531_420_619),
            Err(Denied::Disproved("x-signature".into()))
        );
    }

    /// The example of the reference libraries of Standard Webhooks.
    #[test]
    fn standard_webhooks_example_is_right_beside_another_signature() {
        let how = Signing {
            header: "webhook-signature".into(),
            prefix: "v1,".into(),
            separator: Some(' '),
            encoding: Encoding::Base64,
            signed: "{delivery}.{timestamp}.{body}".into(),
            timestamp_header: Some("webhook-timestamp".into()),
            secret_encoding: Encoding::Base64,
            ..signing()
        };
        let proof = Proof::signature(how, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true).unwrap();
        let headers = [
            (
                "webhook-signature",
                "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1a,x v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            ("webhook-timestamp", "1614265330"),
        ];
        let (id, body, now) = (
            Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            r#"{"test": 2432232314}"#,
            1_614_265_330,
        );
        assert_eq!(check(&proof, &headers, id, body, now), Ok(()));
        assert!(check(&proof, &headers, Some("msg_other"), body, now).is_err());
        assert!(check(&proof, &headers, None, body, now).is_err());
        let unsigned = [headers[0], ("webhook-timestamp", "soon")];
        assert!(check(&proof, &unsigned, id, body, now).is_err());
        assert_eq!(
            check(&proof, &headers[..1], id, body, now),
            Err(Denied::Unproven("webhook-timestamp".into()))
        );
    }

    #[test]
    fn a_description_that_cannot_work_is_refused_and_no_secret_is_shown() {
        let wrong = |how: Signing, secret: &str| Proof::signature(how, secret, false).unwrap_err().to_string();
        let secret = "a secret of more than sixteen bytes";
        for (signed, why) in [
            ("{body}{body}", "once"),
            ("{timestamp}.{body}", "timestamp_header"),
            ("{delivery}.{body}", "delivery_header"),
            ("{boddy}", "knows"),
            ("", "once"),
        ] {
            let text = wrong(
                Signing {
                    signed: signed.into(),
                    ..signing()
                },
                secret,
            );
            assert!(text.starts_with("`signed`") && text.contains(why), "{text}");
        }
        let timed = Signing {
            timestamp_header: Some("t".into()),
            ..signing()
        };
        assert!(wrong(timed, secret).contains("{timestamp}"));
        assert!(
            wrong(
                Signing {
                    header: "a b".into(),
                    ..signing()
                },
                secret
            )
            .contains("`header`")
        );
        assert!(wrong(signing(), "short").contains("16"));
        let base64 = Signing {
            secret_encoding: Encoding::Base64,
            ..signing()
        };
        assert!(wrong(base64, "whsec_%%%").contains("base64"));
        let proof = Proof::token("x-token", String::new(), secret).unwrap();
        assert!(!format!("{proof:?}").contains("secret of"));
        assert_eq!(check(&proof, &[("x-token", secret)], None, "", 0), Ok(()));
        assert_eq!(
            check(&proof, &[("x-token", "other")], None, "", 0),
            Err(Denied::Disproved("x-token".into()))
        );
    }
}
