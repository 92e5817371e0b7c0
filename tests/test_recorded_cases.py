"""Small traces, each with one way in which instrumentations write things, and the log of them.

``data/cases`` holds one file for each: the spans, what about them is hard, and what is right.
"""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_helicone import HeliconeSpanExporter
from otel_helicone.local.server import LocalHelicone
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.translating import Translator
from tests.made_spans import RESOURCE

KEY = "sk-helicone-aaaaaaa-bbbbbbb-ccccccc-ddddddd"
FOLDER = Path(__file__).parent / "data" / "cases"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def case(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def spans(name: str) -> list[ReadableSpan]:
    """Return the spans of a case, in the order in which they ended."""
    described = case(name)["spans"]
    contexts = {
        span["id"]: SpanContext(span.get("trace", 1), number, False, TraceFlags(1))
        for number, span in enumerate(described, 1)
    }
    made = [_span(span, contexts) for span in described]
    return sorted(made, key=lambda span: span.end_time or 0)


def _span(span: dict[str, Any], contexts: dict[str, SpanContext]) -> ReadableSpan:
    error = span.get("error")
    return ReadableSpan(
        span["name"],
        context=contexts[span["id"]],
        parent=None if span["parent"] is None else contexts[span["parent"]],
        attributes=span["attributes"],
        events=[Event(event["name"], event["attributes"]) for event in span.get("events", ())],
        kind=SpanKind[span["kind"]],
        status=Status(StatusCode.UNSET) if error is None else Status(StatusCode.ERROR, error),
        start_time=round(span["start_s"] * 1e9),
        end_time=round(span["end_s"] * 1e9),
        resource=RESOURCE,
        instrumentation_scope=InstrumentationScope(span["scope"]),
    )


def logged(name: str) -> list[LogRecord]:
    """Return the logs of a case whose spans come in one export."""
    return list(Translator().records(spans(name)))


def log(name: str) -> LogRecord:
    (record,) = logged(name)
    return record


def tool_call(name: str) -> tuple[str, Any, Any, str | None]:
    """Return a tool's name, its arguments, its answer and the id of the call."""
    record = log(name)
    assert record.request["_type"] == "tool"
    return (
        record.request["toolName"],
        record.request["input"],
        record.response["output"],
        record.request.get("toolCallId"),
    )


def retrieval(name: str) -> tuple[Any, list[Any]]:
    """Return what was searched for, and the texts that were found."""
    record = log(name)
    assert record.request["_type"] == "vector_db"
    found = [
        document.get("document.content", document.get("content", document.get("page_content")))
        for document in record.response["results"]
    ]
    return record.request["text"], found


def parts_of(name: str) -> dict[str, int]:
    """Return the tokens of a call to Anthropic as they are priced."""
    usage = log(name).response["usage"]
    return {
        "fresh": usage["input_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write": usage["cache_creation_input_tokens"],
        "output": usage["output_tokens"],
    }


@pytest.mark.parametrize("name", ["cached-tokens-1", "cached-tokens-2"])
def test_what_came_from_the_cache_is_not_counted_as_fresh(name: str) -> None:
    assert parts_of(name) == {"fresh": 50, "cache_read": 900, "cache_write": 50, "output": 20}


def test_what_pydantic_ai_embedded_is_told() -> None:
    record = log("embeddings-of-pydantic-ai")
    assert record.request["input"] == "Larco is a museum"
    assert record.response["usage"] == {"prompt_tokens": 6, "total_tokens": 6}


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("thinking-beside-vercel", (7477, 3999, 1939)),
        ("thinking-beside-openinference", (10, 5200, 5000)),
        ("thinking-inside", (1000, 1944, 1360)),
    ],
)
def test_thinking_is_output_and_is_counted_once(name: str, tokens: tuple[int, int, int]) -> None:
    usage = log(name).response["usage"]
    assert (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage["completion_tokens_details"]["reasoning_tokens"],
    ) == tokens


def test_a_finish_reason_out_of_an_enum_is_the_providers_word() -> None:
    (choice,) = log("finish-reason-singular").response["choices"]
    assert choice["finish_reason"] == "stop"


def test_a_tool_whose_arguments_and_answer_are_in_span_events() -> None:
    assert tool_call("tool-in-span-events") == (
        "opening_hours",
        {"city": "Lima"},
        {"opens": 9},
        "call_7",
    )


def test_parts_of_a_message_that_were_written_out_as_text() -> None:
    record = log("message-parts-as-json-text")
    (asked,) = record.request["messages"]
    (choice,) = record.response["choices"]
    assert (asked["role"], asked["content"]) == ("tool", "9 to 5")
    assert choice["message"]["content"] == "From nine."


def test_a_retriever_of_langchain_under_openllmetry_is_a_retrieval() -> None:
    assert retrieval("langchain-retriever-of-openllmetry") == ("Which museum?", ["Larco"])


def test_a_retriever_inside_of_itself_is_one_retrieval() -> None:
    assert retrieval("nested-retriever") == ("Which museum?", ["Larco"])


