"""Requests and answers of providers' APIs, which some dialects put whole on a span."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from otel_helicone.dialects.description import Json, Message, Usage
from otel_helicone.dialects.messages import read_messages, text_message
from otel_helicone.dialects.reading import as_text
from otel_helicone.dialects.token_counts import usage_in

__all__ = [
    "WireCall",
    "parameters_in",
    "wire_request",
    "wire_response",
]

_PARAMETERS: Final = frozenset(
    {
        # OpenAI, and those who have its API
        "audio",
        "background",
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "function_call",
        "include",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "max_tool_calls",
        "min_p",
        "modalities",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream_options",
        "temperature",
        "tool_choice",
        "top_k",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
        "verbosity",
        "web_search_options",
        # Anthropic
        "context_management",
        "inference_geo",
        "output_config",
        "output_format",
        "stop_sequences",
        "thinking",
        # Google
        "candidate_count",
        "response_mime_type",
        "response_modalities",
        "response_schema",
        "safety_settings",
        "thinking_config",
    }
)
"""What a request may hold besides its messages, model and tools, as the providers call it.

Not ``metadata``: Helicone takes a body with that key for another kind of request.
"""


def parameters_in(told: Json) -> dict[str, Json] | None:
    """Return the parameters among what was told of a request; None where there are none."""
    if not isinstance(told, Mapping):
        return None
    kept = {name: value for name, value in told.items() if value is not None}
    return {name: value for name, value in kept.items() if name in _PARAMETERS} or None


@dataclass(frozen=True, slots=True)
class WireCall:
    """What a request or an answer says; see the fields of the same names in a description."""

    model: str | None = None
    id: str | None = None
    messages: tuple[Message, ...] | None = None
    parameters: Mapping[str, Json] | None = None
    tools: tuple[Json, ...] | None = None
    streaming: bool | None = None
    finish_reasons: tuple[str, ...] | None = None
    usage: Usage | None = None
    embedding_input: tuple[str, ...] | None = None


_EMPTY: Final = WireCall()


def wire_request(body: Json) -> WireCall:
    """Read the body of a request: chat, Responses, text completion or embeddings."""
    if not isinstance(body, dict):
        return _EMPTY
    more = body.get("kwargs")
    if isinstance(more, dict):  # the call of a Python function, as LlamaIndex's is written down
        body = {**more, **body}
    messages = read_messages(body.get("messages"))
    asked = body.get("input")
    if messages is None and not _is_vector_call(body):
        messages = read_messages(asked)
        system = as_text(body.get("instructions"))
        if messages is not None and system is not None:
            messages = (*(text_message("system", system) or ()), *messages)
    if messages is None and isinstance(body.get("prompt"), str):
        messages = text_message("user", body["prompt"])
    system = body.get("system")
    if messages is not None and system and messages[0].role != "system":
        told = read_messages(system if isinstance(system, list) else str(system), "system") or ()
        parts = tuple(part for message in told for part in message.parts)
        messages = (Message("system", parts), *messages)
    tools = body.get("tools")
    stream = body.get("stream")
    return WireCall(
        as_text(body.get("model")),
        None,
        messages,
        parameters_in(body),
        tuple(tools) if isinstance(tools, list) and tools else None,
        stream if isinstance(stream, bool) else None,
        embedding_input=_texts(asked),
    )


def _is_vector_call(body: Mapping[str, Json]) -> bool:
    return (
        "encoding_format" in body or "dimensions" in body or "embedding" in str(body.get("model"))
    )


def _texts(asked: Json) -> tuple[str, ...] | None:
    if isinstance(asked, str):
        return (asked,)
    if isinstance(asked, list) and all(isinstance(item, str) for item in asked):
        return tuple(asked) or None
    return None


def wire_response(body: Json) -> WireCall:
    """Read the body of an answer: chat, Responses, text completion, Anthropic, LangChain's."""
    if not isinstance(body, dict):
        return _EMPTY
    generations = body.get("generations")
    if isinstance(generations, list):
        return _from_langchain(body, generations)
    messages: tuple[Message, ...] | None = None
    reasons: list[str] = []
    choices = body.get("choices")
    if isinstance(choices, list):
        messages = read_messages(choices, "assistant")
        reasons = [
            choice["finish_reason"]
            for choice in choices
            if isinstance(choice, dict) and isinstance(choice.get("finish_reason"), str)
        ]
    elif isinstance(body.get("output"), list):
        messages = read_messages(body["output"], "assistant")
    elif isinstance(body.get("message"), dict):
        messages = read_messages(body["message"], "assistant")
    elif "content" in body and isinstance(body["content"], list):
        messages = read_messages([body], "assistant")
        if isinstance(body.get("stop_reason"), str):
            reasons = [body["stop_reason"]]
    elif isinstance(body.get("combined_chunk_content"), str):
        messages = text_message("assistant", body["combined_chunk_content"])
    return WireCall(
        as_text(body.get("model")),
        as_text(body.get("id")),
        messages,
        finish_reasons=tuple(reasons) or None,
        usage=usage_in(body.get("usage")),
    )


def _from_langchain(body: Mapping[str, Json], generations: list[Json]) -> WireCall:
    told = body.get("llm_output")
    output: Mapping[str, Json] = told if isinstance(told, dict) else {}
    first = generations[0] if generations else None
    batch = first if isinstance(first, list) else generations
    identity, model = as_text(output.get("id")), as_text(output.get("model_name"))
    reasons: list[str] = []
    usage = usage_in(output.get("token_usage"))
    for generation in batch:
        message = generation.get("message") if isinstance(generation, dict) else None
        info = generation.get("generation_info") if isinstance(generation, dict) else None
        kwargs = message.get("kwargs") if isinstance(message, dict) else None
        metadata = kwargs.get("response_metadata") if isinstance(kwargs, dict) else None
        for said in (info, metadata):
            if isinstance(said, dict):
                reason = as_text(said.get("finish_reason")) or as_text(said.get("stop_reason"))
                if reason is not None:
                    reasons.append(reason)
                    break
        if isinstance(metadata, dict):
            identity = identity or as_text(metadata.get("id"))
            model = model or as_text(metadata.get("model_name"))
        if usage is None and isinstance(kwargs, dict):
            usage = usage_in(kwargs.get("usage_metadata"))
        if identity is None and isinstance(kwargs, dict):
            # The provider's id where it is one, LangChain's own run id where it is not.
            found = as_text(kwargs.get("id"))
            identity = None if found is None or found.startswith(("run-", "lc_run-")) else found
    return WireCall(
        model,
        identity,
        read_messages(batch, "assistant"),
        finish_reasons=tuple(reasons) or None,
        usage=usage,
    )
