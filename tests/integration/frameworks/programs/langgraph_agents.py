"""LangGraph: several agents that hand over to each other, and graphs inside of graphs."""

from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


@tool
def transfer_to_expert(city: str) -> Command[Any]:
    """Hand over to the expert on the weather."""
    return Command(goto="expert", graph=Command.PARENT)


def _model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini", base_url=base_url, api_key="none", max_retries=0, stream_usage=True
    )


def _question(city: str) -> dict[str, Any]:
    return {"messages": [("user", f"How is the weather in {city}?")]}


def _text(result: dict[str, Any]) -> str:
    return str(result["messages"][-1].content)


async def run_handoff(base_url: str, city: str) -> str:
    model = _model(base_url)
    graph = StateGraph(MessagesState)
    reception = create_agent(model, [transfer_to_expert], name="reception")
    graph.add_node("reception", reception, destinations=("expert",))
    graph.add_node("expert", create_agent(model, [weather], name="expert"))
    graph.add_edge(START, "reception")
    compiled = graph.compile(name="swarm")
    words = []
    async for _, (message, _) in compiled.astream(
        _question(city), stream_mode="messages", subgraphs=True
    ):
        words.append(str(message.content))
    return "".join(words)


def run_supervisor(base_url: str, city: str) -> str:
    model = _model(base_url)
    expert = create_agent(model, [weather], name="expert")

    @tool
    def ask_expert(city: str) -> str:
        """Ask the expert on the weather."""
        return _text(expert.invoke(_question(city)))

    supervisor = create_agent(model, [ask_expert], name="supervisor")
    return _text(supervisor.invoke(_question(city)))


class State(TypedDict):
    city: str
    answer: str


async def run_subgraphs(base_url: str, city: str) -> str:
    model = _model(base_url)

    async def ask(state: State) -> dict[str, Any]:
        answer = await model.ainvoke(f"How is the weather in {state['city']}?")
        return {"answer": answer.content}

    inner = StateGraph(State)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    ready = inner.compile(name="inner")

    async def call(state: State) -> dict[str, Any]:
        return {"answer": (await ready.ainvoke(state))["answer"]}

    outer = StateGraph(State)
    outer.add_node("first", ready)
    outer.add_node("second", call)
    outer.add_edge(START, "first")
    outer.add_edge("first", "second")
    outer.add_edge("second", END)
    result = await outer.compile(name="outer").ainvoke({"city": city, "answer": ""})
    return str(result["answer"])
