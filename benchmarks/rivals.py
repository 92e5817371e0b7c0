"""Helicone's own loggers, timed in an environment of their own: ``rivals NAME URL COUNT``.

Prints the seconds and the seconds of CPU that so many logs took.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time

QUESTION = "What is the weather in Paris, and what should I take along? " * 4
ANSWER = "It is 18 degrees and cloudy; take a light coat and an umbrella along. " * 6
KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"


def helpers(url: str, count: int) -> None:
    """Log calls with the official manual logger, one after the other as it does."""
    from helicone_helpers import HeliconeManualLogger  # type: ignore[import-not-found]

    logger = HeliconeManualLogger(api_key=KEY, logging_endpoint=url)
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
    message = {"role": "assistant", "content": ANSWER}
    usage = {"prompt_tokens": 71, "completion_tokens": 120, "total_tokens": 191}
    response = {"model": "gpt-4o-mini", "choices": [{"message": message}], "usage": usage}
    for _ in range(count):
        now = time.time()
        logger.send_log("openai", request, response, {"start_time": now - 1, "end_time": now})


def asynchronous(url: str, count: int) -> None:
    """Log spans with the official OpenTelemetry logger."""
    from helicone_async import HeliconeAsyncLogger  # type: ignore[import-not-found]
    from opentelemetry import trace

    HeliconeAsyncLogger(api_key=KEY, base_url=f"{url}/v1/trace/log-python").init()
    tracer = trace.get_tracer("bench")
    for _ in range(count):
        with tracer.start_as_current_span("openai.chat") as span:
            span.set_attribute("gen_ai.system", "OpenAI")
            span.set_attribute("gen_ai.response.model", "gpt-4o-mini")
            span.set_attribute("gen_ai.prompt.0.role", "user")
            span.set_attribute("gen_ai.prompt.0.content", QUESTION)
            span.set_attribute("gen_ai.completion.0.role", "assistant")
            span.set_attribute("gen_ai.completion.0.content", ANSWER)
            span.set_attribute("gen_ai.usage.prompt_tokens", 71)
            span.set_attribute("gen_ai.usage.completion_tokens", 120)


def main(name: str, url: str, count: int) -> None:
    """Time one of them, after a few logs that warm it up."""
    log = {"helicone-helpers": helpers, "helicone-async": asynchronous}[name]
    with contextlib.redirect_stdout(io.StringIO()):
        log(url, 5)
        started, cpu = time.perf_counter(), time.process_time()
        log(url, count)
        took = time.perf_counter() - started, time.process_time() - cpu
    print(*took)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
