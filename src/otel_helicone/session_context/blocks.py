"""What the application says itself: ``session(...)``, for everything inside."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast
from uuid import uuid4

from opentelemetry.context import Context, attach, create_key, get_current, set_value

from otel_helicone.log_once import log_failure_once
from otel_helicone.session_context.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_session_id,
    escape_value,
    split_path,
)
from otel_helicone.session_context.path import Path

__all__ = ["Block", "PathBase", "block_in", "in_use", "session"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_BLOCK_KEY: Final = create_key("otel-helicone-session-block")
_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})

# Until the first block of the process, no span has to look for one at its start (0.15 µs).
in_use = False
"""Whether the process has entered any block yet."""


class PathBase:
    """The path that paths in a block start from; its identity tells which spans are inside."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path


@dataclass(frozen=True)
class Block:
    """One entered ``session(...)`` block, with what it takes over from the blocks around it."""

    id: str
    name: str | None
    base: PathBase | None
    user_id: str | None
    properties: Mapping[str, str]


def block_in(context: Context | None) -> Block | None:
    """Give the nearest block of a context, of the current one where it is None."""
    block = (get_current() if context is None else context).get(_BLOCK_KEY)
    return block if isinstance(block, Block) else None


class session:  # noqa: N801 - used like a function, as contextlib's own classes are
    """Say which session everything inside belongs to.

    A context manager, and a decorator for functions, coroutines, generators and async generators.
    What it sets holds for all LLM calls and spans inside, in tasks started there too, and ends
    with the block. A decorated generator keeps its session to itself: its consumer, between two
    items, is outside.

    Blocks nest. What an inner block is not given, it takes over from the one around it, the
    session's id included, save that a block with a new name, or with nothing at all, is a new
    session: Helicone groups requests by id and name together.

    Example::

        with session("conversation-17", name="Support chat", user_id="u1"):
            client.chat.completions.create(...)

    Args:
        id: the session's id. None makes a random UUID for each time the block is entered.
        name: the session's name. None leaves it to the root span's name.
        path: where paths inside start, such as ``/parent/child``, instead of at the trace's root.
        user_id: the user, sent as ``Helicone-User-Id``.
        properties: custom properties, sent as ``Helicone-Property-*``; names are lower-cased.

    Values are made safe for a header by percent-encoding; nothing here raises.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - Helicone's word for it
        *,
        name: str | None = None,
        path: str | None = None,
        user_id: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._id = escape_session_id(id)
        self._name = escape_value(name)
        self._segments = None if path is None else split_path(path)
        self._user_id = escape_value(user_id)
        self._properties = _safe_properties(properties)
        # One entry for each time that this object is entered and not yet left.
        self._entered: list[tuple[Context, Context]] = []

    def __enter__(self) -> None:
        outside = get_current()
        inside = self._inside(outside)
        self._entered.append((outside, inside))
        attach(inside)

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        current = get_current()
        block = current.get(_BLOCK_KEY)
        # The same object may be entered by several tasks at once: find the entry of this one.
        for index in range(len(self._entered) - 1, -1, -1):
            outside, inside = self._entered[index]
            if inside.get(_BLOCK_KEY) is block:
                del self._entered[index]
                # No token is used: a block may be left in another task than it was entered in,
                # where a token is refused.
                if current is inside:
                    attach(outside)
                else:
                    attach(set_value(_BLOCK_KEY, outside.get(_BLOCK_KEY), current))
                return
        # Left in a context that never had the block: there is nothing to take away.
        if self._entered:
            self._entered.pop()

    def __call__(self, function: Callable[_P, _R]) -> Callable[_P, _R]:
        """Decorate a function: each call of it is a block of its own."""
        wrapper: Any
        if inspect.isasyncgenfunction(function):
            wrapper = self._around_async_generator(function)
        elif inspect.isgeneratorfunction(function):
            wrapper = self._around_generator(function)
        elif inspect.iscoroutinefunction(function):
            wrapper = self._around_coroutine(function)
        else:
            wrapper = self._around_function(function)
        return cast("Callable[_P, _R]", functools.wraps(function)(wrapper))

    def _inside(self, outside: Context) -> Context:
        global in_use
        in_use = True
        return set_value(_BLOCK_KEY, self._block(block_in(outside)), outside)

    def _block(self, around: Block | None) -> Block:
        base = None if self._segments is None else PathBase(Path.of(self._segments))
        if around is None:
            return Block(
                self._id or str(uuid4()), self._name, base, self._user_id, self._properties
            )
        says_something = self._segments is not None or self._user_id or self._properties
        stays = self._id is None and self._name is None and bool(says_something)
        return Block(
            around.id if stays else self._id or str(uuid4()),
            self._name or around.name,
            base or around.base,
            self._user_id or around.user_id,
            MappingProxyType({**around.properties, **self._properties}),
        )

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return call

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self:
                return await function(*args, **kwargs)

        return call

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner: Generator[Any, Any, Any] = function(*args, **kwargs)
            own = _OwnContext(self._inside(get_current()))
            step: Callable[[], Any] = functools.partial(next, inner)
            while True:
                try:
                    with own:
                        item = step()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with own:
                        inner.close()
                    raise
                except BaseException as error:
                    step = functools.partial(inner.throw, error)
                else:
                    step = functools.partial(inner.send, sent)

        return iterate

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def iterate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            inner: AsyncGenerator[Any, Any] = function(*args, **kwargs)
            own = _OwnContext(self._inside(get_current()))
            step: Callable[[], Any] = inner.__anext__
            while True:
                try:
                    with own:
                        item = await step()
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                except GeneratorExit:
                    with own:
                        await inner.aclose()
                    raise
                except BaseException as error:
                    step = functools.partial(inner.athrow, error)
                else:
                    step = functools.partial(inner.asend, sent)

        return iterate


class _OwnContext:
    """The context that a generator runs in, put aside while its consumer runs.

    It is kept from one item to the next, so that a span which the generator opened is still the
    current one after a ``yield``, and is not the consumer's.
    """

    __slots__ = ("_context", "_outside")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._outside = context

    def __enter__(self) -> None:
        self._outside = get_current()
        attach(self._context)

    def __exit__(self, *exception: object) -> None:
        self._context = get_current()
        attach(self._outside)
        # Nothing of the consumer's is kept until it asks for the next item.
        self._outside = self._context


def _safe_properties(properties: Mapping[str, str] | None) -> Mapping[str, str]:
    if not properties:
        return _NO_PROPERTIES
    safe = {}
    try:
        pairs = list(properties.items())
    except Exception:
        log_failure_once("reading the properties of a session block")
        return _NO_PROPERTIES
    for name, value in pairs:
        safe_name = escape_property_name(name)
        safe_value = escape_value(value, MAX_PROPERTY_VALUE_LENGTH)
        if safe_name is not None and safe_value is not None:
            safe[safe_name] = safe_value
    return MappingProxyType(safe)
