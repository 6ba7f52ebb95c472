//! What others ask about approvals: to decide one or many, to see how one stands, to wait until it is decided.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use turnwire_proto::{
    Code, Name, Seq, Timestamp,
    approval::{Approval, Choice, Decision, Decisions, State},
    limits,
};
use turnwire_redact::MARKER;

use super::{
    Control, action,
    inbox::{Decided, Wanted},
};
use crate::{
    auth::{Control as MayControl, Grant, Principal},
    http::Refusal,
    views::{Paged, approvals},
};

impl Control {
    /// Decides an approval.
    ///
    /// # Errors
    /// There is none, it may not be decided, something else was decided first, or it cannot be written.
    pub(crate) async fn decide(
        &self,
        grant: &Grant<MayControl>,
        id: &Name,
        decision: Decision,
    ) -> Result<Approval, Refusal> {
        let wanted = wanted(grant, self.kept(decision)?)?;
        let mut decided = self.decided(grant.principal(), vec![id.clone()], wanted).await?;
        decided
            .pop()
            .unwrap_or_else(|| Err(Refusal::new(Code::Internal, "a decision without an outcome")))
    }

    /// Decides many in one way. What came of each is in the order of the ids.
    ///
    /// # Errors
    /// There are too many, or they cannot be looked up.
    pub(crate) async fn decide_many(
        &self,
        grant: &Grant<MayControl>,
        decisions: Decisions,
    ) -> Result<Decided, Refusal> {
        let Decisions {
            ids,
            decision,
            message,
            always,
        } = decisions;
        if ids.len() > limits::PAGE {
            let text = format!("`ids` has more than {} entries", limits::PAGE);
            return Err(Refusal::new(Code::TooLarge, text)
                .with("field", "ids")
                .with("limit", limits::PAGE));
        }
        let decision = Decision {
            decision,
            message,
            arguments: None,
            always,
        };
        self.decided(grant.principal(), ids, wanted(grant, self.kept(decision)?)?)
            .await
    }

    /// A decision as the log will have it, since the agent is told what the log has.
    fn kept(&self, decision: Decision) -> Result<Decision, Refusal> {
        if let Some(arguments) = &decision.arguments
            && (arguments.get().contains(MARKER) || self.door.has_secrets(arguments.get()))
        {
            let text = "`arguments` have a secret, or the marker of one: no secret is kept, so the tool would be called with the marker";
            return Err(Refusal::field("arguments", text));
        }
        let message = decision.message.map(|message| self.door.text_without_secrets(message));
        Ok(Decision { message, ..decision })
    }

    async fn decided(&self, who: &Arc<Principal>, ids: Vec<Name>, wanted: Wanted) -> Result<Decided, Refusal> {
        let who = who.clone();
        let decide = self.inbox.ask(move |inbox| {
            Box::pin(async move {
                let may = |session: &Name| who.scopes().may_control(Some(session.as_str()));
                inbox.decide(ids, may, wanted, Timestamp::now()).await
            })
        });
        decide.await?
    }

    /// An approval as it stands, as soon as it is not pending, at the latest at `until`. One that there is not yet is waited for,
    /// too: its request may be on its way. Whether it may be seen is for the caller to say.
    ///
    /// # Errors
    /// The views cannot be read, or are too far behind to say that there is none.
    pub(crate) async fn wait_approval(&self, id: &Name, until: Instant) -> Result<Option<Approval>, Refusal> {
        let mut changed = self.views.approvals();
        let head = self.log.bounds().await?.head;
        self.views.reach(head).await;
        let stopping = self.tasks.stopping();
        loop {
            changed.mark_unchanged();
            let (id, wait) = (id.clone(), self.limits.approval_wait);
            let found = self
                .views
                .read(move |db| approvals::get(db, &id, wait, Timestamp::now()))
                .await?
                .map(|one| one.approval);
            let is_decided = found.as_ref().is_some_and(|one| one.state != State::Pending);
            if found.is_none() && until <= Instant::now() && self.views.reached() < head {
                // It may be among what is not folded yet: that it is not there cannot be said.
                let text = format!("approvals are not read yet: the views are behind {head}");
                return Err(Refusal::new(Code::StoreUnavailable, text).with("part", "views"));
            }
            if is_decided || until <= Instant::now() || stopping.is_cancelled() {
                return Ok(found);
            }
            tokio::select! {
                // Both are cancel-safe. Whatever ends the wait, what there is then is looked at once more.
                woken = timeout_at(until, changed.changed()) => if let Ok(Err(_)) = woken {
                    return Ok(found);
                },
                () = stopping.cancelled() => {}
            }
        }
    }

    /// The newest approvals, and how far the list is.
    ///
    /// # Errors
    /// The views cannot be read.
    pub(crate) async fn approvals(
        &self,
        grant: &Grant<MayControl>,
        filter: approvals::Filter,
        limit: usize,
    ) -> Result<(Paged<Approval>, Seq), Refusal> {
        let head = self.log.bounds().await?.head;
        self.views.reach(head).await;
        let (who, wait) = (grant.principal().clone(), self.limits.approval_wait);
        let list = self.views.snapshot(move |db| {
            let visible = |session: &str| who.scopes().may_control(Some(session));
            approvals::list(db, &filter, wait, visible, limit)
        });
        let (reached, page) = list.await?;
        Ok((page, reached))
    }
}

/// Checks a decision.
fn wanted(grant: &Grant<MayControl>, decision: Decision) -> Result<Wanted, Refusal> {
    let Decision {
        decision,
        message,
        arguments,
        always,
    } = decision;
    if decision == Choice::Deny {
        for (field, there) in [("arguments", arguments.is_some()), ("always", always)] {
            if there {
                let text = format!("`{field}` is for `approve` alone");
                return Err(Refusal::field(field, text));
            }
        }
    }
    if message.as_ref().is_some_and(|message| message.len() > limits::MESSAGE) {
        return Err(action::too_large("message", limits::MESSAGE));
    }
    if let Some(arguments) = &arguments {
        action::object("arguments", arguments)?;
    }
    Ok(Wanted {
        state: match decision {
            Choice::Approve => State::Approved,
            Choice::Deny => State::Denied,
        },
        by: grant.principal().name().to_string(),
        message,
        arguments: arguments.as_ref().map(turnwire_proto::Json::of),
        always,
    })
}
