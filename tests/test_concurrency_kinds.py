"""The ways to run code, one by one: which of them keep the session, and which need help.

For each way the same three things are looked at: the session, path and name on the request that
is sent there; that requests of neighbours who run the same at the same time carry their own; and
that nothing is added once the processor is shut down.
"""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import httpx2
import pytest
import trio
from opentelemetry import trace

from otel_helicone import in_current_session, session
from tests.conftest import GATEWAY, Recorder, Tracing


class Job:
    """One request, to be sent by whatever way is looked at."""

    def __init__(self, recorder: Recorder, name: str, meet: Callable[[], object]) -> None:
        self.name = name
        self._meet = meet
        self._recorder = recorder
        self._client = recorder.client()
        self._async_client = recorder.async_client()

    def send(self, *_: object) -> None:
        self._meet()
        self._client.get(GATEWAY, headers={"X-Job": self.name})

    async def asend(self) -> None:
        await anyio.lowlevel.checkpoint()
        self._meet()
        await self._async_client.get(GATEWAY, headers={"X-Job": self.name})

    def headers(self) -> list[dict[str, str]]:
        """Give the session headers of the requests that were sent, each without its prefix."""
        return [
            {
                name.removeprefix("helicone-session-"): text
                for name, text in self._recorder.helicone_headers(index).items()
            }
            for index, request in enumerate(self._recorder.requests)
            if request.headers["X-Job"] == self.name
        ]


Bind = Callable[[Callable[..., Any]], Callable[..., Any]]
Way = Callable[[Job], Awaitable[None]]
BoundWay = Callable[[Job, Bind], Awaitable[None]]


# --- ways that keep the context -----------------------------------------------------------------


async def at_once(job: Job) -> None:
    await job.asend()


async def asyncio_create_task(job: Job) -> None:
    await asyncio.create_task(job.asend())


async def asyncio_gather(job: Job) -> None:
    await asyncio.gather(job.asend(), job.asend())


async def asyncio_task_group(job: Job) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(job.asend())
        group.create_task(job.asend())


async def asyncio_wait_for(job: Job) -> None:
    await asyncio.wait_for(job.asend(), timeout=10)


async def asyncio_to_thread(job: Job) -> None:
    await asyncio.to_thread(job.send)


async def asyncio_call_soon(job: Job) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.call_soon(job.send)
    loop.call_soon(loop.call_later, 0.001, job.send)
    loop.call_later(0.01, done.set)
    await done.wait()


async def asyncio_done_callback(job: Job) -> None:
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(job.send)
    future.set_result(None)
    await asyncio.sleep(0.001)


async def asyncio_coroutine_threadsafe(job: Job) -> None:
    # The context is that of the thread which hands the coroutine over.
    loop = asyncio.get_running_loop()

    def hand_over() -> None:
        asyncio.run_coroutine_threadsafe(job.asend(), loop).result(10)

    await asyncio.to_thread(hand_over)


async def anyio_task_group(job: Job) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(job.asend)
        group.start_soon(job.asend)


async def anyio_to_thread(job: Job) -> None:
    await anyio.to_thread.run_sync(job.send)


async def anyio_from_thread(job: Job) -> None:
    await anyio.to_thread.run_sync(anyio.from_thread.run, job.asend)


async def trio_nursery(job: Job) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.asend)
        nursery.start_soon(job.asend)


async def trio_to_thread(job: Job) -> None:
    await trio.to_thread.run_sync(job.send)


async def generator(job: Job) -> None:
    def items() -> Iterator[int]:
        for item in range(2):
            job.send()
            yield item

    for _ in items():
        await anyio.lowlevel.checkpoint()


async def async_generator(job: Job) -> None:
    async def items() -> AsyncIterator[int]:
        for item in range(2):
            await job.asend()
            yield item

    async for _ in items():
        await anyio.lowlevel.checkpoint()


async def async_generator_in_another_task(job: Job) -> None:
    async def items() -> AsyncIterator[int]:
        for item in range(2):
            await job.asend()
            yield item

    async def consume(generator: AsyncIterator[int]) -> None:
        async for _ in generator:
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(consume, items())


ON_ASYNCIO: list[Way] = [
    asyncio_call_soon,
    asyncio_coroutine_threadsafe,
    asyncio_create_task,
    asyncio_done_callback,
    asyncio_gather,
    asyncio_task_group,
    asyncio_to_thread,
    asyncio_wait_for,
]
ON_TRIO: list[Way] = [trio_nursery, trio_to_thread]
ON_BOTH: list[Way] = [
    anyio_from_thread,
    anyio_task_group,
    anyio_to_thread,
    async_generator,
    async_generator_in_another_task,
    at_once,
    generator,
]


# --- ways that lose it --------------------------------------------------------------------------


