"""Reports one turn of an agent with the OpenTelemetry SDK: spans, a log record, a metric. `client.py http|grpc`; where to is in
the environment, as for any program with an SDK."""

import json
import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

# What an exporter has to say against the server ends this with a failure.
complaints = []


class Complaints(logging.Handler):
    def emit(self, record):
        complaints.append(record.getMessage())


logging.getLogger("opentelemetry").addHandler(Complaints())

tracers, loggers = TracerProvider(), LoggerProvider()
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
trace.set_tracer_provider(tracers)
set_logger_provider(loggers)
metrics.set_meter_provider(meters)

conversation = sys.argv[2]
tracer = trace.get_tracer("client")
said = lambda role, text: json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
common = {"gen_ai.provider.name": "openai", "gen_ai.conversation.id": conversation}
with tracer.start_as_current_span(
    "invoke_agent helper",
    attributes=common
    | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "helper",
        "gen_ai.input.messages": said("user", "How long is it?"),
    },
):
    with tracer.start_as_current_span("chat m", attributes=common | {"gen_ai.operation.name": "chat"}) as chat:
        chat.set_attributes({"gen_ai.request.model": "m", "gen_ai.response.id": "r1"})
        chat.set_attributes({"gen_ai.usage.input_tokens": 11, "gen_ai.usage.output_tokens": 7})
        chat.set_attribute("gen_ai.output.messages", said("assistant", "Seven \N{SNOWMAN}."))
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "measure", "gen_ai.tool.call.id": "call_1"}
    with tracer.start_as_current_span("execute_tool measure", attributes=common | tool):
        logger = logging.getLogger("client")
        logger.addHandler(LoggingHandler(logger_provider=loggers))
        logger.warning("the tape is short", extra={"session.id": conversation})
meter = metrics.get_meter("client")
meter.create_counter("client.calls").add(3, {"session.id": conversation})
meter.create_histogram("client.times").record(0.5, {"session.id": conversation})
tracers.shutdown()
loggers.shutdown()
meters.shutdown()
if complaints:
    sys.exit("\n".join(complaints))
