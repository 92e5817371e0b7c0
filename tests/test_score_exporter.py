"""Evaluation results become scores of the request that was evaluated."""

from __future__ import annotations

import inspect
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_helicone import (
    HeliconeScoreExporter,
    HeliconeSpanExporter,
    HeliconeSpanProcessor,
    SettingError,
)
from otel_helicone.local.server import LocalHelicone

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


@pytest.fixture
def helicone(tmp_path: Path) -> Iterator[LocalHelicone]:
    with LocalHelicone(tmp_path / "requests.db", latency=0) as server:
        yield server


@pytest.fixture
def scores(helicone: LocalHelicone) -> Iterator[HeliconeScoreExporter]:
    exporter = HeliconeScoreExporter(endpoint=helicone.url, api_key=KEY)
    yield exporter
    exporter.shutdown()


@pytest.fixture
def provider(helicone: LocalHelicone) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(HeliconeSpanProcessor(gateway_hosts=[helicone.host]))
    exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def evaluated(context: Any, name: str, **attributes: Any) -> SimpleNamespace:
    """Make what the SDK hands to an exporter of log records."""
    told = {f"gen_ai.evaluation.{key.replace('__', '.')}": v for key, v in attributes.items()}
    return SimpleNamespace(
        log_record=SimpleNamespace(
            event_name="gen_ai.evaluation.result",
            trace_id=context.trace_id,
            span_id=context.span_id,
            attributes={
                "gen_ai.evaluation.name": name,
                **told,
            },
        )
    )


def scores_of(helicone: LocalHelicone) -> list[dict[str, Any]]:
    helicone.settle()
    return [dict(row.scores) for row in helicone.store.requests()]


def call(provider: TracerProvider) -> Any:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    with provider.get_tracer("app").start_as_current_span("chat", attributes=attributes) as span:
        return span.get_span_context()


def test_numbers_and_labels_become_scores(
    helicone: LocalHelicone, provider: TracerProvider, scores: HeliconeScoreExporter
) -> None:
    context = call(provider)
    result = scores.export(
        [
            evaluated(context, "stars", score__value=4),
            evaluated(context, "relevance", score__value=0.85),
            evaluated(context, "faithful", score__label="pass"),
            evaluated(context, "tone", score__label="friendly"),
            evaluated(context, "broken", score__value=float("nan")),
            SimpleNamespace(log_record=SimpleNamespace(event_name="other", attributes=None)),
        ]
    )
    assert result.name == "SUCCESS"
    assert scores_of(helicone) == [{"stars": 4, "relevance": 85, "faithful-hcone-bool": 1}]


def test_a_call_through_the_gateway_is_found_by_helicones_own_id(
    helicone: LocalHelicone, provider: TracerProvider, scores: HeliconeScoreExporter, stack: Any
) -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
    tracer = provider.get_tracer("app")
    with tracer.start_as_current_span("chat", attributes=attributes) as span, stack.Client() as c:
        c.post(f"{helicone.base_url}/chat/completions", json={"model": "gpt-4o-mini"})
    scores.export([evaluated(span.get_span_context(), "stars", score__value=5)])
    assert scores_of(helicone) == [{"stars": 5}]


def test_with_the_sdks_own_log_records(
    helicone: LocalHelicone, provider: TracerProvider, scores: HeliconeScoreExporter
) -> None:
    from opentelemetry import trace
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    if "context" not in inspect.signature(LogRecord.__init__).parameters:
        pytest.skip("log records take no context yet in this version")
    logger_provider = LoggerProvider(shutdown_on_exit=False)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(scores))  # type: ignore[arg-type]
    context = call(provider)
    parent = trace.set_span_in_context(trace.NonRecordingSpan(context))
    logger_provider.get_logger("evals").emit(
        LogRecord(
            event_name="gen_ai.evaluation.result",
            context=parent,
            attributes={"gen_ai.evaluation.name": "q", "gen_ai.evaluation.score.value": 1.0},
        )
    )
    assert scores_of(helicone) == [{"q": 100}]
    logger_provider.shutdown()


def test_the_form_that_the_real_endpoint_takes() -> None:
    """Whole numbers and booleans, for one request in one post."""
    received: list[tuple[str, Any]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                data = b""
                while b"}}" not in data:
                    data += connection.recv(65536)
                head, _, body = data.partition(b"\r\n\r\n")
                received.append((head.decode().splitlines()[0], json.loads(body)))
                connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}")

        thread = threading.Thread(target=serve)
        thread.start()
        exporter = HeliconeScoreExporter(
            endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}", api_key=KEY
        )
        context = SimpleNamespace(trace_id=1, span_id=2)
        result = exporter.export(
            [
                evaluated(context, "a", score__value=0.5),
                evaluated(context, "b", score__value=True),
                evaluated(context, "c", score__value=-3),
            ]
        )
        thread.join()
        exporter.shutdown()
    assert result.name == "SUCCESS"
    ((line, body),) = received
    assert line.startswith("POST /v1/request/")
    assert line.endswith("/score HTTP/1.1")
    assert body == {"scores": {"a": 50, "b": True, "c": -3}}


def test_a_missing_key_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("HELICONE_API_KEY", raising=False)
    exporter = HeliconeScoreExporter()
    context = SimpleNamespace(trace_id=1, span_id=2)
    for _ in range(2):
        assert exporter.export([evaluated(context, "a", score__value=1)]).name == "FAILURE"
    assert exporter.export([]).name == "SUCCESS"
    assert len(caplog.records) == 1
    exporter.shutdown()


def test_a_wrong_endpoint_is_told_at_once() -> None:
    with pytest.raises(SettingError, match="endpoint"):
        HeliconeScoreExporter(api_key=KEY, endpoint="ftp://helicone.ai")
