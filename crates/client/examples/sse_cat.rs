//! Prints any server's event stream as JSON lines, `{"type","data","lastEventId"}`, and comes back as the HTML standard
//! says: with the last event id, after the server's `retry:`; a 204 ends it, any other answer that is not an event stream
//! fails it, and every other loss of the connection is mended.
//!
//! ```sh
//! cargo run -p turnwire-client --example sse_cat -- http://127.0.0.1:8876/api/events --header "Authorization: Bearer …"
//! ```

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use clap::Parser as _;
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use turnwire_proto::{limits, sse};

/// Until the server says another: what Chromium waits.
const RETRY: Duration = Duration::from_secs(3);

/// Prints an event stream as JSON lines.
#[derive(Debug, clap::Parser)]
pub(crate) struct Args {
    /// The stream.
    url: String,
    /// A header of the request, as `Name: value`; may be given more than once.
    #[arg(long = "header", short = 'H', value_name = "K: V")]
    headers: Vec<String>,
    /// The longest line that is taken, in bytes.
    #[arg(long, default_value_t = limits::SSE_LINE)]
    max_line: usize,
    /// The largest event that is taken, in bytes.
    #[arg(long, default_value_t = limits::SSE_EVENT)]
    max_event: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    r#type: &'a str,
    data: &'a str,
    last_event_id: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    run(Args::parse(), &mut std::io::stdout().lock()).await
}

/// Prints to `out` until the server ends it.
pub(crate) async fn run(args: Args, out: &mut impl Write) -> anyhow::Result<()> {
    // When there is one already, that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().default_headers(headers(&args.headers)?).build()?;
    let mut parser = sse::Parser::with_limits(sse::Limits {
        line: args.max_line,
        event: args.max_event,
    });
    loop {
        // No answer at all is mended by coming back, like the loss of a stream.
        if let Some(response) = open(&client, &args.url, parser.last_event_id()).await? {
            if response.status() == StatusCode::NO_CONTENT {
                return Ok(());
            }
            check(&response)?;
            parser.reconnect();
            read(response, &mut parser, out).await?;
        }
        tokio::time::sleep(parser.retry().unwrap_or(RETRY)).await;
    }
}

fn headers(given: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for header in given {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("{header:?} is not `Name: value`"))?;
        headers.insert(
            HeaderName::from_bytes(name.trim().as_bytes())?,
            HeaderValue::from_str(value.trim())?,
        );
    }
    Ok(headers)
}

async fn open(client: &Client, url: &str, last_event_id: &str) -> anyhow::Result<Option<Response>> {
    let mut request = client.get(url);
    if !last_event_id.is_empty() {
        // As UTF-8, which is more than HeaderValue's text form takes.
        let value = HeaderValue::from_bytes(last_event_id.as_bytes())
            .with_context(|| format!("no header can carry the last event id {last_event_id:?}"))?;
        request = request.header("Last-Event-ID", value);
    }
    match request.send().await {
        Ok(response) => Ok(Some(response)),
        // What no later try mends: an address that is none, redirects without end.
        Err(error) if error.is_builder() || error.is_redirect() => Err(error.into()),
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "sse_cat: {:#}; trying again",
                anyhow::Error::from(error)
            );
            Ok(None)
        }
    }
}

fn check(response: &Response) -> anyhow::Result<()> {
    if response.status() != StatusCode::OK {
        bail!("the server answered {}", response.status());
    }
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .map_or("", |value| value.to_str().unwrap_or_default());
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("text/event-stream") {
        bail!("the content type is {content_type:?}, not text/event-stream");
    }
    Ok(())
}

/// Prints a stream's events until it ends or breaks off.
async fn read(mut response: Response, parser: &mut sse::Parser, out: &mut impl Write) -> anyhow::Result<()> {
    while let Ok(Some(chunk)) = response.chunk().await {
        let mut chunk = &chunk[..];
        while let Some(item) = parser.next(&mut chunk)? {
            let sse::Item::Message(message) = item else { continue };
            let line = Line {
                r#type: message.kind,
                data: message.data,
                last_event_id: message.last_event_id,
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
    }
    Ok(())
}
