"""The ``Helicone-*`` headers of a request, read as Helicone reads them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.cache_settings import leading_integer

__all__ = ["HELICONE_PREFIX", "HeliconeHeaders", "read_helicone_headers"]

HELICONE_PREFIX: Final = b"helicone-"

_PROPERTY_PREFIX: Final = "helicone-property-"
# Versions 1 to 5 with the RFC's variant; every other id was replaced by a random one.
_REQUEST_ID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)
_STRIPE: Final = "x-stripe-customer-id"
_PROPERTIES_BY_THEMSELVES: Final = (
    "Helicone-Prompt-Id",
    "Helicone-Experiment-Id",
    "Helicone-Cache-Control",
)
_NUMBERS: Final = ("Helicone-Cache-Seed", "Helicone-Cache-Bucket-Max-Size")
# Helicone-Auth, but also the keys that Helicone takes for fallbacks and other services.
_HOLDS_SECRETS: Final = re.compile(r"auth|key|secret|fallbacks")


@dataclass(frozen=True, slots=True)
class HeliconeHeaders:
    """What a request's ``Helicone-*`` headers say.

    Attributes:
        request_id: the id to give back: the one that was sent if it is a UUID of version 1 to 5,
            else a random one.
        session_id: None where absent, empty or blank; the same for the next four.
        session_path: as sent.
        session_name: as sent.
        user_id: as sent.
        model_override: the model to record instead of the one that answered.
        properties: by name: those of ``Helicone-Property-*`` in lower case, and what Helicone makes
            of some other headers.
        omit_request: whether the request's body is not to be stored.
        omit_response: whether the answer's body is not to be stored.
        stream_usage: whether a stream is to tell its usage.
        as_sent: every header to keep with the record; those that hold secrets are left out.
    """

    request_id: str
    session_id: str | None
    session_path: str | None
    session_name: str | None
    user_id: str | None
    model_override: str | None
    properties: Mapping[str, str]
    omit_request: bool
    omit_response: bool
    stream_usage: bool
    as_sent: tuple[tuple[str, str], ...]


def read_helicone_headers(headers: Iterable[tuple[bytes, bytes]]) -> HeliconeHeaders:
    r"""Read the ``Helicone-*`` headers of a request.

    Recorded answers of Helicone's worker are the model: a header that comes twice is joined with
    ``, ``; values are UTF-8, and bytes that are not become U+FFFD; the six characters ``\u0000``
    written out in a value are taken out.

    Args:
        headers: all headers of the request, as they came.
    """
    values: dict[str, str] = {}
    as_sent: list[tuple[str, str]] = []
    for raw_name, raw_value in headers:
        name = raw_name.decode("utf-8", "replace")
        lower = name.lower()
        if not lower.startswith("helicone-") and lower != _STRIPE:
            continue
        value = raw_value.decode("utf-8", "replace").replace("\\u0000", "")
        is_property = lower.startswith(_PROPERTY_PREFIX)
        if lower != _STRIPE and (is_property or not _HOLDS_SECRETS.search(lower)):
            as_sent.append((name, value))
        values[lower] = f"{values[lower]}, {value}" if lower in values else value

    def given(name: str) -> str | None:
        value = values.get(name, "")
        return value if value.strip() else None

    request_id = values.get("helicone-request-id", "")
    return HeliconeHeaders(
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid.uuid4()),
        session_id=given("helicone-session-id"),
        session_path=given("helicone-session-path"),
        session_name=given("helicone-session-name"),
        user_id=given("helicone-user-id"),
        model_override=given("helicone-model-override"),
        properties=_properties(values),
        omit_request=values.get("helicone-omit-request") == "true",
        omit_response=values.get("helicone-omit-response") == "true",
        stream_usage=values.get("helicone-stream-usage") == "true",
        as_sent=tuple(as_sent),
    )


def _properties(values: Mapping[str, str]) -> dict[str, str]:
    properties = {
        name.removeprefix(_PROPERTY_PREFIX): value
        for name, value in values.items()
        if name.startswith(_PROPERTY_PREFIX) and name != _PROPERTY_PREFIX
    }
    for name in _PROPERTIES_BY_THEMSELVES:
        value = values.get(name.lower())
        if value:
            properties[name] = value
    if values.get("helicone-cache-enabled") == "true":
        properties["Helicone-Cache-Enabled"] = "true"
    for name in _NUMBERS:
        # What is no number, a name as a seed for instance, is no property.
        number = leading_integer(values.get(name.lower(), ""))
        if number:
            properties[name] = str(number)
    if values.get(_STRIPE):
        properties["stripe_customer_id"] = values[_STRIPE]
    return properties
