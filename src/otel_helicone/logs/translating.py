"""From finished spans to log records: joined, filtered, placed, and with the private parts out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_helicone.dialects.describe import describe, speaks_any
from otel_helicone.dialects.description import Description, Failure, Json, Kind
from otel_helicone.injection import gateway_calls
from otel_helicone.logs.bodies import bodies_of
from otel_helicone.logs.holding import HeldCalls
from otel_helicone.logs.joining import CallJoiner
from otel_helicone.logs.observed import Observed, SpanKey, key_of
from otel_helicone.logs.placing import Placer
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.request_id import note_request_id, request_id_of
from otel_helicone.logs.routes import CUSTOM_PATH, path_for
from otel_helicone.primitives.after_fork import ForkedLock
from otel_helicone.primitives.attribute_names import HELICONE_REQUEST_ID
from otel_helicone.primitives.hosts import normal_host
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.session_context.current import SessionContext
from otel_helicone.session_context.finished import attributes_at_start
from otel_helicone.settings.exporter import Include, Redact
from otel_helicone.settings.in_use import gateway_in_use, is_helicone

__all__ = ["Records", "Skipped", "Translator"]

_CALLS: Final = frozenset({Kind.LLM, Kind.EMBEDDING, Kind.TOOL, Kind.RETRIEVAL})
_NOT_A_CALL: Final = Description(kind=Kind.OTHER)
# What Helicone counts by, and what tells one row from another; a redaction can't change it.
_ESSENTIAL: Final = ("_type", "toolName", "name", "model", "object", "usage", "status")


@dataclass(frozen=True, slots=True)
class _Settings:
    include: Include
    capture_content: bool
    redact: Redact | None
    properties: dict[str, str]


Skipped: TypeAlias = Literal["filtered", "gateway", "joined", "unreadable"]
"""Why a span is not logged: it is none of those that are asked for; Helicone's gateway has logged
the call; another span of the same call stands for it; it can't be read."""


class Records(Iterator[LogRecord]):
    """Log records that are made when they are asked for, and how many are left.

    Attributes:
        skipped: how many spans are not logged, by the reason.
    """

    def __init__(
        self,
        logged: Sequence[tuple[Observed, SessionContext]],
        make: Callable[[Observed, SessionContext], LogRecord],
        skipped: Mapping[Skipped, int],
    ) -> None:
        """Take what is to be logged, and what makes a record of it."""
        self._left = list(reversed(logged))
        self._make = make
        self.skipped = skipped

    def __next__(self) -> LogRecord:
        while self._left:
            try:
                return self._make(*self._left.pop())
            except Exception:
                log_failure_once("making a log of a span")
        raise StopIteration

    def __length_hint__(self) -> int:
        return len(self._left)


