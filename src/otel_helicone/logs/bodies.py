"""Request and response bodies as Helicone's pages and its cost calculation read them.

LLM calls and embeddings have the shape of OpenAI's API, the other kinds have Helicone's own, with
a ``_type``. Recorded from Helicone: the worker finds the model and the ``_type`` in the response,
so both bodies hold them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Description, Json, Kind, Message, Part, Usage
from otel_helicone.logs.finish_reasons import finish_reason_of_openai
from otel_helicone.logs.routes import ANTHROPIC_PATH, bare_model

__all__ = ["Bodies", "bodies_of"]

Bodies = tuple[dict[str, Json], dict[str, Json]]
"""The request's and the response's."""

_ROLES_OF_OPENAI: Final = frozenset({"assistant", "developer", "system", "tool", "user"})


def bodies_of(
    description: Description, *, path: str, created: int, content: bool, name: str
) -> Bodies:
    """Make the two bodies of a log.

    Args:
        description: what happened.
        path: the path of the log API that it goes to.
        created: when it began, in seconds since 1970.
        content: whether messages, arguments and results may be told.
        name: what a step without a name of its own is called.
    """
    kind = description.kind
    if kind is Kind.LLM:
        return _chat_request(description, content), _chat_response(
            description, path, created, content
        )
    if kind is Kind.EMBEDDING:
        return _embedding_request(description, content), _embedding_response(
            description, path, content
        )
    if kind is Kind.TOOL:
        return _tool(description, content, name)
    if kind is Kind.RETRIEVAL:
        return _retrieval(description, content)
    return _step(description, content, name)


def _model(description: Description, *, answered: bool) -> str:
    told = (
        description.response_model or description.request_model
        if answered
        else description.request_model or description.response_model
    )
    return bare_model(told) if told else "unknown"


def _chat_request(description: Description, content: bool) -> dict[str, Json]:
    body: dict[str, Json] = {"model": _model(description, answered=False)}
    if content:
        body["messages"] = [_message(message) for message in description.input or ()]
        if description.tools_offered:
            body["tools"] = [_tool_definition(tool) for tool in description.tools_offered]
    body.update(_parameters(description, content))
    if description.streaming:
        body["stream"] = True
    return body


def _parameters(description: Description, content: bool) -> Mapping[str, Json]:
    if content:
        return description.parameters
    # Numbers and switches; texts and schemas may quote the application's data.
    return {
        name: value
        for name, value in description.parameters.items()
        if isinstance(value, (int, float))
    }


def _chat_response(
    description: Description, path: str, created: int, content: bool
) -> dict[str, Json]:
    body: dict[str, Json] = {
        "id": description.response_id or "",
        "object": "chat.completion",
        "created": created,
        "model": _model(description, answered=True),
    }
    if description.failure is not None:
        body["error"] = _error(description, content)
    if description.failure is None or description.output is not None:
        body["choices"] = _choices(description, content)
    if description.usage is not None:
        body["usage"] = _usage(description.usage, path)
    return body


def _choices(description: Description, content: bool) -> list[dict[str, Json]]:
    reasons = description.finish_reasons or ()
    messages = [_message(message) for message in (description.output or ()) if content]
    choices: list[dict[str, Json]] = []
    for index in range(max(len(messages), len(reasons), 1)):
        message: dict[str, Json] = {"role": "assistant"}
        if index < len(messages):
            message = messages[index]
        message.setdefault("content", None)
        choice: dict[str, Json] = {"index": index, "message": message}
        told = description.output or ()
        reason = reasons[index] if index < len(reasons) else None
        if reason is None and index < len(told):
            reason = told[index].finish_reason
        choice["finish_reason"] = finish_reason_of_openai(reason)
        choices.append(choice)
    return choices


def _usage(usage: Usage, path: str) -> dict[str, Json]:
    tokens_in, tokens_out = usage.input_tokens or 0, usage.output_tokens or 0
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    if path == ANTHROPIC_PATH:
        # Anthropic counts what came from its cache apart. An older instrumentation gives its count
        # as it is: fewer tokens in than from the cache.
        apart = cached + written
        body: dict[str, Json] = {
            "input_tokens": tokens_in - apart if tokens_in >= apart else tokens_in,
            "output_tokens": tokens_out,
        }
        if cached:
            body["cache_read_input_tokens"] = cached
        if written:
            body["cache_creation_input_tokens"] = written
        return body
    total = usage.total_tokens if usage.total_tokens is not None else tokens_in + tokens_out
    body = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": total,
    }
    details_in = _within(
        tokens_in,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        audio_tokens=usage.audio_input_tokens,
    )
    details_out = _within(
        tokens_out,
        reasoning_tokens=usage.reasoning_tokens,
        audio_tokens=usage.audio_output_tokens,
    )
    if details_in:
        body["prompt_tokens_details"] = details_in
    if details_out:
        body["completion_tokens_details"] = details_out
    return body


def _within(tokens: int, **parts: int | None) -> dict[str, int]:
    """Return the parts that there are; Helicone takes them off the sum, so they must fit in it."""
    fitting: dict[str, int] = {}
    for name, count in parts.items():
        if count and count <= tokens:
            fitting[name] = count
            tokens -= count
    return fitting


def _message(message: Message) -> dict[str, Json]:
    body: dict[str, Json] = {
        "role": message.role if message.role in _ROLES_OF_OPENAI else "user",
        "content": _content(message.parts),
    }
    if message.name:
        body["name"] = message.name
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id or "",
                "type": "function",
                "function": {"name": call.name, "arguments": _as_json(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.reasoning is not None:
        body["reasoning_content"] = message.reasoning
    return body


def _content(parts: tuple[Part, ...]) -> Json:
    if not parts:
        return None
    if len(parts) == 1 and parts[0].type == "text":
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Json]:
    if part.type == "text":
        return {"type": "text", "text": part.text or ""}
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.text or ""}
    if part.type == "image" and part.url:
        return {"type": "image_url", "image_url": {"url": part.url}}
    if part.type == "audio" and part.url and part.url.startswith("data:"):
        kind, _, data = part.url.removeprefix("data:").partition(";base64,")
        sound = {"data": data, "format": kind.partition("/")[2] or "wav"}
        return {"type": "input_audio", "input_audio": sound}
    if part.url:
        return {"type": "file", "file": {"file_data": part.url}}
    return {"type": "text", "text": f"[{part.type}]"}


def _tool_definition(tool: Json) -> Json:
    """Return the definition of a tool as OpenAI's chat API has it."""
    if not isinstance(tool, Mapping) or "function" in tool or "name" not in tool:
        return tool
    function = {name: tool[name] for name in ("name", "description") if tool.get(name)}
    for key in ("parameters", "input_schema", "inputSchema"):
        if tool.get(key) is not None:
            function["parameters"] = tool[key]
            break
    return {"type": "function", "function": function}


