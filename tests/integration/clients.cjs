// The program of test_node_clients.py: the official clients for Node, told another host and nothing
// else. Prints what they gave, as JSON.
//
//   node clients.cjs openai MODULE BASE_URL     a client of the openai package
//   node clients.cjs helpers KEY URL            Helicone's manual logger
"use strict";

const inSession = (path) => ({
  "Helicone-Session-Id": "node-1",
  "Helicone-Session-Name": "Node",
  "Helicone-Session-Path": path,
});
const chat = { model: "gpt-4o-mini", messages: [{ role: "user", content: "Where to?" }] };
const usage = { prompt_tokens: 1000, completion_tokens: 500, total_tokens: 1500 };

async function askByOpenAI(module, baseURL) {
  const { OpenAI } = require(module);
  const client = new OpenAI({ apiKey: "none", baseURL, maxRetries: 0 });
  const told = {};

  const answer = await client.chat.completions.create(chat, { headers: inSession("/chat") });
  told.chat = answer.choices[0].message.content;

  const stream = await client.chat.completions.create(
    { ...chat, stream: true, stream_options: { include_usage: true } },
    { headers: inSession("/stream") },
  );
  told.stream = "";
  for await (const chunk of stream) told.stream += chunk.choices[0]?.delta.content ?? "";

  const vectors = await client.embeddings.create(
    { model: "text-embedding-3-small", input: ["one", "two"] },
    { headers: inSession("/embeddings") },
  );
  told.vectors = vectors.data.length;

  const response = await client.responses.create(
    { model: "gpt-4o-mini", input: "Where to?" },
    { headers: inSession("/responses") },
  );
  told.response = response.output_text;

  try {
    await client.images.generate({ prompt: "Rome" }, { headers: inSession("/error") });
  } catch (error) {
    told.error = error.constructor.name;
  }

  const { data, response: raw } = await client.chat.completions
    .create(chat, { headers: { ...inSession("/raw"), "Helicone-Cache-Enabled": "true" } })
    .withResponse();
  told.raw = [data.model, raw.headers.get("helicone-id"), raw.headers.get("helicone-cache")];
  return told;
}

async function* chunks() {
  const head = { id: "1", object: "chat.completion.chunk", created: 1, model: "gpt-4o-mini" };
  for (const content of ["To ", "Rome."]) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    yield { ...head, choices: [{ index: 0, delta: { content }, finish_reason: null }] };
  }
  yield { ...head, choices: [], usage };
}

async function logByHelicone(apiKey, url) {
  const { HeliconeManualLogger } = require("@helicone/helpers");
  const { Stream } = require("openai/streaming");
  const headers = { "Helicone-User-Id": "ann", "Helicone-Property-Env": "test" };
  const loggingEndpoint = `${url}/custom/v1/log`;
  const logger = new HeliconeManualLogger({ apiKey, headers, loggingEndpoint });
  const answer = {
    model: "gpt-4o-mini",
    choices: [{ index: 0, message: { role: "assistant", content: "To Rome." } }],
    usage,
  };
  const told = {};

  told.request = await logger.logRequest(
    chat,
    async (recorder) => {
      recorder.appendResults(answer);
      return "done";
    },
    inSession("/request"),
    "openai",
  );

  const tool = { _type: "tool", toolName: "weather", input: { place: "Rome" } };
  await logger.logRequest(
    tool,
    async (recorder) => recorder.appendResults({ sun: true }),
    inSession("/tool"),
  );

  const controller = new AbortController();
  await logger.logStream(
    { ...chat, stream: true },
    async (recorder) => {
      recorder.attachStream(new Stream(chunks, controller).toReadableStream());
    },
    inSession("/stream"),
  );

  await logger.logSingleRequest(chat, JSON.stringify(answer), {
    additionalHeaders: inSession("/single"),
    latencyMs: 1500,
  });

  const builder = logger.logBuilder({ ...chat, stream: true }, inSession("/builder"));
  await builder.attachStream(new Stream(chunks, controller));
  await builder.sendLog();

  const failed = logger.logBuilder(chat, inSession("/failed"));
  failed.setError(new Error("no way to Rome"));
  await failed.sendLog();
  return told;
}

const [kind, ...rest] = process.argv.slice(2);
const run = kind === "openai" ? askByOpenAI : logByHelicone;
run(...rest).then((told) => console.log(JSON.stringify(told)));