class Translator:
    """Makes log records of finished spans. Thread-safe; it remembers earlier batches."""

    def __init__(
        self,
        *,
        include: Include = "calls",
        capture_content: bool = True,
        redact: Redact | None = None,
        properties: Mapping[str, str] | None = None,
        placer: Placer | None = None,
        held: HeldCalls | None = None,
    ) -> None:
        """Describe what is to be logged; see :class:`otel_helicone.HeliconeSpanExporter`.

        Args:
            placer: gives spans their session context; by default it goes by what each export holds.
            held: where calls without content wait; by default none does. Whoever gives it asks
                for those that are due as well.
        """
        self._settings = _Settings(include, capture_content, redact, dict(properties or {}))
        self._joiner = CallJoiner()
        self._placer = Placer() if placer is None else placer
        self._held = held
        self._lock = ForkedLock()

    def records(self, spans: Sequence[ReadableSpan], known: Iterable[ReadableSpan] = ()) -> Records:
        """Make the log records of one export.

        A span that can't be translated is left out, logged once for each cause.

        Args:
            spans: the finished spans.
            known: finished spans around them, such as their ancestors, that are looked at only.

        Returns:
            The records, in the order in which the calls began, each made when it is asked for.
        """
        skipped: Counter[Skipped] = Counter()
        logged = self._logged(spans, known, skipped)
        return Records(logged, self._record, skipped)

    def due_records(self, *, release_all: bool = False) -> Records:
        """Make the log records of calls that have waited long enough for their content.

        Args:
            release_all: whether the time does not count.
        """
        skipped: Counter[Skipped] = Counter()
        chosen: list[tuple[Observed, SessionContext]] = []
        try:
            with self._lock:
                if self._held is not None:
                    due = self._held.due(release_all=release_all)
                    chosen = self._chosen(due, {}, skipped)
        except Exception:
            log_failure_once("logging calls that have waited")
        return Records(chosen, self._record, skipped)

    def seconds_until_due(self) -> float | None:
        """Return how long no call has waited long enough; None where none waits."""
        with self._lock:
            return None if self._held is None else self._held.seconds_until_due()

    def remember(self, spans: Iterable[ReadableSpan]) -> None:
        """Have spans that were logged before, by another process, taken for that.

        Args:
            spans: the finished spans; their content may be missing.
        """
        batch = self._observe(spans, Counter())
        with self._lock:
            self._joiner.join(batch.values())

    def _observe(
        self, spans: Iterable[ReadableSpan], skipped: Counter[Skipped]
    ) -> dict[SpanKey, Observed]:
        batch: dict[SpanKey, Observed] = {}
        for span in spans:
            try:
                batch[key_of(span)] = self._observed(span)
            except Exception:
                skipped["unreadable"] += 1
                log_failure_once("reading a span")
        return batch

    def _logged(
        self,
        spans: Sequence[ReadableSpan],
        known: Iterable[ReadableSpan],
        skipped: Counter[Skipped],
    ) -> list[tuple[Observed, SessionContext]]:
        own = self._observe(spans, skipped)
        around = self._observe(known, Counter())
        try:
            with self._lock:
                # Before any waits: the span of its request may not be there when it goes.
                _tell_http_statuses(own, around)
                return self._chosen(
                    own if self._held is None else self._held.admit(own), around, skipped
                )
        except Exception:
            skipped["unreadable"] += len(own)
            log_failure_once("joining the spans of a call")
            return []

    def _chosen(
        self,
        own: dict[SpanKey, Observed],
        around: dict[SpanKey, Observed],
        skipped: Counter[Skipped],
    ) -> list[tuple[Observed, SessionContext]]:
        batch = {**around, **own}
        calls = self._joiner.join(own.values())
        if self._held is not None:
            self._held.content_came_too_late(self._joiner.take_late())
        skipped["joined"] += len(own) - len(calls)
        included = [observed for observed in calls if self._includes(observed)]
        skipped["filtered"] += len(calls) - len(included)
        joined = [observed for observed in included if not _was_logged(observed, batch)]
        skipped["gateway"] += len(included) - len(joined)
        # Helicone keeps milliseconds; logs of the same one are shown as they came.
        joined.sort(key=lambda observed: observed.start)
        return [(observed, self._place(observed, batch)) for observed in joined]

    def _place(self, observed: Observed, batch: Mapping[SpanKey, Observed]) -> SessionContext:
        if observed.place is not None:
            observed = replace(observed, span=observed.place)
        return self._placer.place(observed, batch)

    def _observed(self, span: ReadableSpan) -> Observed:
        attributes = span.attributes or {}
        start = span.start_time or 0
        end = max(span.end_time or start, start)
        last_event = max((event.timestamp for event in span.events), default=end)
        ends_later, end = last_event > end, max(last_event, end)
        known = speaks_any(attributes) or span.events or self._settings.include != "calls"
        at_start = attributes_at_start(*key_of(span)) if span.dropped_attributes else None
        description = describe(span, at_start) if known else _NOT_A_CALL
        if description.is_completion:
            # Written when the stream had ended, with nothing of its own time but how long it took.
            took = attributes.get("duration")
            if isinstance(took, float) and 0 < took < 86_400:
                start = end - int(took * 1e9)
        noted = attributes.get(HELICONE_REQUEST_ID)
        if isinstance(noted, str):
            note_request_id(key_of(span), noted)
        through_gateway = noted is not None or (
            description.kind.is_call and _is_gateway(description)
        )
        return Observed(span, description, start, end, ends_later, through_gateway)

    def _includes(self, observed: Observed) -> bool:
        include = self._settings.include
        if callable(include):
            try:
                return bool(include(observed.span))
            except Exception:
                log_failure_once("asking `include` about a span")
                return observed.description.kind in _CALLS
        return include == "all" or observed.description.kind in _CALLS

    def _record(self, observed: Observed, context: SessionContext) -> LogRecord:
        description = observed.description
        path = path_for(description) if description.kind.is_call else CUSTOM_PATH
        settings = self._settings
        if settings.properties:
            merged = {**settings.properties, **context.properties}
            context = replace(context, properties=merged)
        omit_request, omit_response = (
            bool(description.omit_request),
            bool(description.omit_response),
        )
        created = observed.start // 1_000_000_000
        name = str(observed.span.name)  # SDKs take values there that are not strings

        def bodies(*, content: bool) -> tuple[dict[str, Json], dict[str, Json]]:
            return bodies_of(
                description, path=path, created=created, content=content, name=name[:256]
            )

        request, response = bodies(content=settings.capture_content)
        if settings.capture_content and (settings.redact or omit_request or omit_response):
            bare_request, bare_response = bodies(content=False)
            request = bare_request if omit_request else self._redacted(request, bare_request)
            response = bare_response if omit_response else self._redacted(response, bare_response)
        seconds = description.seconds_to_first_token
        return LogRecord(
            path=path,
            request_id=request_id_of(observed.key),
            context=context,
            request=request,
            response=response,
            status=_status(description.http_status, description.failure),
            start=observed.start,
            end=observed.end,
            milliseconds_to_first_token=None
            if seconds is None or not 0 <= seconds < 86_400
            else round(seconds * 1000),
            omit_request=omit_request,
            omit_response=omit_response,
        )

    def _redacted(self, body: dict[str, Json], bare: dict[str, Json]) -> dict[str, Json]:
        redact = self._settings.redact
        if redact is None:
            return body
        try:
            given = redact(dict(body))
            if given is None:
                return bare
            if not isinstance(given, dict):
                raise TypeError(f"redact gave {type(given).__name__}, not a dict")
        except Exception:
            log_failure_once("redacting a body")
            return bare
        essential: dict[str, Json] = {name: body[name] for name in _ESSENTIAL if name in body}
        return {**given, **essential}


