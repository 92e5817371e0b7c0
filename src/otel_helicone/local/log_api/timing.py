"""When a logged request began and ended, in each of the forms that Helicone takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["InvalidTiming", "LogTiming", "MissingTime", "NotATime", "api_timing", "worker_timing"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LONGER_SECONDS: Final = 4_102_444_800
_MOST_MILLISECONDS: Final = 2**53
# Where the log has no timing, the worker makes it a second long.
_WORKER_MILLISECONDS: Final = 1000


class InvalidTiming(Exception):
    """A timing that the worker refuses; the message is its own."""


class MissingTime(Exception):
    """One of the two times is missing; the message is JavaScript's."""


class NotATime(Exception):
    """A time that does not parse, or that no table can hold: the log is lost."""


@dataclass(frozen=True, slots=True)
class LogTiming:
    """When a logged request was answered.

    Attributes:
        started_at: its start in UTC, to the millisecond.
        latency_ms: milliseconds until its end; negative where it ends before it starts.
        time_to_first_token_ms: as logged, rounded; None for none and for 0.
    """

    started_at: datetime
    latency_ms: int
    time_to_first_token_ms: int | None


def worker_timing(timing: object) -> LogTiming:
    """Read a log's timing as the worker does.

    Args:
        timing: ``{startTime, endTime}`` with ``{seconds, milliseconds}`` each; missing or null
            for a second from now.

    Raises:
        InvalidTiming: for what it answers 400 to.
        MissingTime: for what it answers 500 to.
        NotATime: for what is lost.
    """
    if not timing:
        if timing == {}:
            raise MissingTime("Cannot read properties of undefined (reading 'seconds')")
        return LogTiming(_now(), _WORKER_MILLISECONDS, None)
    if not isinstance(timing, Mapping):
        raise MissingTime("Cannot read properties of undefined (reading 'seconds')")
    times = []
    for side in ("startTime", "endTime"):
        time = timing.get(side)
        if time is None:
            kind = "null" if side in timing else "undefined"
            raise MissingTime(f"Cannot read properties of {kind} (reading 'seconds')")
        for part in ("seconds", "milliseconds"):
            if not _is_number(time.get(part) if isinstance(time, Mapping) else None):
                raise InvalidTiming(f"Invalid timing: '{side}.{part}' should be a number")
        times.append(_milliseconds(time))
    start, end = times
    if start < 0 or end < 0:
        raise InvalidTiming("startTime and endTime cannot be negative")
    if start > end:
        raise InvalidTiming("startTime cannot be greater than endTime")
    return _timing(start, end, timing)


def api_timing(timing: object) -> LogTiming:
    """Read a log's timing as the API server does.

    Args:
        timing: like the worker's, or with ISO 8601, or with seconds or milliseconds since 1970
            as digits; missing or null for now.

    Raises:
        MissingTime: where one of the two times is missing.
        NotATime: for what is lost.
    """
    if timing is None:
        return LogTiming(_now(), 0, None)
    if not isinstance(timing, Mapping) or not (timing.get("startTime") and timing.get("endTime")):
        raise MissingTime("Cannot read properties of undefined")
    return _timing(_milliseconds(timing["startTime"]), _milliseconds(timing["endTime"]), timing)


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _milliseconds(time: object) -> int:
    if isinstance(time, Mapping):
        try:
            return int(float(time["seconds"]) * 1000 + float(time["milliseconds"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise NotATime(str(time)) from None
    if not isinstance(time, str):
        raise NotATime(str(time))
    if time.isascii() and time.isdigit() and len(time) < 18:
        number = int(time)
        return number * 1000 if number < _NO_LONGER_SECONDS else number
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        raise NotATime(time) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _timing(start: int, end: int, timing: Mapping[str, object]) -> LogTiming:
    try:
        started_at = _EPOCH + timedelta(milliseconds=start)
        # Both ends must be times that can be shown.
        _EPOCH + timedelta(milliseconds=end)
    except OverflowError:
        raise NotATime(str(start)) from None
    return LogTiming(started_at, end - start, _first_token(timing.get("timeToFirstToken")))


def _first_token(value: object) -> int | None:
    if not isinstance(value, int | float | str):
        return None
    try:
        milliseconds = math.floor(float(value) + 0.5)
        if abs(milliseconds) > _MOST_MILLISECONDS:
            raise OverflowError
        return milliseconds or None
    except (ValueError, OverflowError):
        raise NotATime(str(value)) from None
