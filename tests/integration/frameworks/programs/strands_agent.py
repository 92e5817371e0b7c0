"""Strands Agents: an agent, an asynchronous one that streams, and a graph of two."""

from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.multiagent import GraphBuilder

MODEL = "gpt-4o-mini-2024-07-18"


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _agent(base_url: str, name: str) -> Agent:
    model = OpenAIModel(client_args={"base_url": base_url, "api_key": "none"}, model_id=MODEL)
    return Agent(name=name, model=model, tools=[weather], callback_handler=None)


def run_agent(base_url: str, city: str) -> str:
    return str(_agent(base_url, "forecaster")(f"How is the weather in {city}?"))


async def run_async_streamed_agent(base_url: str, city: str) -> str:
    events = _agent(base_url, "streamer").stream_async(f"The weather in {city}?")
    return "".join([event.get("data", "") async for event in events])


def run_graph(base_url: str, city: str) -> str:
    builder = GraphBuilder()
    builder.add_node(_agent(base_url, "forecaster"), "look up")
    builder.add_node(_agent(base_url, "editor"), "write")
    builder.add_edge("look up", "write")
    builder.set_entry_point("look up")
    return str(builder.build()(f"How is the weather in {city}?").results["write"].result)
