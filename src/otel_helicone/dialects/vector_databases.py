"""Queries of vector databases, as OpenLLMetry's instrumentations write them."""

from __future__ import annotations

from typing import Final

from otel_helicone.dialects.description import Json, Kind
from otel_helicone.dialects.dialect import Dialect, text
from otel_helicone.dialects.reading import FinishedSpan, parse_json

__all__ = ["VECTOR_DATABASES"]

_SYSTEMS: Final = frozenset(
    {"chroma", "lancedb", "marqo", "milvus", "pinecone", "qdrant", "weaviate"}
)
_QUERIES: Final = ("query", "search", "recommend", "discover", "near", "hybrid", "bm25")
_RESULT_EVENTS: Final = frozenset({"db.query.result", "db.search.result"})


def _kind(span: FinishedSpan) -> Kind | None:
    system = span.text("db.system", "db.system.name", "vector_db.vendor")
    if system is None or system.lower() not in _SYSTEMS:
        return None
    told = span.text("db.operation", "db.operation.name") or span.span.name.partition(".")[2]
    is_query = any(word in told.lower() for word in _QUERIES)
    return Kind.RETRIEVAL if is_query else Kind.OTHER


def _documents(span: FinishedSpan) -> tuple[Json, ...] | None:
    found = []
    for event in span.span.events:
        if event.name in _RESULT_EVENTS and event.attributes:
            start = f"{event.name}."
            found.append(
                {
                    name.removeprefix(start): parse_json(value)
                    if name.endswith("metadata")
                    else value
                    for name, value in event.attributes.items()
                }
            )
    return tuple(found) or None


VECTOR_DATABASES: Final = Dialect(
    name="vector databases",
    roots=frozenset({"db", "vector_db"}),
    kind=_kind,
    provider=lambda span: None,
    query=text("db.query.text", "db.statement"),
    documents=_documents,
)
