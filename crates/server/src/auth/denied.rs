//! Why somebody is not believed, and how they are told.

use turnwire_proto::Code;

use crate::http::Refusal;

/// Why somebody is not believed. It never holds what they said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody has said who asks.
    #[error(
        "authentication is needed: an `Authorization: Bearer` header, the cookie of a paired browser, or a `ticket` in the query"
    )]
    Missing,
    /// What was sent has not the form of a token.
    #[error("the token has not the form of one: `tw_` and 64 lower-case hexadecimal digits")]
    Malformed,
    /// The header is there more than once, or not `Bearer`.
    #[error("the `Authorization` header must be there once and have the form `Bearer TOKEN`")]
    Header,
    /// There is no such token.
    #[error("the token is not known")]
    Unknown,
    /// It has ended by itself.
    #[error("the token has expired")]
    Expired,
    /// It was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The ticket is not known: never made, used already, or not used in time.
    #[error("the ticket is not known: it was used, or not used in time; make another")]
    Ticket,
    /// The ticket is for something else.
    #[error("the ticket is for another resource: it serves the path and query that it was made for, by GET")]
    TicketElsewhere,
    /// A token in a URL ends up in logs and histories.
    #[error(
        "a token must not be in a URL (query parameter `{0}`), where logs and histories keep it: send it as an \
         `Authorization: Bearer` header, or make a ticket by POST /api/tickets"
    )]
    TokenInUrl(&'static str),
    /// A service does not prove who it is.
    #[error("the header `{0}` must have what proves who calls this webhook")]
    Unproven(String),
    /// What a service proves is wrong.
    #[error("what the header `{0}` has is not right: it is of another secret, or of another body")]
    Disproved(String),
    /// What a service signed, it signed too long ago.
    #[error("the time in the header `{header}` is more than the {tolerance} s of `tolerance_secs` from this server's")]
    Untimely {
        /// The header.
        header: String,
        /// How far it may be, in seconds.
        tolerance: u64,
    },
    /// Whether it is known could not be found out.
    #[error("{0}")]
    Store(String),
}

impl Denied {
    /// The code that a client gets.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Revoked => Code::Gone,
            Self::TokenInUrl(_) => Code::BadRequest,
            Self::Store(_) => Code::StoreUnavailable,
            _ => Code::Unauthorized,
        }
    }

    /// The reason for programs, as in `details.reason`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed | Self::Header => "malformed",
            Self::Unknown => "token_unknown",
            Self::Expired => "token_expired",
            Self::Revoked => "token_revoked",
            Self::Ticket => "ticket_unknown",
            Self::TicketElsewhere => "ticket_elsewhere",
            Self::TokenInUrl(_) => "token_in_url",
            Self::Unproven(_) => "proof_missing",
            Self::Disproved(_) => "proof_wrong",
            Self::Untimely { .. } => "proof_untimely",
            Self::Store(_) => "store_unavailable",
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let refusal = Self::new(denied.code(), denied.to_string()).with("reason", denied.reason());
        match denied {
            Denied::Missing | Denied::Malformed | Denied::Header => refusal.with("field", "authorization"),
            Denied::Unproven(header) | Denied::Disproved(header) => refusal.with("field", header),
            Denied::Untimely { header, tolerance } => refusal.with("field", header).with("limit", tolerance),
            Denied::TokenInUrl(field) => refusal.with("field", field),
            Denied::Ticket | Denied::TicketElsewhere => refusal.with("field", "ticket"),
            _ => refusal,
        }
    }
}
