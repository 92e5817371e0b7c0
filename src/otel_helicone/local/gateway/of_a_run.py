"""The gateway at an address of one run: calls that say nothing of a session are in the run's.

Whatever takes ``OPENAI_BASE_URL`` can then be run and seen, untraced, in any language.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from otel_helicone.primitives.escaping import escape_value
from otel_helicone.primitives.header_names import SESSION_ID, SESSION_NAME, SESSION_PATH

__all__ = ["OfARun", "base_url_of_run"]

_PATH: Final = re.compile(rb"/run/([0-9a-f]{32})/([^/]+)(/v1/.*)", re.DOTALL)


def base_url_of_run(url: str, run_id: str, name: str) -> str:
    """Return what the clients of a run take as their ``base_url``.

    Args:
        url: the local Helicone, such as ``http://127.0.0.1:8787``.
        run_id: the session's id for calls that name none: 32 hexadecimal digits.
        name: the session's name for them.
    """
    text = escape_value(name) or "run"
    return f"{url}/run/{run_id}/{quote(text, safe='')}/v1"


class OfARun:
    """ASGI application below ``/run/``: hands on to the gateway, with the session of the run."""

    def __init__(self, gateway: ASGIApp) -> None:
        """Wrap the gateway.

        Args:
            gateway: what answers below ``/v1/``.
        """
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = _PATH.fullmatch(scope["raw_path"])
        if found is None:
            text = "An address of a run is /run/ID/NAME/v1/, with an ID of 32 digits.\n"
            await PlainTextResponse(text, 404)(scope, receive, send)
            return
        run_id, name, path = found.groups()
        headers = list(scope["headers"])
        present = {key.lower() for key, _ in headers}
        if SESSION_ID.lower().encode() not in present:
            session = (
                (SESSION_ID, run_id),
                (SESSION_PATH, b"/"),
                (
                    SESSION_NAME,
                    unquote(name.decode("ascii", "replace")).encode("latin-1", "replace"),
                ),
            )
            headers += [
                (key.encode(), value)
                for key, value in session
                if key.lower().encode() not in present
            ]
        inner = {
            **scope,
            "headers": headers,
            "raw_path": path,
            "path": unquote(path.decode("latin-1")),
        }
        await self._gateway(inner, receive, send)
