"""Agno: an agent, an asynchronous one that streams, and a team of two."""

from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.team import Team

MODEL = "gpt-4o-mini-2024-07-18"


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _model(base_url: str) -> OpenAIChat:
    return OpenAIChat(id=MODEL, base_url=base_url, api_key="none")


def _agent(base_url: str, name: str) -> Agent:
    return Agent(name=name, model=_model(base_url), tools=[weather], telemetry=False)


def run_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "forecaster")
    return str(agent.run(f"How is the weather in {city}?").content)


async def run_async_streamed_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "streamer")
    events = agent.arun(f"How is the weather in {city}?", stream=True)
    return "".join([str(getattr(event, "content", "") or "") async for event in events])


def run_team(base_url: str, city: str) -> str:
    team = Team(
        name="weather team",
        members=[_agent(base_url, "forecaster")],
        model=_model(base_url),
        telemetry=False,
    )
    return str(team.run(f"How is the weather in {city}?").content)
