"""Methods of other packages' classes that are replaced while injection is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from wrapt import FunctionWrapper

__all__ = ["Method", "replace_method", "restore_methods"]

Method: TypeAlias = Callable[..., Any]


class _Replaced(NamedTuple):
    owner: type
    name: str
    replacement: Method
    own: Method | None
    """The class's own method that stood there before; None where it was inherited."""


# In the order in which they were replaced: once for each method, unless somebody has put something
# else over a replacement that doesn't tell what is below it.
_replaced: Final[list[_Replaced]] = []


def replace_method(owner: type, name: str, wrap: Callable[[Method], Method]) -> None:
    """Replace a method of a class; once, however often it is called.

    Instrumentations, OpenTelemetry's among them, put a wrapper of ``wrapt`` around a method, and
    take off the outermost one when they are removed. So the replacement goes below those.

    Args:
        owner: the class.
        name: the name of a method that it has.
        wrap: is given the method, and returns what is to stand there instead: a function that
            names the method as ``__wrapped__``, as ``functools.wraps`` does.
    """
    known = {one.replacement for one in _replaced if (one.owner, one.name) == (owner, name)}
    if known and _reaches(getattr(owner, name), known):
        return
    own: Method | None = vars(owner).get(name)
    lowest: Any = None
    while isinstance(own, FunctionWrapper):
        lowest, own = own, own.__wrapped__
    replacement = wrap(getattr(owner, name) if own is None else own)
    _replaced.append(_Replaced(owner, name, replacement, own))
    if lowest is None:
        setattr(owner, name, replacement)
    else:
        lowest.__wrapped__ = replacement


def restore_methods() -> None:
    """Leave all classes as they were found.

    A method that somebody else has wrapped since with a function can't be taken out from below; it
    stays, and does nothing as long as no processor is in use.
    """
    for entry in reversed(tuple(_replaced)):
        owner, name, replacement, own = entry
        found: Any = vars(owner).get(name)
        above: Any = None
        while isinstance(found, FunctionWrapper):
            found, above = found.__wrapped__, found
        if found is not replacement:
            continue
        if above is not None:
            above.__wrapped__ = vars(replacement)["__wrapped__"] if own is None else own
        elif own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
        _replaced.remove(entry)


def _reaches(method: Method, known: set[Method]) -> bool:
    """Return whether a method is one of ours, or a wrapper around it that says so."""
    found: Method | None = method
    while found is not None:
        if found in known:
            return True
        found = getattr(found, "__wrapped__", None)
    return False
