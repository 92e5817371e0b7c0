"""smolagents: an agent that calls tools, one that streams, and one that manages another."""

from smolagents import OpenAIServerModel, ToolCallingAgent, tool

MODEL = "gpt-4o-mini-2024-07-18"


@tool
def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: the city.
    """
    return f"sunny in {city}"


def _model(base_url: str) -> OpenAIServerModel:
    return OpenAIServerModel(model_id=MODEL, api_base=base_url, api_key="none")


def _agent(base_url: str, *, stream: bool = False) -> ToolCallingAgent:
    return ToolCallingAgent(
        tools=[weather],
        model=_model(base_url),
        name="forecaster",
        description="Knows the weather.",
        stream_outputs=stream,
        max_steps=5,
        verbosity_level=0,
    )


def run_agent(base_url: str, city: str) -> str:
    return str(_agent(base_url).run(f"How is the weather in {city}?"))


def run_streamed_agent(base_url: str, city: str) -> str:
    steps = list(_agent(base_url, stream=True).run(f"The weather in {city}?", stream=True))
    return str(steps[-1].output)


def run_managed_agent(base_url: str, city: str) -> str:
    manager = ToolCallingAgent(
        tools=[],
        model=_model(base_url),
        name="manager",
        managed_agents=[_agent(base_url)],
        max_steps=5,
        verbosity_level=0,
    )
    return str(manager.run(f"How is the weather in {city}?"))
