"""A dialect: where each fact stands on a span, as a table of readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from otel_helicone.dialects.description import Json, Kind, Message, Usage
from otel_helicone.dialects.messages import read_messages
from otel_helicone.dialects.reading import FinishedSpan

__all__ = [
    "Dialect",
    "Reader",
    "flag",
    "integer",
    "json",
    "lower",
    "messages",
    "number",
    "tags",
    "text",
    "texts",
    "value_of",
]

_T = TypeVar("_T")
Reader: TypeAlias = Callable[[FinishedSpan], _T | None]
"""Finds one fact on a span; None where it is not there."""


def _nothing(_span: FinishedSpan) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One vocabulary of span attributes.

    Every field but the first two is a reader of the fact of the same name in
    :class:`~otel_helicone.dialects.description.Description`; a fact that a dialect has no place
    for is left out. A reader never raises for what others wrote. What stands in wrappers of a
    framework (``arguments``, ``result``, ``query``, ``documents``, ``step_input``,
    ``step_output``) is read as it stands; :func:`~otel_helicone.dialects.describe.describe` takes
    them off.

    Attributes:
        name: what the dialect is called.
        roots: first words of the attribute or event names that it uses. It is asked about a span
            only if one of them is there.
    """

    name: str
    roots: frozenset[str]
    kind: Reader[Kind] = _nothing
    operation: Reader[str] = _nothing
    provider: Reader[str] = _nothing
    request_model: Reader[str] = _nothing
    response_model: Reader[str] = _nothing
    response_id: Reader[str] = _nothing
    streaming: Reader[bool] = _nothing
    parameters: Reader[Mapping[str, Json]] = _nothing
    tools_offered: Reader[tuple[Json, ...]] = _nothing
    input: Reader[tuple[Message, ...]] = _nothing
    output: Reader[tuple[Message, ...]] = _nothing
    finish_reasons: Reader[tuple[str, ...]] = _nothing
    usage: Reader[Usage] = _nothing
    seconds_to_first_token: Reader[float] = _nothing
    embedding_input: Reader[tuple[str, ...]] = _nothing
    tool_name: Reader[str] = _nothing
    tool_call_id: Reader[str] = _nothing
    arguments: Reader[Json] = _nothing
    result: Reader[Json] = _nothing
    query: Reader[Json] = _nothing
    documents: Reader[Json] = _nothing
    agent_name: Reader[str] = _nothing
    step_input: Reader[Json] = _nothing
    step_output: Reader[Json] = _nothing
    error_type: Reader[str] = _nothing
    error_message: Reader[str] = _nothing
    http_status: Reader[int] = _nothing
    server_address: Reader[str] = _nothing
    user_id: Reader[str] = _nothing
    session_id: Reader[str] = _nothing
    session_path: Reader[str] = _nothing
    session_name: Reader[str] = _nothing
    properties: Reader[Mapping[str, str]] = _nothing
    omit_request: Reader[bool] = _nothing
    omit_response: Reader[bool] = _nothing
    is_opening: Reader[bool] = _nothing
    is_completion: Reader[bool] = _nothing


def text(*names: str) -> Reader[str]:
    """Read a text from the first of these attributes that has one."""
    return lambda span: span.text(*names)


def lower(*names: str) -> Reader[str]:
    """Read a text in lower case."""

    def read(span: FinishedSpan) -> str | None:
        found = span.text(*names)
        return None if found is None else found.lower()

    return read


def integer(*names: str) -> Reader[int]:
    """Read a whole number that is not negative."""
    return lambda span: span.integer(*names)


def number(*names: str) -> Reader[float]:
    """Read a finite number."""
    return lambda span: span.number(*names)


def flag(*names: str) -> Reader[bool]:
    """Read a truth value."""
    return lambda span: span.flag(*names)


def texts(*names: str) -> Reader[tuple[str, ...]]:
    """Read a list of texts."""
    return lambda span: span.texts(*names)


def json(*names: str) -> Reader[Json]:
    """Read a value that may stand as JSON in a text."""
    return lambda span: span.json(*names)


def messages(*names: str, role: str = "user") -> Reader[tuple[Message, ...]]:
    """Read messages that stand in one attribute.

    Args:
        names: the attributes.
        role: the role of messages that do not tell theirs.
    """

    def read(span: FinishedSpan) -> tuple[Message, ...] | None:
        for name in names:
            found = read_messages(span.json(name), role)
            if found is not None:
                return found
        return None

    return read


def value_of(table: Mapping[str, _T], *names: str) -> Reader[_T]:
    """Read a word, in any letter case, that stands for something else.

    Args:
        table: what each word, in lower case, stands for.
        names: the attributes.
    """

    def read(span: FinishedSpan) -> _T | None:
        for name in names:
            found = span.text(name)
            if found is not None and found.lower() in table:
                return table[found.lower()]
        return None

    return read


def tags(table: Mapping[str, str]) -> Reader[Mapping[str, Json]]:
    """Read parameters that stand in an attribute each.

    Args:
        table: attribute names, and the names that OpenAI's API has for the parameters.
    """

    def read(span: FinishedSpan) -> Mapping[str, Json] | None:
        there = table.keys() & span.attributes.keys()
        if not there:
            return None
        found: dict[str, Json] = {}
        for name, parameter in table.items():
            if name not in there or parameter in found:
                continue
            value = span.attributes[name]
            if isinstance(value, str):
                number = span.number(name)
                if number is None and value.lower() in ("nan", "inf", "infinity", "-inf"):
                    continue
                value = number if number is not None else span.json(name)
            elif isinstance(value, float):
                value = span.number(name)
            elif isinstance(value, tuple):
                value = list(value)
            if value is not None:
                found[parameter] = value
        return found or None

    return read
