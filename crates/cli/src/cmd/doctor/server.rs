//! The gateway: whether it runs, is of our version, lets us in, and has the same time.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use reqwest::{Method, header::DATE};
use serde::Deserialize;
use turnwire_client::{Endpoint, Error, Running};
use turnwire_proto::{Timestamp, path};

use super::{Check, Doctor};
use crate::gateway;

/// A gateway that takes longer than this for a few bytes is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who listens where a gateway should and says nothing for so long is none.
const PROBE: Duration = Duration::from_secs(1);
/// Seconds that clocks may be apart before timestamps look wrong to people.
const APART: u64 = 5;

#[derive(Deserialize)]
struct Health {
    #[serde(default)]
    version: Option<String>,
}

/// Looks at the gateway on this machine; whether one runs.
pub(super) async fn local(args: &Doctor, dir: &Path, checks: &mut Vec<Check>) -> bool {
    const NAME: &str = "gateway";
    match Running::read(dir) {
        Ok(running) => {
            let Ok(endpoint) = gateway::endpoint(&args.gateway) else {
                let todo = "restart the gateway: it makes what its clients need";
                checks.push(Check::fail(
                    NAME,
                    format!("{} says nothing of how to log in", dir.display()),
                    todo,
                ));
                return false;
            };
            let there = health(&endpoint, checks).await;
            if !there {
                let pid = running.pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                let text = format!("a gateway was at {}{pid} and does not answer", running.url);
                checks.push(Check::warn(
                    NAME,
                    text,
                    "it was killed, or hangs: start it again with `turnwire serve`",
                ));
                port(args.listen, checks).await;
            }
            there
        }
        Err(Error::NoServer { .. }) => {
            checks.push(Check::warn(
                NAME,
                "none runs on this data directory",
                "start one: `turnwire serve`",
            ));
            port(args.listen, checks).await;
            false
        }
        Err(error) => {
            checks.push(Check::fail(
                NAME,
                error.to_string(),
                "start the gateway again with `turnwire serve`",
            ));
            false
        }
    }
}

/// Looks at the gateway that was named; whether it answers.
pub(super) async fn remote(args: &Doctor, checks: &mut Vec<Check>) -> bool {
    const NAME: &str = "gateway";
    match gateway::endpoint(&args.gateway) {
        Ok(endpoint) => {
            let there = health(&endpoint, checks).await;
            if !there {
                let text = format!("{} does not answer", endpoint.url());
                checks.push(Check::fail(
                    NAME,
                    text,
                    "look whether it runs, and whether the address is right",
                ));
            }
            there
        }
        Err(error) => {
            checks.push(Check::fail(NAME, error.to_string(), "name it with --url"));
            false
        }
    }
}

/// Whether it answers at all; its version, its clock and our token are told.
async fn health(endpoint: &Endpoint, checks: &mut Vec<Check>) -> bool {
    let request = endpoint.request(Method::GET, path::HEALTHZ).timeout(PATIENCE);
    let Ok(answer) = endpoint.send(request).await else {
        return false;
    };
    let date = answer
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok().map(str::to_owned));
    let health = answer
        .bytes()
        .await
        .ok()
        .and_then(|body| serde_json::from_slice::<Health>(&body).ok());
    let Some(health) = health else {
        return false;
    };
    let (ours, url) = (env!("CARGO_PKG_VERSION"), endpoint.url());
    checks.push(match health.version.as_deref() {
        Some(theirs) if theirs == ours => Check::ok("gateway", format!("runs at {url}, version {theirs}")),
        theirs => {
            let theirs = theirs.unwrap_or("unknown");
            let text = format!("runs at {url} in version {theirs}, this is {ours}");
            Check::warn("gateway", text, "use the same version for both, the newer one")
        }
    });
    checks.extend(date.and_then(|date| clock(&date, Timestamp::now())));
    let me = endpoint.request(Method::GET, path::ME).timeout(PATIENCE);
    checks.push(match endpoint.send(me).await {
        Ok(_) => Check::ok("token", "the gateway knows our token"),
        Err(error) => Check::fail(
            "token",
            error.to_string(),
            "`turnwire token create` makes one; name it with --token",
        ),
    });
    true
}

/// The gateway's clock against ours.
fn clock(date: &str, now: Timestamp) -> Option<Check> {
    let theirs = http_date(date)?;
    let apart = theirs.millis().abs_diff(now.millis()) / 1000;
    // The header has whole seconds.
    Some(if apart <= APART {
        Check::ok("clock", "the gateway's and ours agree")
    } else {
        let text = format!("the gateway's clock and ours are {apart} s apart");
        Check::warn(
            "clock",
            text,
            "let both follow NTP: events say when they happened by the clock of who made them",
        )
    })
}

/// `Fri, 20 Nov 2026 08:25:00 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    format!("{year}-{month:02}-{day}T{time}Z").parse().ok()
}

/// Whether `serve` could listen.
async fn port(listen: SocketAddr, checks: &mut Vec<Check>) {
    if TcpListener::bind(listen).is_ok() {
        checks.push(Check::ok("port", format!("{listen} is free")));
        return;
    }
    let ours = match Endpoint::new(&format!("http://{listen}"), None) {
        Ok(endpoint) => {
            let request = endpoint.request(Method::GET, path::HEALTHZ).timeout(PROBE);
            endpoint
                .json::<Health>(request)
                .await
                .is_ok_and(|health| health.version.is_some())
        }
        Err(_) => false,
    };
    let todo = "`turnwire serve --listen 127.0.0.1:0` takes any free port";
    checks.push(if ours {
        Check::warn(
            "port",
            format!("another turnwire, with other data, listens on {listen}"),
            todo,
        )
    } else {
        Check::fail(
            "port",
            format!("{listen} cannot be listened on: something else does"),
            todo,
        )
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::doctor::State;

    #[test]
    fn clocks_are_compared_to_the_second() {
        let now = "2026-11-20T08:25:03.900Z".parse().unwrap();
        assert_eq!(clock("Fri, 20 Nov 2026 08:25:00 GMT", now).unwrap().state, State::Ok);
        let apart = clock("Fri, 20 Nov 2026 08:24:00 GMT", now).unwrap();
        assert!(apart.state == State::Warn && apart.found.contains("63 s"), "{apart:?}");
        assert!(clock("soon", now).is_none());
    }
}
