"""Semantic Kernel: an agent with a plugin, one that streams, and two in a sequence."""

from openai import AsyncOpenAI
from opentelemetry import trace
from semantic_kernel.agents import ChatCompletionAgent, SequentialOrchestration
from semantic_kernel.agents.runtime import InProcessRuntime
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

MODEL = "gpt-4o-mini-2024-07-18"


class Weather:
    @kernel_function(name="weather", description="Tell the weather of a city.")
    def weather(self, city: str) -> str:
        return f"sunny in {city}"


def _agent(base_url: str, name: str) -> ChatCompletionAgent:
    client = AsyncOpenAI(base_url=base_url, api_key="none")
    service = OpenAIChatCompletion(ai_model_id=MODEL, async_client=client)
    return ChatCompletionAgent(service=service, name=name, plugins=[Weather()])


async def run_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "forecaster")
    return str((await agent.get_response(messages=f"How is the weather in {city}?")).content)


async def run_streamed_agent(base_url: str, city: str) -> str:
    parts = _agent(base_url, "streamer").invoke_stream(messages=f"And in {city}?")
    return "".join([str(part.content) async for part in parts])


async def run_orchestration(base_url: str, city: str) -> str:
    agents = [_agent(base_url, "forecaster"), _agent(base_url, "editor")]
    runtime = InProcessRuntime()
    # Without a span of the application's around it, each message is a trace of its own.
    with trace.get_tracer("desk").start_as_current_span("forecast"):
        runtime.start()
        asked = await SequentialOrchestration(members=agents).invoke(
            task=f"How is the weather in {city}?", runtime=runtime
        )
        answer = await asked.get()
    await runtime.stop_when_idle()
    return str(answer)
