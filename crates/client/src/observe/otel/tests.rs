//! The exporter against a collector that reads with the standard's own types, and fails when it is asked to.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, channel},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::{metric::Data, number_data_point::Value as Number},
    trace::v1::{Span, status::StatusCode as Code},
};

use super::*;
use crate::observe::{About, Json, LlmResponse, Turn, TurnStart, Usage, What};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// What one request was.
struct Asked {
    path: String,
    head: String,
    body: Vec<u8>,
}

/// Answers one request a connection, with these statuses in turn, then 200; tells what it was asked.
fn collector(listener: TcpListener, mut statuses: Vec<u16>) -> Receiver<Asked> {
    let (tell, asked) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            let _ = connection.read_exact(&mut body);
            let status = if statuses.is_empty() { 200 } else { statuses.remove(0) };
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if tell.send(Asked { path, head, body }).is_err() {
                return;
            }
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    asked
}

fn port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn otel(at: SocketAddr) -> Arc<Otel> {
    let headers = [("x-key".to_owned(), "k".to_owned())];
    Arc::new(Otel::start(&format!("http://{at}"), &headers, "my-harness").unwrap())
}

fn spans(asked: &Asked) -> Vec<Span> {
    assert_eq!(asked.path, "/v1/traces");
    let request: ExportTraceServiceRequest = serde_json::from_slice(&asked.body).unwrap();
    let resource = &request.resource_spans[0];
    assert_eq!(
        text(&resource.resource.as_ref().unwrap().attributes, "service.name"),
        "my-harness"
    );
    resource.scope_spans[0].spans.clone()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .unwrap_or_else(|| panic!("{key}"));
    match found.value.as_ref().unwrap().value.as_ref().unwrap() {
        Any::StringValue(text) => text.clone(),
        Any::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

fn fails(message: &str) -> ObserverEvent {
    let response = LlmResponse {
        error: Some(message.into()),
        ..LlmResponse::default()
    };
    ObserverEvent::new(About::session("s-1"), What::LlmResponse(response))
}

#[test]
fn a_turn_is_one_trace_as_the_standard_writes_it() {
    let (listener, at) = port();
    let asked = collector(listener, vec![]);
    let otel = otel(at);
    let about = About::session("s-1").turn("t-1").agent("builder");
    let turn = Turn::start_with(
        Arc::clone(&otel) as Arc<dyn Observer>,
        about,
        TurnStart {
            body: "a secret".into(),
            ..TurnStart::default()
        },
    );
    turn.llm("acme", "acme-large", 1).answered(Usage {
        input_tokens: Some(900),
        ..Usage::default()
    });
    turn.tool("Bash", "c-1", Json::of("a secret"))
        .fail("exit 1", Some(Json::of("a secret")));
    turn.ok();
    assert!(otel.settle(LONG));
    let request = asked.recv_timeout(LONG).unwrap();
    for header in ["content-type: application/json", "x-key: k"] {
        assert!(request.head.contains(header), "{}", request.head);
    }
    assert!(
        !String::from_utf8_lossy(&request.body).contains("a secret"),
        "what was said stays here"
    );
    let spans = spans(&request);
    let [chat, tool, turn] = &spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(
        spans.iter().map(|span| &*span.name).collect::<Vec<_>>(),
        ["chat acme-large", "execute_tool Bash", "invoke_agent builder"]
    );
    for span in &spans {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        assert_eq!(span.trace_id, turn.trace_id);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
        assert_eq!(text(&span.attributes, "gen_ai.conversation.id"), "s-1");
    }
    assert!(turn.parent_span_id.is_empty());
    assert_eq!(
        (&chat.parent_span_id, &tool.parent_span_id),
        (&turn.span_id, &turn.span_id)
    );
    assert_eq!(text(&chat.attributes, "gen_ai.usage.input_tokens"), "900");
    assert_eq!(text(&chat.attributes, "gen_ai.provider.name"), "acme");
    assert_eq!(text(&tool.attributes, "gen_ai.tool.call.id"), "c-1");
    let status = tool.status.as_ref().unwrap();
    assert_eq!((status.code, &*status.message), (Code::Error as i32, "exit 1"));
    assert_eq!(turn.status.as_ref().unwrap().code, Code::Unset as i32);
}

#[test]
fn metrics_are_sums_gauges_and_histograms_as_the_standard_writes_them() {
    let (listener, at) = port();
    let asked = collector(listener, vec![]);
    let otel = otel(at);
    otel.record_metric(&Metric::add("retries", 2));
    otel.record_metric(&Metric::add("retries", 3));
    otel.record_metric(&Metric::set("depth", 1.5));
    otel.record_metric(&Metric::set("depth", f64::NAN));
    otel.record_metric(&Metric::took("wait", Duration::from_millis(75)));
    assert!(otel.settle(LONG));
    // They may have gone in more than one request; sums go on.
    let request = std::iter::from_fn(|| asked.try_recv().ok()).last().unwrap();
    assert_eq!(request.path, "/v1/metrics");
    let request: ExportMetricsServiceRequest = serde_json::from_slice(&request.body).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let data = |name: &str| {
        metrics
            .iter()
            .find(|metric| metric.name == name)
            .unwrap()
            .data
            .clone()
            .unwrap()
    };
    let Data::Sum(sum) = data("retries") else {
        panic!("{metrics:?}")
    };
    assert_eq!(
        (sum.is_monotonic, sum.data_points[0].value),
        (true, Some(Number::AsInt(5)))
    );
    let Data::Gauge(gauge) = data("depth") else {
        panic!("{metrics:?}")
    };
    assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(1.5)));
    let Data::Histogram(times) = data("wait") else {
        panic!("{metrics:?}")
    };
    let point = &times.data_points[0];
    assert_eq!(
        (point.count, point.bucket_counts[2], point.explicit_bounds[2]),
        (1, 1, 0.1)
    );
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
}

