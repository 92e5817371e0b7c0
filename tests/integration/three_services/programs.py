"""The Python services of ``test_three_services.py``, which run in processes of their own."""

from __future__ import annotations

# What every Python service has: OpenTelemetry, and calls of an LLM. Not a word of this library.
SERVICE = """
import openai
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider

provider = TracerProvider()
trace.set_tracer_provider(provider)
HTTPX2ClientInstrumentor().instrument()
tracer = trace.get_tracer("trips")
client = openai.OpenAI(max_retries=0)


def ask(text):
    messages = [{"role": "user", "content": text}]
    client.chat.completions.create(model="gpt-4o-mini", messages=messages)
"""

# What those have on top that use this library: the processor and the propagator.
WITH_THE_LIBRARY = """
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from otel_helicone import HeliconePropagator, HeliconeSpanProcessor
from service import provider

provider.add_span_processor(HeliconeSpanProcessor())
set_global_textmap(
    CompositePropagator(
        [TraceContextTextMapPropagator(), W3CBaggagePropagator(), HeliconePropagator()]
    )
)
"""

TRIPS = """
import with_the_library
from contextlib import contextmanager, nullcontext
import httpx2
from fastapi import FastAPI
from opentelemetry import baggage, context
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from otel_helicone import current_session, session
from service import ask, tracer

app = FastAPI()


@contextmanager
def session_in_the_baggage():
    now = current_session()
    within = baggage.set_baggage("helicone.session.id", now.id)
    path, name = (text.replace(" ", "%20") for text in (now.path, now.name))
    within = baggage.set_baggage("helicone.session.path", path, within)
    within = baggage.set_baggage("helicone.session.name", name, within)
    token = context.attach(within)
    try:
        yield
    finally:
        context.detach(token)


@app.post("/trip")
def trip(to: str, in_baggage: bool = False, in_block: bool = False):
    with session(path="/Trip", name="Trip") if in_block else nullcontext():
        with tracer.start_as_current_span("plan") as span:
            ask("Plan a trip.")
            with session_in_the_baggage() if in_baggage else nullcontext():
                answer = httpx2.post(to, timeout=60).raise_for_status().json()
            trace_id = format(span.get_span_context().trace_id, "032x")
            return {**answer, "trace_id": trace_id, "session_id": current_session().id}


FastAPIInstrumentor.instrument_app(app)
"""

JOBS = """
import os
from celery import Celery
from opentelemetry.instrumentation.celery import CeleryInstrumentor

folder = os.environ["TEST_QUEUE"]
queue = Celery("queue", broker="filesystem://")
queue.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": folder + "/control",
    "polling_interval": 0.1,
}
queue.conf.broker_connection_retry_on_startup = True
CeleryInstrumentor().instrument()
"""

# Runs with the library, as bookings_with_the_library, and without it.
BOOKINGS = """
from fastapi import FastAPI, Request
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from jobs import queue
from service import ask

app = FastAPI()


@queue.task(name="book")
def book():
    raise NotImplementedError("the worker does this")


@app.post("/bookings")
def bookings(request: Request):
    ask("Is there a room?")
    book.delay()
    context = ("traceparent", "baggage", "helicone-session")
    return {"came_with": [name for name in context if name in request.headers]}


FastAPIInstrumentor.instrument_app(app)
"""

BOOKINGS_WITH_THE_LIBRARY = """
import with_the_library
from bookings import app
"""

WORKER = """
import with_the_library
from jobs import queue
from service import ask, tracer


@queue.task(name="book")
def book():
    with tracer.start_as_current_span("confirm"):
        ask("Write a confirmation.")
"""

PROGRAMS = {
    "service": SERVICE,
    "with_the_library": WITH_THE_LIBRARY,
    "trips": TRIPS,
    "jobs": JOBS,
    "bookings": BOOKINGS,
    "bookings_with_the_library": BOOKINGS_WITH_THE_LIBRARY,
    "worker": WORKER,
}
