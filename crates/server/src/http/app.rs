//! What handlers share, and the one router of all routes.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::FromRef,
    response::{IntoResponse, Response},
};
use http::{Method, Uri};
use tower_http::catch_panic::CatchPanicLayer;
use turnwire_log::{Kv, Log};
use turnwire_proto::{Code, Epoch};

use super::{
    Refusal, agents, approvals, blobs, chat, commands, downlink, events, guard, health, history, hooks,
    idempotency::UnderWay, ingest, otlp, pair, runs, sessions, state, tickets, tokens, turns, ui, usage, webhooks,
};
use crate::{auth::Auth, config::Limits, control::Control, hub::Hub, shutdown::Tasks, views::Views, webhook::Webhooks};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Parts>);

/// What an [`App`] is made of.
pub(crate) struct Parts {
    pub(crate) hub: Hub,
    pub(crate) auth: Auth,
    pub(crate) views: Views,
    pub(crate) control: Control,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    pub(crate) tasks: Tasks,
    /// Small state.
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) under_way: UnderWay,
    pub(crate) webhooks: Webhooks,
    /// Held by the one who looks whether the stores work: anybody may ask, so it is done once at a time.
    pub(crate) checking: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn views(&self) -> &Views {
        &self.0.views
    }

    pub(crate) fn control(&self) -> &Control {
        &self.0.control
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    pub(super) fn kv(&self) -> &dyn Kv {
        &*self.0.kv
    }

    pub(super) fn under_way(&self) -> &UnderWay {
        &self.0.under_way
    }

    pub(super) fn webhooks(&self) -> &Webhooks {
        &self.0.webhooks
    }

    pub(crate) fn checking(&self) -> &tokio::sync::Mutex<()> {
        &self.0.checking
    }

    /// The log's own state. Events are reached through [`App::hub`], which asks for a grant.
    pub(crate) fn log(&self) -> &dyn Log {
        &*self.0.log
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.0.auth.clone()
    }
}

impl FromRef<App> for Epoch {
    fn from_ref(app: &App) -> Self {
        app.0.epoch
    }
}

/// All routes, behind the guard against foreign hosts and pages.
pub(crate) fn router(app: App, policy: guard::Policy) -> Router {
    Router::new()
        .merge(events::router())
        .merge(history::router())
        .merge(sessions::router())
        .merge(turns::router())
        .merge(state::router())
        .merge(usage::router())
        .merge(runs::router())
        .merge(commands::router())
        .merge(agents::router())
        .merge(chat::router())
        .merge(downlink::router())
        .merge(approvals::router())
        .merge(hooks::router())
        .merge(otlp::router())
        .merge(blobs::router())
        .merge(ingest::router())
        .merge(webhooks::router())
        .merge(health::router())
        .merge(pair::router())
        .merge(tokens::router())
        .merge(tickets::router())
        .merge(ui::router())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(guard::Guard::new(policy))
}

async fn not_found(uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(Code::NotFound, format!("there is nothing at {path}; see /openapi.json"))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        Code::MethodNotAllowed,
        format!("{path} does not take {method}; see /openapi.json"),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the layer gives it by value")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("?"), "a handler panicked");
    Refusal::new(Code::Internal, "the server failed at this request; its log says where").into_response()
}
