"""A stand-in for the models that agents of every framework talk to.

It asks for the first tool that it is offered twice, once for each city, and then answers. What it
does follows from the request alone, so any number of agents can talk to it at once. It speaks
OpenAI's Chat Completions, Responses and Embeddings, and Anthropic's Messages, streamed and not.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

__all__ = ["ModelServer", "serve_model"]

MODEL: Final = "gpt-4o-mini-2024-07-18"
UNKNOWN_MODEL: Final = "no-such-model"
INPUT_TOKENS, OUTPUT_TOKENS = 21, 8
_HANDOFF: Final = re.compile("transfer|handoff|delegate", re.IGNORECASE)
_FINAL: Final = ("final_answer", "finish", "submit")
# Agno tells the members of a team in a text.
_MEMBER: Final = re.compile(r'<member id="([^"]+)"')
_OTHERS: Final = re.compile("'([a-z_]+)':")
# DSPy asks for its answer in fields of text instead of offering tools.
_DSPY_FIELD: Final = re.compile(r"\[\[ ## (\w+) ## \]\]")
_counter: Final = itertools.count(1)


class ModelServer(ThreadingHTTPServer):
    """The server; ``url`` is the address of its API, without ``/v1``."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers_seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_model() -> Iterator[ModelServer]:
    """Serve until the context is left."""
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Turn:
    """What the model says to a conversation: calls of tools, or a text."""

    def __init__(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], forced: str | None
    ) -> None:
        said = " ".join(_text(message.get("content")) for message in messages)
        self.city = (re.findall("Paris|Rome", said) or ["Paris"])[0]
        self._known = {"member_id": found[1]} if (found := _MEMBER.search(said)) else {}
        roles = ["tool" if _is_result(message) else message.get("role") for message in messages]
        since = max((index for index, role in enumerate(roles) if role == "user"), default=-1)
        results = roles[since + 1 :].count("tool")
        named = {tool["name"]: tool.get("parameters") or {} for tool in tools}
        handoffs = [name for name in named if _HANDOFF.search(name)]
        final = next((name for name in named if name in _FINAL), None)
        others = [name for name in named if name not in handoffs and name != final]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        if forced in named:
            self.calls = [(forced or "", self._arguments(named[forced or ""]))]
        elif handoffs and not others and not results:
            told = {tool["name"]: str(tool.get("description")) for tool in tools}[handoffs[0]]
            arguments = self._arguments(named[handoffs[0]])
            if "to_agent" in arguments:  # LlamaIndex names the others in the tool's description
                arguments["to_agent"] = next(iter(_OTHERS.findall(told)), self.city)
            self.calls = [(handoffs[0], arguments)]
        elif others and results < 2:
            self.calls = [(others[0], self._arguments(named[others[0]]))]
        elif final is not None:
            self.calls = [(final, {**self._arguments(named[final]), "answer": self.text})]

    @property
    def text(self) -> str:
        return f"It is sunny in {self.city}."

    def _arguments(self, schema: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or list(properties)
        return {
            name: self._known.get(name) or self._value(properties.get(name, {}))
            for name in required
        }

    def _value(self, schema: dict[str, Any]) -> Any:
        kind = schema.get("type")
        if "enum" in schema:
            return schema["enum"][0]
        if kind in ("integer", "number"):
            return 7
        if kind == "boolean":
            return True
        if kind == "array":
            return [self._value(schema.get("items", {}))]
        if kind == "object":
            return self._arguments(schema)
        return self.city


def _is_result(message: dict[str, Any]) -> bool:
    """Return whether a message tells what a tool gave: with smolagents the user says it."""
    said = _text(message.get("content"))
    return message.get("role") == "tool" or said.startswith("Observation:")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", part.get("content", ""))) for part in content)
    return str(content or "")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert isinstance(self.server, ModelServer)
        self.server.headers_seen.append({k.lower(): v for k, v in self.headers.items()})
        path = self.path.partition("?")[0]
        if path.endswith("/embeddings"):
            self._answer(_embeddings(body))
        elif path.endswith("/responses"):
            self._respond(_responses(body), body, _responses_events)
        elif path.endswith("/messages"):
            self._respond(_anthropic(body), body, _anthropic_events)
        elif body["model"] == UNKNOWN_MODEL:
            told = {"code": "model_not_found", "type": "invalid_request_error"}
            message = f"The model `{UNKNOWN_MODEL}` does not exist"
            self._answer({"error": {"message": message, "param": None, **told}}, 404)
        else:
            self._respond(_chat(body), body, _chat_events)

    def _respond(self, answer: dict[str, Any], body: dict[str, Any], events: Any) -> None:
        if not body.get("stream"):
            self._answer(answer)
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in (*events(answer, body), None):
            if event is None and events is not _chat_events:
                break
            text = "[DONE]" if event is None else json.dumps(event)
            name = f"event: {event['type']}\n" if event and events is not _chat_events else ""
            data = f"{name}data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    choice = body.get("tool_choice")
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    turn = _Turn(body["messages"], tools, forced)
    number = next(_counter)
    message: dict[str, Any] = {"role": "assistant", "content": _dspy(body, turn) or turn.text}
    if turn.calls:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for name, arguments in turn.calls
        ]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if turn.calls else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        },
    }