def _as_json(value: Json) -> str:
    if value is None:
        return "{}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _error(description: Description, content: bool) -> dict[str, Json]:
    failure = description.failure
    assert failure is not None
    message = failure.message if content else None
    return {"message": message or failure.type or "failed", "type": failure.type, "code": None}


def _embedding_request(description: Description, content: bool) -> dict[str, Json]:
    body: dict[str, Json] = {"model": _model(description, answered=False)}
    if content and description.embedding_input is not None:
        asked = description.embedding_input
        body["input"] = asked[0] if len(asked) == 1 else list(asked)
    body.update(_parameters(description, content))
    return body


def _embedding_response(description: Description, path: str, content: bool) -> dict[str, Json]:
    body: dict[str, Json] = {
        "object": "list",
        "data": [],  # vectors say nothing to a reader, and are most of the bytes
        "model": _model(description, answered=True),
    }
    if description.failure is not None:
        body["error"] = _error(description, content)
    if description.usage is not None:
        usage = _usage(description.usage, path)
        if "prompt_tokens" in usage and not usage["completion_tokens"]:
            del usage["completion_tokens"]  # as the embeddings API answers
        body["usage"] = usage
    return body


def _outcome(description: Description, content: bool) -> dict[str, Json]:
    if description.failure is None:
        return {"status": "success"}
    return {"status": "failed", "message": _error(description, content)["message"]}


def _tool(description: Description, content: bool, name: str) -> Bodies:
    head = {"_type": "tool", "toolName": description.tool_name or name}
    request: dict[str, Json] = dict(head)
    response: dict[str, Json] = {**head, **_outcome(description, content)}
    if description.tool_call_id is not None:
        request["toolCallId"] = description.tool_call_id
    if content:
        request["input"] = description.arguments
        if description.result is not None:
            response["output"] = description.result
    return request, response


def _retrieval(description: Description, content: bool) -> Bodies:
    request: dict[str, Json] = {"_type": "vector_db", "operation": "search"}
    # A key `metadata` here would make the row an "assistant-call" at the worker.
    response: dict[str, Json] = {"_type": "vector_db", **_outcome(description, content)}
    if content:
        if description.query is not None:
            request["text"] = description.query
        found = description.documents
        if found is None and description.result is not None:
            response["results"] = description.result
        elif found is not None:
            response["results"] = list(found)
    return request, response


def _step(description: Description, content: bool, name: str) -> Bodies:
    head = {"_type": "data", "name": description.agent_name or name}
    request: dict[str, Json] = dict(head)
    response: dict[str, Json] = {**head, **_outcome(description, content)}
    if content:
        if description.step_input is not None:
            request["input"] = description.step_input
        if description.step_output is not None:
            response["output"] = description.step_output
    return request, response
