"""A session as one file, to attach to a bug report: nothing in it is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from otel_helicone.local.pages.session_conversation import ConversationStep, session_conversation
from otel_helicone.local.pages.session_view import session_view
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.records import SessionRecord

__all__ = ["export_page"]

_STYLES: Final = Path(__file__).parent / "static" / "pages.css"
# What is said in more requests than this makes a file that no browser opens gladly.
_MOST_STEPS: Final = 1000


def export_page(site: Site, session: SessionRecord, *, bodies: bool) -> str:
    """Write a session as HTML that needs nothing else.

    Args:
        site: whose store it is in.
        session: which one.
        bodies: whether what was said is in it.
    """
    view = session_view(site, session)
    steps: list[ConversationStep] = []
    if bodies:
        requests = site.store.requests(session.session_id, session.session_name)
        steps = session_conversation(requests[:_MOST_STEPS])
    styles = _STYLES.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return site.templates.text(
        "export.html",
        view=view,
        steps=steps,
        styles=styles,
        style_hash=f"sha256-{digest}",
        written=datetime.now(UTC),
        exporting=True,
        tag=site.store.tag(session.session_id),
        trace=None,
    )
