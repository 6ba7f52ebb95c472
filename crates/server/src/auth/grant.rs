//! Grants: the only way from a request to the hub.

use std::{marker::PhantomData, sync::Arc};

use axum::extract::{FromRef, FromRequestParts};
use http::{HeaderMap, Method, Uri, header, request::Parts};
use turnwire_proto::{Code, Name, Scope, Scopes, Visibility};

use super::{Auth, denied::Denied, principal::Principal, resource, ticket::Lease};
use crate::http::Refusal;

mod sealed {
    pub trait Sealed {}
}

/// What a [`Grant`] is for. Sealed: the list is here.
pub trait Action: sealed::Sealed + Send + Sync + 'static {
    /// The scope that it needs, as a person is told.
    const NEEDS: &'static str;
    /// Whether a ticket proves enough for it: a URL can be seen, so no ticket changes who may do what.
    const BY_TICKET: bool;
    /// Whether these scopes allow it, on something at least.
    fn allowed_by(scopes: &Scopes) -> bool;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident: $needs:literal, by_ticket: $by_ticket:literal, $scopes:pat => $allowed:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $action {}
        impl sealed::Sealed for $action {}
        impl Action for $action {
            const NEEDS: &'static str = $needs;
            const BY_TICKET: bool = $by_ticket;
            fn allowed_by($scopes: &Scopes) -> bool {
                $allowed
            }
        }
    )*};
}

actions! {
    /// To read events and what is folded from them, as far as [`Grant::visibility`].
    Read: "read", by_ticket: true, scopes => scopes.visibility().is_some();
    /// To append events, of the sessions that [`Grant::may_publish`] allows.
    Publish: "publish", by_ticket: false, scopes => scopes.may_publish_something();
    /// To say things to agents, in the sessions that [`Grant::may_control`] allows.
    Control: "control", by_ticket: true, scopes => {
        scopes.admin() || scopes.0.iter().any(|scope| matches!(scope, Scope::Control(_)))
    };
    /// To hear and speak in a session: to read and to control it, which [`Grant::may_chat`] says.
    Chat: "read and control", by_ticket: true, scopes => Read::allowed_by(scopes) && Control::allowed_by(scopes);
    /// To be an agent, one that [`Grant::agent`] allows. No ticket: an agent sets headers, and what it says changes commands.
    Agent: "agent:NAME", by_ticket: false, scopes => {
        scopes.admin() || scopes.0.iter().any(|scope| matches!(scope, Scope::Agent(_)))
    };
    /// To see how an approval stands, in the sessions that [`Grant::may_attend`] allows: for who decides, and for who waits.
    Attend: "control or publish", by_ticket: false, scopes => {
        Control::allowed_by(scopes) || Publish::allowed_by(scopes)
    };
    /// To say who may do what.
    Admin: "admin", by_ticket: false, scopes => scopes.admin();
    /// To be somebody, whatever they may do.
    Anyone: "any", by_ticket: false, _ => true;
}

/// What said who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `Authorization: Bearer`.
    Header,
    /// `?ticket=`.
    Ticket,
    /// The cookie of a paired browser.
    Cookie,
    /// What a service proves by a secret of its own.
    Proof,
    /// Nothing: the server runs without authentication.
    Open,
}

/// Who a stream is for, for as long as it is open. Two words; keep it as long as the stream, for a ticket's reconnections count
/// from when it is dropped.
#[derive(Clone, Debug)]
pub struct Standing {
    principal: Arc<Principal>,
    /// Held, not read.
    _lease: Option<Arc<Lease>>,
}

impl Standing {
    /// Who it is.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Why the stream must end now; see [`Principal::is_ended`] and [`Auth::revisions`].
    #[must_use]
    pub fn is_ended(&self) -> Option<&'static str> {
        self.principal.is_ended()
    }
}

