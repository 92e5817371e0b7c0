"""LangChain: what an application does inside of nodes and tools, its own spans, and retrieval."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import START, StateGraph
from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace

tracer = trace.get_tracer("weather-app")


def _model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini", base_url=base_url, api_key="none", max_retries=0, stream_usage=True
    )


def _question(city: str) -> dict[str, Any]:
    return {"messages": [("user", f"How is the weather in {city}?")]}


def _ask(client: OpenAI, city: str) -> str:
    done = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"Look at {city}"}],
    )
    return str(done.choices[0].message.content)


def run_tool_that_asks_a_model(base_url: str, city: str) -> str:
    client = OpenAI(base_url=base_url, max_retries=0)

    @tool
    def look(city: str) -> str:
        """Look at the weather of a city."""
        return _ask(client, city)

    agent = create_agent(_model(base_url), [look], name="looking")
    return str(agent.invoke(_question(city))["messages"][-1].content)


async def run_async_tool_with_a_span(base_url: str, city: str) -> str:
    client = AsyncOpenAI(base_url=base_url, max_retries=0)

    @tool
    async def look(city: str) -> str:
        """Look at the weather of a city."""
        with tracer.start_as_current_span("through the window"):
            async with client.chat.completions.stream(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"Look at {city}"}],
                stream_options={"include_usage": True},
            ) as stream:
                done = await stream.get_final_completion()
                return str(done.choices[0].message.content)

    agent = create_agent(_model(base_url), [look], name="looking")
    return str((await agent.ainvoke(_question(city)))["messages"][-1].content)


def run_tool_in_threads(base_url: str, city: str) -> str:
    client = OpenAI(base_url=base_url, max_retries=0)

    @tool
    def look_twice(city: str) -> str:
        """Look at the weather of a city, with both eyes."""
        with ContextThreadPoolExecutor() as executor:
            answers = list(executor.map(_ask, [client, client], [city, city]))
        return answers[0]

    agent = create_agent(_model(base_url), [look_twice], name="two eyes")
    return str(agent.invoke(_question(city))["messages"][-1].content)


def run_plain_threads(base_url: str, city: str) -> str:
    client = OpenAI(base_url=base_url, max_retries=0)

    @tool
    def look_away(city: str) -> str:
        """Look at the weather of a city, in a thread of the standard library."""
        with ThreadPoolExecutor() as executor:
            return executor.submit(_ask, client, city).result()

    agent = create_agent(_model(base_url), [look_away], name="elsewhere")
    with tracer.start_as_current_span("request"):
        return str(agent.invoke(_question(city))["messages"][-1].content)


class State(TypedDict):
    city: str
    answer: str


async def run_span_in_a_node(base_url: str, city: str) -> str:
    prompt = ChatPromptTemplate.from_messages([("user", "How is the weather in {city}?")])
    asked = (prompt | _model(base_url) | StrOutputParser()).with_config(run_name="asking")

    async def report(state: State) -> dict[str, Any]:
        with tracer.start_as_current_span("collect"):
            with tracer.start_as_current_span("sources"):
                first = await asked.ainvoke({"city": state["city"]})
            answers = await asyncio.gather(
                asked.ainvoke({"city": state["city"]}),
                asyncio.to_thread(asked.invoke, {"city": state["city"]}),
            )
        return {"answer": " ".join([first, *answers])}

    graph = StateGraph(State)
    graph.add_node("report", report)
    graph.add_edge(START, "report")
    with tracer.start_as_current_span("request"):
        result = await graph.compile(name="reporter").ainvoke({"city": city, "answer": ""})
    return str(result["answer"])


def run_model_in_a_span(base_url: str, city: str) -> str:
    with tracer.start_as_current_span("direct"):
        return str(_model(base_url).invoke(f"How is the weather in {city}?").content)


def run_retrieval(base_url: str, city: str) -> str:
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=base_url,
        api_key="none",
        check_embedding_ctx_length=False,
        max_retries=0,
    )
    store = InMemoryVectorStore.from_texts([f"It is always sunny in {city}."], embeddings)
    prompt = ChatPromptTemplate.from_template("By {context}, answer: {question}")

    def together(documents: Sequence[Any]) -> str:
        return " ".join(document.page_content for document in documents)

    answering = (
        {"context": store.as_retriever(k=1) | together, "question": RunnablePassthrough()}
        | prompt
        | _model(base_url)
        | StrOutputParser()
    ).with_config(run_name="answering")
    return str(answering.invoke(f"How is the weather in {city}?"))
