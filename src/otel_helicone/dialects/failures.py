"""How a call failed: its type, what it said, and the HTTP status that it came with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from otel_helicone.dialects.description import Failure
from otel_helicone.dialects.dialect import Dialect
from otel_helicone.dialects.reading import FinishedSpan, as_integer, as_text

__all__ = ["failure_of", "http_status_of"]

_STATUS_NAMES: Final = ("http.response.status_code", "http.status_code")
# Where texts of errors hold the HTTP status: openai's and anthropic's exceptions, and others'.
_STATUS_IN_TEXT: Final = re.compile(
    r"(?:Error code: |[Ss]tatus[ _]?[Cc]ode[:= ]+|HTTP[/ ][\d.]* ?)([1-5]\d\d)\b"
)
# An exception at the beginning of a text: `RateLimitError: slow down`, `litellm.Timeout: …`,
# `GraphInterrupt(…)`.
_TYPE_IN_TEXT: Final = re.compile(r"((?:\w+\.)*[A-Z]\w+)(?:[:(]|$)")

# What exceptions of clients and types of providers' errors stand for, by their last word: openai,
# anthropic, litellm and who took over their names; Google's, Amazon's and Azure's clients; the
# types in the answers of OpenAI and Anthropic. What stands for any number from 500 on, such as
# `InternalServerError`, is left to the span of the request, and to 500 where there is none.
_STATUSES: Final = {
    name: status
    for status, names in {
        400: (
            "BadRequestError",
            "ContentPolicyViolationError",
            "ContextWindowExceededError",
            "FailedPrecondition",
            "InvalidArgument",
            "InvalidRequestError",
            "JSONSchemaValidationError",
            "OutOfRange",
            "RejectedRequestError",
            "UnsupportedParamsError",
            "ValidationException",
            "context_length_exceeded",
            "invalid_request_error",
        ),
        401: (
            "AuthenticationError",
            "ClientAuthenticationError",
            "Unauthenticated",
            "UnrecognizedClientException",
            "authentication_error",
            "invalid_api_key",
        ),
        402: ("billing_error",),
        403: (
            "AccessDeniedException",
            "Forbidden",
            "PermissionDenied",
            "PermissionDeniedError",
            "permission_error",
        ),
        404: (
            "NotFound",
            "NotFoundError",
            "ResourceNotFoundError",
            "ResourceNotFoundException",
            "model_not_found",
            "not_found_error",
        ),
        408: ("APITimeoutError", "ModelTimeoutException", "Timeout"),
        409: ("ConflictError",),
        413: ("RequestTooLargeError", "request_too_large"),
        422: ("UnprocessableEntityError",),
        429: (
            "BudgetExceededError",
            "RateLimitError",
            "ResourceExhausted",
            "ServiceQuotaExceededException",
            "ThrottlingException",
            "TooManyRequests",
            "insufficient_quota",
            "rate_limit_error",
            "rate_limit_exceeded",
        ),
        502: ("BadGatewayError",),
        503: ("ServiceUnavailable", "ServiceUnavailableError", "ServiceUnavailableException"),
        504: ("DeadlineExceeded", "DeadlineExceededError", "timeout_error"),
        529: ("OverloadedError", "overloaded_error"),
    }.items()
    for name in names
}
# Raised to pause a run or to hand it on: LangGraph's, Pydantic AI's and Strands'; and what Python
# raises in a stream whose consumer has enough of it.
_CONTROL_FLOW: Final = frozenset(
    {
        "ApprovalRequired",
        "CallDeferred",
        "GeneratorExit",
        "GraphBubbleUp",
        "GraphInterrupt",
        "InterruptException",
        "NodeInterrupt",
        "ParentCommand",
    }
)


def http_status_of(span: FinishedSpan) -> int | None:
    """Return the HTTP status that stands on a span."""
    return span.integer(*_STATUS_NAMES)


def failure_of(span: FinishedSpan, dialects: Iterable[Dialect], *, is_call: bool) -> Failure | None:
    """Return how what a span stands for failed; None where it did not.

    Args:
        span: the finished span.
        dialects: those that know it.
        is_call: whether it is a call to a model, so that types of exceptions are a client's.
    """
    finished = span.span
    error_type = span.text("error.type")
    message = as_text(finished.status.description)
    told = None
    for dialect in dialects:
        told = told or dialect.error_type(span)
        message = message or dialect.error_message(span)
    raised: list[str] = []
    for event in finished.events:
        if event.name == "exception" and event.attributes and not finished.status.is_ok:
            message = message or as_text(event.attributes.get("exception.message"))
            found = as_text(event.attributes.get("exception.type"))
            if found is not None:
                raised.append(found)
    if finished.status.is_unset and error_type is None and told is None:
        return None
    if finished.status.is_ok and not finished.status.is_unset and told is None:
        return None  # set by the application, so it has the last word
    in_text = _TYPE_IN_TEXT.match(message) if message is not None else None
    types = [name for name in (error_type, *raised) if name is not None]
    if in_text is not None:
        types.append(in_text[1])
    if any(_last(name) in _CONTROL_FLOW for name in types):
        return None
    error_type = error_type or (raised[0] if raised else None)
    return Failure(error_type or told, message, _status(span, message, types, is_call=is_call))


def _status(
    span: FinishedSpan, message: str | None, types: list[str], *, is_call: bool
) -> int | None:
    status = http_status_of(span)
    if (status is None or status < 400) and message is not None:
        found = _STATUS_IN_TEXT.search(message)
        status = int(found[1]) if found is not None else status
    if status is None or status < 400:
        # The HTTP conventions put the status there.
        numbers = [as_integer(name) for name in types if name.isdecimal()]
        status = next((n for n in numbers if n is not None and 400 <= n < 600), status)
    if is_call and (status is None or status < 400):
        known = (_STATUSES.get(_last(name)) for name in types)
        status = next((number for number in known if number is not None), status)
    return status


def _last(name: str) -> str:
    return name.rpartition(".")[2]
