"""The pages of one session and of one request, and what can be done to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from otel_helicone.local.analysis.tree import segments_of
from otel_helicone.local.json_output import as_json
from otel_helicone.local.pages.conversation import conversation_of
from otel_helicone.local.pages.live import Live
from otel_helicone.local.pages.query_fields import WrongQuery
from otel_helicone.local.pages.request_view import request_view
from otel_helicone.local.pages.session_changes import SessionChanges
from otel_helicone.local.pages.session_conversation import session_conversation
from otel_helicone.local.pages.session_export import export_page
from otel_helicone.local.pages.session_view import UnknownPlace, session_view
from otel_helicone.local.pages.site import Site
from otel_helicone.local.pages.trace_link import trace_link
from otel_helicone.local.storage.records import SessionRecord

__all__ = ["session_routes"]

_STEPS_A_PAGE: Final = 50
_UNSAFE_IN_A_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def session_routes(site: Site) -> list[BaseRoute]:
    """Give the routes of the pages of sessions and requests.

    Args:
        site: what they show, and how.
    """
    pages = _SessionPages(site)
    changes = SessionChanges(site)
    return [
        Route("/session", pages.answering(pages.session), methods=["GET"]),
        Route("/session/chat", pages.answering(pages.chat), methods=["GET"]),
        Route("/session/export.json", pages.answering(pages.export_json), methods=["GET"]),
        Route("/session/export.html", pages.answering(pages.export_html), methods=["GET"]),
        Route("/request", pages.answering(pages.request), methods=["GET"]),
        Route("/session/delete", changes.delete, methods=["GET", "POST"]),
        Route("/session/tag", changes.tag, methods=["POST"]),
        Route("/request/score", changes.score, methods=["POST"]),
        Route("/live", Live(site).answer, methods=["GET"]),
    ]


class _SessionPages:
    def __init__(self, site: Site) -> None:
        self._site = site

    def answering(self, page: Callable[[Request], Response]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                return page(request)
            except WrongQuery as error:
                return self._message(400, "This cannot be asked for", str(error))

        return answer

    def session(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        path = request.query_params.get("path")
        first = _number(request, "from")
        try:
            view = session_view(self._site, found, path=path, first=first)
        except UnknownPlace:
            text = f"The session has nothing at the path {path!r}."
            return self._message(404, "There is no such place", text)
        token, cookie = self._site.csrf.token_for(request)
        response = self._site.templates.page(
            "session.html",
            view=view,
            csrf=token,
            tag=self._site.store.tag(found.session_id),
            trace=trace_link(self._site.trace_url, found.session_id),
            exporting=False,
            here_again=f"{request.url.path}?{request.url.query}",
        )
        self._site.csrf.set_cookie(response, cookie)
        return response

    def chat(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        first = _number(request, "from")
        requests = self._site.store.requests(found.session_id, found.session_name)
        return self._site.templates.page(
            "session_chat.html",
            session=found,
            steps=session_conversation(requests)[first : first + _STEPS_A_PAGE],
            first=first,
            total=len(requests),
            size=_STEPS_A_PAGE,
        )

    def export_json(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        requests = self._site.store.requests(
            found.session_id, found.session_name, bodies=_wants_bodies(request)
        )
        return Response(
            as_json(requests),
            media_type="application/json",
            headers=_as_file(found, "json"),
        )

    def export_html(self, request: Request) -> Response:
        found = self._found(request)
        if isinstance(found, Response):
            return found
        page = export_page(self._site, found, bodies=_wants_bodies(request))
        return Response(page, media_type="text/html", headers=_as_file(found, "html"))

    def request(self, request: Request) -> Response:
        request_id = request.query_params.get("id", "")
        record = self._site.store.request(request_id.lower())
        if record is None:
            text = f"No request has the id {request_id!r}, or it was deleted."
            return self._message(404, "There is no such request", text)
        token, cookie = self._site.csrf.token_for(request)
        response = self._site.templates.page(
            "request.html",
            view=request_view(self._site.store, record, str(request.base_url).rstrip("/")),
            conversation=conversation_of(record.request_body, record.response_body),
            csrf=token,
            trace=trace_link(self._site.trace_url, record.session_id or ""),
        )
        self._site.csrf.set_cookie(response, cookie)
        return response

    def _found(self, request: Request) -> SessionRecord | Response:
        """Give the session that is asked for, or the answer where it is not one."""
        session_id = request.query_params.get("id", "")
        name = request.query_params.get("name")
        found = [
            session
            for session in (self._site.store.sessions(session_id) if session_id else ())
            if name is None or session.session_name == name
        ]
        if len(found) == 1:
            return found[0]
        if found:
            return self._site.templates.page("session_names.html", sessions=found)
        text = f"No session has the id {session_id!r}"
        text += "" if name is None else f" and the name {name!r}"
        return self._message(404, "There is no such session", f"{text}, or it was deleted.")

    def _message(self, status: int, heading: str, text: str) -> Response:
        return self._site.templates.page("message.html", status, heading=heading, text=text)


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise WrongQuery(f"The field {name!r} is {text!r}. Give a number from 0 up.")
    return int(text)


def _wants_bodies(request: Request) -> bool:
    return request.query_params.get("bodies", "1") != "0"


def _as_file(session: SessionRecord, ending: str) -> dict[str, str]:
    name = "-".join((segments_of(session.session_name) or ("session",))[:1])
    name = _UNSAFE_IN_A_FILE_NAME.sub("-", f"{name}-{session.session_id}").strip("-.")[:80]
    return {
        "content-disposition": f'attachment; filename="{name or "session"}.{ending}"',
        "cache-control": "no-store",
    }
