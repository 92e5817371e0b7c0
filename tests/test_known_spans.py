"""Which spans are calls or machinery, by who wrote them and what they are called."""

from __future__ import annotations

import pytest

from otel_helicone.primitives.known_spans import Part, part_of


@pytest.mark.parametrize(
    ("scope", "name", "part"),
    [
        ("openinference.instrumentation.openai_agents", "turn", Part.WRAPPER),
        ("openinference.instrumentation.openai_agents", "Agent workflow", None),
        ("openinference.instrumentation.openai_agents", "return", None),
        ("openinference.instrumentation.langchain", "RunnableSequence", Part.WRAPPER),
        ("openinference.instrumentation.langchain", "my agent", None),
        ("app", "turn", None),
    ],
)
def test_the_part_follows_from_scope_and_name(scope: str, name: str, part: Part | None) -> None:
    assert part_of(scope, name) is part