/// Proof that who asks may do `A`. Only a request makes one, so a handler that forgets to ask does not compile.
///
/// ```compile_fail,E0451
/// # use std::{marker::PhantomData, sync::Arc};
/// # use turnwire_server::auth::{Grant, Read, Standing, Via};
/// fn forged(standing: Standing) -> Grant<Read> {
///     Grant { standing, via: Via::Header, action: PhantomData }
/// }
/// ```
///
/// A grant for one thing is none for another:
///
/// ```compile_fail,E0308
/// # use turnwire_server::auth::{Grant, Publish, Read};
/// fn append(_: &Grant<Publish>) {}
/// fn handler(grant: Grant<Read>) {
///     append(&grant);
/// }
/// ```
///
/// Nobody else says what an action needs:
///
/// ```compile_fail,E0277
/// # use turnwire_proto::Scopes;
/// # use turnwire_server::auth::Action;
/// struct Everything;
/// impl Action for Everything {
///     const NEEDS: &'static str = "nothing";
///     const BY_TICKET: bool = true;
///     fn allowed_by(_: &Scopes) -> bool {
///         true
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Grant<A: Action> {
    standing: Standing,
    via: Via,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Grant<A> {
    /// Who asks.
    #[must_use]
    pub const fn principal(&self) -> &Arc<Principal> {
        self.standing.principal()
    }

    /// What said so.
    #[must_use]
    pub const fn via(&self) -> Via {
        self.via
    }

    /// What a stream keeps while it is open.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }
}

impl Grant<Read> {
    /// What may be seen.
    #[must_use]
    pub fn visibility(&self) -> &Visibility {
        self.principal()
            .visibility()
            .expect("a grant to read is made only for who may see something")
    }
}

impl Grant<Publish> {
    /// Of a service that has proved who it is.
    pub(super) fn of_service(principal: &Arc<Principal>) -> Self {
        Self {
            standing: Standing {
                principal: Arc::clone(principal),
                _lease: None,
            },
            via: Via::Proof,
            action: PhantomData,
        }
    }

    /// Whether an event of this session may be appended.
    #[must_use]
    pub fn may_publish(&self, session: Option<&str>) -> bool {
        self.principal().scopes().may_publish(session)
    }

    /// Whether every event may be, so that none needs to be looked at.
    #[must_use]
    pub fn may_publish_everything(&self) -> bool {
        self.principal().scopes().may_publish_everything()
    }
}

impl Grant<Control> {
    /// Whether something may be said in this session.
    #[must_use]
    pub fn may_control(&self, session: Option<&str>) -> bool {
        self.principal().scopes().may_control(session)
    }
}

impl Grant<Chat> {
    /// Whether this session may be both read and controlled.
    #[must_use]
    pub fn may_chat(&self, session: &str) -> bool {
        let (reading, controlling) = (self.reading(), self.controlling());
        reading.visibility().allows_session(session) && controlling.may_control(Some(session))
    }

    /// The part of it that is to read.
    #[must_use]
    pub fn reading(&self) -> Grant<Read> {
        self.part()
    }

    /// The part of it that is to control.
    #[must_use]
    pub fn controlling(&self) -> Grant<Control> {
        self.part()
    }

    /// Invariant: who may chat may do each of its parts, by [`Action::allowed_by`].
    fn part<A: Action>(&self) -> Grant<A> {
        Grant {
            standing: self.standing.clone(),
            via: self.via,
            action: PhantomData,
        }
    }
}

impl Grant<Attend> {
    /// Whether how an approval of this session stands may be seen.
    #[must_use]
    pub fn may_attend(&self, session: &str) -> bool {
        let scopes = self.principal().scopes();
        scopes.may_control(Some(session)) || scopes.may_publish(Some(session))
    }
}

impl Grant<Agent> {
    /// Which agent asks: the one of its key, or the one that it names where the key is for several.
    ///
    /// # Errors
    /// It names one that its key is not for, or none where there are several.
    pub fn agent(&self, named: Option<&Name>) -> Result<Name, Refusal> {
        let scopes = self.principal().scopes();
        if let Some(name) = named {
            return if self.is_agent(name) {
                Ok(name.clone())
            } else {
                let text = format!("this token is not of agent {name}");
                Err(Refusal::new(Code::Forbidden, text).with("field", "agent"))
            };
        }
        let mut own = scopes.0.iter().filter_map(|scope| match scope {
            Scope::Agent(name) => Some(name),
            _ => None,
        });
        match (own.next(), own.next()) {
            (Some(name), None) => Ok(name.clone()),
            _ => Err(Refusal::field(
                "agent",
                "`agent` must say which agent asks: the token is not of just one",
            )),
        }
    }

    /// Whether who asks is this agent.
    #[must_use]
    pub fn is_agent(&self, name: &Name) -> bool {
        self.principal().scopes().is_agent(name.as_str())
    }
}

impl Auth {
    /// Finds out who asks, and whether they may do `A`: by the `Authorization` header, else the query's ticket, else the cookie.
    /// What is there and wrong is refused, whatever else is there.
    ///
    /// # Errors
    /// 401 for who is not believed, 410 for a revoked token, 403 for who may not, 400 for a token in the URL.
    pub async fn grant<A: Action>(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Grant<A>, Refusal> {
        let (standing, via) = self.who::<A>(method, uri, headers).await?;
        if !A::allowed_by(standing.principal.scopes()) {
            let message = format!(
                "this needs the scope `{}`, which `{}` has not",
                A::NEEDS,
                standing.principal.name()
            );
            return Err(Refusal::new(Code::Forbidden, message).with("needs", A::NEEDS));
        }
        Ok(Grant {
            standing,
            via,
            action: PhantomData,
        })
    }

    async fn who<A: Action>(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(Standing, Via), Refusal> {
        let ticket = resource::ticket_of(uri.query()).map_err(Denied::TokenInUrl)?;
        let plain = |principal| Standing {
            principal,
            _lease: None,
        };
        if let Some(anonymous) = self.anonymous() {
            return Ok((plain(Arc::clone(anonymous)), Via::Open));
        }
        if let Some(secret) = bearer(headers)? {
            return Ok((plain(self.authenticate_or_read(secret).await?), Via::Header));
        }
        if let Some(ticket) = ticket {
            if !A::BY_TICKET {
                let message = format!("a ticket does not serve what needs the scope `{}`", A::NEEDS);
                return Err(Refusal::new(Code::Forbidden, message).with("needs", A::NEEDS));
            }
            if method != Method::GET {
                return Err(Denied::TicketElsewhere.into());
            }
            let asked = resource::canonical(uri.path(), uri.query()).map_err(|_| Denied::TicketElsewhere)?;
            let (principal, _lease) = self.tickets().redeem(&ticket, asked)?;
            return Ok((Standing { principal, _lease }, Via::Ticket));
        }
        if let Some(secret) = self.cookie(headers) {
            return Ok((plain(self.authenticate_or_read(secret).await?), Via::Cookie));
        }
        Err(Denied::Missing.into())
    }
}

/// The token of the `Authorization` header, if that is there.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Denied::Header);
    }
    let text = value.to_str().map_err(|_| Denied::Header)?;
    // RFC 9110 section 11.1: the scheme's case does not matter.
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Denied::Header),
    }
}

impl<A: Action, S: Sync> FromRequestParts<S> for Grant<A>
where
    Auth: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Auth::from_ref(state)
            .grant(&parts.method, &parts.uri, &parts.headers)
            .await
    }
}

/// For the crate's own tests of what needs a grant.
#[cfg(test)]
impl<A: Action> Grant<A> {
    /// A grant of a principal with these scopes.
    pub(crate) fn for_tests(scopes: &[&str]) -> Self {
        let scopes = Scopes(scopes.iter().map(|scope| scope.parse().unwrap()).collect());
        assert!(A::allowed_by(&scopes), "the scopes do not allow it");
        let name = turnwire_proto::Name::new("test").unwrap();
        let now = turnwire_proto::Timestamp::now();
        let principal = Principal::new("test".into(), name, super::TokenKind::Token, scopes, now);
        let standing = Standing {
            principal: Arc::new(principal),
            _lease: None,
        };
        Self {
            standing,
            via: Via::Header,
            action: PhantomData,
        }
    }
}
