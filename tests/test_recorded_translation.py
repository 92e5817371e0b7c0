"""What the spans of real instrumentations are translated to, against what went over the wire.

``data/spans`` holds programs recorded with released versions of each instrumentation: all spans,
and beside them the facts, which come from the requests and answers themselves. A fact that a span
does not carry must be left out; where a span says something else than the wire, it may be given as
the span has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from otel_helicone.dialects.describe import describe
from otel_helicone.dialects.description import Description, Kind, Message
from otel_helicone.dialects.reading import parse_json
from otel_helicone.logs.holding import HeldCalls
from otel_helicone.logs.record import LogRecord
from otel_helicone.logs.request_id import request_id_of
from otel_helicone.logs.translating import Translator
from tests.recorded import CASES, facts, spans

# Facts of these spans that nothing on them tells, though the recording does not list them as such.
NOT_TOLD = {
    # The definitions of tools are recorded by none of these.
    ("anthropic-native", "tools_offered"),
    ("anthropic-traceloop", "tools_offered"),
    ("azure-ai-inference", "tools_offered"),
    ("handmade-otel-1.36", "tools_offered"),
    ("openai-agents-logfire", "tools_offered"),
    # They keep the name of the model that answered alone.
    ("langfuse", "request_model"),
    ("litellm-otel", "request_model"),
}
# What OpenAI's API calls a parameter.
NAMES = {"stop_sequences": "stop"}


def span_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def judged(case: str) -> Iterator[tuple[ReadableSpan, dict[str, Any]]]:
    """Give the spans of a case, each with its judgement."""
    judgements = {judgement["span_id"]: judgement for judgement in facts(case)["spans"]}
    for span in spans(case):
        yield span, judgements[span_id(span)]


def chat_shape(messages: tuple[Message, ...] | None) -> list[dict[str, Any]]:
    """Write messages as the facts have them."""
    written = []
    for message in messages or ():
        one: dict[str, Any] = {"role": message.role}
        if [part.type for part in message.parts] == ["text"]:
            one["content"] = message.parts[0].text
        elif message.parts:
            one["content"] = [
                {"type": "text", "text": part.text}
                if part.type == "text"
                else {"type": f"{part.type}_url", "url": part.url}
                for part in message.parts
            ]
        if message.tool_calls:
            one["tool_calls"] = [
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in message.tool_calls
            ]
        if message.tool_call_id:
            one["tool_call_id"] = message.tool_call_id
        written.append(one)
    return written


def as_facts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the messages of the facts without what is empty in them."""
    kept = ("role", "content", "tool_calls", "tool_call_id")
    written = []
    for message in messages:
        one = {name: message[name] for name in kept if message.get(name) not in (None, "", [])}
        content = one.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
            one["content"] = content[0]["text"]
        written.append(one)
    return written


def told_by(description: Description) -> dict[str, Any]:
    """Give what a description tells, by the names of the facts."""
    usage = description.usage
    return {
        "provider": description.provider,
        "request_model": description.request_model,
        "response_model": description.response_model,
        "response_id": description.response_id,
        "streaming": description.streaming or False,
        "input_messages": chat_shape(description.input),
        "output_messages": chat_shape(description.output),
        "input": list(description.embedding_input or ()),
        "finish_reasons": list(description.finish_reasons or ()),
        "tools_offered": [
            tool.get("name") or tool["function"]["name"] for tool in description.tools_offered or ()
        ],
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "total_tokens": usage and usage.total_tokens,
        "cached_input_tokens": usage and usage.cached_tokens,
        "reasoning_tokens": usage and usage.reasoning_tokens,
    }


def known_of(call: dict[str, Any]) -> dict[str, Any]:
    """Give the facts of a call, flat."""
    known: dict[str, Any] = {
        name: call[name]
        for name in (
            "provider",
            "request_model",
            "response_model",
            "response_id",
            "streaming",
            "input",
            "finish_reasons",
            "tools_offered",
        )
        if name in call
    }
    for name in ("input_messages", "output_messages"):
        if name in call:
            known[name] = as_facts(call[name])
    known.update((call.get("usage") or {}).items())
    return known


def assert_fact(name: str, told: Any, known: Any, judgement: dict[str, Any], source: str) -> None:
    if judgement.get("span_says", {}).get(name, told) == told and (
        name in judgement.get("span_says", {})
    ):
        return
    lost = judgement.get("not_in_span", [])
    if name in lost:
        assert told in (None, False, [], {}, known), f"{name} was made up: {told!r}"
    elif any(item.startswith(f"{name}[") for item in lost) or (source, name) in NOT_TOLD:
        return  # some of it is lost; the rest is held by the other cases
    else:
        assert told == known, name


@pytest.mark.parametrize("case", CASES)
def test_each_span_is_of_the_kind_that_it_was(case: str) -> None:
    for span, judgement in judged(case):
        kind = describe(span).kind
        told = "other" if kind is Kind.WORKFLOW else kind.value
        assert told == judgement["kind"], span.name


