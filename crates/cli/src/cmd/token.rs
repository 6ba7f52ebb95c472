//! `token`: made, listed and revoked on the data directory itself, so that it works with and without a running gateway.

use std::{fs, os::unix::fs::DirBuilderExt, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use serde_json::{Value, json};
use turnwire_proto::{Scopes, Timestamp};
use turnwire_server::auth::{Auth, NewToken, Principal, TokenKind, local};

use crate::{
    args::{DataDir, Token, TokenCreate, TokenList, TokenRevoke},
    clean, exit, gateway,
    out::{self, Paint},
};

/// Characters of an id in a table: enough to tell tokens apart.
const SHORT: usize = 12;

pub(crate) async fn token(command: Token) -> anyhow::Result<ExitCode> {
    match command {
        Token::Create(args) => create(args).await,
        Token::List(args) => list(args).await,
        Token::Revoke(args) => revoke(args).await,
    }
}

async fn open(data: &DataDir, make: bool) -> anyhow::Result<Auth> {
    let dir: PathBuf = gateway::data_dir(data.data_dir.as_deref())?;
    if make && !dir.is_dir() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&dir)
            .with_context(|| format!("failed to make {}", dir.display()))?;
    }
    if !dir.is_dir() {
        return Err(exit::failure(
            exit::FAILURE,
            format!(
                "there is no data directory {}; say which with --data-dir",
                dir.display()
            ),
        ));
    }
    Ok(local::open(&dir).await?)
}

async fn create(args: TokenCreate) -> anyhow::Result<ExitCode> {
    let auth = open(&args.data, true).await?;
    let ends = |after: std::time::Duration| {
        let after = i64::try_from(after.as_millis()).ok()?;
        Timestamp::from_millis(Timestamp::now().millis().checked_add(after)?)
    };
    let new = NewToken {
        name: args.name.clone(),
        kind: TokenKind::Token,
        scopes: Scopes(args.scope.clone()),
        expires: args
            .expires
            .map(|after| ends(after).context("--expires is too far"))
            .transpose()?,
    };
    let minted = auth.create_token(new).await?;
    let secret = minted.secret.expose();
    if args.quiet {
        out::print(secret)?;
    } else if args.json {
        let mut shown = describe(&minted.principal);
        shown["token"] = secret.into();
        out::print_json(&shown)?;
    } else {
        out::print(secret)?;
        out::say(&format!(
            "token {:?} ({}) is shown this once; it may {}",
            args.name.as_str(),
            id(&minted.principal),
            scopes(&minted.principal)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: TokenList) -> anyhow::Result<ExitCode> {
    let tokens = open(&args.data, false).await?.tokens().await?;
    if args.json {
        for token in &tokens {
            out::print_json(&describe(token))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let at = |at: Option<Timestamp>, none: &str| at.map_or_else(|| none.to_owned(), |at| short(&at.to_string()));
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            vec![
                id(token),
                clean::line(token.name().as_str()),
                kind(token),
                at(Some(token.created()), "-"),
                at(token.last_used(), "never"),
                at(token.expires(), "never"),
                clean::line(&scopes(token)),
            ]
        })
        .collect();
    let head = ["ID", "NAME", "KIND", "CREATED", "LAST USED", "EXPIRES", "SCOPES"];
    out::print(&out::table(Paint::stdout(), &head, &rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn revoke(args: TokenRevoke) -> anyhow::Result<ExitCode> {
    let auth = open(&args.data, false).await?;
    let tokens = auth.tokens().await?;
    let found: Vec<&Arc<Principal>> = tokens.iter().filter(|token| token.id().starts_with(&args.id)).collect();
    let token = match found.as_slice() {
        [token] => *token,
        [] => {
            return Err(exit::failure(
                exit::FAILURE,
                format!("there is no token {}; see `turnwire token list`", args.id),
            ));
        }
        several => {
            let message = format!(
                "{} is the beginning of {} tokens' ids; type more of it",
                args.id,
                several.len()
            );
            return Err(exit::failure(2, message));
        }
    };
    auth.revoke(token.id()).await?;
    out::say(&format!("token {:?} ({}) is revoked", token.name().as_str(), id(token)));
    Ok(ExitCode::SUCCESS)
}

fn describe(token: &Principal) -> Value {
    let mut shown = json!({
        "id": token.id(), "name": token.name(), "kind": token.kind(), "scopes": token.scopes(), "created": token.created(),
    });
    for (key, at) in [("last_used", token.last_used()), ("expires", token.expires())] {
        if let Some(at) = at {
            shown[key] = at.to_string().into();
        }
    }
    shown
}

fn id(token: &Principal) -> String {
    token.id().chars().take(SHORT).collect()
}

fn kind(token: &Principal) -> String {
    let kind = serde_json::to_value(token.kind()).unwrap_or_default();
    kind.as_str().unwrap_or_default().to_owned()
}

fn scopes(token: &Principal) -> String {
    let scopes: Vec<String> = token.scopes().0.iter().map(ToString::to_string).collect();
    scopes.join(" ")
}

/// To the minute, in UTC.
fn short(timestamp: &str) -> String {
    timestamp.get(..16).unwrap_or(timestamp).replace('T', " ")
}
