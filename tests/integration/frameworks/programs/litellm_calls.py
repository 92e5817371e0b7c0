"""LiteLLM as a library: calls in a loop with tools, synchronous and not, streamed and not."""

import json
from typing import Any

import litellm
from opentelemetry import trace

tracer = trace.get_tracer("weather")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def weather(city: str) -> str:
    return f"sunny in {city}"


def _asked(base_url: str, messages: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "model": "openai/gpt-4o-mini-2024-07-18",
        "messages": messages,
        "tools": TOOLS,
        "api_base": base_url,
        "api_key": "none",
        "max_retries": 0,
        **more,
    }


def _use_tools(messages: list[Any], message: Any) -> bool:
    """Append what the tools gave; return whether there were any."""
    messages.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or ():
        told = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
    return bool(message.tool_calls)


def _question(city: str) -> list[Any]:
    return [{"role": "user", "content": f"How is the weather in {city}?"}]


@tracer.start_as_current_span("agent")
def run_calls(base_url: str, city: str) -> str:
    messages = _question(city)
    while _use_tools(messages, litellm.completion(**_asked(base_url, messages)).choices[0].message):
        pass
    return messages[-1]["content"]


@tracer.start_as_current_span("async agent")
async def run_async_calls(base_url: str, city: str) -> str:
    messages = _question(city)
    while True:
        answer = await litellm.acompletion(**_asked(base_url, messages))
        if not _use_tools(messages, answer.choices[0].message):
            return messages[-1]["content"]


@tracer.start_as_current_span("streamed agent")
def run_streamed_calls(base_url: str, city: str) -> str:
    messages = _question(city)
    while True:
        stream = litellm.completion(**_asked(base_url, messages, **STREAM))
        answer = litellm.stream_chunk_builder(list(stream))
        if not _use_tools(messages, answer.choices[0].message):
            return messages[-1]["content"]


@tracer.start_as_current_span("async streamed agent")
async def run_async_streamed_calls(base_url: str, city: str) -> str:
    messages = _question(city)
    while True:
        stream = await litellm.acompletion(**_asked(base_url, messages, **STREAM))
        answer = litellm.stream_chunk_builder([chunk async for chunk in stream])
        if not _use_tools(messages, answer.choices[0].message):
            return messages[-1]["content"]