@pytest.mark.parametrize("case", CASES)
def test_a_call_is_told_as_it_went_over_the_wire(case: str) -> None:
    source = case.partition("--")[0]
    for span, judgement in judged(case):
        if "call" not in judgement:
            continue
        call, description = facts(case)["calls"][judgement["call"]], describe(span)
        told = told_by(description)
        for name, known in known_of(call).items():
            assert_fact(name, told[name], known, judgement, source)
        for name, known in call["parameters"].items():
            found = description.parameters.get(NAMES.get(name, name))
            if name.startswith("max_"):
                found = found or description.parameters.get("max_tokens")
            assert_fact(f"parameters.{name}", found, known, judgement, source)


@pytest.mark.parametrize("case", CASES)
def test_a_failed_call_is_told_with_its_status_and_message(case: str) -> None:
    for span, judgement in judged(case):
        if "call" not in judgement:
            continue
        error = facts(case)["calls"][judgement["call"]].get("error")
        failure = describe(span).failure
        assert (failure is None) is (error is None), span.name
        if failure is not None and error is not None:
            status = failure.http_status
            assert_fact("error.http_status", status, error["http_status"], judgement, "")
            if "error.message" not in judgement.get("not_in_span", []):
                assert error["message"] in (failure.message or "")


@pytest.mark.parametrize("case", CASES)
def test_a_tool_is_told_with_what_it_was_called_with_and_what_it_gave(case: str) -> None:
    for span, judgement in judged(case):
        if judgement["kind"] != "tool":
            continue
        tool, description = facts(case)["tools"][judgement["tool"]], describe(span)
        assert description.tool_name == tool["name"]
        assert_fact("arguments", description.arguments, tool["arguments"], judgement, "")
        if tool["error"] is None:
            known = parse_json(tool["result"])
            assert_fact("result", description.result, known, judgement, "")
        elif "error (span status is not ERROR)" not in judgement.get("not_in_span", []):
            assert description.failure is not None
        if "call_id" in tool:
            assert_fact("call_id", description.tool_call_id, tool["call_id"], judgement, "")


@pytest.mark.parametrize("case", CASES)
def test_a_retrieval_is_told_with_what_was_found(case: str) -> None:
    for span, judgement in judged(case):
        if judgement["kind"] != "retrieval":
            continue
        retrieval, description = facts(case)["tools"][judgement["tool"]], describe(span)
        query = retrieval["arguments"].get("query")
        assert_fact("arguments", description.query, query, judgement, "")
        if "result" not in judgement.get("not_in_span", []):
            assert len(description.documents or ()) == len(retrieval["result"])


@pytest.mark.parametrize("case", CASES)
def test_each_call_and_each_tool_is_logged_once(case: str) -> None:
    judgements = {
        request_id_of((span.context.trace_id, span.context.span_id)): judgement
        for span, judgement in judged(case)
    }
    logged = []
    for record in Translator().records(spans(case)):
        judgement = judgements[record.request_id]
        logged.append(
            ("call", judgement["call"]) if "call" in judgement else ("tool", judgement["tool"])
        )
    known = facts(case)
    happened = [("call", index) for index, call in enumerate(known["calls"]) if call["spans"]]
    if case.endswith("--via-helicone"):
        happened = []  # the gateway has logged it
    happened += [("tool", index) for index, tool in enumerate(known["tools"]) if tool["spans"]]
    assert sorted(logged) == sorted(happened)


@pytest.mark.parametrize("case", CASES)
def test_a_log_has_the_tokens_and_the_status_that_the_provider_gave(case: str) -> None:
    known = facts(case)
    judgements = {
        request_id_of((span.context.trace_id, span.context.span_id)): judgement
        for span, judgement in judged(case)
    }
    for record in Translator().records(spans(case)):
        judgement = judgements[record.request_id]
        if "call" not in judgement:
            continue
        call = known["calls"][judgement["call"]]
        assert record.status == call["http_status"]
        usage = call.get("usage")
        if not usage or case == "traceloop-old-openai--chat-stream":
            continue  # that version has no usage of streams
        logged = record.response["usage"]
        tokens_in = usage["input_tokens"]
        assert logged.get("prompt_tokens", logged.get("input_tokens")) == tokens_in
        out = logged.get("completion_tokens", logged.get("output_tokens", 0))
        assert out == usage.get("output_tokens", 0)


@pytest.mark.parametrize("case", CASES)
def test_spans_that_are_exported_one_by_one_lose_nothing_that_was_said(case: str) -> None:
    translator = Translator(held=HeldCalls())
    ended = sorted(spans(case), key=lambda span: span.end_time or 0)
    one_by_one = [record for span in ended for record in translator.records([span])]
    one_by_one += translator.due_records(release_all=True)
    together = list(Translator().records(spans(case)))
    assert sorted(map(said_in, one_by_one)) == sorted(map(said_in, together))


def said_in(record: LogRecord) -> str:
    """Return what a log shows of a call: messages, arguments, answers, documents, tokens."""
    request, response = record.request, record.response
    shown = [request.get(name) for name in ("messages", "input", "text", "toolName")]
    shown += [response.get(name) for name in ("choices", "output", "results", "usage")]
    return json.dumps(shown, sort_keys=True)


def test_there_is_something_to_look_at() -> None:
    assert len(CASES) == 98
    assert sum(len(facts(case)["calls"]) for case in CASES) > 130
