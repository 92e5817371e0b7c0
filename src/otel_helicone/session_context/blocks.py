"""What the application says itself: ``session(...)``, for everything inside."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast
from uuid import uuid4

from opentelemetry.context import Context, attach, create_key, get_current, set_value

from otel_helicone.primitives.escaping import (
    MAX_PROPERTY_VALUE_LENGTH,
    escape_property_name,
    escape_session_id,
    escape_value,
    split_path,
)
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.primitives.path import Path

__all__ = [
    "Block",
    "Frame",
    "PathBase",
    "block_in",
    "in_use",
    "make_block",
    "safe_properties",
    "session",
    "stay_in",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_BLOCK_KEY: Final = create_key("otel-helicone-session-block")
_NO_PROPERTIES: Final[Mapping[str, str]] = MappingProxyType({})

_order: Final = count(1)

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
    """What the application says of the session, in one entered block or for the rest of a trace.

    Attributes:
        id: the session's id.
        name: its name as it was given; None where that is left to the root span.
        base: where paths inside start; None for the trace's root.
        user_id: the user, or None.
        properties: custom properties.
        order: counts the blocks of the process: the later one of two goes before the other.
    """

    id: str
    name: str | None
    base: PathBase | None
    user_id: str | None
    properties: Mapping[str, str]
    order: int


def make_block(
    around: Block | None,
    session_id: str | None,
    name: str | None,
    segments: Sequence[str] | None,
    user_id: str | None,
    properties: Mapping[str, str],
) -> Block:
    """Return a block with what it takes over from the one around it; all texts are safe already.

    Args:
        around: the block around it, if any.
        session_id: the session's id, if it was given.
        name: the session's name, likewise.
        segments: where paths inside start, likewise.
        user_id: the user, likewise.
        properties: custom properties.
    """
    base = None if segments is None else PathBase(Path.of(segments))
    if around is None:
        made = session_id or str(uuid4())
        return Block(made, name, base, user_id, properties, next(_order))
    says_something = segments is not None or user_id or properties
    stays = session_id is None and name is None and bool(says_something)
    return Block(
        around.id if stays else session_id or str(uuid4()),
        name or around.name,
        base or around.base,
        user_id or around.user_id,
        # The nearest first: where there are too many for a request, the others are left out.
        MappingProxyType({**properties, **around.properties, **properties}),
        next(_order),
    )


class Frame:
    """A block in a context, with the frames around it.

    It is all that a context keeps of a block; contexts are copied into tasks, and one that kept
    the contexts around it would keep their spans alive.
    """

    __slots__ = ("block", "outer", "owner")

    def __init__(self, block: Block, outer: Frame | None, owner: object) -> None:
        self.block = block
        self.outer = outer
        self.owner = owner


def block_in(context: Context | None) -> Block | None:
    """Return the nearest block of a context, of the current one where it is None."""
    frame = _frame_in(get_current() if context is None else context)
    return None if frame is None else frame.block


def _frame_in(context: Context) -> Frame | None:
    frame = context.get(_BLOCK_KEY)
    return frame if isinstance(frame, Frame) else None


def stay_in(block: Block) -> None:
    """Have a block hold in the current context from now on, without an end."""
    global in_use
    in_use = True
    current = get_current()
    attach(set_value(_BLOCK_KEY, Frame(block, _frame_in(current), object()), current))


def _leave(owner: object) -> None:
    """Take the nearest frame of an owner out of the current context, and no other."""
    current = get_current()
    inner: list[Frame] = []
    frame = _frame_in(current)
    while frame is not None and frame.owner is not owner:
        inner.append(frame)
        frame = frame.outer
    if frame is None:
        return  # left in a context that never had the block
    left = frame.outer
    for kept in reversed(inner):
        left = Frame(kept.block, left, kept.owner)
    # No token is used: a block may be left in another task than it was entered in, where a token
    # is refused.
    if left is not None:
        attach(set_value(_BLOCK_KEY, left, current))
    else:
        attach(Context({key: value for key, value in current.items() if key != _BLOCK_KEY}))


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
        self._properties = safe_properties(properties)

    def __enter__(self) -> None:
        attach(self._inside(get_current(), self))

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _leave(self)

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

    def _inside(self, outside: Context, owner: object) -> Context:
        global in_use
        in_use = True
        outer = _frame_in(outside)
        block = make_block(
            None if outer is None else outer.block,
            self._id,
            self._name,
            self._segments,
            self._user_id,
            self._properties,
        )
        return set_value(_BLOCK_KEY, Frame(block, outer, owner), outside)

    @contextmanager
    def _entered(self) -> Generator[None]:
        owner = object()  # one call of a decorated function, whatever thread or task it is in
        attach(self._inside(get_current(), owner))
        try:
            yield
        finally:
            _leave(owner)

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._entered():
                return function(*args, **kwargs)

        return call

    def _around_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self._entered():
                return await function(*args, **kwargs)

        return call

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            inner: Generator[Any, Any, Any] = function(*args, **kwargs)
            own = _OwnContext(self._inside(get_current(), object()))
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
            own = _OwnContext(self._inside(get_current(), object()))
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


def safe_properties(properties: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return custom properties made safe for headers; those that can't be are left out."""
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
