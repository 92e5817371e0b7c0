"""From stored spans to logs: each when its place in the session's tree is known.

Children end before their parents, and arrive in other requests. So a span waits until its
ancestors are known up to the root of the trace, or up to one on which the span processor has
written its path; or until nothing has come of its trace for a while, and then it goes with what is
known.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span as OTLPSpan
from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.bridge.spans import Origin, Traits, origin_of, readable, skeleton
from otel_helicone.bridge.spool import Spool
from otel_helicone.bridge.stored import Look, Row
from otel_helicone.delivery.post import Post
from otel_helicone.logs.observed import key_of
from otel_helicone.logs.placing import Placer, SessionNames
from otel_helicone.logs.request_id import request_id_of
from otel_helicone.logs.translating import Skipped, Translator
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.processor import HeliconeSpanProcessor
from otel_helicone.settings.bridge import BridgeSettings

__all__ = ["Assembler"]

# How much is done in one transaction.
_MAX_TRACES: Final = 64
_MAX_SPANS: Final = 500
# Each byte of a span takes some ten of memory while its log is made.
_MAX_BYTES: Final = 4 * 1024 * 1024
# A path shows a few dozen segments of a deep one.
_DEEPEST: Final = 200
# A trace in which something comes all the time, from a process that never ends its first span, is
# never quiet. Its spans wait this many times as long, at most.
_MAX_WAITS: Final = 10
# Of the requests below failed calls, and of the calls that were logged before a restart.
_MAX_AROUND: Final = 1000
# To look at a trace again costs about a millisecond for so many spans as wait in it.
_SPANS_A_MILLISECOND: Final = 100
_MAX_REMEMBERED: Final = 10_000
_MAX_ORIGINS: Final = 2000
_MAX_TENANTS: Final = 100


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where a look at a trace ended early: it holds until more of the trace arrives."""

    last: float
    after: int
    blocked: int


class StoredNames(SessionNames):
    """The names of sessions, kept in the spool too, so that a restart changes none."""

    def __init__(self, spool: Spool, key_name: str) -> None:
        """Begin with those that the spool holds.

        Args:
            spool: where they are kept.
            key_name: whose sessions these are: another organization's are others, even where
                their ids are the same.
        """
        super().__init__()
        self._spool = spool
        self._prefix = f"{key_name}\0" if key_name else ""
        self._new: dict[str, str | None] = {}

    def __contains__(self, session_id: str) -> bool:
        if super().__contains__(session_id):
            return True
        stored = self._spool.session_name(self._prefix + session_id)
        if stored is None:
            return False
        super().__setitem__(session_id, stored[0])
        return True

    def __getitem__(self, session_id: str) -> str | None:
        name = super().__getitem__(session_id)
        self._new[session_id] = name  # it is in use still
        return name

    def __setitem__(self, session_id: str, name: str | None) -> None:
        super().__setitem__(session_id, name)
        self._new[session_id] = name

    def take_new(self) -> dict[str, str | None]:
        """Return the names that were used since the last call; they count as stored then."""
        new, self._new = self._new, {}
        return {self._prefix + session_id: name for session_id, name in new.items()}


class _Tenant:
    """What logs of one organization are made with."""

    def __init__(self, spool: Spool, settings: BridgeSettings, key_name: str) -> None:
        exporter = settings.exporter
        self.names = StoredNames(spool, key_name)
        self.translator = Translator(
            include=exporter.include,
            capture_content=exporter.capture_content,
            redact=exporter.redact,
            properties=exporter.properties,
            placer=Placer(names=self.names, whole_traces=True),
        )
        self._remembered: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, trace_id: bytes) -> bool:
        """Return whether the translator knows nothing of a trace; from now on it does."""
        is_new = trace_id not in self._remembered
        self._remembered[trace_id] = None
        self._remembered.move_to_end(trace_id)
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return is_new


