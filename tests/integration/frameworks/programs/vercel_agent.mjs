// Vercel's AI SDK: an agent with a tool, asked whole and streamed; `vercel_agent.mjs BASE_URL NAME`,
// with the name of the telemetry that is registered.
import { createOpenAI } from "@ai-sdk/openai";
import * as telemetry from "@ai-sdk/otel";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { generateText, registerTelemetry, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, name] = process.argv.slice(2);
const sdk = new NodeSDK();
sdk.start();
registerTelemetry(new telemetry[name]());
const openai = createOpenAI({ baseURL, apiKey: "none" });
const weather = tool({
  description: "Tell the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `sunny in ${city}`,
});
const said = await Promise.all(
  ["Paris", "Rome"].map(async (city) => {
    const asked = {
      model: openai.chat("gpt-4o-mini"),
      tools: { weather },
      stopWhen: stepCountIs(5),
      prompt: `How is the weather in ${city}?`,
      telemetry: { isEnabled: true, functionId: "weather" },
    };
    const { text } = await generateText(asked);
    let streamed = "";
    for await (const piece of streamText(asked).textStream) streamed += piece;
    return [text, streamed];
  }),
);
console.log(JSON.stringify(said));
await sdk.shutdown();