def test_a_tool_that_its_instrumentation_calls_a_task() -> None:
    assert tool_call("tool-as-task") == ("opening_hours", {"city": "Lima"}, "9 to 5", None)


def test_what_langchain_puts_around_a_tool_is_no_argument_and_no_answer() -> None:
    assert tool_call("tool-wrapped-by-langchain") == (
        "opening_hours",
        {"city": "Lima"},
        {"opens": 9},
        "call_7",
    )
    sent = log("tool-wrapped-by-langchain").to_bytes(1_000_000)
    assert b"th-9" not in sent
    assert b"checkpoint" not in sent


@pytest.mark.parametrize("name", ["tool-wrapped-by-llama-index", "tool-wrapped-by-mcp"])
def test_nor_is_what_llama_index_and_mcp_put_around_it(name: str) -> None:
    assert tool_call(name) == ("opening_hours", {"city": "Lima"}, "9 to 5", None)


def test_a_wrapper_that_ends_before_what_is_inside_of_it() -> None:
    usage = log("litellm-parent-ends-first").response["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (30, 9)


def test_the_same_in_exports_of_their_own() -> None:
    translator = Translator()
    each = [list(translator.records([span])) for span in spans("litellm-parent-ends-first")]
    assert [len(records) for records in each] == [1, 0, 0]


def test_one_call_in_two_traces_is_logged_where_the_framework_has_it() -> None:
    record = log("two-traces-of-one-call")
    usage = record.response["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (7, 2)
    assert record.context.path == "/weather_agent"
    assert record.context.id == f"{1:032x}"


def test_anthropics_own_parameters_are_parameters_too() -> None:
    request = log("stop-sequences").request
    assert {name: request[name] for name in request if name not in ("model", "messages")} == {
        "max_tokens": 50,
        "stop_sequences": ["END"],
        "top_k": 4,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }


def test_a_well_known_exception_has_its_http_status() -> None:
    assert log("rate-limit-by-exception-type").status == 429


def test_a_run_that_pauses_has_not_failed() -> None:
    record = log("interrupt-is-no-error")
    assert record.request["_type"] == "tool"
    assert record.status == 200
    assert record.response["status"] == "success"


def with_picture(url: str) -> LogRecord:
    """Return the log of a call whose user sends a text and a picture."""
    parts = [
        {"type": "text", "content": "What is in this picture?"},
        {"type": "uri", "modality": "image", "uri": url},
    ]
    asked = ReadableSpan(
        "chat gpt-4o",
        context=SpanContext(1, 1, False, TraceFlags(1)),
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}]),
        },
        resource=RESOURCE,
        start_time=0,
        end_time=1,
    )
    (record,) = Translator().records([asked])
    return record


def picture(size: int) -> str:
    data = base64.b64encode(random.Random(7).randbytes(size)).decode()
    return f"data:image/png;base64,{data}"


def test_of_a_picture_that_is_too_large_a_mark_is_left_and_the_texts_stay() -> None:
    sent = with_picture(picture(5_000_000)).to_bytes(5 * 1024 * 1024)
    request = json.loads(sent)["providerRequest"]
    assert request["json"]["messages"][0]["content"] == [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "text", "text": "[image/png, 5.0 MB, left out]"},
    ]
    assert request["meta"]["Helicone-Property-content-shortened"] == "true"


def test_a_picture_that_fits_is_sent_whole() -> None:
    url = picture(50_000)
    request = json.loads(with_picture(url).to_bytes(1_000_000))["providerRequest"]["json"]
    assert request["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": url}}


def test_content_that_ends_after_a_bare_span_inside_of_it_is_not_lost(tmp_path: Path) -> None:
    """Each span in an export of its own, as a SimpleSpanProcessor has it."""
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY)
        for span in spans("content-free-inner-call-in-an-earlier-batch"):
            assert exporter.export([span]) is SpanExportResult.SUCCESS
        exporter.shutdown()
        helicone.settle()
        (row,) = helicone.store.requests()
    request = json.loads(row.request_body)["providerRequest"]["json"]
    assert request["messages"] == [{"role": "user", "content": "Which museum?"}]
    assert json.loads(row.response_body)["choices"][0]["message"]["content"] == "Larco."


@pytest.mark.parametrize("let_go", ["force_flush", "shutdown"])
def test_a_bare_call_around_which_nothing_ends_is_logged_at_the_latest_when_all_is(
    tmp_path: Path, let_go: str
) -> None:
    inner = spans("content-free-inner-call-in-an-earlier-batch")[0]
    with LocalHelicone(tmp_path / "requests.db", latency=0) as helicone:
        exporter = HeliconeSpanExporter(endpoint=helicone.url, api_key=KEY)
        exporter.export([inner])
        getattr(exporter, let_go)()
        helicone.settle()
        (row,) = helicone.store.requests()
        exporter.shutdown()
    assert (row.prompt_tokens, row.completion_tokens) == (8, 3)


def test_every_case_is_looked_at() -> None:
    text = Path(__file__).read_text("utf-8")
    assert [name for name in NAMES if f'"{name}"' not in text] == []