class Assembler:
    """Looks at traces that are due, and makes the logs of their spans. Used by one thread."""

    def __init__(self, spool: Spool, settings: BridgeSettings) -> None:
        """Describe how logs are made.

        Args:
            spool: where the spans are, and where the posts go.
            settings: see :func:`.make_bridge_settings`.
        """
        self._settings = settings
        self._spool = spool
        self._wait = settings.wait
        self._max_body_bytes = settings.exporter.max_body_bytes
        # By the name of the key: what one organization sends says nothing of another's.
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()
        # The rules of the session context that the environment sets, such as how a trace id is
        # written, hold here as they do in an application.
        self._rules = HeliconeSpanProcessor(inject=False, stamp=False, gateway=False)
        self._origins: dict[bytes, Origin] = {}
        # Where looks that were too much for one transaction go on, so that spans that wait for a
        # missing parent are not read again for each of them.
        self._stops: dict[bytes, _Stop] = {}
        self.skipped: Counter[Skipped] = Counter()
        """How many spans were not logged, by the reason."""

    def step(self, now: float, *, release_all: bool = False) -> int | None:
        """Look at traces that are due, and store what that comes to.

        Args:
            now: the time, in seconds since 1970.
            release_all: whether every trace counts as complete.

        Returns:
            How many posts were made; None where no trace was due.

        Raises:
            SpoolFull: where the disk is full; nothing was changed then.
            SpoolError: where the spool can't be written.
        """
        due = self._spool.due_traces(float("inf") if release_all else now, _MAX_TRACES)
        if not due:
            return None
        while len(self._tenants) > _MAX_TENANTS:
            self._tenants.popitem(last=False)
        skipped: Counter[Skipped] = Counter()
        looks: list[Look] = []
        settled = size = 0
        for trace_id, last, has_logs in due:
            look = self._look(trace_id, last, bool(has_logs), now, release_all, skipped)
            looks.append(look)
            settled += len(look.settled)
            size += look.size
            if settled >= 2 * _MAX_SPANS or size > _MAX_BYTES:
                break
        names = [
            (session_id, name, now)
            for tenant in self._tenants.values()
            for session_id, name in tenant.names.take_new().items()
        ]
        try:
            self._spool.settle(looks, names)
        except BaseException:
            self._stops.clear()  # nothing of it was stored, so all of it is looked at again
            raise
        self.skipped += skipped
        return sum(len(look.posts) for look in looks)

    def _look(
        self,
        trace_id: bytes,
        last: float,
        has_logs: bool,
        now: float,
        release_all: bool,
        skipped: Counter[Skipped],
    ) -> Look:
        look = Look(trace_id, last)
        trace = _Trace(self._spool, trace_id)
        is_complete = release_all or now >= last + self._wait
        overdue = now - self._wait * _MAX_WAITS
        stop = self._stops.pop(trace_id, None)
        goes_on = stop is not None and stop.last == last and not is_complete
        after, blocked = (stop.after, stop.blocked) if stop is not None and goes_on else (0, 0)
        while True:
            rows, is_all = self._spool.waiting(trace_id, after, _MAX_SPANS, _MAX_BYTES)
            if not rows:
                break
            after = rows[-1].id
            trace.note(rows)
            ready = [
                row for row in rows if is_complete or row.received < overdue or trace.is_placed(row)
            ]
            blocked += len(rows) - len(ready)
            if ready:
                self._translate(ready, trace, has_logs, look, skipped)
                if len(look.settled) >= _MAX_SPANS or look.size > _MAX_BYTES:
                    look.due = now  # the rest in a transaction of its own
                    self._stops[trace_id] = _Stop(last, after, blocked)
                    return look
            if is_all:
                break
        if blocked:
            look.due = last + self._wait
            look.not_before = now + blocked / _SPANS_A_MILLISECOND / 1000
        return look

    def _translate(
        self,
        ready: list[Row],
        trace: _Trace,
        has_logs: bool,
        look: Look,
        skipped: Counter[Skipped],
    ) -> None:
        by_key: dict[str, list[Row]] = {}
        for row in ready:
            by_key.setdefault(self._origin(row).key_name, []).append(row)
        for key_name, rows in by_key.items():
            self._translate_for(key_name, rows, trace, has_logs, look, skipped)

    def _tenant(self, key_name: str) -> _Tenant:
        tenant = self._tenants.get(key_name)
        if tenant is None:
            tenant = self._tenants[key_name] = _Tenant(self._spool, self._settings, key_name)
        self._tenants.move_to_end(key_name)
        return tenant

    def _translate_for(
        self,
        key_name: str,
        ready: list[Row],
        trace: _Trace,
        has_logs: bool,
        look: Look,
        skipped: Counter[Skipped],
    ) -> None:
        tenant = self._tenant(key_name)
        if tenant.is_new(trace.trace_id) and has_logs:
            # Logged before a restart: whatever else tells of the same calls is not logged again.
            logged = self._spool.logged(trace.trace_id, _MAX_AROUND)
            tenant.translator.remember(
                self._readable(row for row in logged if self._origin(row).key_name == key_name)
            )
        stored = [OTLPSpan.FromString(row.content) for row in ready]
        spans = [
            readable(span, row.traits, self._origin(row))
            for span, row in zip(stored, ready, strict=True)
        ]
        around = trace.ancestors_of(ready)
        if any(not span.status.is_ok for span in spans):
            # Which HTTP status a failed call had, the span of its request may know alone.
            around += self._spool.requests(trace.trace_id, _MAX_AROUND)
        records = tenant.translator.records(spans, self._readable(around))
        skipped.update(records.skipped)
        arrived = {
            request_id_of(key_of(span)): row.received
            for span, row in zip(spans, ready, strict=True)
        }
        for record in records:
            try:
                body = record.to_bytes(self._max_body_bytes)
            except Exception:
                skipped["unreadable"] += 1
                log_failure_once("writing a log")
                continue
            received = arrived.get(record.request_id, look.last)
            post = Post(record.path, body, record.request_id)
            look.posts.append((received, key_name, post))
            look.size += len(body)
        look.settled += [
            (row.id, skeleton(span, structural=False))
            for span, row in zip(stored, ready, strict=True)
        ]

    def _readable(self, rows: Iterable[Row]) -> list[ReadableSpan]:
        return [
            readable(OTLPSpan.FromString(row.content), row.traits, self._origin(row))
            for row in rows
        ]

    def _origin(self, row: Row) -> Origin:
        origin = self._origins.get(row.origin)
        if origin is None:
            if len(self._origins) >= _MAX_ORIGINS:
                self._origins.clear()
            origin = self._origins[row.origin] = origin_of(row.origin)
        return origin

    def close(self) -> None:
        """Take the rules off again."""
        self._rules.shutdown()

    def forget(self, before: float) -> int:
        """Forget some traces in which nothing waits; see :meth:`.Spool.forget`."""
        return self._spool.forget(before, _MAX_SPANS)

    def seconds_until_due(self, now: float) -> float | None:
        """Return how long nothing is to do, 0 for none; None where nothing waits at all."""
        due = self._spool.next_due()
        return None if due is None else max(due - now, 0.0)


