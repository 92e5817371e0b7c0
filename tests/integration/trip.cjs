// The program of test_collector_to_bridge.py, traced with OpenTelemetry for Node. Prints its trace.
"use strict";
const { NodeSDK } = require("@opentelemetry/sdk-node");
const { SpanKind, trace } = require("@opentelemetry/api");

const sdk = new NodeSDK();
sdk.start();
const tracer = trace.getTracer("trip");
const step = (name, inside, options = {}) =>
  tracer.startActiveSpan(name, options, (span) => {
    inside(span);
    span.end();
  });
const ask = (question) =>
  step("chat gpt-4o-mini", () => {}, {
    kind: SpanKind.CLIENT,
    attributes: {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-4o-mini",
      "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
      "gen_ai.usage.input_tokens": question.length,
      "gen_ai.usage.output_tokens": 7,
    },
  });

step("Trip", (span) => {
  step("plan/Rome", () => ask("Where to?"));
  step("book", () => {
    step("execute_tool hotel", () => ask("Which hotel?"), {
      attributes: { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "hotel" },
    });
  });
  ask("Sum it up.");
  console.log(span.spanContext().traceId);
});
sdk.shutdown();
