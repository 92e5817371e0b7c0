"""Semantic Kernel: an agent with a plugin, and one that streams."""

from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function


class Weather:
    @kernel_function(name="weather", description="Tell the weather of a city.")
    def weather(self, city: str) -> str:
        return f"sunny in {city}"


def _agent(base_url: str, name: str) -> ChatCompletionAgent:
    client = AsyncOpenAI(base_url=base_url, api_key="none")
    service = OpenAIChatCompletion(ai_model_id="gpt-4o-mini", async_client=client)
    return ChatCompletionAgent(service=service, name=name, plugins=[Weather()])


async def run_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "forecaster")
    return str((await agent.get_response(messages=f"How is the weather in {city}?")).content)


async def run_streamed_agent(base_url: str, city: str) -> str:
    words = []
    async for part in _agent(base_url, "streamer").invoke_stream(messages=f"And in {city}?"):
        words.append(str(part.content))
    return "".join(words)
