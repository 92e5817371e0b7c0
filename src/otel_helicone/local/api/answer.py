"""Answers of the API, before they become HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Answer", "BrokenCall", "failed", "given", "invalid"]


class BrokenCall(Exception):
    """Helicone breaks on such a call and answers 500; the message is the one in its answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered with.

    Attributes:
        status: the HTTP status.
        body: what is written as JSON.
    """

    status: int
    body: Mapping[str, object]


def given(data: object, status: int = 200) -> Answer:
    """Answer with data.

    Args:
        data: what was asked for; None where there is nothing to say.
        status: the HTTP status.
    """
    return Answer(status, {"data": data, "error": None})


def failed(error: str) -> Answer:
    """Answer that it could not be done.

    Args:
        error: why, in Helicone's words where it has some.
    """
    return Answer(500, {"data": None, "error": error})


def invalid(details: Mapping[str, object]) -> Answer:
    """Answer that the body is not of the right form.

    Args:
        details: what is wrong, by its place in the body.
    """
    return Answer(422, {"message": "Validation Failed", "details": details})
