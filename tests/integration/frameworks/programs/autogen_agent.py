"""AutoGen's agents: one alone, one that streams, and a team in which one hands over to another."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient

MODEL = "gpt-4o-mini-2024-07-18"


async def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _agent(base_url: str, name: str, *, stream: bool = False) -> AssistantAgent:
    client = OpenAIChatCompletionClient(model=MODEL, base_url=base_url, api_key="none")
    return AssistantAgent(
        name,
        client,
        tools=[weather],
        max_tool_iterations=5,
        model_client_stream=stream,
    )


async def run_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "forecaster")
    return str((await agent.run(task=f"How is the weather in {city}?")).messages[-1].to_text())


async def run_streamed_agent(base_url: str, city: str) -> str:
    agent = _agent(base_url, "streamer", stream=True)
    said = [item async for item in agent.run_stream(task=f"How is the weather in {city}?")]
    return str(said[-1].messages[-1].to_text())


async def run_team(base_url: str, city: str) -> str:
    team = RoundRobinGroupChat(
        [_agent(base_url, "forecaster"), _agent(base_url, "editor")],
        termination_condition=MaxMessageTermination(3),
        name="desk",
    )
    return str((await team.run(task=f"How is the weather in {city}?")).messages[-1].to_text())
