"""A small traced FastAPI service whose LLM calls become Helicone sessions.

Two endpoints: ``POST /summaries`` answers in one piece, ``POST /chat`` as a stream. Every request
to the service is one session, named after its route; the steps inside are its tree.

    export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=none
    uvicorn examples.fastapi_chat.app:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel

from otel_helicone import HeliconeSpanProcessor

MODEL = "gpt-4o-mini"


class Text(BaseModel):
    """What the caller sends."""

    text: str
    user: str = "anonymous"


def make_app(base_url: str, api_key: str, helicone_api_key: str | None = None) -> FastAPI:
    """Make the service.

    Args:
        base_url: a Helicone gateway, such as ``https://oai.helicone.ai/v1`` or the local one.
        api_key: the key of the LLM provider.
        helicone_api_key: Helicone's key; the local Helicone needs none.
    """
    provider = TracerProvider()
    processor = HeliconeSpanProcessor(gateway_hosts=[urlsplit(base_url).netloc])
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("fastapi-chat")

    headers = {"Helicone-Auth": f"Bearer {helicone_api_key}"} if helicone_api_key else {}
    client = AsyncOpenAI(base_url=base_url, api_key=api_key, default_headers=headers)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with client:
            yield
        provider.shutdown()

    app = FastAPI(lifespan=lifespan)

    @app.post("/summaries")
    async def summarise(text: Text) -> dict[str, str]:
        trace.get_current_span().set_attribute("user.id", text.user)
        with tracer.start_as_current_span("summarise"):
            draft = await _ask(client, f"Summarise: {text.text}")
        with tracer.start_as_current_span("polish"):
            return {"summary": await _ask(client, f"Polish: {draft}")}

    @app.post("/chat")
    async def chat(text: Text) -> StreamingResponse:
        trace.get_current_span().set_attribute("user.id", text.user)

        async def answer() -> AsyncIterator[str]:
            with tracer.start_as_current_span("answer"):
                stream = await client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": text.text}],
                    stream=True,
                    stream_options={"include_usage": True},
                )
                async for chunk in stream:
                    if chunk.choices:
                        yield chunk.choices[0].delta.content or ""

        return StreamingResponse(answer(), media_type="text/plain")

    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


async def _ask(client: AsyncOpenAI, question: str) -> str:
    answer = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": question}]
    )
    return answer.choices[0].message.content or ""


def __getattr__(name: str) -> FastAPI:
    """Make ``app`` when uvicorn asks for it, from the environment."""
    if name != "app":
        raise AttributeError(name)
    return make_app(
        os.environ["OPENAI_BASE_URL"],
        os.environ["OPENAI_API_KEY"],
        os.environ.get("HELICONE_API_KEY"),
    )
