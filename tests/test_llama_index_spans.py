"""LlamaIndex's spans: which of them are calls, told by the classes of models."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from otel_helicone.ambient_spans import llama_index
from otel_helicone.primitives.known_spans import Part, part_of

SCOPE = "openinference.instrumentation.llama_index"


class BaseLLM:
    """Stands for LlamaIndex's own."""


class OpenAI(BaseLLM):
    pass


class AzureOpenAI(OpenAI):
    pass


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("llama_index.core.base.llms.base")
    vars(module)["BaseLLM"] = BaseLLM
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(llama_index, "_models", set())


@pytest.mark.parametrize("name", ["OpenAI.achat", "AzureOpenAI.stream_complete", "BaseLLM.chat"])
def test_the_methods_of_models_are_calls(name: str) -> None:
    assert part_of(SCOPE, name) is Part.CALL


@pytest.mark.parametrize("name", ["SimpleChatEngine.chat", "chat", "MyWorkflow.step"])
def test_others_are_not(name: str) -> None:
    assert part_of(SCOPE, name) is None


def test_a_model_that_is_defined_later_is_known_as_well() -> None:
    assert part_of(SCOPE, "Later.achat") is None
    later = type("Later", (BaseLLM,), {})
    assert part_of(SCOPE, f"{later.__name__}.achat") is Part.CALL
