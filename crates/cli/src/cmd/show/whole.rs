//! What has left an event for blobs: texts are put back in their places, the rest is named.

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use turnwire_client::Endpoint;
use turnwire_proto::{BLOBS, BlobRef, Code, Event, path};

use crate::exit;

/// An event's JSON with the texts that its blobs hold; `None` when it has none. One that is gone stays away, and listed.
pub(super) async fn whole(endpoint: &Endpoint, event: &str) -> anyhow::Result<Option<String>> {
    if !event.contains(BLOBS) {
        return Ok(None);
    }
    let Ok(mut event) = serde_json::from_str::<Value>(event) else {
        return Ok(None);
    };
    let mut away = Vec::new();
    for blob in listed(&event["data"]) {
        let place = event.pointer_mut(&blob.at).filter(|_| is_text(&blob));
        match (place, text(endpoint, &blob).await?) {
            (Some(place), Some(text)) => *place = text.into(),
            _ => away.push(blob),
        }
    }
    if let Some(data) = event["data"].as_object_mut() {
        data.remove(BLOBS);
        if !away.is_empty() {
            data.insert(BLOBS.to_owned(), serde_json::to_value(&away)?);
        }
    }
    Ok(Some(event.to_string()))
}

async fn text(endpoint: &Endpoint, blob: &BlobRef) -> anyhow::Result<Option<String>> {
    if !is_text(blob) {
        return Ok(None);
    }
    let url = turnwire_client::filled(path::BLOB, &blob.hash);
    match endpoint.send(endpoint.request(Method::GET, &url)).await {
        Ok(response) => Ok(Some(response.text().await?)),
        Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(exit::from_client(error)),
    }
}

/// A line for each part of what the event tells that is not in it.
pub(super) fn away(event: &Event) -> Vec<String> {
    let data: Value = event.data.read().unwrap_or_default();
    let told = listed(&data).into_iter().filter(|blob| blob.at.starts_with("/data/"));
    let line = |blob: BlobRef| match is_text(&blob) {
        true => format!("  … {} bytes in all (--full shows them)", blob.bytes),
        false => format!("  {}, {} bytes: /api/blobs/{}", blob.media_type, blob.bytes, blob.hash),
    };
    told.map(line).collect()
}

fn is_text(blob: &BlobRef) -> bool {
    blob.media_type.starts_with("text/")
}

fn listed(data: &Value) -> Vec<BlobRef> {
    Vec::deserialize(&data[BLOBS]).unwrap_or_default()
}
