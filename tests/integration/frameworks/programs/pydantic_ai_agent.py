"""Pydantic AI: an agent, and one that asks another; its own instrumentation is switched on."""

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

Agent.instrument_all()


class Forecast(BaseModel):
    """A forecast."""

    city: str


def _model(base_url: str) -> OpenAIChatModel:
    return OpenAIChatModel(
        "gpt-4o-mini", provider=OpenAIProvider(base_url=base_url, api_key="none")
    )


def _weather_agent(base_url: str) -> Agent[None, str]:
    agent = Agent(_model(base_url), name="weather")

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"sunny in {city}"

    return agent


def run_agent(base_url: str, city: str) -> str:
    return _weather_agent(base_url).run_sync(f"How is the weather in {city}?").output


async def run_streamed_agent(base_url: str, city: str) -> str:
    agent = _weather_agent(base_url)
    async with agent.run_stream(f"How is the weather in {city}?") as result:
        return "".join([piece async for piece in result.stream_text(delta=True)])


async def run_delegation(base_url: str, city: str) -> str:
    expert = _weather_agent(base_url)
    editor = Agent(_model(base_url), name="editor")

    @editor.tool_plain
    async def ask_expert(city: str) -> str:
        """Ask the expert on the weather."""
        return (await expert.run(f"How is the weather in {city}?")).output

    return (await editor.run(f"How is the weather in {city}?")).output


async def run_structured(base_url: str, city: str) -> str:
    agent = Agent(_model(base_url), name="forecaster", output_type=Forecast)
    told = await agent.run(f"How is the weather in {city}?")
    return f"sunny in {told.output.city}"
