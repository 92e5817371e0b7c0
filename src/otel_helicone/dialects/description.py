"""What a finished span says that happened, in words of no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

__all__ = [
    "Description",
    "Failure",
    "Json",
    "Kind",
    "Message",
    "Part",
    "ToolCall",
    "Usage",
]

Json: TypeAlias = Any
"""A value that came out of JSON: what others wrote, so of any shape."""

_NOTHING: Final[Mapping[str, Json]] = MappingProxyType({})


class Kind(Enum):
    """What a span stands for."""

    LLM = "llm"
    EMBEDDING = "embedding"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    AGENT = "agent"
    WORKFLOW = "workflow"
    OTHER = "other"

    @property
    def is_call(self) -> bool:
        """Whether it is a call to a model, which has usage and a price."""
        return self is Kind.LLM or self is Kind.EMBEDDING


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a message's content.

    Attributes:
        type: ``text``, ``image``, ``audio``, ``file``, ``refusal``, or what the dialect calls it.
        text: the text of a text or a refusal.
        url: where an image, a sound or a file is; a ``data:`` URL where the span holds it whole.
        raw: the piece as it was found, for types that are not known here.
    """

    type: str
    text: str | None = None
    url: str | None = None
    raw: Json = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model wants to have called.

    Attributes:
        id: the id that the tool's answer refers to.
        name: the tool's name.
        arguments: what to call it with: parsed, or the text where it is not JSON.
    """

    id: str | None
    name: str
    arguments: Json = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        parts: its content; empty where there is none, or where it was not captured.
        tool_calls: the tools that the model wants to have called.
        tool_call_id: the call that a message of a tool answers.
        name: the name of its author.
        reasoning: what the model thought before it answered.
        finish_reason: why the model stopped.
    """

    role: str
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; None for what was not told.

    Attributes:
        input_tokens: tokens in, with those that came from a cache.
        output_tokens: tokens out, with those of reasoning.
        total_tokens: the total that was told.
        cached_tokens: of the tokens in, those that were read from a cache.
        cache_write_tokens: of the tokens in, those that were written to a cache.
        reasoning_tokens: of the tokens out, those of reasoning.
        audio_input_tokens: of the tokens in, those of sounds.
        audio_output_tokens: of the tokens out, those of sounds.
        tool_tokens: of the tokens in, those of what the provider's own tools gave.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    tool_tokens: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether neither tokens in nor tokens out are known."""
        return self.input_tokens is None and self.output_tokens is None


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call failed.

    Attributes:
        type: the class of the exception, or the provider's type of error.
        message: what it said.
        http_status: the HTTP status that it came with.
    """

    type: str | None = None
    message: str | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a finished span says that happened.

    Attributes:
        kind: what the span stands for.
        operation: ``chat``, ``text_completion``, ``embeddings``, … as OpenTelemetry names it.
        provider: who was called, in lower case, such as ``openai``.
        request_model: the model that was asked for.
        response_model: the model that answered.
        response_id: the provider's id of the answer.
        streaming: whether the answer was streamed.
        parameters: what the model was asked with besides messages, by the names of OpenAI's API.
        tools_offered: definitions of the tools that the model may call.
        input: the messages in; None where they were not captured.
        output: the messages out; None where they were not captured.
        finish_reasons: why the model stopped, one for each choice.
        usage: the tokens of the call.
        seconds_to_first_token: how long a streamed answer took to begin.
        embedding_input: the texts that were embedded.
        tool_name: the tool that ran.
        tool_call_id: the id of the call that a model asked for.
        arguments: what the tool ran with.
        result: what it gave.
        query: what was searched for.
        documents: what was found.
        agent_name: the agent, workflow or step that the span is about.
        step_input: what a step went in with.
        step_output: what it came out with.
        failure: how it failed; None where it did not.
        http_status: the HTTP status of the answer, where one is told.
        server_address: the host that was called.
        server_port: the port that was called, where it is told.
        user_id: the user, where the dialect has a place of its own for them.
        session_id: the session, where the dialect has a place of its own for Helicone's.
        session_path: its path likewise.
        session_name: its name likewise.
        properties: custom properties, from where the dialect has a place for them.
        omit_request: whether the application asked Helicone not to keep the request.
        omit_response: whether it asked so for the response.
        is_opening: whether the span is only the beginning of a stream that another one completes.
        is_completion: whether the span is that other one.
    """

    kind: Kind
    operation: str | None = None
    provider: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    streaming: bool | None = None
    parameters: Mapping[str, Json] = field(default_factory=lambda: _NOTHING)
    tools_offered: tuple[Json, ...] | None = None
    input: tuple[Message, ...] | None = None
    output: tuple[Message, ...] | None = None
    finish_reasons: tuple[str, ...] | None = None
    usage: Usage | None = None
    seconds_to_first_token: float | None = None
    embedding_input: tuple[str, ...] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    arguments: Json = None
    result: Json = None
    query: str | None = None
    documents: tuple[Json, ...] | None = None
    agent_name: str | None = None
    step_input: Json = None
    step_output: Json = None
    failure: Failure | None = None
    http_status: int | None = None
    server_address: str | None = None
    server_port: int | None = None
    user_id: str | None = None
    session_id: str | None = None
    session_path: str | None = None
    session_name: str | None = None
    properties: Mapping[str, str] | None = None
    omit_request: bool | None = None
    omit_response: bool | None = None
    is_opening: bool = False
    is_completion: bool = False

    @property
    def has_content(self) -> bool:
        """Whether anything is told of what was said, asked or given."""
        told = (self.embedding_input, self.arguments, self.result, self.query, self.documents)
        return any(value is not None for value in told) or any(
            message.parts or message.tool_calls or message.reasoning
            for message in (*(self.input or ()), *(self.output or ()))
        )
