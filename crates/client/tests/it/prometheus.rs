//! What Prometheus reads of a harness.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use turnwire_client::observe::{self, About, Config, Json, Metric, Observer, Turn, TurnStart, Usage, prometheus};

use crate::scripted::{answer, serve};

fn config() -> Config {
    serde_json::from_str(r#"{"observers": ["prometheus"]}"#).unwrap()
}

/// Scrapes over HTTP, and reads the text as Prometheus does: each sample once, by its name and labels.
async fn scrape(text: &str) -> BTreeMap<String, f64> {
    let head = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    let server = serve(vec![answer("200 OK", head, text)]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let text = client.get(server.url()).send().await.unwrap().text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let word = comment.split(' ').next().unwrap();
            assert!(["HELP", "TYPE", "UNIT", "EOF"].contains(&word), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let before = samples.insert(name.to_owned(), value.parse().unwrap());
        assert!(before.is_none(), "twice: {line}");
    }
    samples
}

fn work(observer: &Arc<dyn Observer>) {
    let about = About::session("s-1").turn("t-1");
    let turn = Turn::start_with(Arc::clone(observer), about.clone(), TurnStart::default());
    let _left_open = std::mem::ManuallyDrop::new(Turn::start_with(Arc::clone(observer), about, TurnStart::default()));
    turn.llm("acme", "acme-large", 1).answered(Usage {
        input_tokens: Some(900),
        output_tokens: Some(40),
        cost_usd: Some(0.5),
        ..Usage::default()
    });
    turn.tool("Bash", "c-1", Json::of("ls")).ok(Json::of("a"));
    turn.tool("Bash", "c-2", Json::of("ls")).fail("exit 1", None);
    turn.error("tools", "no such tool");
    turn.metric(&Metric::add("retries", 3));
    turn.metric(&Metric::set("depth", 2.5));
    turn.metric(&Metric::took("wait", Duration::from_millis(75)));
    turn.ok();
}

#[tokio::test]
async fn a_scrape_has_what_the_harness_did() {
    let built = config().build().unwrap();
    work(&built.observer());
    let samples = scrape(&built.metrics()).await;
    for (sample, value) in [
        ("agent_turns_open", 1.0),
        (r#"agent_turns_total{outcome="ok"}"#, 1.0),
        ("agent_turn_duration_seconds_count", 1.0),
        (r#"agent_tool_calls_total{tool="Bash",outcome="ok"}"#, 1.0),
        (r#"agent_tool_calls_total{tool="Bash",outcome="failed"}"#, 1.0),
        (r#"agent_tool_duration_seconds_count{tool="Bash"}"#, 2.0),
        (r#"agent_llm_requests_total{model="acme-large"}"#, 1.0),
        (r#"agent_llm_responses_total{model="acme-large",outcome="ok"}"#, 1.0),
        (r#"agent_tokens_total{model="acme-large",type="input"}"#, 900.0),
        (r#"agent_tokens_total{model="acme-large",type="output"}"#, 40.0),
        ("agent_cost_usd_total", 0.5),
        (r#"agent_errors_total{component="tools"}"#, 1.0),
        (r#"agent_events_total{kind="turn_start"}"#, 2.0),
        (r#"agent_metric_total{name="retries"}"#, 3.0),
        (r#"agent_metric_value{name="depth"}"#, 2.5),
        (r#"agent_metric_duration_seconds_bucket{le="0.05",name="wait"}"#, 0.0),
        (r#"agent_metric_duration_seconds_bucket{le="0.1",name="wait"}"#, 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample} in {samples:#?}");
    }
}

#[tokio::test]
async fn metrics_go_into_the_registry_that_is_handed_in() {
    let mut registry = Registry::with_prefix("mine");
    let observer = config().build_into(&mut registry).unwrap();
    work(&observer);
    let samples = scrape(&prometheus::text(&registry)).await;
    assert_eq!(samples[r#"mine_agent_turns_total{outcome="ok"}"#], 1.0);
}

#[tokio::test]
async fn names_that_models_make_up_do_not_grow_without_bound() {
    let built = config().build().unwrap();
    let turn = Turn::start_with(built.observer(), About::session("s-1"), TurnStart::default());
    for n in 0..prometheus::VALUES + 20 {
        turn.tool(&format!("made-up-{n}-\"\n{}", "x".repeat(300)), "", Json::of(""))
            .ok(Json::of(""));
    }
    turn.ok();
    let samples = scrape(&built.metrics()).await;
    let tools = samples
        .keys()
        .filter(|name| name.starts_with("agent_tool_calls_total"))
        .count();
    assert_eq!(tools, observe::prometheus::VALUES + 1);
    assert_eq!(samples[r#"agent_tool_calls_total{tool="other",outcome="ok"}"#], 20.0);
}
