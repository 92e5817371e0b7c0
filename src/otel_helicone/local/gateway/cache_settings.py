"""What a request's headers say about caching, read as Helicone reads them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final

from otel_helicone.local.gateway.upstream import RawHeaders, UpstreamRequest
from otel_helicone.local.wire.javascript import NotJson, parse, stringify

__all__ = ["CacheRefused", "CacheSettings", "cache_key", "cache_settings", "leading_integer"]

_LONGEST_AGE: Final = 365 * 24 * 60 * 60
_DEFAULT_AGE: Final = 7 * 24 * 60 * 60
_LARGEST_BUCKET: Final = 20
_INTEGER: Final = re.compile(r"\s*([+-]?[0-9]{1,15})")
_KEY_HEADERS: Final = ("authorization", "helicone-auth")
# An access token of Google's is another one each hour.
_SHORT_LIVED: Final = "ya29."


class CacheRefused(Exception):
    """The headers ask for what is not allowed; answered with 500 and this text."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How a request is to be cached.

    Attributes:
        reads: whether it may be answered from the cache.
        saves: whether its answer may be kept.
        seconds: how long the answer is kept.
        bucket_size: how many different answers are collected before one of them is given; nothing
            is cached where it is below 1.
        seed: what separates caches of the same request.
        ignored_keys: keys of the body's top level in which requests may differ.
    """

    reads: bool
    saves: bool
    seconds: int
    bucket_size: int
    seed: str
    ignored_keys: tuple[str, ...]


# What most requests ask for, so that their headers are not read for more.
_NO_CACHING: Final = CacheSettings(
    reads=False, saves=False, seconds=_DEFAULT_AGE, bucket_size=1, seed="", ignored_keys=()
)


def cache_settings(headers: RawHeaders) -> CacheSettings:
    """Read the caching headers of a request.

    Args:
        headers: all headers of the request, as they came.

    Raises:
        CacheRefused: for a bucket that is too large.
    """
    if not any(name.lower().startswith(b"helicone-cache") for name, _ in headers):
        return _NO_CACHING
    values = _joined(headers)
    enabled = values.get("helicone-cache-enabled", "").lower() == "true"
    bucket_size = leading_integer(values.get("helicone-cache-bucket-max-size", "1"))
    if bucket_size is not None and bucket_size > _LARGEST_BUCKET:
        raise CacheRefused(f"Cache bucket size cannot be greater than {_LARGEST_BUCKET}")
    control = values.get("cache-control", "")
    ages = [re.search(f"{name}=([0-9]{{1,15}})", control) for name in ("s-maxage", "max-age")]
    age = next((int(found[1]) for found in ages if found), _DEFAULT_AGE)
    ignored = values.get("helicone-cache-ignore-keys", "").split(",")
    return CacheSettings(
        reads=enabled or values.get("helicone-cache-read", "").lower() == "true",
        saves=enabled or values.get("helicone-cache-save", "").lower() == "true",
        seconds=min(age, _LONGEST_AGE),
        bucket_size=bucket_size or 0,
        seed=values.get("helicone-cache-seed", ""),
        ignored_keys=tuple(key.strip() for key in ignored if key.strip()),
    )


def cache_key(request: UpstreamRequest, headers: RawHeaders, settings: CacheSettings) -> bytes:
    """Give what requests with the same answer have in common.

    Args:
        request: where it goes, and its body; blanks in a JSON body make no difference.
        headers: all headers of the request, as they came: keys and caching headers count.
        settings: what :func:`cache_settings` read.
    """
    counting = {
        name: value
        for name, value in _joined(headers).items()
        if name.startswith("helicone-cache")
        or (name in _KEY_HEADERS and not any(p.startswith(_SHORT_LIVED) for p in value.split()))
    }
    parts = (
        settings.seed,
        request.method,
        request.path.decode("latin-1"),
        request.query.decode("latin-1"),
        _body_without(request.body, settings.ignored_keys),
        sorted(counting.items()),
    )
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def leading_integer(text: str) -> int | None:
    """Read a number as JavaScript's ``parseInt`` does: what follows it is left out.

    Args:
        text: the text of a header.

    Returns:
        The number; None where the text does not start with one.
    """
    found = _INTEGER.match(text)
    return int(found[1]) if found else None


def _joined(headers: RawHeaders) -> dict[str, str]:
    values: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        values[name] = f"{values[name]}, {value}" if name in values else value
    return values


def _body_without(body: bytes, ignored_keys: tuple[str, ...]) -> str:
    try:
        parsed = parse(body.decode("utf-8"))
    except (NotJson, UnicodeDecodeError):
        return body.decode("latin-1")
    if isinstance(parsed, dict):
        parsed = {key: value for key, value in parsed.items() if key not in ignored_keys}
    return stringify(parsed)
