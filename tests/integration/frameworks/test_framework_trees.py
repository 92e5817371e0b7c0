"""Agents of the frameworks that people run, unchanged: the same tree through gateway and export.

Each program in ``programs`` runs under ``opentelemetry-instrument`` with its instrumentation, two
agents at once, through the gateway and straight to the model, with the exporter on all the while.
What Helicone shows then stands in ``trees``, as text: each session once, by its name, with one line
for each row. Every session must have come both ways, and nothing else may be there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from otel_helicone.local.server import LocalHelicone
from tests.integration.frameworks.model_server import ModelServer
from tests.integration.frameworks.running import Framework, run_program, session_trees

TREES = Path(__file__).parent / "trees"


@dataclass(frozen=True)
class Case:
    """A program with the instrumentations that are on.

    Attributes:
        program: the name of a file in ``programs``.
        instrumentors: the names of the instrumentors, besides this library's.
        trees: the name of a file in ``trees``; by default the program's.
        variables: more environment variables, with their values.
    """

    program: str
    instrumentors: tuple[str, ...]
    trees: str = ""
    variables: tuple[tuple[str, str], ...] = ()


CASES = [
    Case("langgraph_agent", ("langchain",)),
    Case("langgraph_agent", ("langchain", "openai")),
    Case("llamaindex_agent", ("llama_index", "openai")),
    Case("litellm_calls", ("litellm",)),
    Case("litellm_calls", ("litellm", "openai")),
    # Its callback runs in threads of its own.
    Case(
        "litellm_telemetry",
        ("threading",),
        "litellm_calls",
        (("USE_OTEL_LITELLM_REQUEST_SPAN", "true"),),
    ),
    Case("dspy_agent", ("dspy", "openai")),
    Case("haystack_agent", ("haystack", "openai")),
    Case("instructor_answers", ("instructor", "openai")),
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join([case.program, *case.instrumentors])
)
def test_the_tree_is_the_same_both_ways(
    case: Case, framework: Framework, helicone: LocalHelicone, model: ModelServer, tmp_path: Path
) -> None:
    run_program(
        framework,
        case.program,
        case.instrumentors,
        helicone,
        model,
        tmp_path,
        **dict(case.variables),
    )
    trees = session_trees(helicone.store.requests())
    expected = (TREES / f"{case.trees or case.program}.txt").read_text("utf-8")
    assert "\n\n".join(trees) + "\n" == expected
    for text, ways in trees.items():
        counted = Counter(ways)
        assert counted["gateway"] == counted["exported"] == len(ways) / 2, text
