//! A small agent that does what it is told: it says `hold`, `release` and `message` back, and refuses all else. One line an
//! order on standard output, how the downlink stands on standard error.
//!
//! ```sh
//! cargo run -p turnwire-client --example downlink -- http://127.0.0.1:8876 --token "$AGENT_TOKEN"
//! ```

use std::{convert::Infallible, io::Write};

use clap::Parser as _;
use serde::Serialize;
use turnwire_client::{
    Endpoint, Error,
    downlink::{Downlink, Ended, Handle, Item, Order, Said, State, Verdict},
};
use turnwire_proto::Name;

/// What this agent can be told.
const CAPABILITIES: [&str; 3] = ["hold", "message", "release"];

/// Does what a server says.
#[derive(Debug, clap::Parser)]
pub(crate) struct Args {
    /// The server.
    url: String,
    /// A token with the scope `agent:NAME`.
    #[arg(long, env = "TURNWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Another address of the same server; may be given more than once.
    #[arg(long = "mirror", value_name = "URL")]
    mirrors: Vec<String>,
    /// Which agent this is, for a token that may be several.
    #[arg(long)]
    agent: Option<Name>,
}

/// What this agent says of itself.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    capabilities: [&'static str; 3],
    state: &'static str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let ended = run(Args::parse(), &mut std::io::stdout().lock()).await?;
    anyhow::bail!(ended)
}

/// Obeys until the downlink ends.
pub(crate) async fn run(args: Args, out: &mut impl Write) -> anyhow::Result<Ended> {
    let endpoint = |url: &String| Endpoint::new(url, args.token.as_deref());
    let mirrors = args.mirrors.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    let mut builder = Downlink::builder(endpoint(&args.url)?).mirrors(mirrors);
    if let Some(agent) = args.agent {
        builder = builder.agent(agent);
    }
    let mut link = builder.connect();
    let handle = link.handle();
    tokio::select! {
        obeyed = obey(&mut link, out) => obeyed,
        never = watch(&handle) => match never {},
    }
}

async fn obey(link: &mut Downlink, out: &mut impl Write) -> anyhow::Result<Ended> {
    let mut held = false;
    while let Some(item) = link.next().await {
        match item {
            Item::Order(order) => {
                writeln!(out, "{} {} {}", order.id, order.action, order.args.get())?;
                out.flush()?;
                carry_out(link, &order, &mut held).await?;
            }
            Item::Unreadable { id: Some(id), why } => {
                let _ = link.ack(id, Said::Failed(why)).await?;
            }
            Item::Sync { .. } => report(link, held).await,
            _ => {}
        }
    }
    Ok(link.ended().await)
}

async fn carry_out(link: &Downlink, order: &Order, held: &mut bool) -> Result<(), Error> {
    if !CAPABILITIES.contains(&order.action.as_str()) {
        let why = format!("this agent cannot {}", order.action);
        let _ = link.ack(order.id, Said::Failed(why)).await?;
        return Ok(());
    }
    // It may have been withdrawn meanwhile: then it is not begun.
    if link.ack(order.id, Said::Acked).await? != Verdict::Stands {
        return Ok(());
    }
    match order.action.as_str() {
        "hold" => *held = true,
        "release" => *held = false,
        _ => {}
    }
    let _ = link.ack(order.id, Said::Done).await?;
    Ok(())
}

/// A report that does not get through is asked for again.
async fn report(link: &Downlink, held: bool) {
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        capabilities: CAPABILITIES,
        state: if held { "held" } else { "idle" },
    };
    if let Err(error) = link.sync(&report).await {
        tell(&error.to_string());
    }
}

/// Tells how the downlink stands, for as long as nobody drops it.
async fn watch(handle: &Handle) -> Infallible {
    let mut states = handle.states();
    loop {
        match &*states.borrow_and_update() {
            State::Waiting { why, .. } => tell(&format!("trying again: {why}")),
            // Whoever obeys says why.
            State::Ended { .. } => {}
            state => tell(&format!("{state:?}").to_lowercase()),
        }
        if states.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "downlink: {text}");
}
