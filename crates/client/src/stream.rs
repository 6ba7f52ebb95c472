//! Opens an event stream, or says why what answers is none.

use reqwest::{Method, Response, header};

use crate::{Endpoint, Error};

/// Asks for the stream at `path`.
///
/// # Errors
/// As [`Endpoint::send`] and [`Endpoint::refresh`], and [`Error::NotAStream`].
pub(crate) async fn open(endpoint: Endpoint, path: &str, pairs: &[(&str, String)]) -> Result<Response, Error> {
    // A local server that was started again may be elsewhere.
    endpoint.refresh()?;
    let request = endpoint
        .stream(Method::GET, path)
        .query(pairs)
        .header(header::ACCEPT, "text/event-stream")
        .header(header::CACHE_CONTROL, "no-store");
    let response = endpoint.send(request).await?;
    let content_type = crate::error::header(&response, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        Ok(response)
    } else {
        Err(Error::NotAStream(content_type.to_owned()))
    }
}
