"""A request as a command for a shell, to send it once more."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Final

from otel_helicone.local.display import is_invisible
from otel_helicone.local.storage.records import RequestRecord

__all__ = ["LONGEST_COMMAND", "curl_command"]

LONGEST_COMMAND: Final = 100_000
"""A command of more bytes than this is none that a shell would take: Linux ends at 128 KiB."""

_GATEWAY_PATH: Final = "/v1/"
_NOT_THE_GATEWAYS: Final = ("/v1/trace/", "/v1/log")


def curl_command(record: RequestRecord, base_url: str) -> str | None:
    """Write the command that sends a request through this server's gateway again.

    Keys are not stored, so the command reads them from the variables ``OPENAI_API_KEY`` and
    ``HELICONE_API_KEY``.

    Args:
        record: the request, with its body.
        base_url: this server's address, without a slash at its end.

    Returns:
        The command, for bash and other POSIX shells; None for what is no LLM call, for a request
        whose body was not stored, and for one that is too long.
    """
    path = _path_of(record)
    if path is None or (record.method == "POST" and not record.request_body):
        return None
    lines = [f"curl {shlex.quote(base_url + path)}"]
    if record.method != "POST":
        lines.append(f"-X {shlex.quote(record.method)}")
    lines += (f"-H {header}" for header in _headers(record))
    if record.request_body:
        lines.append(f"--data-raw {shlex.quote(_body(record.request_body))}")
    command = " \\\n  ".join(lines)
    return command if len(command.encode("utf-8", "replace")) <= LONGEST_COMMAND else None


def _body(body: str) -> str:
    """Write the body with JSON's escapes for what cannot be seen, which mean the same."""
    if body.isascii():
        return body
    return "".join(
        json.dumps(character)[1:-1]
        if is_invisible(character) and not character.isascii()
        else character
        for character in body
    )


def _headers(record: RequestRecord) -> Iterator[str]:
    yield "'Content-Type: application/json'"
    # In double quotes, so that the shell puts the keys in.
    yield '"Authorization: Bearer $OPENAI_API_KEY"'
    yield '"Helicone-Auth: Bearer $HELICONE_API_KEY"'
    named = [
        ("Helicone-Session-Id", record.session_id),
        ("Helicone-Session-Path", record.session_path),
        ("Helicone-Session-Name", record.session_name),
        ("Helicone-User-Id", record.user_id),
        *((f"Helicone-Property-{name}", value) for name, value in record.properties.items()),
    ]
    for name, value in named:
        if value and value.isprintable() and name.isascii() and name.isprintable():
            yield shlex.quote(f"{name}: {value}")


def _path_of(record: RequestRecord) -> str | None:
    if record.kind != "llm":
        return None
    path = record.target_path
    if path.startswith(_GATEWAY_PATH) and not path.startswith(_NOT_THE_GATEWAYS):
        return path
    # A log tells no path, but its body which API it is of.
    try:
        body = json.loads(record.request_body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    if "messages" in body:
        return "/v1/messages" if record.provider == "ANTHROPIC" else "/v1/chat/completions"
    if "input" in body:
        is_embedding = "embedding" in (record.model or "")
        return "/v1/embeddings" if is_embedding else "/v1/responses"
    return "/v1/completions" if "prompt" in body else None
