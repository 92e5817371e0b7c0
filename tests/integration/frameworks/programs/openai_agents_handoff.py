"""openai-agents: an agent that hands over to another, and one that is streamed."""

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


async def run_handoff(base_url: str, city: str) -> str:
    client = AsyncOpenAI(base_url=base_url, max_retries=0)
    model = OpenAIResponsesModel("gpt-4o-mini", client)
    expert = Agent("Expert", instructions="Tell the weather.", model=model, tools=[weather])
    reception = Agent("Reception", instructions="Hand over.", model=model, handoffs=[expert])
    result = await Runner.run(reception, f"How is the weather in {city}?")
    return str(result.final_output)


async def run_streamed_agent(base_url: str, city: str) -> str:
    client = AsyncOpenAI(base_url=base_url, max_retries=0)
    model = OpenAIChatCompletionsModel("gpt-4o-mini", client)
    settings = ModelSettings(include_usage=True)
    agent = Agent(
        "Weather",
        instructions="Tell the weather.",
        model=model,
        model_settings=settings,
        tools=[weather],
    )
    running = Runner.run_streamed(agent, f"How is the weather in {city}?")
    async for _ in running.stream_events():
        pass
    return str(running.final_output)
