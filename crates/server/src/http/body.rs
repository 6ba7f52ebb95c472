//! JSON bodies of the routes that are not event streams: bounded, strict, and with errors that name the field.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use turnwire_proto::Code;

use super::Refusal;

/// Bytes of such a body: these are small forms.
pub const LIMIT: usize = 64 * 1024;

/// How long such a body may take: a form is sent at once.
const TIME: Duration = Duration::from_secs(30);

/// A body of JSON of at most `MAX` bytes. Give its type `#[serde(deny_unknown_fields)]`. An empty body is an empty object.
#[derive(Clone, Copy, Debug)]
pub struct Json<T, const MAX: usize = LIMIT>(pub T);

impl<T: DeserializeOwned, S: Sync, const MAX: usize> FromRequest<S> for Json<T, MAX> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        // Also a wall against other sites: a form of theirs cannot send this type without being asked about first.
        is_json(&parts.headers)?;
        parse(&bytes).map(Self)
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let Ok(read) = timeout(TIME, Limited::new(body, limit).collect()).await else {
        let message = format!("the body did not arrive within {} s", TIME.as_secs());
        return Err(Refusal::new(Code::Timeout, message).with("field", "body"));
    };
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {limit} bytes");
            Err(Refusal::new(Code::TooLarge, message)
                .with("field", "body")
                .with("limit", limit))
        }
        Err(_) => Err(Refusal::field("body", "the body stopped half-way")),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = given
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "the body must be JSON, and its Content-Type application/json";
    Err(Refusal::new(Code::BadMediaType, message).with("field", "content-type"))
}

/// Reads JSON; an error names the field.
///
/// # Errors
/// It is not JSON, or not of this type.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    parse_as("body", str::to_owned, bytes)
}

/// Reads JSON that came within a body; an error names the field with `prefix` before it.
///
/// # Errors
/// It is not JSON, or not of this type.
pub fn parse_within<T: DeserializeOwned>(prefix: &str, bytes: &[u8]) -> Result<T, Refusal> {
    let whole = prefix.strip_suffix('.').unwrap_or("body");
    parse_as(whole, |field| format!("{prefix}{field}"), bytes)
}

/// Reads one field that was taken out of a body.
///
/// # Errors
/// It is not of this type.
pub fn value<T: DeserializeOwned>(field: &str, value: serde_json::Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::field(field, format!("`{field}`: {error}")))
}

fn parse_as<T: DeserializeOwned>(whole: &str, named: impl Fn(&str) -> String, bytes: &[u8]) -> Result<T, Refusal> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let at = error.path().to_string();
        let error = error.into_inner();
        let field = field(&at, &error).map_or_else(|| whole.to_owned(), |field| named(&field));
        Refusal::field(&field, format!("`{field}`: {error}"))
    })?;
    json.end()
        .map_err(|error| Refusal::field(whole, format!("`{whole}`: {error}")))?;
    Ok(value)
}

/// The field that an error is about. Of one that is missing or there twice, serde says where that is, and its name in the
/// message. `None`: the whole of it.
fn field(at: &str, error: &serde_json::Error) -> Option<String> {
    if !error.is_data() {
        return None;
    }
    let message = error.to_string();
    let named = ["missing field `", "duplicate field `", "unknown field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split_once('`'))
        .map(|(name, _)| name);
    Some(match (at, named) {
        (".", None) => return None,
        (".", Some(name)) => name.to_owned(),
        // Of an unknown field, the path has the name already.
        (at, Some(name)) if at != name && !at.ends_with(&format!(".{name}")) => format!("{at}.{name}"),
        (at, _) => at.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Form {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Inner {
        n: u8,
    }

    #[test]
    fn an_error_names_its_field() {
        for (text, field) in [
            (&br#"{"name":1}"#[..], "name"),
            (br#"{}"#, "name"),
            (br#"{"name":"x","nmae":"y"}"#, "nmae"),
            (br#"{"name":"x","name":"y"}"#, "name"),
            (br#"{"name":"x","inner":[{"n":1},{"n":256}]}"#, "inner[1].n"),
            (br#"{"name":"x","inner":[{}]}"#, "inner[0].n"),
            (br#"{"name":"x","inner":[{"n":1,"m":1}]}"#, "inner[0].m"),
            (br#"{"name":"x","inner":{}}"#, "inner"),
            (br#"{"name":"x""#, "body"),
            (br#"{"name":"x"} {}"#, "body"),
            (br#"[]"#, "body"),
            (b"{\"name\":\"\xff\"}", "body"),
            (b"{\"name\":\"a\x00b\"}", "body"),
        ] {
            let refusal = parse::<Form>(text).unwrap_err();
            let shown = format!("{refusal:?}");
            assert!(shown.contains(&format!("\"field\": String(\"{field}\")")), "{shown}");
            assert_eq!(refusal.code(), Code::BadRequest);
        }
    }
}
