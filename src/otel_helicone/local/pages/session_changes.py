"""What can be done to sessions and requests from their pages."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from otel_helicone.local.api.scores import NotAScore, read_scores
from otel_helicone.local.forms.form import FormRefused, read_form
from otel_helicone.local.pages.rendering import address
from otel_helicone.local.pages.site import Site
from otel_helicone.local.storage.changes import Deletion, Scores, SessionTag
from otel_helicone.local.storage.writer import NotWritten

__all__ = ["SessionChanges"]

_LONGEST_TAG = 200


class _Refused(Exception):
    """A form is not taken; the status, and the text for the page."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class SessionChanges:
    """Answers the forms of the session's and the request's page."""

    def __init__(self, site: Site) -> None:
        """Take what is changed."""
        self._site = site

    async def delete(self, request: Request) -> Response:
        """Ask whether a session is to be deleted, and delete it."""
        if request.method != "POST":
            return await run_in_threadpool(self._ask, request)
        try:
            form = await self._form(request)
            session_id = form.get("id", "")
            if not session_id:
                raise _Refused(400, "The form names no session.")
            await self._apply(Deletion(session_id, form.get("name")))
        except _Refused as refused:
            return self._refusal(refused)
        return RedirectResponse("/", 303)

    async def tag(self, request: Request) -> Response:
        """Set a session's tag."""
        try:
            form = await self._form(request)
            session_id, tag = form.get("id", ""), form.get("tag", "").strip()
            if not session_id or len(tag) > _LONGEST_TAG:
                raise _Refused(400, f"Give a tag of at most {_LONGEST_TAG} characters.")
            await self._apply(SessionTag(session_id, tag))
        except _Refused as refused:
            return self._refusal(refused)
        return RedirectResponse(address("/session", id=session_id, name=form.get("name")), 303)

    async def score(self, request: Request) -> Response:
        """Set a score of a request."""
        try:
            form = await self._form(request)
            request_id = form.get("id", "").lower()
            name, value = form.get("score", "").strip(), form.get("value", "").strip().lower()
            if not request_id or not name:
                raise _Refused(400, "Give the score a name.")
            given: Mapping[str, object] = {name: {"true": True, "false": False}.get(value, value)}
            try:
                scores = read_scores(given)
            except NotAScore:
                text = f"The score {value!r} is none: give a whole number, true or false."
                raise _Refused(400, text) from None
            await self._apply(Scores(request_id, scores))
        except _Refused as refused:
            return self._refusal(refused)
        return RedirectResponse(address("/request", id=request_id), 303)

    def _ask(self, request: Request) -> Response:
        session_id = request.query_params.get("id", "")
        name = request.query_params.get("name", "")
        session = self._site.store.session(session_id, name) if session_id else None
        if session is None:
            refused = _Refused(404, f"No session has the id {session_id!r} and the name {name!r}.")
            return self._refusal(refused)
        token, cookie = self._site.csrf.token_for(request)
        response = self._site.templates.page("delete.html", session=session, csrf=token)
        self._site.csrf.set_cookie(response, cookie)
        return response

    async def _form(self, request: Request) -> dict[str, str]:
        try:
            form = await read_form(request)
        except FormRefused as error:
            raise _Refused(400, str(error)) from None
        if not self._site.csrf.is_valid(request, form):
            text = "The form is not from a page of this server, or the server was started anew."
            raise _Refused(403, f"{text} Load the page again, and send it from there.")
        return form

    async def _apply(self, change: Deletion | SessionTag | Scores) -> None:
        try:
            await run_in_threadpool(self._site.writer.apply, change)
        except NotWritten as error:
            why = str(error).rstrip(".")
            raise _Refused(500, f"The store could not be changed: {why}.") from error

    def _refusal(self, refused: _Refused) -> Response:
        return self._site.templates.page(
            "message.html", refused.status, heading="Nothing was changed", text=str(refused)
        )
