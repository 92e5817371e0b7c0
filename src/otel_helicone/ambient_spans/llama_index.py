"""LlamaIndex: which of its spans are calls to a model, told by their names.

OpenInference's instrumentation makes its spans current, but tells of them only at their end what
they are. They are called after a class and its method, such as ``OpenAI.achat``; the classes of
models are many, in packages of their own, and an application may add some. All of them derive from
two that are public.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from otel_helicone.ambient_spans.adapter import Adapter
from otel_helicone.primitives.known_spans import is_call_by_library
from otel_helicone.primitives.log_once import log_failure_once

__all__ = ["ADAPTER"]

_SCOPE: Final = "openinference.instrumentation.llama_index"
_BASES: Final = (
    ("llama_index.core.base.llms.base", "BaseLLM"),
    ("llama_index.core.base.embeddings.base", "BaseEmbedding"),
)
# Of the classes that were found to be models. More of them may be imported at any time.
_models: Final[set[str]] = set()


def _is_call(name: str) -> bool:
    class_name, dot, _ = name.partition(".")
    if not dot:
        return False
    if class_name not in _models:
        try:
            _models.update(each.__name__ for each in _model_classes())
        except Exception:
            log_failure_once("asking LlamaIndex for its models")
    return class_name in _models


def _model_classes() -> Iterator[type]:
    for module_name, base_name in _BASES:
        module: Any = sys.modules.get(module_name)
        if module is not None:
            yield from _with_subclasses(getattr(module, base_name))


def _with_subclasses(base: type) -> Iterator[type]:
    yield base
    below: list[type] = type.__subclasses__(base)
    for each in below:
        yield from _with_subclasses(each)


is_call_by_library[_SCOPE] = _is_call
ADAPTER: Final = Adapter(library="LlamaIndex")
