"""Tool calls of the Model Context Protocol, as its SDK writes them on both sides."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Kind
from otel_helicone.dialects.dialect import Dialect
from otel_helicone.dialects.reading import FinishedSpan

__all__ = ["MCP"]

_METHOD: Final = "tools/call"


def _kind(span: FinishedSpan) -> Kind | None:
    method = span.text("mcp.method.name")
    if method is None:
        return None
    return Kind.TOOL if method == _METHOD else Kind.OTHER


def _tool_name(span: FinishedSpan) -> str | None:
    # The caller's side has the tool's name in the name of the span alone.
    return span.span.name.partition(f"{_METHOD} ")[2] or None


MCP: Final = Dialect(name="MCP", roots=frozenset({"mcp"}), kind=_kind, tool_name=_tool_name)