class _Trace:
    """What is known of one trace, read from the spool as it is asked for."""

    def __init__(self, spool: Spool, trace_id: bytes) -> None:
        self.trace_id = trace_id
        self._spool = spool
        self._rows: dict[bytes, Row | None] = {}
        self._placed: dict[bytes, bool] = {}

    def note(self, rows: Iterable[Row]) -> None:
        """Take spans that were read anyway."""
        if len(self._rows) > 20 * _MAX_SPANS:
            self._rows.clear()
        self._rows.update((row.span_id, row) for row in rows)

    def _parent_of(self, row: Row) -> Row | None:
        if row.parent_id is None:
            return None
        if row.parent_id not in self._rows:
            self._rows[row.parent_id] = self._spool.span(self.trace_id, row.parent_id)
        return self._rows[row.parent_id]

    def is_placed(self, row: Row) -> bool:
        """Tell whether the ancestors of a span are known as far as they matter."""
        above: list[bytes] = []
        link: Row | None = row
        placed = False
        while link is not None:
            known = self._placed.get(link.span_id)
            if known is not None:
                placed = known
                break
            # Taken for unknown while it is looked for, so that a cycle ends.
            self._placed[link.span_id] = False
            above.append(link.span_id)
            if link.traits & (Traits.ROOT | Traits.STAMPED):
                placed = True
                break
            link = self._parent_of(link) if len(above) < 50 * _DEEPEST else None
        self._placed.update(dict.fromkeys(above, placed))
        return placed

    def ancestors_of(self, rows: Iterable[Row]) -> list[Row]:
        """Return the known ancestors of spans, without these spans themselves."""
        seen = {row.span_id for row in rows}
        found = []
        for row in rows:
            link = self._parent_of(row)
            left = _DEEPEST
            while link is not None and link.span_id not in seen and left:
                seen.add(link.span_id)
                found.append(link)
                link = self._parent_of(link)
                left -= 1
        return found
