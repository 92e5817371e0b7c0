"""Calls to providers sent through the Helicone gateway that serves them, where that was asked for.

A request takes a detour while it is sent: another host, and the headers that the gateway needs. The
path and the body stay as they are. Afterwards the request is as the caller made it, so that a
redirect, a retry and the caller's own look at it see the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from otel_helicone.injection.headers import take_off_added, take_off_header
from otel_helicone.primitives.header_names import HELICONE_AUTH
from otel_helicone.primitives.log_once import log_failure_once, warn_once
from otel_helicone.settings.in_use import gateway_in_use

if TYPE_CHECKING:
    from otel_helicone.injection.http_types import Request, Url
    from otel_helicone.settings.processor import Gateway

__all__ = ["Detour", "gateway_of", "take_detour"]

_OPENAI_GATEWAY: Final = "oai.helicone.ai"
_ANTHROPIC_GATEWAY: Final = "anthropic.helicone.ai"
_GENERIC_GATEWAY: Final = "gateway.helicone.ai"
_OWN_GATEWAYS: Final = {
    "api.openai.com": _OPENAI_GATEWAY,
    "api.anthropic.com": _ANTHROPIC_GATEWAY,
}
# Served by the generic gateway, which is told where to go.
_OTHERS: Final = frozenset(
    {
        "api.cohere.com",
        "api.deepseek.com",
        "api.fireworks.ai",
        "api.groq.com",
        "api.mistral.ai",
        "api.perplexity.ai",
        "api.together.xyz",
        "api.x.ai",
        "generativelanguage.googleapis.com",
        "openrouter.ai",
    }
)
_AZURE: Final = ".openai.azure.com"
_TARGET: Final = "Helicone-Target-URL"
_AZURE_BASE: Final = "Helicone-OpenAI-Api-Base"
# What both HTTP stacks raise where nothing was sent yet.
_NOT_REACHED: Final = frozenset({"ConnectError", "ConnectTimeout"})


class Detour:
    """One request on its way through a gateway."""

    __slots__ = ("_added", "_fallback", "_host", "_request", "_url")

    def __init__(self, request: Request, gateway: Gateway, host: str, header: str | None) -> None:
        """Turn a request to the gateway.

        Args:
            request: the request; it is as it was once :meth:`end` is called.
            gateway: the settings of the gateway.
            host: which of Helicone's hosts it goes to, unless the settings name another.
            header: the header that tells the gateway where to go, if it needs one.
        """
        url = request.url
        self._request = request
        self._url = url
        self._fallback = gateway.fallback
        self._host = request.headers.get("host")
        self._added: list[str] = []
        if gateway.host is None:
            turned = url.copy_with(scheme="https", host=host, port=None)
        else:
            if header is None and host != _OPENAI_GATEWAY:
                header = _TARGET  # one host serves all providers there
            turned = url.copy_with(scheme=gateway.scheme, host=gateway.host, port=gateway.port)
        request.url = turned
        request.headers["Host"] = turned.netloc.decode("ascii")
        if header is not None:
            self._add(header, f"{url.scheme}://{url.netloc.decode('ascii')}")
        if gateway.api_key is not None:
            self._add(HELICONE_AUTH, f"Bearer {gateway.api_key}")

    def _add(self, name: str, value: str) -> None:
        if name not in self._request.headers:  # the caller wins
            self._request.headers[name] = value
            self._added.append(name)

    def end(self) -> None:
        """Give the request back as the caller made it; more than once does no harm."""
        try:
            request = self._request
            take_off_added(request)
            for name in self._added:
                take_off_header(request, name)
            self._added.clear()
            request.url = self._url
            if self._host is not None:
                request.headers["Host"] = self._host
        except Exception:
            log_failure_once("turning a request back from the gateway")

    def goes_direct_after(self, error: Exception) -> bool:
        """Return whether the call is to be sent to the provider itself now.

        Args:
            error: why the gateway gave no answer.
        """
        if not self._fallback or type(error).__name__ not in _NOT_REACHED:
            return False
        warn_once(
            f"gateway-unreachable:{self._url.host}",
            "Helicone's gateway can't be reached (%s): calls to %s go there directly meanwhile,"
            " and Helicone records nothing of them.",
            type(error).__name__,
            self._url.host,
        )
        return True


def take_detour(client: object, request: Request) -> Detour | None:
    """Turn a request to a provider to the gateway that serves it, if that was asked for.

    Args:
        client: the HTTP client that sends it. One that has a transport of its own mounted for the
            provider's host is left alone: the call would not reach that transport.
        request: the request of one attempt, or of one hop of a redirect.

    Returns:
        The detour; None for every other request, which is left as it is.
    """
    try:
        gateway = gateway_in_use()
        if gateway is None:
            return None
        url = request.url
        if url.scheme != "https" or (url.port or 443) != 443:
            return None
        found = gateway_of(url)
        if found is None or _has_mounted(client, url):
            return None
        return Detour(request, gateway, *found)
    except Exception:
        log_failure_once("turning a request to the gateway")
        return None


def _has_mounted(client: object, url: Url) -> bool:
    # Private, because nothing public tells what a client has mounted; where a release has no such
    # name, the call takes the detour.
    mounts: Mapping[Any, object] = getattr(client, "_mounts", {})
    for pattern, transport in mounts.items():
        host: object = getattr(pattern, "host", None)
        if transport is not None and host and pattern.matches(url):
            warn_once(
                f"mounted:{url.host}",
                "A client has a transport mounted for %s, so its calls there are not sent through"
                " Helicone's gateway.",
                url.host,
            )
            return True
    return False


def gateway_of(url: Url) -> tuple[str, str | None] | None:
    """Return the gateway for a provider's URL, and the header that it needs; None for others."""
    host = url.host.lower().rstrip(".")
    if host in _OWN_GATEWAYS:
        return _OWN_GATEWAYS[host], None
    if host.endswith(_AZURE):
        return _OPENAI_GATEWAY, _AZURE_BASE
    if host in _OTHERS:
        return _GENERIC_GATEWAY, _TARGET
    return None
