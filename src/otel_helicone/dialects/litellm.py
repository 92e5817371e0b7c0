"""LiteLLM: the raw request and answer below its own span, as texts of Python's ``repr``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_helicone.dialects.description import Json, Kind, Usage
from otel_helicone.dialects.dialect import Dialect
from otel_helicone.dialects.reading import FinishedSpan, is_placeholder, parse_repr
from otel_helicone.dialects.token_counts import usage_in
from otel_helicone.dialects.wire import WireCall, wire_request, wire_response

__all__ = ["LITELLM"]

_RAW: Final = "raw_gen_ai_request"


def _read_body(span: FinishedSpan) -> Mapping[str, Json] | None:
    """Gather ``llm.<provider>.*``, which holds the request and the answer in one."""
    if span.span.name != _RAW or span.scope != "litellm":
        return None
    body: dict[str, Json] = {}
    for name, value in span.attributes.items():
        root, _, rest = name.partition(".")
        key = rest.partition(".")[2]
        if root == "llm" and key and "." not in key and not is_placeholder(value):
            body[key] = parse_repr(value)
    return body or None


def _body(span: FinishedSpan) -> Mapping[str, Json] | None:
    return span.once(_read_body)


def _asked(span: FinishedSpan) -> WireCall:
    return span.once(_read_request)


def _read_request(span: FinishedSpan) -> WireCall:
    body = _body(span)
    return wire_request(None if body is None else {**body, "model": None})


def _answered(span: FinishedSpan) -> WireCall:
    return span.once(_read_response)


def _read_response(span: FinishedSpan) -> WireCall:
    return wire_response(_body(span))


def _kind(span: FinishedSpan) -> Kind | None:
    if span.span.name != _RAW or span.scope != "litellm":
        return None
    body = _body(span) or {}
    return Kind.EMBEDDING if "input" in body and "messages" not in body else Kind.LLM


def _usage(span: FinishedSpan) -> Usage | None:
    if span.scope != "litellm":
        return None
    # On its own span only this one tells of cached tokens.
    return _answered(span).usage or usage_in(
        parse_repr(span.attributes.get("metadata.usage_object"))
    )


LITELLM: Final = Dialect(
    name="LiteLLM",
    roots=frozenset({"llm", "metadata"}),
    kind=_kind,
    operation=lambda span: "chat" if _kind(span) is Kind.LLM else None,
    response_model=lambda span: _answered(span).model,
    response_id=lambda span: _answered(span).id,
    streaming=lambda span: _asked(span).streaming,
    parameters=lambda span: _asked(span).parameters,
    tools_offered=lambda span: _asked(span).tools,
    input=lambda span: _asked(span).messages,
    output=lambda span: _answered(span).messages,
    finish_reasons=lambda span: _answered(span).finish_reasons,
    usage=_usage,
    embedding_input=lambda span: _asked(span).embedding_input,
)
