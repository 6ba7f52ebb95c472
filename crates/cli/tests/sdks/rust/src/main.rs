//! Reports one turn of an agent with the OpenTelemetry SDK: spans, a log record, a metric. `sdk-client http|json|grpc SESSION`;
//! where to is in the environment, as for any program with an SDK.

use opentelemetry::{
    Context, KeyValue,
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity},
    metrics::MeterProvider,
    trace::{Span, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{LogExporter, MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{logs::SdkLoggerProvider, metrics::SdkMeterProvider, trace::SdkTracerProvider};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

fn exporters(wire: &str) -> Fallible<(SpanExporter, LogExporter, MetricExporter)> {
    if wire == "grpc" {
        return Ok((
            SpanExporter::builder().with_tonic().build()?,
            LogExporter::builder().with_tonic().build()?,
            MetricExporter::builder().with_tonic().build()?,
        ));
    }
    let protocol = if wire == "json" {
        Protocol::HttpJson
    } else {
        Protocol::HttpBinary
    };
    Ok((
        SpanExporter::builder().with_http().with_protocol(protocol).build()?,
        LogExporter::builder().with_http().with_protocol(protocol).build()?,
        MetricExporter::builder().with_http().with_protocol(protocol).build()?,
    ))
}

fn said(role: &str, content: &str) -> String {
    format!(r#"[{{"role":"{role}","parts":[{{"type":"text","content":"{content}"}}]}}]"#)
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let (wire, conversation) = (args.next().ok_or("a wire")?, args.next().ok_or("a session")?);
    let runtime = tokio::runtime::Runtime::new()?;
    let (spans, logs, metrics) = {
        // tonic's exporters are made where there is a runtime, the blocking client's where there is none.
        let _within = (wire == "grpc").then(|| runtime.enter());
        exporters(&wire)?
    };
    let tracers = SdkTracerProvider::builder().with_batch_exporter(spans).build();
    let loggers = SdkLoggerProvider::builder().with_batch_exporter(logs).build();
    let meters = SdkMeterProvider::builder().with_periodic_exporter(metrics).build();

    let with = |more: Vec<KeyValue>| {
        let mut all = vec![
            KeyValue::new("gen_ai.provider.name", "openai"),
            KeyValue::new("gen_ai.conversation.id", conversation.clone()),
        ];
        all.extend(more);
        all
    };
    let tracer = tracers.tracer("client");
    let mut agent = tracer.start("invoke_agent helper");
    agent.set_attributes(with(vec![
        KeyValue::new("gen_ai.operation.name", "invoke_agent"),
        KeyValue::new("gen_ai.agent.name", "helper"),
        KeyValue::new("gen_ai.input.messages", said("user", "How long is it?")),
    ]));
    let inside = Context::current_with_span(agent);
    let mut chat = tracer.start_with_context("chat m", &inside);
    chat.set_attributes(with(vec![
        KeyValue::new("gen_ai.operation.name", "chat"),
        KeyValue::new("gen_ai.request.model", "m"),
        KeyValue::new("gen_ai.response.id", "r1"),
        KeyValue::new("gen_ai.usage.input_tokens", 11),
        KeyValue::new("gen_ai.usage.output_tokens", 7),
        KeyValue::new("gen_ai.output.messages", said("assistant", "Seven ☃.")),
    ]));
    chat.end();
    let mut tool = tracer.start_with_context("execute_tool measure", &inside);
    tool.set_attributes(with(vec![
        KeyValue::new("gen_ai.operation.name", "execute_tool"),
        KeyValue::new("gen_ai.tool.name", "measure"),
        KeyValue::new("gen_ai.tool.call.id", "call_1"),
    ]));
    tool.end();
    inside.span().end();

    let logger = loggers.logger("client");
    let mut record = logger.create_log_record();
    record.set_severity_number(Severity::Warn);
    record.set_severity_text("WARN");
    record.set_body(AnyValue::from("the tape is short"));
    record.add_attribute("session.id", conversation.clone());
    logger.emit(record);

    let meter = meters.meter("client");
    let session = [KeyValue::new("session.id", conversation.clone())];
    meter.u64_counter("client.calls").build().add(3, &session);
    meter.f64_histogram("client.times").build().record(0.5, &session);

    // What was not exported is an error here.
    tracers.force_flush()?;
    loggers.force_flush()?;
    meters.force_flush()?;
    tracers.shutdown()?;
    loggers.shutdown()?;
    meters.shutdown()?;
    Ok(())
}
