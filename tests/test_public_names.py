"""The public names: listed in ``__all__``, documented, and typed."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import otel_helicone

PACKAGE = Path(otel_helicone.__file__).parent


def test_the_public_names() -> None:
    assert otel_helicone.__all__ == [
        "AlwaysRecordSampler",
        "HeliconeInstrumentor",
        "HeliconePropagator",
        "HeliconeScoreExporter",
        "HeliconeSpanExporter",
        "HeliconeSpanProcessor",
        "SessionContext",
        "SettingError",
        "current_session",
        "default_segment",
        "in_current_session",
        "session",
        "session_headers",
        "set_session",
        "setup",
    ]


def test_each_has_a_docstring() -> None:
    for name in otel_helicone.__all__:
        assert inspect.getdoc(getattr(otel_helicone, name)), name


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_every_module_lists_names_that_it_has() -> None:
    for file in PACKAGE.rglob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        listed: list[str] = []
        defined: set[str] = set()
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and "__all__" in ast.unparse(statement.targets[0]):
                listed = ast.literal_eval(statement.value)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.ImportFrom):
                defined.update(alias.asname or alias.name for alias in node.names)
        assert set(listed) <= defined, file
        assert len(listed) == len(set(listed)), file
