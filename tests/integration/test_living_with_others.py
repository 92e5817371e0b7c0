"""Logfire, Langfuse, OpenInference, OpenLLMetry, Braintrust and Sentry beside ours in one process.

Each case is a process in which the products are set up in one order. What they sent is compared
with what they send in the same order without ours: the same spans, the same headers on requests.
Some products lose spans by what others do; so they do without ours, and that is what counts here:

- Who sets the global tracer provider first, keeps it. Logfire, when it comes after that, sees what
  goes through itself alone; Sentry, which knows only the SDK's own class of provider, sees no span
  of OpenTelemetry where Logfire's is the global one.
- ``setup()`` and a processor need a provider. Where they come first, the application has made one,
  and so it has in what they are compared with. ``HeliconeInstrumentor`` waits for the provider of
  others, and is compared with a process that has none of its own.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord
from tests.integration.conftest import require
from tests.integration.others import RUNS, Application, Facts, Plan

ROOT = Path(__file__).parents[2]
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
WITH_ALL, LATER, AT_THE_END = RUNS
STEPS = ["describe", "translate", "sum up"]
OF_THE_APPLICATION = "helicone-property-shop"
OURS = {"processor", "setup", "instrumentor", "exporter"}
OTHERS = ["logfire", "langfuse", "openinference", "openllmetry", "braintrust", "sentry"]


@dataclass(frozen=True)
class Case:
    """Which products are set up, in this order, and whether ours or all others leave first."""

    order: tuple[str, ...]
    leaving_first: Literal["ours", "others"] = "ours"

    def __str__(self) -> str:
        return " ".join(self.order) + (", leaving last" if self.leaving_first != "ours" else "")

    def without_ours(self) -> Case:
        others = tuple(product for product in self.order if product not in OURS)
        needed_a_provider = self.order[0] in OURS and self.order[0] != "instrumentor"
        return Case(("provider", *others) if needed_a_provider else others)


def turned(products: Sequence[str], first: int, ours: str, place: int) -> Case:
    order = [*products[first:], *products[:first]]
    order.insert(place, ours)
    return Case(tuple(order))


BACKWARDS = OTHERS[::-1]
ALL_TOGETHER = [
    # Each product is the first of the others once, and ours is once at each place.
    turned(OTHERS, 0, "instrumentor", 0),
    turned(OTHERS, 2, "setup", 1),
    turned(OTHERS, 4, "processor", 2),
    turned(BACKWARDS, 0, "instrumentor", 3),
    turned(BACKWARDS, 2, "setup", 4),
    turned(BACKWARDS, 4, "processor", 5),
    turned(OTHERS, 0, "setup", 6),
    turned(OTHERS, 1, "setup", 0),
]
WITH_ONE = [
    *(Case(("instrumentor", other)) for other in OTHERS),
    *(Case((other, "setup"), leaving_first="others") for other in OTHERS),
]
CASES = [*WITH_ONE, *ALL_TOGETHER]
OF_THE_EXPORTER = [
    Case((*OTHERS, "genai", "exporter")),
    Case(("exporter", "genai", *BACKWARDS)),
]


@dataclass
class Sink:
    """What the products send to, and an OpenAI-like API; it keeps what came in each run."""

    came: dict[str, list[tuple[str, Any, bytes]]] = field(default_factory=dict)
    now: list[tuple[str, Any, bytes]] = field(default_factory=list)

    def take(self, path: str, headers: Any, body: bytes) -> None:
        if path == "/end-of-run":
            self.came[json.loads(body)] = self.now
            self.now = []
        else:
            self.now.append((path, headers, body))

    def spans(self, run: str) -> dict[str, Counter[str]]:
        """Count the spans that each product got, by scope and name."""
        found: dict[str, Counter[str]] = {}
        for path, _, body in self.came[run]:
            if path.startswith("/api/1/envelope/"):
                found.setdefault("sentry", Counter()).update(_spans_of_sentry(body))
            elif path.rstrip("/").endswith("/v1/traces"):
                # Logfire takes its spans at the root, and Sentry its at a place like /api/1/….
                product = path.split("/")[1]
                product = {"v1": "logfire", "api": "sentry"}.get(product, product)
                found.setdefault(product, Counter()).update(_spans_of_opentelemetry(body))
        return found

    def headers(self, run: str) -> dict[str, list[str]]:
        """Give the names of the headers that came with each call."""
        return {
            json.loads(body)["messages"][0]["content"]: sorted(name.lower() for name in headers)
            for path, headers, body in self.came[run]
            if path == "/v1/chat/completions"
        }


def _spans_of_opentelemetry(body: bytes) -> Iterator[str]:
    # Logfire sends a span already when it starts, unless it ends before the next batch leaves.
    kind = "logfire.span_type"
    service = require("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    for of_resource in service.ExportTraceServiceRequest.FromString(body).resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                kinds = {a.value.string_value for a in span.attributes if a.key == kind}
                if "pending_span" not in kinds:
                    yield f"{of_scope.scope.name}: {span.name}"


def _spans_of_sentry(envelope: bytes) -> Iterator[str]:
    for line in envelope.splitlines():
        item = json.loads(line)
        if item.get("type") == "transaction" and "spans" in item:
            yield f"transaction: {item['transaction']}"
            # Others are of processes that openai starts to learn about the machine.
            yield from (span["op"] for span in item["spans"] if "subprocess" not in span["op"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sink: Sink

    def do_GET(self) -> None:
        # Logfire asks which project its token is of.
        self._answer({"project_name": "shop", "project_url": "http://127.0.0.1/shop"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        self.sink.take(self.path, self.headers.keys(), body)
        if self.path != "/v1/chat/completions":
            self._answer({})
        elif json.loads(body).get("stream"):
            texts = [json.dumps(_completion("chat.completion.chunk", "delta")), "[DONE]"]
            self._answer("".join(f"data: {text}\n\n" for text in texts), "text/event-stream")
        else:
            self._answer(_completion("chat.completion", "message"))

    def _answer(self, answer: object, content_type: str = "application/json") -> None:
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def _completion(kind: str, message: str) -> dict[str, Any]:
    answer = {"role": "assistant", "content": "A chair."}
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop", message: answer}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@dataclass
class Seen:
    """What was seen of one process, from inside and from outside."""

    facts: Facts
    stderr: str
    sink: Sink
    rows: list[RequestRecord]

    def calls(self, run: str) -> dict[str, RequestRecord]:
        """Give the calls that came to the local Helicone in one run, by their step."""
        found = {}
        for row in self.rows:
            of_run, step = json.loads(row.request_body)["messages"][0]["content"].split(": ")
            if of_run == run:
                assert step not in found, f"{step} came twice"
                found[step] = row
        return found

    def helicone_headers(self, run: str) -> dict[str, Counter[str]]:
        """Count the ``Helicone-*`` headers of each call."""
        return {
            step: Counter(name.lower() for name, _ in row.helicone_headers)
            for step, row in self.calls(run).items()
        }


def live(case: Case, folder: Path) -> Seen:
    """Run the application in a process of its own."""
    # Some products send nothing where they see that a test is running.
    general = ("HELICONE_", "OTEL_", "OPENAI_", "PYTEST", "PYTHON")
    theirs = ("LOGFIRE_", "LANGFUSE_", "BRAINTRUST_", "SENTRY_", "TRACELOOP_", "OPENINFERENCE_")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*general, *theirs))
    }
    # Logfire is a plug-in of pydantic, which would import it at once in each process.
    environment |= {"PYTHONPATH": str(ROOT), "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    sink = Sink()
    handler = type("HandlerOfOne", (Handler,), {"sink": sink})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with LocalHelicone(folder / "requests.db", upstream=url, api_keys=[KEY]) as helicone:
                plan = Plan(
                    order=list(case.order),
                    leaving_first=case.leaving_first,
                    helicone=helicone.url,
                    sink=url,
                    # Calls that are logged go to the provider itself.
                    provider=f"{url}/v1" if "exporter" in case.order else helicone.base_url,
                    key=KEY,
                )
                ended = subprocess.run(
                    [sys.executable, "-m", "tests.integration.others", json.dumps(plan)],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=600,
                    check=False,
                )
                assert helicone.settle(240)
                rows = list(helicone.store.requests())
        finally:
            server.shutdown()
            thread.join()
    assert ended.returncode == 0, ended.stderr
    return Seen(json.loads(ended.stdout.splitlines()[-1]), ended.stderr, sink, rows)


class Processes:
    """Runs each case once, as many at a time as there are processors, before it is asked for."""

    def __init__(self, pool: ThreadPoolExecutor, folder: Path) -> None:
        self._futures: dict[Case, Future[Seen]] = {}
        for case in [*CASES, *OF_THE_EXPORTER]:
            for needed in (case, case.without_ours()):
                if needed not in self._futures:
                    own = folder / str(len(self._futures))
                    own.mkdir()
                    self._futures[needed] = pool.submit(live, needed, own)

    def __getitem__(self, case: Case) -> Seen:
        return self._futures[case].result()


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    for modules in Application.modules.values():
        for module in modules:
            require(module.partition(".")[0])
    with ThreadPoolExecutor(min(os.cpu_count() or 2, 4)) as pool:
        yield Processes(pool, tmp_path_factory.mktemp("processes"))
        pool.shutdown(cancel_futures=True)


every_case = pytest.mark.parametrize("case", CASES, ids=str)


def assert_one_session(seen: Seen, run: str) -> None:
    trace_id = seen.facts["trace_ids"][run]
    calls = {
        step: (row.session_id, row.session_name, row.session_path)
        for step, row in seen.calls(run).items()
    }
    assert calls == {step: (trace_id, "order", f"/order/{step}") for step in STEPS}
    of_ours = ["helicone-session-id", "helicone-session-name", "helicone-session-path"]
    expected = Counter([OF_THE_APPLICATION, *of_ours])
    assert seen.helicone_headers(run) == dict.fromkeys(STEPS, expected)


def assert_no_session(seen: Seen, run: str) -> None:
    expected = Counter([OF_THE_APPLICATION])
    assert seen.helicone_headers(run) == dict.fromkeys(STEPS, expected)


SPANS_OF_ITS_OWN = {
    "logfire": {"logfire: weigh": 1, "opentelemetry.instrumentation.httpx: POST": 3},
    "langfuse": {"langfuse-sdk: retrieve": 1},
    "openinference": {"openinference.instrumentation.openai: ChatCompletion": 3},
    "openllmetry": {"opentelemetry.instrumentation.openai.v1: openai.chat": 3},
    "sentry": {"transaction: checkout": 1, "http.client": 3},
}
HEADERS_OF_ITS_OWN = {"logfire": ["traceparent"], "sentry": ["sentry-trace", "baggage"]}


# What the other tests compare with is worth something.
@pytest.mark.parametrize("other", OTHERS)
def test_each_product_alone_sees_the_application(processes: Processes, other: str) -> None:
    seen = processes[Case((other,))]
    spans = seen.sink.spans(WITH_ALL)
    assert list(spans) == [other]
    of_the_application = Counter(f"shop: {step}" for step in ["order", "check stock", *STEPS])
    assert spans[other] >= of_the_application + Counter(SPANS_OF_ITS_OWN.get(other))
    headers = {"x-shop", *HEADERS_OF_ITS_OWN.get(other, ())}
    assert all(headers <= set(names) for names in seen.sink.headers(WITH_ALL).values())
    assert_no_session(seen, WITH_ALL)


@every_case
def test_the_calls_are_one_session(processes: Processes, case: Case) -> None:
    assert_one_session(processes[case], WITH_ALL)


@pytest.mark.parametrize("case", [*CASES, *OF_THE_EXPORTER], ids=str)
def test_no_product_loses_a_span(processes: Processes, case: Case) -> None:
    spans = processes[case].sink.spans(WITH_ALL)
    assert spans == processes[case.without_ours()].sink.spans(WITH_ALL)
    assert set(spans) == {product for product in case.order if product not in OURS}


@every_case
def test_no_header_of_others_is_lost(processes: Processes, case: Case) -> None:
    # The local Helicone hands on all headers but its own.
    headers = processes[case].sink.headers(WITH_ALL)
    assert headers == processes[case.without_ours()].sink.headers(WITH_ALL)
    assert len(headers) == len(STEPS)


@every_case
def test_no_tracer_provider_is_taken_over(processes: Processes, case: Case) -> None:
    assert processes[case].facts["took_over"] == []


@every_case
def test_nothing_is_said_and_nothing_raises(processes: Processes, case: Case) -> None:
    seen = processes[case]
    assert seen.facts["said"] == []
    assert seen.facts["raised"] == []
    assert "Traceback" not in seen.stderr
    assert "otel-helicone" not in seen.stderr


@pytest.mark.parametrize("case", [c for c in CASES if c.leaving_first == "ours"], ids=str)
def test_others_go_on_after_ours_has_left(processes: Processes, case: Case) -> None:
    seen, without_ours = processes[case], processes[case.without_ours()]
    assert_no_session(seen, LATER)
    assert seen.sink.spans(LATER) == without_ours.sink.spans(LATER)
    assert seen.sink.headers(LATER) == without_ours.sink.headers(LATER)


# Logfire's shutdown is that of the provider, with all its processors.
@pytest.mark.parametrize("other", [other for other in OTHERS if other != "logfire"])
def test_sessions_go_on_after_another_has_left(processes: Processes, other: str) -> None:
    assert_one_session(processes[Case((other, "setup"), leaving_first="others")], LATER)


@every_case
def test_after_all_have_left_calls_are_as_the_application_made_them(
    processes: Processes, case: Case
) -> None:
    assert_no_session(processes[case], AT_THE_END)


@pytest.mark.parametrize("case", OF_THE_EXPORTER, ids=str)
def test_each_call_is_logged_once(processes: Processes, case: Case) -> None:
    seen = processes[case]
    logs = Counter((row.session_id, row.session_name, row.session_path) for row in seen.rows)
    trace_id = seen.facts["trace_ids"][WITH_ALL]
    assert logs == Counter((trace_id, "order", f"/order/{step}") for step in STEPS)
    assert {(row.kind, row.model) for row in seen.rows} == {("llm", "gpt-4o-mini-2024-07-18")}
    assert seen.facts["said"] == seen.facts["raised"] == []