#[test]
fn what_a_collector_cannot_take_now_is_sent_again_and_what_it_never_takes_is_counted() {
    let (listener, at) = port();
    let asked = collector(listener, vec![503, 429, 200, 400]);
    let otel = otel(at);
    otel.record_event(&fails("one"));
    while !otel.settle(LONG) {}
    let sent: Vec<_> = (0..3).map(|_| spans(&asked.recv_timeout(LONG).unwrap())).collect();
    assert!(sent.iter().all(|spans| spans == &sent[0] && spans.len() == 1));
    assert_eq!(otel.lost(), 0);
    otel.record_event(&fails("two"));
    assert!(otel.settle(LONG), "nothing is held");
    assert_eq!(otel.lost(), 1);
}

#[test]
fn a_collector_that_is_away_costs_a_bounded_number_of_spans_the_oldest_first() {
    let (listener, at) = port();
    let asked = collector(listener, vec![503]);
    let exporter = Exporter {
        endpoint: Endpoint::new(&format!("http://{at}"), None).unwrap(),
        headers: HeaderMap::new(),
        around: Around::of("my-harness"),
        lost: Arc::default(),
        state: Mutex::default(),
    };
    for n in 0..SPANS + 3 {
        exporter.record_event(&fails(&n.to_string()));
    }
    assert!(!exporter.settle(Duration::ZERO));
    assert_eq!(exporter.lost.load(Ordering::Relaxed), 3);
    let waiting = exporter
        .lock()
        .waiting
        .iter()
        .map(|span| span["status"]["message"].clone())
        .collect::<Vec<_>>();
    assert_eq!(
        (waiting.len(), &waiting[0], &waiting[SPANS - 1]),
        (SPANS, &json!("3"), &json!((SPANS + 2).to_string()))
    );

    drop(asked.recv_timeout(LONG).unwrap());
    assert!(exporter.settle(Duration::ZERO));
    let sent: usize = std::iter::from_fn(|| asked.try_recv().ok())
        .map(|request| spans(&request).len())
        .sum();
    assert_eq!(sent, SPANS);
}

#[test]
fn a_header_or_address_that_cannot_be_is_refused_without_showing_secrets() {
    let refused = |endpoint: &str, name: &str, value: &str| {
        Otel::start(endpoint, &[(name.to_owned(), value.to_owned())], "x")
            .unwrap_err()
            .to_string()
    };
    assert!(refused("localhost:4318", "a", "b").contains("begin with http"));
    let why = refused("http://localhost:4318", "x-key", "s3cret\n");
    assert!(why.contains("x-key") && !why.contains("s3cret"), "{why}");
}
