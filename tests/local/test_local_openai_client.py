"""The openai client against a local Helicone with its built-in upstream."""

from __future__ import annotations

import math
import uuid
from pathlib import Path

import openai
import pytest

from otel_helicone.local.server import LocalHelicone
from otel_helicone.local.storage.records import RequestRecord

SESSION = {
    "Helicone-Session-Id": "trip-1",
    "Helicone-Session-Path": "/outline/chapter 1",
    "Helicone-Session-Name": "Trip",
}


def only_request(helicone: LocalHelicone) -> RequestRecord:
    assert helicone.settle()
    (request,) = helicone.store.requests()
    return request


def test_a_chat_is_answered_and_recorded(helicone: LocalHelicone, client: openai.OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Tell me about the moon."}],
        user="body-user",
        extra_headers={
            **SESSION,
            "Helicone-Property-Env": "test",
            "Helicone-Auth": "Bearer secret",
        },
    )
    completion = answer.parse()
    request = only_request(helicone)

    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert answer.headers["helicone-status"] == "success"
    assert answer.headers["helicone-id"] == request.request_id == str(uuid.UUID(request.request_id))
    assert (request.session_id, request.session_path) == ("trip-1", "/outline/chapter 1")
    assert (request.session_name, request.user_id) == ("Trip", "body-user")
    assert request.properties == {"env": "test"}
    assert (request.provider, request.model) == ("OPENAI", "gpt-4o-mini")
    assert (request.method, request.target_path) == ("POST", "/v1/chat/completions")
    assert (request.status, request.is_error) == (200, False)
    assert request.prompt_tokens == completion.usage.prompt_tokens > 0
    assert request.completion_tokens == completion.usage.completion_tokens > 0
    assert request.total_tokens == completion.usage.total_tokens
    assert request.time_to_first_token_ms is None
    assert "Tell me about the moon." in request.request_body
    assert completion.choices[0].message.content in request.response_body


def test_the_same_request_has_the_same_answer(client: openai.OpenAI) -> None:
    def ask(text: str) -> str | None:
        completion = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": text}]
        )
        return completion.choices[0].message.content

    assert ask("one") == ask("one") != ask("two")


def test_a_limit_of_tokens_cuts_the_answer(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], max_tokens=3
    )
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 3


def test_a_stream_is_recorded_as_its_text(helicone: LocalHelicone, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Tell me."}],
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=SESSION,
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    request = only_request(helicone)

    assert len(chunks) > 10
    assert chunks[-1].usage is not None
    assert request.total_tokens == chunks[-1].usage.total_tokens > 0
    assert request.status == 200
    assert request.time_to_first_token_ms is not None
    assert text
    assert text in request.response_body


def test_a_stream_that_is_not_asked_for_usage_has_none(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Tell me."}], stream=True
    )
    assert all(chunk.usage is None for chunk in stream)
    assert only_request(helicone).total_tokens == 0


def test_a_stream_that_its_caller_closes_has_status_minus_three(tmp_path: Path) -> None:
    with (
        LocalHelicone(tmp_path / "requests.db", latency=5_000) as helicone,
        openai.OpenAI(base_url=helicone.base_url, api_key="none") as client,
    ):
        stream = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Tell me."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        stream.close()
        request = only_request(helicone)
    assert (request.status, request.is_error) == (-3, True)
    assert request.total_tokens == 0
    assert request.time_to_first_token_ms is not None
    assert request.latency_ms < 5_000


def test_a_caller_that_gives_up_before_the_answer_has_status_minus_three(tmp_path: Path) -> None:
    with (
        LocalHelicone(tmp_path / "requests.db", latency=1_000) as helicone,
        openai.OpenAI(
            base_url=helicone.base_url, api_key="none", timeout=0.1, max_retries=0
        ) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": "Tell me."}]
            )
        request = only_request(helicone)
    # The answer is waited for, and counted.
    assert request.status == -3
    assert request.total_tokens > 0
    assert request.latency_ms >= 200


def test_responses_are_answered_and_recorded(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    answer = client.responses.create(model="gpt-4o", input="Tell me.", extra_headers=SESSION)
    request = only_request(helicone)
    assert answer.output_text
    assert answer.usage is not None
    assert request.prompt_tokens == answer.usage.input_tokens > 0
    assert request.completion_tokens == answer.usage.output_tokens > 0
    assert request.model == "gpt-4o"


def test_streamed_responses_are_accepted_by_the_client(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    with client.responses.stream(model="gpt-4o", input="Tell me.") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    request = only_request(helicone)
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.usage is not None
    assert request.total_tokens == final.usage.total_tokens > 0
    assert final.output_text
    assert final.output_text in request.response_body


@pytest.mark.parametrize("encoding", ["float", None])
def test_embeddings_are_unit_vectors(
    helicone: LocalHelicone, client: openai.OpenAI, encoding: str | None
) -> None:
    # Without an encoding the client asks for base64.
    extra = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(
        model="text-embedding-3-small", input=["a", "b", "a"], extra_body=extra
    )
    first, second, third = (item.embedding for item in answer.data)
    assert len(first) == 1536
    assert math.isclose(sum(number * number for number in first), 1.0, rel_tol=1e-4)
    assert first == third != second
    assert only_request(helicone).prompt_tokens == answer.usage.prompt_tokens > 0


def test_models_are_listed(helicone: LocalHelicone, client: openai.OpenAI) -> None:
    assert "gpt-4o-mini" in [model.id for model in client.models.list()]
    request = only_request(helicone)
    assert (request.method, request.model, request.session_id) == ("GET", None, None)


def test_what_the_built_in_upstream_has_not_is_said(
    helicone: LocalHelicone, client: openai.OpenAI
) -> None:
    with pytest.raises(openai.NotFoundError, match="it has GET /v1/models and POST /v1/chat"):
        client.moderations.create(input="x")
    request = only_request(helicone)
    assert (request.status, request.is_error) == (404, True)
    assert request.model is None


def test_durations_differ_and_stay_below_the_latency(tmp_path: Path) -> None:
    with (
        LocalHelicone(tmp_path / "requests.db", latency=40) as helicone,
        openai.OpenAI(base_url=helicone.base_url, api_key="none") as client,
    ):
        for number in range(6):
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": str(number)}]
            )
        helicone.settle()
        latencies = [request.latency_ms for request in helicone.store.requests()]
    assert min(latencies) >= 10
    assert len(set(latencies)) > 1


@pytest.mark.anyio
async def test_the_async_client_streams_and_embeds(helicone: LocalHelicone) -> None:
    async with openai.AsyncOpenAI(base_url=helicone.base_url, api_key="none") as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
        answer = await client.embeddings.create(model="e", input="x")
    assert helicone.settle()
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(answer.data[0].embedding) == 1536
    assert [request.model for request in helicone.store.requests()] == ["m", "e"]
