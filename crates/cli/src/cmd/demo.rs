//! `demo`: a gateway in a scratch directory, and recorded runs of four agents that are played into it.

mod play;

use std::{process::ExitCode, sync::Arc, time::Duration};

use serde_json::json;
use tokio::task::JoinSet;
use turnwire_adapters::recordings::RECORDINGS;
use turnwire_client::{
    Endpoint,
    publish::Publisher,
    spool::{Limits, Meta, Spool},
};
use turnwire_server::{Config, Server};

use super::serve::{self, Ends};
use crate::{
    args::Demo,
    exit,
    out::{self, Colour, Paint},
};

/// How long open pages have to be told that it ends: they are on this machine.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) async fn demo(args: Demo) -> anyhow::Result<ExitCode> {
    let mut ends = Ends::catch()?;
    let scratch = tempfile::Builder::new().prefix("turnwire-demo-").tempdir()?;
    let mut config = Config::new(scratch.path().join("data"));
    config.listen = args.listen;
    config.limits.shutdown_grace = GRACE;
    let server = Server::start(config).await.map_err(serve::not_started)?;
    let url = server.ready().url.clone();
    let link = format!("{url}/#pair={}", server.pairing_code().await?.code());
    if args.json {
        let dir = &server.ready().data_dir;
        out::print_json(&json!({ "url": url, "pair": link, "data_dir": dir }))?;
    } else {
        out::print(&greeting(&link, &server.ready().data_dir, Paint::stdout()))?;
    }
    let endpoint = Endpoint::local(&scratch.path().join("data")).map_err(exit::from_client)?;
    let spool = Spool::create(
        &scratch.path().join("spool"),
        Meta::new("demo", "demo"),
        Limits::default(),
    )?;
    let publisher = Publisher::start(Arc::clone(&spool), Arc::new(endpoint));
    let mut players = JoinSet::new();
    for adapter in ["claude", "codex", "gemini", "opencode"] {
        let own = RECORDINGS
            .iter()
            .filter(|recording| recording.adapter == adapter)
            .collect();
        players.spawn(play::play(own, Arc::clone(&spool), args.speed, args.once));
    }
    // With --once the players end, and what they played stays to be looked at.
    ends.first().await;
    players.shutdown().await;
    drop(publisher);
    serve::end(server, &mut ends).await;
    drop(spool);
    scratch.close()?;
    if !args.json {
        out::say("ended; nothing is left behind");
    }
    Ok(ExitCode::SUCCESS)
}

fn greeting(link: &str, data_dir: &str, paint: Paint) -> String {
    format!(
        "Four agents, recorded, play at their own pace. Open this link (it signs one browser in, once):\n\n  {}\n\n\
         Or in another terminal:\n  turnwire tail --data-dir {data_dir}\n  turnwire sessions --data-dir {data_dir}\n\n\
         Ctrl-C ends it and leaves nothing behind.",
        paint.paint(Colour::Cyan, link)
    )
}
