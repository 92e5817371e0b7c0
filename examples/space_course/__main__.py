"""The demo: a traced application, a span processor, and its session in a local Helicone.

Run it with ``./scripts/demo``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from examples.space_course.course import CHAPTERS, SECTIONS, TITLE, write_course
from otel_helicone import HeliconeSpanExporter, HeliconeSpanProcessor
from otel_helicone.local.commands import store_path
from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.terminal import make_console, print_session

CALLS = 3 + len(CHAPTERS) * (1 + len(SECTIONS))
UPSTREAMS = {"built-in": None, "openai": "https://api.openai.com"}


def below_the_root(span: ReadableSpan) -> str | None:
    """Name a session after its root span, and leave that name out of the paths."""
    return None if span.parent is None else span.name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; give the exit code."""
    arguments = _arguments(argv)
    console = make_console(sys.stdout)
    api_key = "not-needed"
    if arguments.upstream == "openai":
        api_key = os.environ.get("OPENAI_API_KEY", "")
        if not api_key:
            print(
                "--upstream openai asks the real API: set OPENAI_API_KEY to your key,"
                " or leave the option out to use the built-in answers.",
                file=sys.stderr,
            )
            return 2
    store = store_path(arguments.store)
    with LocalHelicone(store, upstream=UPSTREAMS[arguments.upstream]) as helicone:
        console.print(f"A local Helicone runs at {helicone.base_url}.")

        # This is all that makes sessions: the application below is only traced.
        provider = TracerProvider()
        processor = HeliconeSpanProcessor(gateway_hosts=[helicone.host], segment=below_the_root)
        provider.add_span_processor(processor)
        trace.set_tracer_provider(provider)

        try:
            if arguments.mode == "gateway":
                asyncio.run(_write(helicone.base_url, api_key, console))
            else:
                exporter = HeliconeSpanExporter(endpoint=helicone.url)
                provider.add_span_processor(BatchSpanProcessor(exporter))
                with _instrumented(), _provider_of(arguments.upstream) as base_url:
                    asyncio.run(_write(base_url, api_key, console))
        except openai.APIError as error:
            print(f"The API refused a call: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nStopped; what was answered until then is stored.", file=sys.stderr)
            return 130
        finally:
            provider.shutdown()
            helicone.settle()
        _show(helicone, console, store, arguments)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--upstream",
        choices=UPSTREAMS,
        default="built-in",
        help="who answers: the local Helicone itself, or the real OpenAI API, with the key in"
        " OPENAI_API_KEY (default: %(default)s)",
    )
    parser.add_argument(
        "--mode",
        choices=("gateway", "export"),
        default="gateway",
        help="how calls reach Helicone: sent through its gateway, or sent to the provider and"
        " logged from their spans afterwards (default: %(default)s)",
    )
    parser.add_argument("--store", metavar="PATH", help="where the local Helicone keeps requests")
    return parser.parse_args(argv)


@contextmanager
def _instrumented() -> Iterator[None]:
    """Have OpenTelemetry's instrumentation of the openai client write a span for each call."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    os.environ.setdefault("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "span_only")
    OpenAIInstrumentor().instrument()
    try:
        yield
    finally:
        OpenAIInstrumentor().uninstrument()


@contextmanager
def _provider_of(upstream: str) -> Iterator[str]:
    """Give the address of an API that is no gateway, at least not of the Helicone that logs."""
    if upstream == "openai":
        yield f"{UPSTREAMS[upstream]}/v1"
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalHelicone(Path(folder) / "requests.db") as stand_in,
    ):
        yield stand_in.base_url


async def _write(base_url: str, api_key: str, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    if not console.is_terminal:
        console.print(f"Writing the course in {CALLS} calls ...")
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        calls = progress.add_task("Writing the course", total=CALLS)
        async with openai.AsyncOpenAI(base_url=base_url, api_key=api_key) as client:
            await write_course(client, on_answer=lambda _question: progress.advance(calls))


def _show(
    helicone: LocalHelicone, console: Console, store: Path, arguments: argparse.Namespace
) -> None:
    session = next(s for s in helicone.store.sessions() if s.session_name == TITLE)
    requests = [
        request
        for request in helicone.store.requests(session.session_id)
        if request.session_name == TITLE
    ]
    console.print()
    print_session(console, session, requests)
    how = "call carried three headers" if arguments.mode == "gateway" else "log told three headers"
    console.print(f"\nEach {how}. Those of the last one:\n")
    last = requests[-1]
    console.print(f"  Helicone-Session-Id: {last.session_id}", soft_wrap=True)
    console.print(f"  Helicone-Session-Path: {last.session_path}", soft_wrap=True)
    console.print(f"  Helicone-Session-Name: {last.session_name}", soft_wrap=True)
    command = _command()
    option = f" --store {shlex.quote(str(store))}" if arguments.store is not None else ""
    console.print("\nThe application is examples/space_course/course.py: it is only traced.")
    console.print("What to type next:\n")
    for what, purpose in (
        ("sessions", "all sessions that were stored"),
        (f"sessions {session.session_id[:8]} --bodies", "this one, with questions and answers"),
        ("serve", "a local Helicone for your own application, and its pages in a browser"),
    ):
        console.print(f"  {command} {what}{option}", soft_wrap=True)
        console.print(f"      {purpose}")


def _command() -> str:
    program = Path(sys.executable).parent / "otel-helicone"
    try:
        return str(program.relative_to(Path.cwd()))
    except ValueError:
        return str(program)


if __name__ == "__main__":
    sys.exit(main())
