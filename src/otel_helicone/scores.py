"""The log-record exporter: makes Helicone scores of evaluation results."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.set_up_faults import key_use
from otel_helicone.settings.exporter import (
    ScoreExporterOptions,
    ScoreExporterSettings,
    make_score_exporter_settings,
)
from otel_helicone.settings.reading import documented

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_helicone.delivery import Delivery, Post

__all__ = ["HeliconeScoreExporter"]

_EVENT: Final = "gen_ai.evaluation.result"
_NAME: Final = "gen_ai.evaluation.name"
_VALUE: Final = "gen_ai.evaluation.score.value"
_LABEL: Final = "gen_ai.evaluation.score.label"
_MAX_NAME_LENGTH: Final = 128
# Larger ones lose digits on their way through Helicone's API.
_MAX_VALUE: Final = 2**53
_LABELS: Final = {
    "pass": True,
    "passed": True,
    "true": True,
    "yes": True,
    "fail": False,
    "failed": False,
    "false": False,
    "no": False,
}


@documented(ScoreExporterSettings)
class HeliconeScoreExporter:
    """Makes Helicone scores of OpenTelemetry's ``gen_ai.evaluation.result`` events.

    The events are log records whose parent is the evaluated span; the score is put on the request
    that the span exporter logged for that span, or that Helicone's gateway logged when the call
    went through it.

    Example::

        logger_provider.add_log_record_processor(BatchLogRecordProcessor(HeliconeScoreExporter()))

    Helicone takes whole numbers and booleans. A whole number stays; a ``float`` is given in
    hundredths and rounded, so that 0.85 is 85; a result with a label alone is a boolean for
    ``pass``/``fail``, ``true``/``false`` and ``yes``/``no``, and left out otherwise. Helicone drops
    scores of requests that it does not have yet, so the spans should be exported before.

    Each argument may be given by an environment variable; the argument wins.

    {settings}
        meter_provider: where the exporter's own metrics go; the global one by default.

    Raises:
        SettingError: for a value that can't be used, a key aside; nothing else here ever raises.
    """

    # It has the methods of the SDK's LogRecordExporter without its class, which is still in a
    # private module of the SDK and was called LogExporter in older versions of it.

    def __init__(
        self,
        *,
        meter_provider: MeterProvider | None = None,
        **options: Unpack[ScoreExporterOptions],
    ) -> None:
        self._settings = make_score_exporter_settings(options)
        self._is_shut_down = False
        self._delivery: Delivery | None = None
        if self._settings.api_key is not None:
            key_use.note()
            from otel_helicone.delivery import Delivery, judge_score

            self._delivery = Delivery(
                endpoint=self._settings.endpoint,
                api_key=self._settings.api_key,
                judge=judge_score,
                max_in_flight=self._settings.max_in_flight,
                component_type="helicone_score_exporter",
                meter_provider=meter_provider,
            )

    def export(self, batch: Sequence[Any]) -> Any:
        """Send the scores among log records. Called by a processor of the SDK; never raises.

        Args:
            batch: log records, as the SDK hands them over; others than evaluation results are
                passed by.

        Returns:
            The SDK's result.
        """
        try:
            posts = list(self._posts(batch))
            if not posts:
                return _result(succeeded=True)
            if self._delivery is None or self._is_shut_down:
                return _result(succeeded=False)
            outcome = self._delivery.send(posts, self._settings.timeout)
            return _result(succeeded=outcome.is_complete)
        except Exception:
            log_failure_once("exporting scores")
            return _result(succeeded=False)

    def _posts(self, batch: Sequence[Any]) -> Iterator[Post]:
        """Gather the scores of each request: each post makes Helicone write its row again."""
        from otel_helicone.delivery import Post
        from otel_helicone.logs.request_id import request_id_for

        gathered: dict[str, dict[str, int | bool]] = {}
        for item in batch:
            try:
                record = getattr(item, "log_record", item)
                score = _score_of(record)
                if score is not None and record.trace_id and record.span_id:
                    request_id = request_id_for((record.trace_id, record.span_id))
                    gathered.setdefault(request_id, {}).update([score])
            except Exception:
                log_failure_once("reading an evaluation result")
        for request_id, scores in gathered.items():
            body = json.dumps({"scores": scores}).encode()
            yield Post(f"/v1/request/{request_id}/score", body, request_id)

    def force_flush(self, timeout_millis: int = 10_000) -> bool:
        """Do nothing: nothing is held back between exports.

        Returns:
            True.
        """
        return True

    def shutdown(self) -> None:
        """Stop: an export that is under way may end, further ones are dropped."""
        if self._is_shut_down:
            return
        self._is_shut_down = True
        try:
            if self._delivery is not None:
                self._delivery.shutdown(self._settings.timeout)
        except Exception:
            log_failure_once("shutting an exporter down")

    def __repr__(self) -> str:
        return f"HeliconeScoreExporter(endpoint={self._settings.endpoint!r})"


def _score_of(record: Any) -> tuple[str, int | bool] | None:
    attributes: Mapping[str, Any] = record.attributes or {}
    event = getattr(record, "event_name", None) or attributes.get("event.name")
    if event != _EVENT:
        return None
    name = attributes.get(_NAME)
    if not isinstance(name, str) or not name.strip():
        return None
    value = _value_of(attributes)
    return None if value is None else (name.strip()[:_MAX_NAME_LENGTH], value)


def _value_of(attributes: Mapping[str, Any]) -> int | bool | None:
    value = attributes.get(_VALUE)
    if isinstance(value, float):
        value = round(value * 100) if math.isfinite(value) else None
    if isinstance(value, int):
        return value if isinstance(value, bool) or abs(value) <= _MAX_VALUE else None
    label = attributes.get(_LABEL)
    known = _LABELS.get(label.strip().lower()) if isinstance(label, str) else None
    if known is None:
        warn_once(
            f"score:{str(attributes.get(_NAME))[:_MAX_NAME_LENGTH]}",
            "An evaluation result is no Helicone score: it has neither a number nor a label such"
            " as 'pass' or 'fail'. Others of its name are passed by likewise.",
        )
    return known


def _result(*, succeeded: bool) -> Any:
    # In a private module, as all of the SDK's logs still are; its users have it imported anyway.
    from opentelemetry.sdk._logs import export

    results = getattr(export, "LogRecordExportResult", None)
    if results is None:
        results = getattr(export, "LogExportResult")  # noqa: B009 - its name in older versions
    return results.SUCCESS if succeeded else results.FAILURE