def _status(told: int | None, failure: Failure | None) -> int:
    if failure is None:
        return told if told is not None and 100 <= told < 400 else 200
    return told if told is not None and 400 <= told < 600 else 500


def _is_gateway(description: Description) -> bool:
    address = description.server_address
    if address is None:
        return False
    return is_helicone(normal_host(address), description.server_port)


def _tell_http_statuses(own: dict[SpanKey, Observed], around: Mapping[SpanKey, Observed]) -> None:
    """Tell failed calls the HTTP status that only the span of their request has."""
    for observed in [*around.values(), *own.values()]:
        if observed.span.kind is not SpanKind.CLIENT or observed.description.kind.is_call:
            continue
        parent = own.get(observed.parent or (0, 0))
        attributes = observed.span.attributes or {}
        status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
        if parent is None or not isinstance(status, int) or status < 400:
            continue
        failed = parent.description
        if failed.kind.is_call and failed.failure is not None and failed.http_status is None:
            own[parent.key] = replace(parent, description=replace(failed, http_status=status))


def _was_logged(observed: Observed, batch: dict[SpanKey, Observed]) -> bool:
    """Return whether Helicone's gateway has logged a call already."""
    if observed.through_gateway:
        # A tool or a retrieval in which a call was made has the id of that call.
        return observed.description.kind not in (Kind.TOOL, Kind.RETRIEVAL)
    if not observed.description.kind.is_call:
        return False
    if observed.description.server_address is not None and not gateway_in_use():
        return False  # told, and not a gateway
    # Some instrumentations' spans are not current while the request is sent, so that Helicone's
    # answer is noted on a span around them.
    if gateway_calls.claim(observed.key[0], observed.start, observed.end):
        return True
    # A root that is never current, as that of a model which LangChain calls outside of all chains.
    if observed.parent is None and gateway_calls.claim(
        gateway_calls.NO_TRACE, observed.start, observed.end
    ):
        return True
    parent = batch.get(observed.parent or (0, 0))
    return parent is not None and not parent.description.kind.is_call and parent.through_gateway
