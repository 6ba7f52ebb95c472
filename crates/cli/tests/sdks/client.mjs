// Reports one turn of an agent with the OpenTelemetry SDK: spans, a log record, a metric. `client.mjs proto|http|grpc SESSION`;
// where to is in the environment, as for any program with an SDK. `http` is JSON.

import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(`${process.env.TURNWIRE_SDKS}/node/`);
const from = (name) => require(`@opentelemetry/${name}`);
const [, , wire, conversation] = process.argv;

const { context, trace, diag, DiagLogLevel } = from("api");
const { SeverityNumber } = from("api-logs");
const { BasicTracerProvider, BatchSpanProcessor } = from("sdk-trace-base");
const { LoggerProvider, BatchLogRecordProcessor } = from("sdk-logs");
const { MeterProvider, PeriodicExportingMetricReader } = from("sdk-metrics");
const { OTLPTraceExporter } = from(`exporter-trace-otlp-${wire}`);
const { OTLPLogExporter } = from(`exporter-logs-otlp-${wire}`);
const { OTLPMetricExporter } = from(`exporter-metrics-otlp-${wire}`);

// What an exporter has to say against the server ends this with a failure.
const complain = (...what) => {
  console.error(...what);
  process.exitCode = 1;
};
const quiet = () => {};
diag.setLogger({ error: complain, warn: complain, info: quiet, debug: quiet, verbose: quiet }, DiagLogLevel.WARN);

const tracers = new BasicTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
// It took its exporter by itself, and later as a field.
const logs = new OTLPLogExporter();
let processor;
try {
  processor = new BatchLogRecordProcessor({ exporter: logs });
} catch {
  processor = new BatchLogRecordProcessor(logs);
}
const loggers = new LoggerProvider({ processors: [processor] });
const meters = new MeterProvider({
  readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })],
});

const common = { "gen_ai.provider.name": "openai", "gen_ai.conversation.id": conversation };
const said = (role, content) => JSON.stringify([{ role, parts: [{ type: "text", content }] }]);
const tracer = tracers.getTracer("client");
const within = (parent, name, attributes) =>
  tracer.startSpan(name, { attributes: { ...common, ...attributes } }, parent && trace.setSpan(context.active(), parent));
const agent = within(undefined, "invoke_agent helper", {
  "gen_ai.operation.name": "invoke_agent",
  "gen_ai.agent.name": "helper",
  "gen_ai.input.messages": said("user", "How long is it?"),
});
within(agent, "chat m", {
  "gen_ai.operation.name": "chat",
  "gen_ai.request.model": "m",
  "gen_ai.response.id": "r1",
  "gen_ai.usage.input_tokens": 11,
  "gen_ai.usage.output_tokens": 7,
  "gen_ai.output.messages": said("assistant", "Seven ☃."),
}).end();
within(agent, "execute_tool measure", {
  "gen_ai.operation.name": "execute_tool",
  "gen_ai.tool.name": "measure",
  "gen_ai.tool.call.id": "call_1",
}).end();
agent.end();
loggers.getLogger("client").emit({
  severityNumber: SeverityNumber.WARN,
  severityText: "WARN",
  body: "the tape is short",
  attributes: { "session.id": conversation },
});
const meter = meters.getMeter("client");
meter.createCounter("client.calls").add(3, { "session.id": conversation });
meter.createHistogram("client.times").record(0.5, { "session.id": conversation });
await Promise.all([tracers.shutdown(), loggers.shutdown(), meters.shutdown()]);
