"""AG2: an agent with its own tracing on, one that streams, and one that asks another."""

from ag2 import Agent, tool
from ag2.config import OpenAIConfig
from ag2.middleware.builtin.telemetry import TelemetryMiddleware

MODEL = "gpt-4o-mini-2024-07-18"


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _agent(base_url: str, name: str, *tools: object, stream: bool = False) -> Agent:
    return Agent(
        name,
        config=OpenAIConfig(model=MODEL, base_url=base_url, api_key="none", streaming=stream),
        tools=tools,
        middleware=[TelemetryMiddleware(agent_name=name)],
    )


async def run_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "forecaster", weather)
    return str((await agent.ask(f"How is the weather in {city}?")).body)


async def run_streamed_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "streamer", weather, stream=True)
    return str((await agent.ask(f"How is the weather in {city}?")).body)


async def run_agent_as_tool(base_url: str, city: str) -> str:
    expert = _agent(base_url, "expert", weather)
    host = _agent(base_url, "host", expert.as_tool(description="Knows the weather."))
    return str((await host.ask(f"How is the weather in {city}?")).body)
