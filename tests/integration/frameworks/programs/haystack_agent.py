"""Haystack: its agent in a pipeline, and a pipeline that answers out of documents."""

from typing import Any

from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
from haystack.dataclasses import ChatMessage, StreamingChunk
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool
from haystack.utils import Secret

KEY = Secret.from_token("none")


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


WEATHER = Tool(
    name="weather",
    description="Tell the weather of a city.",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    function=weather,
)


def _model(base_url: str, **more: Any) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(KEY, "gpt-4o-mini", api_base_url=base_url, max_retries=0, **more)


def _question(city: str) -> list[ChatMessage]:
    return [ChatMessage.from_user(f"How is the weather in {city}?")]


def _agent(base_url: str) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("agent", Agent(chat_generator=_model(base_url), tools=[WEATHER]))
    return pipeline


def run_agent(base_url: str, city: str) -> str:
    ran = _agent(base_url).run({"agent": {"messages": _question(city)}})
    return ran["agent"]["last_message"].text


async def run_async_streamed_agent(base_url: str, city: str) -> str:
    words = []

    async def take(chunk: StreamingChunk) -> None:
        words.append(chunk.content)

    asked = {"messages": _question(city), "streaming_callback": take}
    await _agent(base_url).run_async({"agent": asked})
    return "".join(words)


def run_pipeline(base_url: str, city: str) -> str:
    store = InMemoryDocumentStore()
    store.write_documents(
        [Document(id=f"weather-{city}", content=f"sunny in {city}", embedding=[0.1, 0.2, 0.3])]
    )
    template = [
        ChatMessage.from_user(
            "{% for document in documents %}{{ document.content }}{% endfor %} {{ question }}"
        )
    ]
    pipeline = Pipeline()
    pipeline.add_component(
        "embedder",
        OpenAITextEmbedder(KEY, "text-embedding-3-small", api_base_url=base_url, max_retries=0),
    )
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store))
    pipeline.add_component(
        "prompt", ChatPromptBuilder(template, required_variables=["documents", "question"])
    )
    pipeline.add_component("model", _model(base_url))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever", "prompt.documents")
    pipeline.connect("prompt.prompt", "model.messages")
    question = f"How is the weather in {city}?"
    ran = pipeline.run({"embedder": {"text": question}, "prompt": {"question": question}})
    return ran["model"]["replies"][0].text
