"""LangGraph: its ready-made agent, and graphs of one's own."""

import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


def _model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=base_url, api_key="none", max_retries=0)


def _question(city: str) -> dict[str, Any]:
    return {"messages": [("user", f"How is the weather in {city}?")]}


def run_agent(base_url: str, city: str) -> str:
    agent = create_agent(_model(base_url), [weather])
    return agent.invoke(_question(city))["messages"][-1].content


async def run_async_streamed_agent(base_url: str, city: str) -> str:
    agent = create_agent(_model(base_url), [weather])
    words = []
    async for message, _ in agent.astream(_question(city), stream_mode="messages"):
        words.append(str(message.content))
    return "".join(words)


class State(TypedDict):
    messages: Annotated[list[Any], add_messages]
    parts: Annotated[list[str], operator.add]


async def run_parallel_branches(base_url: str, city: str) -> str:
    model = _model(base_url)

    def ask(name: str) -> Callable[[State], dict[str, Any]]:
        def node(state: State) -> dict[str, Any]:
            answer = model.invoke(f"{name}: how is the weather in {city}?")
            return {"parts": [answer.content]}

        return node

    async def summarize(state: State) -> dict[str, Any]:
        answer = await model.ainvoke(f"Sum up for {city}: {state['parts']}")
        return {"messages": [answer]}

    graph = StateGraph(State)
    graph.add_node("morning", ask("morning"))
    graph.add_node("evening", ask("evening"))
    graph.add_node("summarize", summarize)
    for part in ("morning", "evening"):
        graph.add_edge(START, part)
        graph.add_edge(part, "summarize")
    graph.add_edge("summarize", END)
    compiled = graph.compile(name="forecast")
    result = await compiled.ainvoke({"messages": [], "parts": []})
    return result["messages"][-1].content
