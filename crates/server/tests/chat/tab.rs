//! A page that chats: one WebSocket, its frames in order.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::world::{World, within};

pub(crate) struct Tab {
    pub(crate) ws: WebSocketStream<TcpStream>,
    /// Everything up to here has come.
    pub(crate) cursor: u64,
    pub(crate) pings: usize,
}

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'static str, &'a str)];

impl Tab {
    /// Opens one; else how it was refused.
    pub(crate) async fn try_open(world: &World, url: &str, headers: Headers<'_>) -> Result<Self, (StatusCode, Value)> {
        let mut request = format!("ws://{}{url}", world.at).into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let socket = TcpStream::connect(world.at).await.unwrap();
        match within("the upgrade", client_async(request, socket)).await {
            Ok((ws, _)) => Ok(Self {
                ws,
                cursor: 0,
                pings: 0,
            }),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err((answer.status(), serde_json::from_slice(body).unwrap_or_default()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn open_by(world: &World, token: &str, query: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let url = format!("/api/chat/stream{query}");
        Self::try_open(world, &url, &[("authorization", &bearer)])
            .await
            .map_err(|why| panic!("{why:?}"))
            .unwrap()
    }

    pub(crate) async fn open(world: &World, query: &str) -> Self {
        Self::open_by(world, &world.admin, query).await
    }

    /// One of this session, which has begun to read it.
    pub(crate) async fn of(world: &World, session: &str) -> Self {
        let mut tab = Self::open(world, &format!("?session_id={session}")).await;
        assert_eq!(tab.until("hello").await.last().unwrap()["session_id"], session);
        tab
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        let text = Message::text(text.into());
        within("room to write", self.ws.send(text)).await.unwrap();
    }

    /// The next frame; `Err` is how the server closed it, if it said so.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<(u16, String)>> {
        loop {
            match within("a frame", self.ws.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if let Some(seq) = frame["seq"].as_u64() {
                        assert!(seq > self.cursor, "{seq} comes after {}: {frame}", self.cursor);
                        self.cursor = seq;
                    }
                    return Ok(frame);
                }
                Some(Ok(Message::Close(why))) => return Err(why.map(|why| (why.code.into(), why.reason.to_string()))),
                Some(Ok(Message::Ping(_))) => self.pings += 1,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> Value {
        self.next().await.expect("a frame before the end")
    }

    /// All frames up to the first one of this type, itself among them.
    pub(crate) async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.push(self.frame().await);
            if all.last().unwrap()["type"] == kind {
                return all;
            }
        }
    }

    /// The next frame of this type.
    pub(crate) async fn one(&mut self, kind: &str) -> Value {
        self.until(kind).await.pop().unwrap()
    }

    /// How the server closes it.
    pub(crate) async fn end(&mut self) -> Option<(u16, String)> {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }
}

/// The frames of a type.
pub(crate) fn of<'a>(frames: &'a [Value], kind: &str) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame["type"] == kind).collect()
}

/// The words of an answer, as a page puts them together.
pub(crate) fn words(frames: &[Value]) -> String {
    let tokens = of(frames, "token");
    tokens.iter().map(|token| token["content"].as_str().unwrap()).collect()
}