async def thread(job: Job, bind: Bind) -> None:
    started = threading.Thread(target=bind(job.send))
    started.start()
    started.join()


async def timer(job: Job, bind: Bind) -> None:
    started = threading.Timer(0.001, bind(job.send))
    started.start()
    started.join()


async def executor_submit(job: Job, bind: Bind) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(bind(job.send)).result()


async def executor_map(job: Job, bind: Bind) -> None:
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(bind(job.send), range(2)))


async def executor_run_a_coroutine(job: Job, bind: Bind) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(lambda run: asyncio.run(run()), bind(job.asend)).result()


async def loop_run_in_executor(job: Job, bind: Bind) -> None:
    await asyncio.get_running_loop().run_in_executor(None, bind(job.send))


async def executor_done_callback(job: Job, bind: Bind) -> None:
    # Called by the worker, after the function.
    may_end = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        future: Future[bool] = executor.submit(may_end.wait)
        future.add_done_callback(bind(job.send))
        may_end.set()


async def loop_of_another_thread(job: Job, bind: Bind) -> None:
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.call_soon(lambda: loop.create_task(bound()).add_done_callback(lambda _: loop.stop()))
        loop.run_forever()
        loop.close()

    bound = bind(job.asend)
    started = threading.Thread(target=run)
    started.start()
    await asyncio.to_thread(started.join)


LOSING: list[BoundWay] = [
    executor_done_callback,
    executor_map,
    executor_run_a_coroutine,
    executor_submit,
    loop_of_another_thread,
    loop_run_in_executor,
    thread,
    timer,
]
# A callback of a future runs in the worker, which the instrumentation gives a context just once.
HELPED_BY_THE_INSTRUMENTATION = [way for way in LOSING if way is not executor_done_callback]


def unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def with_bind(way: BoundWay, bind: Bind) -> Way:
    return lambda job: way(job, bind)


def named(way: object) -> str:
    return str(getattr(way, "__name__", way))


KEEPING = [
    *(pytest.param(way, "asyncio", id=f"asyncio-{named(way)}") for way in ON_ASYNCIO + ON_BOTH),
    *(pytest.param(way, "trio", id=f"trio-{named(way)}") for way in ON_TRIO + ON_BOTH),
    *(
        pytest.param(with_bind(way, in_current_session), "asyncio", id=f"bound-{named(way)}")
        for way in LOSING
    ),
]


# --- the three things ---------------------------------------------------------------------------


@pytest.fixture
def anyio_backend() -> Any:
    pytest.skip("each way names its own")


@pytest.fixture
def stack() -> Any:
    return httpx2


def alone(recorder: Recorder) -> Job:
    return Job(recorder, "alone", lambda: None)


@contextmanager
def the_instrumentation() -> Iterator[None]:
    module = pytest.importorskip("opentelemetry.instrumentation.threading")
    instrumentor = module.ThreadingInstrumentor()
    instrumentor.instrument()
    try:
        yield
    finally:
        instrumentor.uninstrument()


def run_in_spans(way: Way, job: Job, tracing: Tracing, backend: str, root: str) -> str:
    """Run a way inside of two spans, and give their trace id."""

    async def inside() -> str:
        with tracing.tracer.start_as_current_span(root) as parent:
            with tracing.tracer.start_as_current_span("child"):
                await way(job)
            return f"{parent.get_span_context().trace_id:032x}"

    return anyio.run(inside, backend=backend)


@pytest.mark.parametrize(("way", "backend"), KEEPING)
def test_the_request_carries_session_path_and_name(
    way: Way, backend: str, tracing: Tracing, recorder: Recorder
) -> None:
    job = alone(recorder)
    session_id = run_in_spans(way, job, tracing, backend, "parent")
    assert job.headers()
    for headers in job.headers():
        assert headers == {"id": session_id, "path": "/parent/child", "name": "parent"}


@pytest.mark.parametrize(("way", "backend"), KEEPING)
def test_neighbours_carry_their_own(
    way: Way, backend: str, tracing: Tracing, recorder: Recorder
) -> None:
    # Two threads with two tasks each, held up until two of them are about to send.
    meeting = threading.Barrier(2)
    jobs = [Job(recorder, str(n), lambda: meeting.wait(10)) for n in range(4)]
    ids: dict[str, str] = {}

    async def one(job: Job) -> None:
        with tracing.tracer.start_as_current_span(f"parent {job.name}") as parent:
            ids[job.name] = f"{parent.get_span_context().trace_id:032x}"
            with tracing.tracer.start_as_current_span("child"):
                await way(job)

    async def two(first: Job, second: Job) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one, first)
            group.start_soon(one, second)

    with ThreadPoolExecutor(2) as threads:
        runs = [functools.partial(two, jobs[0], jobs[1]), functools.partial(two, jobs[2], jobs[3])]
        for done in [threads.submit(anyio.run, run, backend=backend) for run in runs]:
            done.result(20)
    assert len(set(ids.values())) == 4
    for job in jobs:
        expected = {"id": ids[job.name], "path": f"/parent {job.name}/child"}
        assert job.headers()
        for headers in job.headers():
            assert headers == {**expected, "name": f"parent {job.name}"}


