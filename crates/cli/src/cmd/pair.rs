//! `pair`: a one-time link that signs a browser in.

use std::process::ExitCode;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use turnwire_proto::path;

use crate::{args::Pair, exit, gateway, out};

#[derive(Deserialize, Serialize)]
struct Code {
    code: String,
    url: String,
    expires: String,
}

pub(crate) async fn pair(args: Pair) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let mut body = Map::new();
    if let Some(name) = &args.name {
        body.insert("name".into(), name.as_str().into());
    }
    if !args.scope.is_empty() {
        body.insert(
            "scopes".into(),
            args.scope.iter().map(|scope| Value::from(scope.to_string())).collect(),
        );
    }
    if let Some(expires) = args.expires {
        body.insert("ttl_secs".into(), expires.as_secs().into());
    }
    let request = endpoint
        .request(Method::POST, path::PAIRING_CODES)
        .header("content-type", "application/json")
        .body(Value::from(body).to_string());
    let code: Code = endpoint.json(request).await.map_err(exit::from_client)?;
    if args.json {
        out::print_json(&code)?;
    } else {
        out::print(&code.url)?;
        out::say(&format!("this link signs one browser in, once, until {}", code.expires));
    }
    Ok(ExitCode::SUCCESS)
}
