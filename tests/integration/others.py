"""An application with several observability products in it, as a process of its own.

``python -m tests.integration.others PLAN`` sets the products of a plan up in the plan's order, runs
the application three times - with all of them, after some have left, and after all have - and
writes what it saw of itself. ``test_living_with_others`` has the plans. What the products send goes
to loopback addresses of the test's, and so do the calls.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, Literal, TypedDict

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_helicone

MODEL = "gpt-4o-mini"
RUNS = ("with all", "later", "at the end")
# Got before any set-up, as an application's modules do: it serves whichever provider comes.
tracer = trace.get_tracer("shop")


class Plan(TypedDict):
    """What to set up, in this order, and where everything is."""

    order: list[str]
    leaving_first: Literal["ours", "others"]
    helicone: str
    """The local Helicone's address."""
    sink: str
    """The address that the products send to."""
    provider: str
    """The base URL for the calls."""
    key: str
    """The Helicone key for the exporter."""


class Facts(TypedDict):
    """What the application saw of itself."""

    trace_ids: dict[str, str]
    """The trace of each run."""
    took_over: list[str]
    """The set-ups after which the global tracer provider was another one than before."""
    raised: list[str]
    """What leaving products raised."""
    said: list[str]
    """What ours had logged by the end of the first run."""


class Said(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def global_provider() -> Any:
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def provider_of_the_application() -> Any:
    """Give the global provider; where there is none, the application sets one."""
    if global_provider() is None:
        trace.set_tracer_provider(TracerProvider())
    return global_provider()


Step = Callable[[], AbstractContextManager[object]]


class Application:
    """The application, with the products that were set up in it."""

    # What is imported before any set-up, as by the first lines of an application's modules.
    modules: Final = {
        "logfire": ["logfire"],
        "langfuse": ["langfuse"],
        "openinference": ["openinference.instrumentation.openai"],
        "openllmetry": ["opentelemetry.instrumentation.openai"],
        "genai": ["opentelemetry.instrumentation.genai.openai"],
        "braintrust": ["braintrust.otel"],
        "sentry": [
            "sentry_sdk",
            "sentry_sdk.integrations.httpx2",
            "sentry_sdk.integrations.openai",
            "sentry_sdk.integrations.otlp",
        ],
    }

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sink = plan["sink"]
        self.host = plan["helicone"].removeprefix("http://")
        self.imported: dict[str, Any] = {
            name: importlib.import_module(name)
            for product in plan["order"]
            for name in self.modules.get(product, ())
        }
        self.flushes: list[Callable[[], object]] = []
        self.leave: dict[str, list[Callable[[], object]]] = {"ours": [], "others": []}
        # What each product is used for by itself: around everything, or as steps without a call.
        self.around: list[Step] = []
        self.steps: list[Step] = []

    # Ours, in the ways that are documented.

    def set_up_processor(self) -> None:
        processor = otel_helicone.HeliconeSpanProcessor(gateway_hosts=[self.host])
        provider_of_the_application().add_span_processor(processor)
        self.leave["ours"].append(processor.shutdown)

    def set_up_setup(self) -> None:
        made = otel_helicone.setup(gateway_hosts=[self.host])
        self.leave["ours"].append(made.shutdown)

    def set_up_instrumentor(self) -> None:
        instrumentor = otel_helicone.HeliconeInstrumentor()
        instrumentor.instrument(gateway_hosts=[self.host])
        self.leave["ours"].append(instrumentor.uninstrument)

    def set_up_exporter(self) -> None:
        provider = provider_of_the_application()
        processor = otel_helicone.HeliconeSpanProcessor()
        exporter = otel_helicone.HeliconeSpanExporter(
            endpoint=self.plan["helicone"], api_key=self.plan["key"]
        )
        batches = BatchSpanProcessor(exporter)
        provider.add_span_processor(processor)
        provider.add_span_processor(batches)
        self.flushes.append(batches.force_flush)
        self.leave["ours"] += [batches.shutdown, processor.shutdown]

    def set_up_provider(self) -> None:
        """Do without ours what ours does where it comes first: there is a provider then."""
        provider_of_the_application()

    # Theirs.

    def set_up_logfire(self) -> None:
        logfire = self.imported["logfire"]
        logfire.configure(
            token="pylf_v1_us_none",
            console=False,
            metrics=False,
            inspect_arguments=False,
            advanced=logfire.AdvancedOptions(base_url=self.sink),
        )
        # By default it turns off the instrumentations inside of it, its own of httpx2 too.
        logfire.instrument_openai(suppress_other_instrumentation=False)
        logfire.instrument_httpx()  # puts traceparent on requests
        self.flushes.append(logfire.force_flush)
        self.leave["others"].append(logfire.shutdown)
        self.steps.append(lambda: logfire.span("weigh"))

    def set_up_langfuse(self) -> None:
        client = self.imported["langfuse"].Langfuse(
            public_key="pk-lf-none",
            secret_key="sk-lf-none",
            base_url=f"{self.sink}/langfuse",
            should_export_span=lambda _span: True,  # by default LLM calls and its own only
        )
        self.flushes.append(client.flush)
        self.leave["others"].append(client.shutdown)
        self.steps.append(lambda: client.start_as_current_observation(name="retrieve"))

    def set_up_braintrust(self) -> None:
        processor = self.imported["braintrust.otel"].BraintrustSpanProcessor(
            api_key="none", parent="project_name:shop", api_url=f"{self.sink}/braintrust"
        )
        provider_of_the_application().add_span_processor(processor)
        self.flushes.append(processor.force_flush)
        self.leave["others"].append(processor.shutdown)

    def set_up_sentry(self) -> None:
        sentry = self.imported["sentry_sdk"]
        integrations = {
            name: self.imported[f"sentry_sdk.integrations.{name}"]
            for name in ("httpx2", "openai", "otlp")
        }
        sentry.init(
            dsn=f"{self.sink.replace('//', '//public@')}/1",
            traces_sample_rate=1.0,
            # Else it imports, for seconds, whatever is installed that it has an integration for.
            auto_enabling_integrations=False,
            integrations=[
                integrations["httpx2"].Httpx2Integration(),  # puts sentry-trace and baggage on
                integrations["openai"].OpenAIIntegration(),
                integrations["otlp"].OTLPIntegration(),  # exports the spans of OpenTelemetry
            ],
        )
        self.flushes.append(sentry.flush)
        self.leave["others"].append(lambda: sentry.get_client().close())
        self.around.append(lambda: sentry.start_transaction(name="checkout"))

    def set_up_openinference(self) -> None:
        self._instrument_openai("openinference")

    def set_up_openllmetry(self) -> None:
        self._instrument_openai("openllmetry")

    def set_up_genai(self) -> None:
        self._instrument_openai("genai")

    def _instrument_openai(self, product: str) -> None:
        # These send nothing by themselves: the application exports to a backend of its choice.
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        processor = BatchSpanProcessor(
            exporter.OTLPSpanExporter(f"{self.sink}/{product}/v1/traces")
        )
        provider_of_the_application().add_span_processor(processor)
        instrumentor = self.imported[self.modules[product][0]].OpenAIInstrumentor()
        instrumentor.instrument()
        self.flushes.append(processor.force_flush)
        self.leave["others"] += [instrumentor.uninstrument, processor.shutdown]

    # What the application does.

    def run(self, run: str) -> str:
        """Serve one order, with three calls, each in a step of its own; give the trace's id."""
        options: dict[str, Any] = {
            "base_url": self.plan["provider"],
            "api_key": "none",
            "max_retries": 0,
            "default_headers": {"X-Shop": "chairs", "Helicone-Property-Shop": "chairs"},
        }

        def call(step: str) -> dict[str, Any]:
            return {"model": MODEL, "messages": [{"role": "user", "content": f"{run}: {step}"}]}

        async def sum_up() -> None:
            async with openai.AsyncOpenAI(**options) as client:
                with tracer.start_as_current_span("sum up"):
                    await client.chat.completions.create(**call("sum up"))

        with ExitStack() as stack:
            for around in self.around:
                stack.enter_context(around())
            client = stack.enter_context(openai.OpenAI(**options))
            order = stack.enter_context(tracer.start_as_current_span("order"))
            for step in self.steps:
                with step():
                    pass
            with tracer.start_as_current_span("check stock"):
                pass
            with tracer.start_as_current_span("describe"):
                client.chat.completions.create(**call("describe"))
            with tracer.start_as_current_span("translate"):
                for _ in client.chat.completions.create(**call("translate"), stream=True):
                    pass
            asyncio.run(sum_up())
        self._send_everything(run)
        return f"{order.get_span_context().trace_id:032x}"

    def _send_everything(self, run: str) -> None:
        for flush in (*self.flushes, getattr(global_provider(), "force_flush", lambda: None)):
            flush()
        # So that the sink knows which run the next things are of.
        connection = http.client.HTTPConnection(self.sink.removeprefix("http://"), timeout=60)
        connection.request("POST", "/end-of-run", json.dumps(run))
        connection.getresponse().read()
        connection.close()


def main(plan: Plan) -> Facts:
    facts = Facts(trace_ids={}, took_over=[], raised=[], said=[])
    said = Said()
    logging.getLogger("otel_helicone").addHandler(said)
    application = Application(plan)
    for product in plan["order"]:
        before = global_provider()
        getattr(application, f"set_up_{product}")()
        if before is not None and global_provider() is not before:
            facts["took_over"].append(product)
    facts["trace_ids"][RUNS[0]] = application.run(RUNS[0])
    facts["said"] += said.lines
    last = "others" if plan["leaving_first"] == "ours" else "ours"
    for leaving, run in zip((plan["leaving_first"], last), RUNS[1:], strict=True):
        for leave in application.leave[leaving]:
            try:
                leave()
            except Exception as error:
                facts["raised"].append(repr(error))
        facts["trace_ids"][run] = application.run(run)
    return facts


if __name__ == "__main__":
    json.dump(main(json.loads(sys.argv[1])), sys.stdout)
