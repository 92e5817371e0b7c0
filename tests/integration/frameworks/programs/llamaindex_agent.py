"""LlamaIndex: its agent, agents that hand over, and answers out of an index."""

from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _model(base_url: str) -> OpenAI:
    return OpenAI(model="gpt-4o-mini", api_base=base_url, api_key="none", max_retries=0)


def _agent(base_url: str, *, streaming: bool, **more: Any) -> FunctionAgent:
    tool = FunctionTool.from_defaults(weather)
    return FunctionAgent(tools=[tool], llm=_model(base_url), streaming=streaming, **more)


async def run_agent(base_url: str, city: str) -> str:
    return str(await _agent(base_url, streaming=False).run(f"How is the weather in {city}?"))


async def run_streamed_agent(base_url: str, city: str) -> str:
    handler = _agent(base_url, streaming=True).run(f"How is the weather in {city}?")
    words = [
        event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)
    ]
    await handler
    return "".join(words)


async def run_handover(base_url: str, city: str) -> str:
    greeter = FunctionAgent(
        name="greeter",
        description="Greets.",
        llm=_model(base_url),
        streaming=False,
        can_handoff_to=["forecaster"],
    )
    forecaster = _agent(
        base_url, streaming=False, name="forecaster", description="Knows the weather."
    )
    team = AgentWorkflow(agents=[greeter, forecaster], root_agent="greeter")
    return str(await team.run(f"How is the weather in {city}?"))


def _index(base_url: str, city: str) -> VectorStoreIndex:
    embedding = OpenAIEmbedding(
        model="text-embedding-3-small", api_base=base_url, api_key="none", max_retries=0
    )
    node = TextNode(id_=f"weather-{city}", text=f"sunny in {city}")
    return VectorStoreIndex([node], embed_model=embedding)


def run_questions_to_an_index(base_url: str, city: str) -> str:
    engine = _index(base_url, city).as_query_engine(llm=_model(base_url))
    return str(engine.query(f"How is the weather in {city}?"))


async def run_streamed_questions_to_an_index(base_url: str, city: str) -> str:
    engine = _index(base_url, city).as_query_engine(llm=_model(base_url), streaming=True)
    answer = await engine.aquery(f"How is the weather in {city}?")
    words = [word async for word in answer.async_response_gen()]
    return "".join(words)
