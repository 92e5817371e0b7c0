"""Anthropic's client: a loop over tools, streamed and not, in an application's span."""

from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from opentelemetry import trace

tracer = trace.get_tracer("weather-app")
TOOLS: Any = [
    {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]


def _weather(city: str) -> str:
    with tracer.start_as_current_span("weather station"):
        return f"sunny in {city}"


def _results(content: Any) -> list[dict[str, Any]]:
    return [
        {"type": "tool_result", "tool_use_id": block.id, "content": _weather(**block.input)}
        for block in content
        if block.type == "tool_use"
    ]


def _asked(city: str) -> list[Any]:
    return [{"role": "user", "content": f"How is the weather in {city}?"}]


def run_tools(base_url: str, city: str) -> str:
    client = Anthropic(base_url=base_url.removesuffix("/v1"), max_retries=0)
    messages = _asked(city)
    with tracer.start_as_current_span("weather report"):
        while True:
            message = client.messages.create(
                model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=TOOLS
            )
            content: Any = message.content
            results = _results(content)
            if not results:
                return str(content[0].text)
            messages += [
                {"role": "assistant", "content": content},
                {"role": "user", "content": results},
            ]


async def run_streamed_tools(base_url: str, city: str) -> str:
    client = AsyncAnthropic(base_url=base_url.removesuffix("/v1"), max_retries=0)
    messages = _asked(city)
    with tracer.start_as_current_span("streamed report"):
        while True:
            async with client.messages.stream(
                model="claude-haiku-4-5", max_tokens=100, messages=messages, tools=TOOLS
            ) as stream:
                message = await stream.get_final_message()
            content: Any = message.content
            results = _results(content)
            if not results:
                return str(content[0].text)
            messages += [
                {"role": "assistant", "content": content},
                {"role": "user", "content": results},
            ]
