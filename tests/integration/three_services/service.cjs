// A service with OpenTelemetry for Node, and nothing else: its context goes along with each request
// as W3C traceparent and baggage. Run as `node service.cjs <port>`.
"use strict";

const { NodeSDK } = require("@opentelemetry/sdk-node");
const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");

// Spans are made, and kept nowhere: without any processor the SDK would make none.
const nowhere = {
  onStart() {},
  onEnd() {},
  forceFlush: async () => {},
  shutdown: async () => {},
};
new NodeSDK({
  instrumentations: [new HttpInstrumentation()],
  spanProcessors: [nowhere],
}).start();

// After the start, so that it is instrumented.
const http = require("node:http");
const { context, propagation } = require("@opentelemetry/api");

function call(url, response) {
  const request = http.request(url, { method: "POST" }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.on("error", (error) => response.writeHead(502).end(String(error)));
  request.end();
}

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://127.0.0.1");
  const next = searchParams.get("to");
  if (pathname === "/forward") {
    call(next, response);
    return;
  }
  // A session of its own: three members of the baggage.
  const baggage = propagation.createBaggage({
    "helicone.session.id": { value: searchParams.get("id") },
    "helicone.session.path": { value: "/Night tour" },
    "helicone.session.name": { value: "Night tour" },
  });
  context.with(propagation.setBaggage(context.active(), baggage), () => call(next, response));
});
server.listen(Number(process.argv[2]), "127.0.0.1");
