"""The session context carried to where Python's context variables don't go by themselves."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current

from otel_helicone.ambient_spans.adapter import ambient_calls, ambient_spans
from otel_helicone.ambient_spans.carried import with_ambient_span
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.session_context.linking import deepest

__all__ = ["in_current_session"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def in_current_session(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Bind a function to the session, and the span, that are current now.

    For functions that are handed to a thread or an executor: they start there without a current
    span, so that requests in them have no session and spans begin a new trace. Where
    ``opentelemetry-instrumentation-threading`` is in use, that is done already.

    Example::

        Thread(target=in_current_session(work)).start()
        executor.submit(in_current_session(ask), "What is new?")
        await loop.run_in_executor(None, in_current_session(ask), "What is new?")

    The result may be called any number of times, in several threads at once. As long as it is
    kept, the current span of now is kept too. A generator runs where it is consumed, so it is the
    function with the loop that has to be bound.

    Args:
        function: a function or a coroutine function, or another callable.

    Returns:
        A function with the same arguments and result, that runs in OpenTelemetry's context of
        now, and leaves that of its caller as it was.
    """
    context = _context_of_now()
    wrapper: Any
    if inspect.iscoroutinefunction(function) or (
        not inspect.isroutine(function)
        and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
    ):

        async def call_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            token = attach(context)
            try:
                return await cast("Any", function(*args, **kwargs))
            finally:
                detach(token)

        wrapper = call_async
    else:

        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            token = attach(context)
            try:
                return function(*args, **kwargs)
            finally:
                detach(token)

        wrapper = call
    return cast("Callable[_P, _R]", functools.wraps(function)(wrapper))


def _context_of_now() -> Context:
    """Return the current context, with the ambient span where that is the deeper place."""
    context = get_current()
    try:
        _, place = deepest(trace.get_current_span())
        for span in (*ambient_spans(), *ambient_calls()):
            if span.get_span_context() == place:
                return with_ambient_span(span, context)
    except Exception:
        log_failure_once("binding a function to the current session")
    return context
