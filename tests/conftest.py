"""Fixtures for all tests: a tracer with the processor, and a transport that keeps requests."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import hypothesis
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import Tracer

from otel_helicone import HeliconeSpanProcessor
from otel_helicone.primitives import log_once
from otel_helicone.session_context import sent_names

GATEWAY = "https://oai.helicone.ai/v1"
HELICONE_AUTH = "Bearer sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


# How long an example takes is the machine's affair. (In CI, hypothesis's own profile says so too,
# and takes 100 examples of each property, where whoever waits for the tests gets 40 new ones.)
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
if hypothesis.settings.get_current_profile_name() == "default":
    hypothesis.settings.load_profile("any machine")

# Their clients would give up after 5 s, which a busy machine may take.
for _default in (httpx._config.DEFAULT_TIMEOUT_CONFIG, httpx2._config.DEFAULT_TIMEOUT_CONFIG):
    _default.connect = _default.read = _default.write = _default.pool = 120.0

# The readline library sets it for the processes that pytest-xdist starts. What the tests see is
# printed as where nobody says how wide a terminal is.
os.environ.pop("COLUMNS", None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _forget_what_was_logged() -> Iterator[None]:
    """Each test sees the warnings that are logged once for each cause."""
    log_once._seen.clear()
    yield
    log_once._seen.clear()


@pytest.fixture(autouse=True)
def _forget_sessions() -> None:
    """Tests use the same session ids for sessions of their own, with names of their own."""
    sent_names.forget_all()


@pytest.fixture(autouse=True)
def _no_failure_inside_the_library(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail where the library swallowed an exception of its own that the test didn't expect."""
    yield
    failures = [record for record in caplog.records if "failed while" in record.getMessage()]
    expected = getattr(caplog, "failures_are_expected", False)
    assert expected or not failures, failures[0].exc_text or failures[0].exc_info


@dataclass
class Tracing:
    """A tracer provider with the processor, and the spans that were exported."""

    tracer: Tracer
    provider: TracerProvider
    processor: HeliconeSpanProcessor
    exporter: InMemorySpanExporter

    def exported(self) -> dict[str, dict[str, Any]]:
        """Give the attributes of the finished spans by their names."""
        return {s.name: dict(s.attributes or {}) for s in self.exporter.get_finished_spans()}


MakeTracing = Callable[..., Tracing]


@pytest.fixture
def make_tracing() -> Iterator[MakeTracing]:
    """Make tracer providers with the processor, whose settings are the arguments."""
    made: list[TracerProvider] = []

    def make(*, sampler: Sampler = ALWAYS_ON, **settings: Any) -> Tracing:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        processor = HeliconeSpanProcessor(**settings)
        exporter = InMemorySpanExporter()
        provider.add_span_processor(processor)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        made.append(provider)
        return Tracing(provider.get_tracer("app"), provider, processor, exporter)

    yield make
    for provider in made:
        provider.shutdown()


@pytest.fixture
def tracing(make_tracing: MakeTracing) -> Tracing:
    return make_tracing()


@pytest.fixture
def tracer(tracing: Tracing) -> Tracer:
    return tracing.tracer


@pytest.fixture(params=["httpx2", "httpx"])
def stack(request: pytest.FixtureRequest) -> Any:
    """One of the two HTTP stacks, as a module."""
    return importlib.import_module(request.param)


@dataclass
class Recorder:
    """A transport of the HTTP stack itself that keeps requests and answers from a list."""

    stack: Any
    requests: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def __call__(self, request: Any) -> Any:
        # The request's headers as they were when it was sent.
        self.requests.append(
            self.stack.Request(request.method, request.url, headers=request.headers)
        )
        return self.answers.pop(0) if self.answers else self.stack.Response(200, json={})

    def client(self, **options: Any) -> Any:
        return self.stack.Client(transport=self.stack.MockTransport(self), **options)

    def async_client(self, **options: Any) -> Any:
        return self.stack.AsyncClient(transport=self.stack.MockTransport(self), **options)

    def helicone_headers(self, index: int = -1) -> dict[str, str]:
        """Give the Helicone headers of one request; no header may be there twice."""
        pairs = [
            (name, value)
            for name, value in self.requests[index].headers.multi_items()
            if name.lower().startswith("helicone-")
        ]
        assert len(dict(pairs)) == len(pairs), pairs
        return dict(pairs)

    def path(self, index: int = -1) -> str | None:
        return self.helicone_headers(index).get("helicone-session-path")


@pytest.fixture
def recorder(stack: Any) -> Recorder:
    return Recorder(stack)
