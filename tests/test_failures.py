"""How a call failed, and with which HTTP status."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status, StatusCode

from otel_helicone.dialects.describe import describe
from tests.made_spans import span


@pytest.mark.parametrize(
    ("status", "known"),
    [
        ("Error code: 429 - {'error': ...}", 429),
        ("status_code: 503, body: ...", 503),
        ("HTTP/1.1 500 Internal Server Error", 500),
        ("the year 429", None),
    ],
)
def test_the_http_status_of_a_failure_is_found_in_its_text(status: str, known: int | None) -> None:
    failed = span({"gen_ai.operation.name": "chat"}, status=Status(StatusCode.ERROR, status))
    failure = describe(failed).failure
    assert failure is not None
    assert failure.http_status == known


def failed(
    attributes: dict[str, Any], text: str | None = None, *raised: str, kind: str = "chat"
) -> ReadableSpan:
    return span(
        {"gen_ai.operation.name": kind, **attributes},
        status=Status(StatusCode.ERROR, text),
        events=tuple(Event("exception", {"exception.type": name}) for name in raised),
    )


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("litellm.exceptions.RateLimitError", 429),
        ("openai.RateLimitError", 429),
        ("AuthenticationError", 401),
        ("anthropic.BadRequestError", 400),
        ("litellm.ContextWindowExceededError", 400),
        ("PermissionDeniedError", 403),
        ("NotFoundError", 404),
        ("openai.APITimeoutError", 408),
        ("litellm.exceptions.Timeout", 408),
        ("APIConnectionError", None),
        ("google.api_core.exceptions.ResourceExhausted", 429),
        ("botocore.errorfactory.ThrottlingException", 429),
        ("overloaded_error", 529),
        ("503", 503),
        ("ValueError", None),
    ],
)
def test_the_http_status_of_a_failure_is_found_by_its_type(name: str, status: int | None) -> None:
    for failing in (
        failed({"error.type": name}),
        failed({}, None, name),
        failed({}, "it broke", "builtins.OSError", name),
    ):
        failure = describe(failing).failure
        assert failure is not None
        assert failure.http_status == status


def test_a_number_that_is_told_counts_before_the_type() -> None:
    told = {"error.type": "RateLimitError", "http.response.status_code": 503}
    failure = describe(failed(told, "RateLimitError: slow down")).failure
    assert failure is not None
    assert failure.http_status == 503
    in_text = describe(failed({}, "BadRequestError: Error code: 422 - no")).failure
    assert in_text is not None
    assert in_text.http_status == 422


def test_the_type_may_stand_in_the_text_alone_and_a_tools_own_errors_are_no_clients() -> None:
    call = describe(failed({}, "NotFoundError: no such model")).failure
    tool = describe(failed({}, "NotFoundError: no such file", kind="execute_tool")).failure
    assert call is not None
    assert tool is not None
    assert (call.http_status, tool.http_status) == (404, None)


@pytest.mark.parametrize(
    "failing",
    [
        failed({}, None, "langgraph.errors.GraphInterrupt", kind="execute_tool"),
        failed({}, "NodeInterrupt(value='May I?')", kind="execute_tool"),
        failed({"error.type": "ParentCommand"}, kind="invoke_agent"),
        failed({}, "pydantic_ai.exceptions.CallDeferred: later", kind="execute_tool"),
        failed({}, "GeneratorExit()"),
    ],
)
def test_exceptions_that_only_steer_a_run_are_no_failures(failing: ReadableSpan) -> None:
    assert describe(failing).failure is None
