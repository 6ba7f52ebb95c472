//! `/api/blobs/{hash}`: the contents of one blob, for whoever may see an event that names it.
//!
//! Contents are an agent's, so a browser must take them for nothing but what they are: images of a few kinds and plain text are
//! shown, all else is a download, and nothing in them runs.

use std::{io::SeekFrom, ops::Range};

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use turnwire_proto::{Code, is_hash, path};

use super::{App, Refusal};
use crate::auth::{Grant, Read};

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::BLOB, get(blob))
}

/// What is shown as what it is.
const SHOWN: &[(&str, &str)] = &[
    ("text/plain", "text/plain; charset=utf-8"),
    ("image/png", "image/png"),
    ("image/jpeg", "image/jpeg"),
    ("image/gif", "image/gif"),
    ("image/webp", "image/webp"),
];

async fn blob(
    State(app): State<App>,
    grant: Grant<Read>,
    hash: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // The same answer for what there is not and for what may not be seen: a hash is no way to find out.
    let missing = || {
        Refusal::new(
            Code::NotFound,
            "there is no such blob, or no event names it that this token may read",
        )
    };
    let Path(hash) = hash.map_err(|_| missing())?;
    if !is_hash(&hash) {
        return Err(missing());
    }
    let (file, media_type) = app
        .hub()
        .blob(&grant, app.views(), hash.clone())
        .await?
        .ok_or_else(missing)?;
    let tag = format!("\"{hash}\"");
    if asked(&headers, header::IF_NONE_MATCH).is_some_and(|given| given == "*" || given.contains(&tag)) {
        return Ok(dressed(StatusCode::NOT_MODIFIED.into_response(), &media_type, &tag));
    }
    let unreadable = |error: std::io::Error| {
        tracing::error!(%error, hash, "a blob cannot be read");
        match error.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => Refusal::new(Code::StoreUnavailable, "the blob cannot be read"),
        }
    };
    let mut file = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let size = file.metadata().await.map_err(unreadable)?.len();
    let range = asked(&headers, header::RANGE)
        .filter(|_| asked(&headers, header::IF_RANGE).is_none_or(|given| given == tag))
        .and_then(|given| part(given, size));
    let (status, wanted) = match range {
        None => (StatusCode::OK, 0..size),
        Some(Some(wanted)) => (StatusCode::PARTIAL_CONTENT, wanted),
        Some(None) => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(wanted.start)).await.map_err(unreadable)?;
    let length = wanted.end - wanted.start;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), 64 * 1024));
    let mut response = (status, body).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1);
        set(&mut response, header::CONTENT_RANGE, &place);
    }
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    Ok(dressed(response, &media_type, &tag))
}

fn asked(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// With all that keeps a browser from running what is in it.
fn dressed(mut response: Response, media_type: &str, tag: &str) -> Response {
    let shown = SHOWN
        .iter()
        .find(|(known, _)| *known == media_type)
        .map(|(_, shown)| *shown);
    set(
        &mut response,
        header::CONTENT_TYPE,
        shown.unwrap_or("application/octet-stream"),
    );
    if shown.is_none() {
        set(&mut response, header::CONTENT_DISPOSITION, "attachment");
    }
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(
        &mut response,
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; sandbox",
    );
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, tag);
    // Contents under a hash never change; they are as private as the event that names them.
    set(
        &mut response,
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    response
}

/// The one range that is asked for. `None`: none that is understood, so all is sent. `Some(None)`: nothing lies there.
fn part(given: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (start, end) = given.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse::<u64>().ok())
            .flatten()
    };
    let range = match (start, end) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (start, "") => number(start)?..size,
        (start, end) => number(start)?..number(end)?.saturating_add(1).min(size),
    };
    Some((range.start < range.end).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_or_nothing() {
        for (given, expected) in [
            ("bytes=0-3", Some(Some(0..4))),
            ("bytes=6-", Some(Some(6..10))),
            ("bytes=-3", Some(Some(7..10))),
            ("bytes=-30", Some(Some(0..10))),
            ("bytes=5-100", Some(Some(5..10))),
            ("bytes=10-", Some(None)),
            ("bytes=3-2", Some(None)),
            ("bytes=a-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
            ("bytes=99999999999999999999-", None),
        ] {
            assert_eq!(part(given, 10), expected, "{given}");
        }
    }
}
