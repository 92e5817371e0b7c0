"""LangChain without an instrumentation of its own: an application's span around each run."""

from typing import Any

from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from opentelemetry import trace

tracer = trace.get_tracer("weather-app")


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    with tracer.start_as_current_span("weather station"):
        return f"sunny in {city}"


def _model(base_url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini", base_url=base_url, api_key="none", max_retries=0, stream_usage=True
    )


async def run_agent(base_url: str, city: str) -> str:
    agent = create_agent(_model(base_url), [weather])
    question: Any = {"messages": [("user", f"How is the weather in {city}?")]}
    words = []
    with tracer.start_as_current_span("agent"):
        async for message, _ in agent.astream(question, stream_mode="messages"):
            words.append(str(message.content))
    return "".join(words)


def run_batch(base_url: str, city: str) -> str:
    prompt = ChatPromptTemplate.from_messages([("user", "How is the weather in {city}?")])
    asked = prompt | _model(base_url) | StrOutputParser()
    with tracer.start_as_current_span("batch"):
        return " ".join(asked.batch([{"city": city}, {"city": city}]))