@pytest.mark.parametrize(("way", "backend"), KEEPING)
def test_nothing_is_added_after_the_shutdown(
    way: Way, backend: str, tracing: Tracing, recorder: Recorder
) -> None:
    async def shut_down_first(job: Job) -> None:
        tracing.processor.shutdown()
        await way(job)

    job = alone(recorder)
    run_in_spans(shut_down_first, job, tracing, backend, "parent")
    assert job.headers()
    assert not any(job.headers())


@pytest.mark.parametrize("way", LOSING, ids=named)
def test_without_help_the_request_carries_nothing(
    way: BoundWay, tracing: Tracing, recorder: Recorder
) -> None:
    job = alone(recorder)
    run_in_spans(with_bind(way, unbound), job, tracing, "asyncio", "parent")
    assert job.headers()
    assert not any(job.headers())


def test_without_help_a_span_in_a_thread_is_a_session_of_its_own(
    tracing: Tracing, recorder: Recorder
) -> None:
    job = alone(recorder)

    def work() -> None:
        with tracing.tracer.start_as_current_span("work"):
            job.send()

    async def in_a_thread(_job: Job) -> None:
        await thread(job, lambda _: work)

    session_id = run_in_spans(in_a_thread, job, tracing, "asyncio", "parent")
    [headers] = job.headers()
    assert headers.pop("id") != session_id
    assert headers == {"path": "/work", "name": "work"}


@pytest.mark.parametrize("way", HELPED_BY_THE_INSTRUMENTATION, ids=named)
def test_the_threading_instrumentation_helps(
    way: BoundWay, tracing: Tracing, recorder: Recorder
) -> None:
    job = alone(recorder)
    with the_instrumentation():
        session_id = run_in_spans(with_bind(way, unbound), job, tracing, "asyncio", "parent")
    expected = {"id": session_id, "path": "/parent/child", "name": "parent"}
    assert job.headers()
    for headers in job.headers():
        assert headers == expected


def test_with_the_instrumentation_a_callback_is_in_the_session_that_started_the_worker(
    tracing: Tracing, recorder: Recorder
) -> None:
    # Not what one would wish for: a reason to bind callbacks also where the instrumentation is on.
    unwished, bound = Job(recorder, "unwished", int), Job(recorder, "bound", int)
    with the_instrumentation(), ThreadPoolExecutor(1) as executor:
        with tracing.tracer.start_as_current_span("first"):
            executor.submit(int).result()
        with tracing.tracer.start_as_current_span("second"):
            may_end = threading.Event()
            future = executor.submit(may_end.wait)
            future.add_done_callback(unwished.send)
            future.add_done_callback(in_current_session(bound.send))
            may_end.set()
    assert unwished.headers()[0]["path"] == "/first"
    assert bound.headers()[0]["path"] == "/second"


@pytest.mark.parametrize("way", LOSING, ids=named)
def test_both_together_are_no_harm(way: BoundWay, tracing: Tracing, recorder: Recorder) -> None:
    job = alone(recorder)
    with the_instrumentation():
        bound = with_bind(way, in_current_session)
        session_id = run_in_spans(bound, job, tracing, "asyncio", "parent")
    assert job.headers()
    for headers in job.headers():
        assert headers == {"id": session_id, "path": "/parent/child", "name": "parent"}


# --- the helper ---------------------------------------------------------------------------------


def test_a_bound_function_is_the_function_otherwise(tracing: Tracing) -> None:
    def add(a: int, *, b: int = 2) -> int:
        """Add."""
        return a + b

    bound = in_current_session(add)
    assert bound(1, b=5) == 6
    assert (bound.__name__, bound.__doc__) == ("add", "Add.")


def test_a_bound_function_leaves_its_callers_context_as_it_was(tracing: Tracing) -> None:
    def fail() -> None:
        raise ValueError("by itself")

    with tracing.tracer.start_as_current_span("first"):
        bound = in_current_session(fail)
    with tracing.tracer.start_as_current_span("second") as second:
        with pytest.raises(ValueError, match="by itself"):
            bound()
        assert trace.get_current_span() is second


def test_a_bound_function_keeps_a_session_block(tracing: Tracing, recorder: Recorder) -> None:
    job = alone(recorder)
    with session("s1", name="Chat", path="/a"):
        bound = in_current_session(job.send)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(bound).result()
    assert job.headers() == [{"id": "s1", "path": "/a", "name": "Chat"}]


