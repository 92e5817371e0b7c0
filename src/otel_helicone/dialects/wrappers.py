"""What frameworks put around a tool's arguments, its answer, a query, a step: taken off.

Instrumentations write down what they are handed: LangChain's callbacks with the ids of threads and
checkpoints, LlamaIndex's output objects, the Model Context Protocol's results. A log holds what
the model asked for and what the tool gave. A wrapper is known by all of its keys, since a tool's
own arguments may be called ``input`` or ``args`` as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.dialects.content_blocks import CALLS, kind_of, read_tool_call, string_in
from otel_helicone.dialects.description import Json
from otel_helicone.dialects.reading import parse_json, parse_repr

__all__ = ["Bare", "bare_arguments", "bare_result", "bare_step"]

_MAX_LAYERS: Final = 8

# LangChain's callbacks, as OpenLLMetry writes down all that they are called with.
_RUN: Final = frozenset({"input_str", "inputs", "kwargs", "metadata", "query", "tags"})
_RUN_OUTPUTS: Final = (frozenset({"kwargs", "output"}), frozenset({"kwargs", "outputs"}))
# One of them is an argument of smolagents' own.
_PYTHON_CALL: Final = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})
_NAMED_CALL: Final = frozenset(
    {"_meta", "args", "arguments", "id", "input", "meta", "name", "tool_name", "type"}
)
_TEXT_BLOCK: Final = frozenset(
    {"_meta", "annotations", "block_type", "citations", "content", "meta", "text", "type"}
)
# Amazon Bedrock's blocks are named by their only key; Strands hands them on.
_BEDROCK_BLOCKS: Final = frozenset({"document", "image", "json", "text", "video"})
_LITERAL: Final = r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
_WORKFLOW_CONTEXT: Final = re.compile(
    r"<workflows\.context\.context\.Context object at 0x[0-9a-fA-F]+>"
)
_MESSAGE_REPR: Final = re.compile(rf"content={_LITERAL} (?:.* )?tool_call_id={_LITERAL}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bare:
    """A value out of its wrappers, and what these told beside it.

    Attributes:
        value: the value.
        call_id: the id of the call that a model asked for.
        tool_name: the tool that ran.
        arguments: what it ran with.
    """

    value: Json
    call_id: str | None = None
    tool_name: str | None = None
    arguments: Json = None


def bare_arguments(value: Json, tool_name: str | None, scope: str) -> Bare:
    """Return a tool's arguments.

    Args:
        value: what an instrumentation wrote.
        tool_name: the tool, where it is known.
        scope: the instrumentation.
    """

    def layer(value: Json) -> Bare | None:
        return (
            _run(value)
            or _python_call(value, "llama" in scope.lower())
            or _without_workflow(value)
            or _named_call(value, tool_name)
        )

    bare = _without(layer, value)
    if isinstance(bare.value, str):
        parsed = parse_json(bare.value)
        parsed = parse_repr(bare.value) if parsed is bare.value else parsed
        if isinstance(parsed, (dict, list)):
            again = _without(layer, parsed)
            return Bare(again.value, bare.call_id or again.call_id)
    return bare


def bare_result(value: Json, scope: str) -> Bare:
    """Return a tool's answer.

    Args:
        value: what an instrumentation wrote.
        scope: the instrumentation.
    """
    scope = scope.lower()

    def layer(value: Json) -> Bare | None:
        return (
            _run_output(value)
            or _tool_message(value)
            or _llama_output(value)
            or _mcp_result(value, is_mcp="mcp" in scope)
            or _text_blocks(value)
            or (_bedrock_blocks(value) if scope.startswith("strands") else None)
        )

    return _without(layer, parse_json(value))


def bare_step(value: Json) -> Json:
    """Return what a step went in with or came out with."""

    def layer(value: Json) -> Bare | None:
        return _run(value) or _run_output(value) or _python_call(value, False)

    return _without(layer, value).value


def _without(layer: Callable[[Json], Bare | None], value: Json) -> Bare:
    bare = Bare(value)
    for _ in range(_MAX_LAYERS):
        inner = layer(bare.value)
        if inner is None:
            break
        bare = Bare(
            parse_json(inner.value),
            bare.call_id or inner.call_id,
            bare.tool_name or inner.tool_name,
            bare.arguments if bare.arguments is not None else inner.arguments,
        )
    return bare


def _run(value: Json) -> Bare | None:
    if not isinstance(value, dict) or not set(value) <= _RUN:
        return None
    inside = [name for name in ("inputs", "query", "input_str") if name in value]
    if not inside or not {"tags", "metadata"} & set(value):
        return None
    found = next((value[name] for name in inside if value[name] is not None), None)
    more = value.get("kwargs")
    call_id = string_in(more, "tool_call_id") if isinstance(more, dict) else None
    return Bare(found, call_id)


def _run_output(value: Json) -> Bare | None:
    if not isinstance(value, dict) or set(value) not in _RUN_OUTPUTS:
        return None
    return Bare(value["output"] if "output" in value else value["outputs"])


def _python_call(value: Json, is_llama: bool) -> Bare | None:
    """Take the arguments of a Python function out of ``{"args": […], "kwargs": {…}}``."""
    if not isinstance(value, dict) or not value or not set(value) <= _PYTHON_CALL:
        return None
    args, kwargs = value.get("args"), value.get("kwargs")
    if "kwargs" not in value and not (is_llama and isinstance(args, list)):
        return None
    if not args:
        return Bare(kwargs) if isinstance(kwargs, dict) else None
    if kwargs:
        return None
    return Bare(args[0] if isinstance(args, list) and len(args) == 1 else args)


def _without_workflow(value: Json) -> Bare | None:
    """Take out the context of LlamaIndex's workflows, which the agent puts in for the tool."""
    if not isinstance(value, dict):
        return None
    told = {
        name: item
        for name, item in value.items()
        if not (isinstance(item, str) and _WORKFLOW_CONTEXT.fullmatch(item))
    }
    return None if len(told) == len(value) else Bare(told)


