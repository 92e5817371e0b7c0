"""The built-in upstream's ``/v1/embeddings``."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Final

from otel_helicone.local.built_in.text import count_tokens, make_vector
from otel_helicone.local.gateway.usage import model_in

__all__ = ["embeddings"]

# text-embedding-3-small's own.
_DIMENSIONS: Final = 1536


def embeddings(asked: Mapping[str, object], _body: bytes) -> bytes:
    """Answer with one vector of length 1 for each input; the same text has the same vector.

    Args:
        asked: the request, parsed; ``input`` is a text, tokens, or a list of either.
        _body: not needed, a vector depends on its own text only.

    Returns:
        The answer's JSON; vectors in base64 where ``encoding_format`` asks for it, as the openai
        client does unless it is told otherwise.
    """
    given = asked.get("dimensions")
    dimensions = given if isinstance(given, int) and 1 <= given <= 4096 else _DIMENSIONS
    inputs = asked.get("input")
    one = isinstance(inputs, str) or (
        isinstance(inputs, list) and all(isinstance(token, int) for token in inputs)
    )
    inputs = [inputs] if one or not isinstance(inputs, list) else inputs
    texts = [text if isinstance(text, str) else json.dumps(text) for text in inputs]
    vectors = [make_vector(text, dimensions) for text in texts]
    in_base64 = asked.get("encoding_format") == "base64"
    tokens = count_tokens(texts)
    return json.dumps(
        {
            "object": "list",
            "model": model_in(asked) or "built-in",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _base64(vector) if in_base64 else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    ).encode()


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