def _dspy(body: dict[str, Any], turn: _Turn) -> str | None:
    system = _text(body["messages"][0].get("content"))
    wanted = system.partition("outputs will be")[2] or system
    fields = [name for name in dict.fromkeys(_DSPY_FIELD.findall(wanted)) if name != "completed"]
    if not fields:
        return None
    asked = _text(body["messages"][-1].get("content"))
    calls = asked.count("tool_name_")
    told = {
        "next_thought": "I have to look it up.",
        "next_tool_name": "weather" if calls < 2 else "finish",
        "next_tool_args": json.dumps({"city": turn.city} if calls < 2 else {}),
    }
    outputs = [name for name in fields if name in told] or ["reasoning", "answer"]
    lines = [f"[[ ## {name} ## ]]\n{told.get(name, turn.text)}" for name in outputs]
    return "\n\n".join([*lines, "[[ ## completed ## ]]"])


def _chat_events(answer: dict[str, Any], body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    chunk = {
        **{name: answer[name] for name in ("id", "created", "model")},
        "object": "chat.completion.chunk",
    }

    def choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    message = answer["choices"][0]["message"]
    yield choice({"role": "assistant", "content": None if message["content"] is None else ""})
    for index, call in enumerate(message.get("tool_calls", ())):
        yield choice({"tool_calls": [{"index": index, **call}]})
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield choice({"content": word})
    yield choice({}, answer["choices"][0]["finish_reason"])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**chunk, "choices": [], "usage": answer["usage"]}


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    asked = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return {
        "object": "list",
        "model": body["model"],
        "data": [
            {"object": "embedding", "index": index, "embedding": [0.1, 0.2, 0.3]}
            for index, _ in enumerate(asked)
        ],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


def _responses(body: dict[str, Any]) -> dict[str, Any]:
    asked = body["input"]
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    messages = [
        {"role": "tool", "content": item.get("output")}
        if item.get("type") == "function_call_output"
        else item
        for item in items
    ]
    tools = [tool for tool in body.get("tools") or () if tool.get("type") == "function"]
    turn = _Turn(messages, tools, None)
    number = next(_counter)
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{number}",
            "call_id": f"call_{number}",
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for name, arguments in turn.calls
    ] or [
        {
            "type": "message",
            "id": f"msg_{number}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": turn.text, "annotations": []}],
        }
    ]
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": MODEL,
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "usage": {
            "input_tokens": INPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
        },
    }


def _responses_events(answer: dict[str, Any], _body: dict[str, Any]) -> list[dict[str, Any]]:
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    for index, item in enumerate(answer["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        nothing: dict[str, Any] = {"arguments": ""} if "arguments" in item else {"content": []}
        empty = {**item, "status": "in_progress", **nothing}
        events.append({"type": "response.output_item.added", "output_index": index, "item": empty})
        if "arguments" in item:
            whole = {**place, "arguments": item["arguments"], "name": item["name"]}
            events += [
                {
                    **place,
                    "type": "response.function_call_arguments.delta",
                    "delta": item["arguments"],
                },
                {**whole, "type": "response.function_call_arguments.done"},
            ]
        else:
            part = {**place, "content_index": 0}
            text = item["content"][0]
            events += [
                {**part, "type": "response.content_part.added", "part": {**text, "text": ""}},
                {
                    **part,
                    "type": "response.output_text.delta",
                    "delta": text["text"],
                    "logprobs": [],
                },
                {**part, "type": "response.output_text.done", "text": text["text"], "logprobs": []},
                {**part, "type": "response.content_part.done", "part": text},
            ]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": "response.completed", "response": answer})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _anthropic(body: dict[str, Any]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for message in body["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        results = [part for part in parts if part.get("type") == "tool_result"]
        messages += [{"role": "tool", "content": part.get("content")} for part in results]
        messages += [] if results else [message]
    tools = [
        {"name": tool["name"], "parameters": tool["input_schema"]}
        for tool in body.get("tools") or ()
    ]
    turn = _Turn(messages, tools, (body.get("tool_choice") or {}).get("name"))
    number = next(_counter)
    content: list[dict[str, Any]] = [
        {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": arguments}
        for name, arguments in turn.calls
    ] or [{"type": "text", "text": turn.text}]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": content,
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
    }


def _anthropic_events(answer: dict[str, Any], _body: dict[str, Any]) -> list[dict[str, Any]]:
    usage = answer["usage"]
    begun = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(answer["content"]):
        if block["type"] == "text":
            empty, delta = {**block, "text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    stop = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": OUTPUT_TOKENS}},
        {"type": "message_stop"},
    ]
