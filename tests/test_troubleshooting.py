"""What the page on troubleshooting quotes is what the code says."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Final

import pytest

from otel_helicone.doctor.set_ups_found import explained

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
# What stands for values in the page's examples.
VALUES: Final = re.compile(
    r"HELICONE_\w+|\bhttpx\b|app\.py|http://127\.0\.0\.1:8787|8787|"
    r"127\.0\.0\.1|'local'|\bserve\b"
)


def quoted() -> list[str]:
    """Give what the tables without generated rows quote of the code."""
    tables = PAGE.partition("and these have")[2]
    found = []
    for line in tables.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) in (2, 3) and not cells[0].startswith(("what you", "---")):
            found += re.findall(r"`([^`]+)`", cells[len(cells) - 2])
    return found


@functools.cache
def texts_of_the_code() -> str:
    """Give all texts in the code, those of f-strings and format strings with gaps."""
    texts: list[str] = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        texts += [
            node.value
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(texts)


def test_set_ups_that_cannot_work_stand_there_as_they_are_logged() -> None:
    for symptom, sentence, remedy in explained():
        assert f"| {symptom} | `{sentence}` | `{remedy}` |" in PAGE


@pytest.mark.parametrize("sentence", quoted())
def test_every_other_sentence_is_one_of_the_code(sentence: str) -> None:
    code = texts_of_the_code()
    parts = [part.strip() for part in VALUES.split(sentence) if len(part.strip()) > 3]
    assert parts
    for part in parts:
        assert part in code, f"the code does not say {part!r}"


def test_the_page_quotes_something() -> None:
    assert len(quoted()) > 10
