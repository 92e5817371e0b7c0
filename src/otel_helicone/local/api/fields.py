"""Reading the fields of a posted body, and saying what is wrong with them as Helicone does."""

from __future__ import annotations

import math
from collections.abc import Mapping

from otel_helicone.local.wire.javascript import as_string, without_lone_surrogates

__all__ = ["Fields", "InvalidBody"]


class InvalidBody(Exception):
    """A body has not the right form.

    Attributes:
        details: what is wrong, by its place in the body.
    """

    def __init__(self, details: Mapping[str, object]) -> None:
        """Note what is wrong."""
        super().__init__(", ".join(details))
        self.details = details


class Fields:
    """Reads fields one by one, and collects what is wrong; :meth:`check` comes last.

    What a method gives for a field that is wrong is of the right type and has no meaning.
    """

    def __init__(self, body: Mapping[str, object], at: str = "requestBody") -> None:
        """Begin.

        Args:
            body: the object that has the fields.
            at: the object's place, for messages.
        """
        self._body = body
        self._at = at
        self._problems: dict[str, object] = {}
        self._known: set[str] = set()

    def text(self, name: str) -> str:
        """Read a text that has to be there."""
        value = self._required(name)
        if isinstance(value, str):
            # They cannot be stored, and nothing stored has them.
            return without_lone_surrogates(value)
        self._wrong(name, "invalid string value", value)
        return ""

    def text_or_none(self, name: str) -> str | None:
        """Read a text that may be missing."""
        return self.text(name) if self._has(name) else None

    def number(self, name: str) -> float:
        """Read a number that has to be there; digits in quotes are one as well."""
        value = self._required(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = math.nan
            if math.isfinite(number):
                return number
        self._wrong(name, "invalid float number", value)
        return 0.0

    def number_or(self, name: str, default: float) -> float:
        """Read a number that may be missing."""
        return self.number(name) if self._has(name) else default

    def truth(self, name: str) -> bool:
        """Read a bool that has to be there; the words in quotes are one as well."""
        value = self._required(name)
        word = as_string(value).lower() if isinstance(value, bool | str) else ""
        if word not in ("true", "false"):
            self._wrong(name, "invalid boolean value", value)
        return word == "true"

    def truth_or_none(self, name: str) -> bool | None:
        """Read a bool that may be missing."""
        return self.truth(name) if self._has(name) else None

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """Read one of some texts; it may be missing."""
        if not self._has(name):
            return default
        value = self._required(name)
        if isinstance(value, str) and value in choices:
            return value
        named = ",".join(f"'{choice}'" for choice in choices)
        self._wrong(name, f"should be one of the following; [{named}]", value)
        return default

    def part(self, name: str) -> Fields:
        """Read an object that has to be there; what is wrong in it is collected here."""
        value = self._required(name)
        fields = Fields(value if isinstance(value, Mapping) else {}, f"{self._at}.{name}")
        # Nothing inside of it is to be missed where it is missing itself.
        fields._problems = self._problems if isinstance(value, Mapping) else {}
        if not isinstance(value, Mapping):
            self._wrong(name, "invalid object", value)
        return fields

    def part_or_none(self, name: str) -> Fields | None:
        """Read an object that may be missing."""
        return self.part(name) if self._has(name) else None

    def anything(self, name: str) -> object:
        """Read a value of whatever form, which has to be there."""
        return self._required(name)

    def anything_or(self, name: str, default: object) -> object:
        """Read a value of whatever form, which may be missing."""
        return self._required(name) if self._has(name) else default

    def only_these(self) -> None:
        """Find the fields wrong that were not read."""
        for name in self._body:
            if name not in self._known:
                message = f'"{name}" is an excess property and therefore is not allowed'
                self._problems[f"{self._at}.{name}"] = {"message": message, "value": name}

    def check(self) -> None:
        """End reading.

        Raises:
            InvalidBody: where anything was wrong, or a field is there that was not read.
        """
        self.only_these()
        if self._problems:
            raise InvalidBody(self._problems)

    def _has(self, name: str) -> bool:
        self._known.add(name)
        return name in self._body

    def _required(self, name: str) -> object:
        if not self._has(name):
            self._problems[f"{self._at}.{name}"] = {"message": f"'{name}' is required"}
        return self._body.get(name)

    def _wrong(self, name: str, message: str, value: object) -> None:
        place = f"{self._at}.{name}"
        if place not in self._problems:
            self._problems[place] = {"message": message, "value": value}
