"""LangGraph: a run that is interrupted, and resumed as another run of the same thread."""

from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict


def _model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini", base_url=base_url, api_key="none", max_retries=0, stream_usage=True
    )


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {interrupt({'may I look at': city})}"


async def run_interrupted_agent(base_url: str, city: str) -> str:
    agent = create_agent(_model(base_url), [weather], checkpointer=InMemorySaver(), name="careful")
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    asked: Any = {"messages": [("user", f"How is the weather in {city}?")]}
    while True:
        words = []
        async for message, _ in agent.astream(asked, config, stream_mode="messages"):
            words.append(str(message.content))
        if not (await agent.aget_state(config)).next:
            return "".join(words)
        asked = Command(resume=city)


class State(TypedDict):
    city: str
    answer: str


def run_interrupted_graph(base_url: str, city: str) -> str:
    model = _model(base_url)

    def draft(state: State) -> dict[str, Any]:
        return {"answer": model.invoke(f"Draft for {state['city']}").content}

    def publish(state: State) -> dict[str, Any]:
        approved = interrupt(state["answer"])
        return {"answer": model.invoke(f"Publish for {approved}").content}

    graph = StateGraph(State)
    graph.add_node("draft", draft)
    graph.add_node("publish", publish)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "publish")
    compiled = graph.compile(checkpointer=InMemorySaver(), name="article")
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    compiled.invoke({"city": city, "answer": ""}, config)
    return str(compiled.invoke(Command(resume=city), config)["answer"])
