"""A session's conversation: what each request said that was not said before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_helicone.local.pages.conversation import Message, conversation_of
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["ConversationStep", "session_conversation"]


@dataclass(frozen=True, slots=True)
class ConversationStep:
    """One request of a session.

    Attributes:
        request: the request.
        repeated: how many of its messages an earlier request had said or got already.
        messages: the other ones, then those of the answer.
        error: what the answer calls the error, or None.
    """

    request: RequestRecord
    repeated: int
    messages: tuple[Message, ...]
    error: str | None


def session_conversation(requests: Iterable[RequestRecord]) -> list[ConversationStep]:
    """Give the steps of a conversation, without what is repeated.

    Each request of a chat brings the whole conversation so far with it.

    Args:
        requests: the requests of one session, with their bodies, by their start.
    """
    said: set[Message] = set()
    steps = []
    for request in requests:
        conversation = conversation_of(request.request_body, request.response_body)
        new = tuple(message for message in conversation.asked if message not in said)
        steps.append(
            ConversationStep(
                request=request,
                repeated=len(conversation.asked) - len(new),
                messages=(*new, *conversation.answered),
                error=conversation.error,
            )
        )
        said.update(conversation.asked, conversation.answered)
    return steps
