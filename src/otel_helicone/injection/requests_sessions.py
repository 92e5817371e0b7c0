"""Helicone's headers off the redirects that a session of ``requests`` follows.

Its requests get their session headers in ``urllib3_pools``, through which they are sent. The
redirects are its own: ``rebuild_method`` and ``rebuild_auth``, both public, make the request of
the next hop, and the second takes ``Authorization`` off. Applications override one of them, to send
a POST again or to keep ``Authorization``, so both are replaced while injection is on.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

from otel_helicone.injection.plain_requests import keeps_credentials, take_off_helicone
from otel_helicone.injection.replaced_methods import Method, replace_method
from otel_helicone.injection.urllib3_pools import origin_of_url
from otel_helicone.primitives.log_once import log_failure_once
from otel_helicone.settings.in_use import injecting

if TYPE_CHECKING:
    import requests

__all__ = ["install", "take_off_redirect"]


def install(module: ModuleType) -> None:
    """Make sessions take Helicone's headers off redirects to another origin.

    Args:
        module: ``requests.sessions``.
    """
    sessions = getattr(module, "SessionRedirectMixin", None)
    for name in ("rebuild_method", "rebuild_auth"):
        if isinstance(sessions, type) and callable(getattr(sessions, name, None)):
            replace_method(sessions, name, _redirecting)


def take_off_redirect(request: requests.PreparedRequest, response: requests.Response) -> None:
    """Take every ``Helicone-*`` header off a redirect to another origin; never raises.

    Args:
        request: the request that follows the redirect; its headers are its own.
        response: the answer that redirects.
    """
    try:
        hops = [origin_of_url(response.request.url), origin_of_url(request.url)]
        if not keeps_credentials(hops):
            take_off_helicone(request.headers)
    except Exception:
        log_failure_once("taking Helicone's headers off a redirect")


def _redirecting(rebuild: Method) -> Method:
    @functools.wraps(rebuild)
    def rebuild_without(
        self: Any, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> Any:
        result = rebuild(self, prepared_request, response)
        if injecting():
            take_off_redirect(prepared_request, response)
        return result

    return rebuild_without
