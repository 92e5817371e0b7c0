"""One row of the table of settings, and how its value is found.

From an argument or an option of a command, else from an environment variable, else a default.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

__all__ = [
    "Kind",
    "MissingSetting",
    "Setting",
    "SettingError",
    "WrongValue",
    "documented",
    "read_settings",
    "rows_of",
    "setting",
]

_METADATA: Final = "otel-helicone setting"
_SECRET: Final = "…"


class SettingError(ValueError):
    """A setting has a value that can't be used.

    The message names the setting (the argument or the environment variable that the value came
    from), the value, and what would be right.
    """

    def __init__(self, setting: str, value: object, remedy: str) -> None:
        try:
            shown = repr(value)
        except Exception:  # an object of the application's
            shown = object.__repr__(value)
        super().__init__(f"{setting}={shown} can't be used: {remedy}")


class MissingSetting(SettingError):
    """A setting that is needed has no value; the message names it, and what to set it to."""

    def __init__(self, setting: str, remedy: str) -> None:
        ValueError.__init__(self, f"{setting} is not set: {remedy}")


class WrongValue(ValueError):
    """What would be right; becomes a SettingError with the setting's name and value."""


class Kind(NamedTuple):  # a fifth of what a dataclass adds to the import
    """How the values of a setting are read and checked.

    Attributes:
        parse: makes a value of the variable's text; may raise :class:`WrongValue`.
        check: takes a value, and raises :class:`WrongValue` for one that can't be used.
    """

    parse: Callable[[str], object]
    check: Callable[[Any], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table.

    Attributes:
        name: the keyword argument, which is the field's name.
        variable: the environment variable; empty for none.
        meaning: one line about it, in Markdown.
        kind: how its value is read and checked.
        default: what holds where it is not given.
        default_text: the default as it would be written in the variable; empty for nothing.
        is_secret: whether its value must not be shown.
        option: the option of a command; empty for none.
        metavar: what stands for the option's value in its help; empty for an option without one.
        repeats: whether the option may be given more than once, for a list.
        group: the heading that the option stands under in the command's help; empty for none.
    """

    name: str = ""
    variable: str
    meaning: str
    kind: Kind
    default: object
    default_text: str
    is_secret: bool = False
    option: str = ""
    metavar: str = ""
    repeats: bool = False
    group: str = ""

    def read(self, given: object, environ: Mapping[str, str]) -> Any:
        """Return the setting's value.

        Args:
            given: the argument; None where the variable is to be read.
            environ: the environment variables.

        Raises:
            SettingError: for a value that can't be used.
        """
        value, source = given, self.option or self.name
        if given is None:
            # An empty variable counts as unset, as OpenTelemetry's specification has it.
            value = environ.get(self.variable, "").strip() if self.variable else ""
            source = self.variable
            if not value:
                return self.default
        try:
            if given is None and isinstance(value, str):
                return self.kind.check(self.kind.parse(value))
            return self.kind.check(value)
        except WrongValue as wrong:
            raise SettingError(source, _SECRET if self.is_secret else value, str(wrong)) from None


def setting(
    variable: str,
    meaning: str,
    *,
    kind: Kind,
    default: object,
    default_text: str | None = None,
    is_secret: bool = False,
    option: str = "",
    metavar: str = "",
    repeats: bool = False,
    group: str = "",
) -> Any:
    """Return a dataclass field that is a row of the table; see :class:`Setting`."""
    if default_text is None:
        default_text = str(default).lower() if isinstance(default, bool) else str(default or "")
    row = Setting(
        variable=variable,
        meaning=meaning,
        kind=kind,
        default=default,
        default_text=default_text,
        is_secret=is_secret,
        option=option,
        metavar=metavar,
        repeats=repeats,
        group=group,
    )
    # By a factory, because a default that is a mapping would be taken for a mistake.
    return dataclasses.field(
        default_factory=lambda: default, repr=not is_secret, metadata={_METADATA: row}
    )


def rows_of(settings: type) -> Iterator[Setting]:
    """Return the rows of a component's settings, in their order."""
    for field in dataclasses.fields(settings):
        row = field.metadata.get(_METADATA)
        if row is not None:
            yield dataclasses.replace(row, name=field.name)


_Documented = TypeVar("_Documented", bound=Callable[..., Any])


def documented(*settings: type) -> Callable[[_Documented], _Documented]:
    """Return a decorator that lists settings as arguments of a class or a function.

    Type checkers know them from its ``**options``; this is for those who look at run time.

    Args:
        settings: the dataclasses whose fields are the rows. They stand in the signature, and where
            the docstring says ``{settings}``.
    """
    rows = {row.name: row for one in settings for row in rows_of(one)}

    def decorate(decorated: _Documented) -> _Documented:
        called: Any = decorated
        if isinstance(decorated, type):
            called = vars(decorated)["__init__"]
        called.__signature__ = _signature(called, rows)
        if decorated.__doc__ is not None:  # without `python -OO`
            lines = ["Args:", *(line for row in rows.values() for line in _argument(row))]
            decorated.__doc__ = decorated.__doc__.replace("{settings}", "\n    ".join(lines))
        return decorated

    return decorate


def _signature(called: Callable[..., Any], rows: Iterable[str]) -> inspect.Signature:
    signature = inspect.signature(called)
    kept = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    keyword: Final = inspect.Parameter.KEYWORD_ONLY
    options = [inspect.Parameter(name, keyword, default=None) for name in rows]
    return signature.replace(parameters=[*kept, *options])


def _argument(row: Setting) -> list[str]:
    default = f"``{row.default_text}``" if row.default_text else "none"
    text = f"{row.name}: {row.meaning}; {default} by default. ``{row.variable}``."
    return textwrap.wrap(
        text.replace("``", "`").replace("`", "``"),
        width=92,
        initial_indent="    ",
        subsequent_indent="        ",
    )


def read_settings(
    settings: type, given: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the checked values of a component's settings, by their names.

    Args:
        settings: the dataclass whose fields are the rows.
        given: the arguments; what is missing or None is read from the environment.
        environ: where to read environment variables; the process's own by default.

    Raises:
        SettingError: for the first value that can't be used.
        TypeError: for an argument that is no setting.
    """
    environ = os.environ if environ is None else environ
    rows = {row.name: row for row in rows_of(settings)}
    for name in given:
        if name not in rows:
            raise TypeError(f"{name!r} is no setting; there are {', '.join(rows)}")
    return {name: row.read(given.get(name), environ) for name, row in rows.items()}
