"""Google ADK: an agent over LiteLLM, a second one that it hands over to, and a workflow of two."""

from google.adk.agents import LlmAgent, ParallelAgent, RunConfig
from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.run_config import StreamingMode
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai.types import Content, Part

MODEL = "gpt-4o-mini-2024-07-18"


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _agent(base_url: str, name: str) -> LlmAgent:
    return LlmAgent(
        name=name,
        description="Knows the weather.",
        model=LiteLlm(model=f"openai/{MODEL}", api_base=base_url, api_key="none"),
        instruction="Tell the weather.",
        tools=[weather],
    )


async def _ask(agent: BaseAgent, city: str, streaming: StreamingMode) -> str:
    runner = InMemoryRunner(agent=agent, app_name="forecasts")
    session = await runner.session_service.create_session(app_name="forecasts", user_id="u1")
    question = Content(role="user", parts=[Part(text=f"How is the weather in {city}?")])
    words = []
    async for event in runner.run_async(
        user_id="u1",
        session_id=session.id,
        new_message=question,
        run_config=RunConfig(streaming_mode=streaming),
    ):
        words += [part.text or "" for part in (event.content and event.content.parts) or ()]
    return "".join(words)


async def run_agent(base_url: str, city: str) -> str:
    return await _ask(_agent(base_url, "forecaster"), city, StreamingMode.NONE)


async def run_streamed_agent(base_url: str, city: str) -> str:
    return await _ask(_agent(base_url, "streamer"), city, StreamingMode.SSE)


async def run_handoff(base_url: str, city: str) -> str:
    host = LlmAgent(
        name="host",
        model=LiteLlm(model=f"openai/{MODEL}", api_base=base_url, api_key="none"),
        sub_agents=[_agent(base_url, "expert")],
    )
    return await _ask(host, city, StreamingMode.NONE)


async def run_parallel_agents(base_url: str, city: str) -> str:
    both = ParallelAgent(
        name="both",
        sub_agents=[_agent(base_url, "morning"), _agent(base_url, "evening")],
    )
    return await _ask(both, city, StreamingMode.NONE)