def _named_call(value: Json, tool_name: str | None) -> Bare | None:
    """Take the arguments out of a call that names its tool: MCP's, LangChain's, a provider's."""
    if not isinstance(value, dict):
        return None
    if "tool_kwargs" in value and "tool_name" in value:  # LlamaIndex
        return Bare(value["tool_kwargs"], string_in(value, "tool_id"))
    is_call = kind_of(value) in CALLS
    if kind_of(value) == "function" and isinstance(value.get("function"), dict):
        is_call = True
    elif not set(value) <= _NAMED_CALL or not {"arguments", "args", "input"} & set(value):
        return None
    call = read_tool_call({"name": value.get("tool_name"), **value})
    if call is None or (call.name != tool_name if tool_name else not is_call):
        return None
    return Bare({} if call.arguments is None else call.arguments, call.id)


def _tool_message(value: Json) -> Bare | None:
    """Take the answer out of a message of LangChain's: dumped, serialised or printed."""
    if isinstance(value, str):
        if not value.startswith("content="):
            return None
        printed = _MESSAGE_REPR.match(value)
        if printed is None:
            return None
        try:
            return Bare(ast.literal_eval(printed[1]), str(ast.literal_eval(printed[2])))
        except (SyntaxError, ValueError):
            return None
    if not isinstance(value, dict):
        return None
    inner = value.get("kwargs", value.get("data"))
    if value.get("type") in ("constructor", "tool") and isinstance(inner, dict):
        message: Mapping[str, Json] = inner
    elif value.get("type") == "tool" and "tool_call_id" in value:
        message = value
    else:
        return None
    if "content" not in message:
        return None
    return Bare(message["content"], string_in(message, "tool_call_id"), string_in(message, "name"))


def _llama_output(value: Json) -> Bare | None:
    if not isinstance(value, dict) or "tool_name" not in value:
        return None
    if "tool_output" in value and "tool_id" in value:
        inner, call_id = value["tool_output"], string_in(value, "tool_id")
        return Bare(inner, call_id, string_in(value, "tool_name"), value.get("tool_kwargs"))
    if not {"raw_input", "raw_output"} <= set(value):
        return None
    answer = value["raw_output"]
    if answer is None:
        answer = value.get("content", value.get("blocks"))
    asked = value["raw_input"]
    call = _python_call(asked, True)
    return Bare(
        answer,
        tool_name=string_in(value, "tool_name"),
        arguments=asked if call is None else call.value,
    )


def _mcp_result(value: Json, *, is_mcp: bool) -> Bare | None:
    if not isinstance(value, dict):
        return None
    if {"isError", "is_error"} & set(value) and isinstance(value.get("content"), list):
        structured = value.get("structuredContent", value.get("structured_content"))
        if isinstance(structured, dict):
            return Bare(structured["result"] if set(structured) == {"result"} else structured)
        return Bare(value["content"])
    if is_mcp and "result" in value and set(value) <= {"result", "is_error"}:
        return Bare(value["result"])
    return None


def _text_blocks(value: Json) -> Bare | None:
    """Take the text out of blocks that are nothing but text."""
    blocks = value if isinstance(value, list) else [value]
    texts = [_text_in(block) for block in blocks]
    told = [text for text in texts if text is not None]
    return Bare("\n".join(told)) if texts and len(told) == len(texts) else None


def _text_in(block: Json) -> str | None:
    if not isinstance(block, dict) or not set(block) <= _TEXT_BLOCK:
        return None
    if "text" not in (block.get("type"), block.get("block_type")):
        return None
    found = block.get("text", block.get("content"))
    return found if isinstance(found, str) else None


def _bedrock_blocks(value: Json) -> Bare | None:
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(b, dict) and len(b) == 1 and set(b) <= _BEDROCK_BLOCKS for b in value):
        return None
    if len(value) == 1:
        return Bare(next(iter(value[0].values())))
    if all(isinstance(block.get("text"), str) for block in value):
        return Bare("\n".join(block["text"] for block in value))
    return None
