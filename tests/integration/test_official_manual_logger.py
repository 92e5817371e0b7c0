"""Helicone's own manual logger for Python, unchanged, against the local Helicone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_helicone.local.server import LocalHelicone

pytestmark = pytest.mark.integration

KEY = "sk-helicone-1234567-abcdefg-7654321-gfedcba"
HEADERS = {
    "Helicone-Session-Id": "f-1",
    "Helicone-Session-Path": "/p",
    "Helicone-Session-Name": "n",
    "Helicone-User-Id": "u",
    "Helicone-Property-Env": "x",
}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is 2+2?"}]}
ANSWER = {
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}


@pytest.mark.parametrize(
    ("provider", "stored"), [("openai", "OPENAI"), ("anthropic", "ANTHROPIC"), (None, "CUSTOM")]
)
def test_the_official_manual_logger_works_unchanged(
    tmp_path: Path, provider: str | None, stored: str
) -> None:
    helpers = pytest.importorskip("helicone_helpers")
    with LocalHelicone(tmp_path / "requests.db", latency=0, api_keys=[KEY]) as helicone:
        logger: Any = helpers.HeliconeManualLogger(
            api_key=KEY, headers=HEADERS, logging_endpoint=helicone.url
        )

        def operation(recorder: Any) -> str:
            recorder.append_results(ANSWER)
            return "done"

        done = logger.log_request(request=CHAT, operation=operation, provider=provider)
        assert done == "done"
    (request,) = helicone.store.requests()
    assert (request.provider, request.model, request.status) == (stored, "gpt-4o-mini", 200)
    assert (request.prompt_tokens, request.completion_tokens) == (1000, 500)
    assert (request.session_id, request.session_path, request.session_name) == ("f-1", "/p", "n")
    assert (request.user_id, request.properties) == ("u", {"env": "x"})