def test_coroutine_functions_of_every_shape_are_bound(tracing: Tracing) -> None:
    class Asking:
        async def __call__(self) -> str:
            await asyncio.sleep(0)
            return self.name()

        async def method(self) -> str:
            return await self()

        def name(self) -> str:
            return str(getattr(trace.get_current_span(), "name", None))

    with tracing.tracer.start_as_current_span("ask"):
        asking = Asking()
        bound = [
            in_current_session(asking),
            in_current_session(asking.method),
            in_current_session(functools.partial(asking.method)),
        ]

    async def run() -> list[str]:
        return [await function() for function in bound]

    assert asyncio.run(run()) == ["ask"] * 3
    assert in_current_session(asking.name)() == "None"


# --- spans that are over ------------------------------------------------------------------------


async def outliving(job: Job, tracing: Tracing) -> None:
    may_go_on = asyncio.Event()

    async def later() -> None:
        await may_go_on.wait()
        await job.asend()

    with tracing.tracer.start_as_current_span("parent"):
        with tracing.tracer.start_as_current_span("child"):
            task = asyncio.create_task(later())
    may_go_on.set()
    await task


def test_a_task_that_outlives_its_span_keeps_the_path(tracing: Tracing, recorder: Recorder) -> None:
    job = alone(recorder)
    asyncio.run(outliving(job, tracing))
    [headers] = job.headers()
    assert (headers["path"], headers["name"]) == ("/parent/child", "parent")


def test_a_stream_read_after_the_span_has_ended(tracing: Tracing, recorder: Recorder) -> None:
    recorder.answers = [httpx2.Response(200, content=iter([b"one ", b"two"]))]
    with tracing.tracer.start_as_current_span("parent"):
        with tracing.tracer.start_as_current_span("child"):
            client = recorder.client()
            request = client.build_request("GET", GATEWAY)
            response = client.send(request, stream=True)
    with tracing.tracer.start_as_current_span("elsewhere"):
        assert b"".join(response.iter_bytes()) == b"one two"
    assert recorder.path() == "/parent/child"
    assert len(recorder.requests) == 1


def test_a_generator_belongs_to_whoever_consumes_it_unless_it_has_a_session(
    tracing: Tracing, recorder: Recorder
) -> None:
    job = alone(recorder)

    def items() -> Iterator[int]:
        job.send()
        yield 1

    with tracing.tracer.start_as_current_span("made here"):
        plain, own = items(), session("own")(items)()
    with tracing.tracer.start_as_current_span("consumed here") as span:
        list(plain)
        list(own)
    trace_id = f"{span.get_span_context().trace_id:032x}"
    assert [headers["id"] for headers in job.headers()] == [trace_id, "own"]
    assert job.headers()[0]["path"] == "/consumed here"


# --- other processes ----------------------------------------------------------------------------

PROGRAM = """
import json, multiprocessing, os, sys
import httpx2
from opentelemetry.sdk.trace import TracerProvider
from otel_helicone import HeliconeSpanProcessor

provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(HeliconeSpanProcessor())
tracer = provider.get_tracer("app")


def send(own_span):
    sent = []
    def answer(request):
        sent.append({n[17:]: v for n, v in request.headers.items() if "helicone" in n})
        return httpx2.Response(200)
    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    client.get("https://oai.helicone.ai/v1")
    with tracer.start_as_current_span("own"):
        client.get("https://oai.helicone.ai/v1")
    print(json.dumps(sent), flush=True)


def fork():
    pid = os.fork()
    if not pid:
        send(True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def process(method):
    child = multiprocessing.get_context(method).Process(target=send, args=(True,))
    child.start()
    child.join()
    assert child.exitcode == 0


if __name__ == "__main__":
    with tracer.start_as_current_span("parent") as parent:
        print(f"{parent.get_span_context().trace_id:032x}", flush=True)
        with tracer.start_as_current_span("child"):
            fork() if sys.argv[1] == "os.fork" else process(sys.argv[1])
            send(True)  # the parent process goes on as before
"""


@pytest.mark.parametrize("method", ["os.fork", "fork", "spawn", "forkserver"])
def test_another_process(method: str, tmp_path: Any) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), method],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    trace_id, *sent = done.stdout.splitlines()
    child, parent = (json.loads(line) for line in sent)
    whole = {"id": trace_id, "name": "parent"}
    assert parent == [{**whole, "path": "/parent/child"}, {**whole, "path": "/parent/child/own"}]
    if "fork" in method and method != "forkserver":
        # The child goes on in a copy of the parent's context.
        assert child == parent
    else:
        # It starts from nothing: no headers, then a trace of its own.
        assert child[0] == {}
        assert child[1].pop("id") != trace_id
        assert child[1] == {"path": "/own", "name": "own"}
