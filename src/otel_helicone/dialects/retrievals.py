"""What was searched for, and what was found, whatever a framework puts around them."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.content_blocks import text_of
from otel_helicone.dialects.description import Json
from otel_helicone.dialects.reading import is_placeholder, parse_json

__all__ = ["bare_documents", "bare_query"]

# What the query is called among the arguments of a retriever, the surest name first.
_QUERIES: Final = (
    "query",
    "query_str",
    "str_or_query_bundle",
    "query_bundle",
    "query_text",
    "question",
    "search_query",
    "input",
    "text",
    "inputs",
    "kwargs",
    "args",
)
_LISTS: Final = ("documents", "docs", "results", "matches", "nodes", "source_nodes", "contexts")
_MAX_DEPTH: Final = 4


def bare_query(value: Json) -> str | None:
    """Return what was searched for, as a text.

    Args:
        value: the query, or the arguments of a retriever; JSON of arguments whose query is not
            known by its name is returned as it is.
    """
    found = _query(value, _MAX_DEPTH)
    if found is not None or is_placeholder(value):
        return found
    return text_of(value)


def _query(value: Json, levels: int) -> str | None:
    if isinstance(value, str):
        parsed = parse_json(value) if value[:1] in "{[" else value
        if isinstance(parsed, str):
            return None if is_placeholder(parsed) else parsed
        value = parsed
    if levels == 0:
        return None
    if isinstance(value, list):
        return _query(value[0], levels - 1) if value else None
    if not isinstance(value, dict):
        return None
    for name in _QUERIES:
        if value.get(name) is not None:
            found = _query(value[name], levels - 1)
            if found is not None:
                return found
    only = next(iter(value.values())) if len(value) == 1 else None
    return only if isinstance(only, str) and not is_placeholder(only) else None


def bare_documents(value: Json) -> tuple[Json, ...] | None:
    """Return what was found; None for what is no list of documents.

    Documents of LangChain's and nodes of LlamaIndex's have their text as ``content``.
    """
    if isinstance(value, dict):
        value = next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)
    if not isinstance(value, (list, tuple)):
        return None
    return tuple(_document(item) for item in value)


def _document(item: Json) -> Json:
    if not isinstance(item, dict):
        return item
    inner = item.get("kwargs") if item.get("type") == "constructor" else item.get("node")
    if isinstance(inner, dict):
        kept = {"score": item["score"]} if item.get("score") is not None else {}
        for name, names in _NODE.items():
            found = next((inner[key] for key in names if inner.get(key) not in (None, "")), None)
            if found is not None:
                kept[name] = found
        return kept or item
    if "page_content" in item and "content" not in item:
        return {"content": item["page_content"], **_but(item, "page_content")}
    return item


_NODE: Final = {
    "content": ("page_content", "text", "content"),
    "id": ("id_", "id", "node_id"),
    "metadata": ("metadata",),
}


def _but(item: dict[str, Json], name: str) -> dict[str, Json]:
    return {key: value for key, value in item.items() if key != name}
