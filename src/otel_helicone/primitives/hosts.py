"""Which hosts are Helicone's: compared as parsed hosts, never as text inside a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = [
    "HELICONE_HOSTS",
    "GatewayHost",
    "Origin",
    "is_loopback",
    "normal_host",
    "parse_gateway_host",
]

_USUAL_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"


class Origin(NamedTuple):  # a fifth of what a dataclass adds to the import
    """Where a request really goes: what a redirect is compared by.

    Attributes:
        scheme: the URL's scheme, in lower case; empty where it is not known.
        host: the host as :func:`normal_host` writes it.
        port: the port that is connected to; None for the scheme's usual one.
    """

    scheme: str
    host: str
    port: int | None

    @staticmethod
    def of(scheme: str, host: str, port: int | None) -> Origin:
        """Return the origin of a URL, by its parts as a client has parsed them."""
        scheme = scheme.lower()
        usual = _USUAL_PORTS.get(scheme)
        return Origin(scheme, normal_host(host), None if port == usual else port)

    @property
    def is_at_usual_port(self) -> bool:
        """Whether the port is the scheme's own."""
        return self.port is None or (not self.scheme and self.port in _USUAL_PORTS.values())

    def keeps_credentials_to(self, other: Origin) -> bool:
        """Return whether a redirect from here to there keeps its credentials.

        As HTTP clients have it for ``Authorization``: within one origin, and from http to https on
        one host at its usual ports.
        """
        if self == other:
            return True
        is_upgrade = (self.scheme, other.scheme) in (("http", "https"), ("ws", "wss"))
        return is_upgrade and (self.host, self.port, other.port) == (other.host, None, None)


@dataclass(frozen=True)
class GatewayHost:
    """A host that session headers are sent to.

    Attributes:
        host: the host in lower case, an IPv6 address without its brackets.
        port: the one port that is meant, or None for the usual one of each scheme.
        subdomains: whether the hosts below this one are meant as well.
    """

    host: str
    port: int | None = None
    subdomains: bool = False

    def matches(self, origin: Origin) -> bool:
        """Return whether a request to this origin goes to this gateway."""
        host = origin.host
        if host != self.host and not (self.subdomains and host.endswith(f".{self.host}")):
            return False
        if self.port is None or origin.port is None:
            usual = _USUAL_PORTS.get(origin.scheme, self.port)
            return origin.is_at_usual_port if self.port is None else self.port == usual
        return self.port == origin.port


HELICONE_HOSTS: Final = (
    GatewayHost("helicone.ai", subdomains=True),
    GatewayHost("hconeai.com", subdomains=True),
)
"""Helicone's own hosts, which are always in effect."""


def parse_gateway_host(text: str) -> GatewayHost:
    """Return the gateway host that a setting names.

    Args:
        text: ``host``, ``host:port``, ``[ipv6]:port`` or ``*.host`` for it and its subdomains.

    Raises:
        ValueError: for anything else; the message says what would be right.
    """
    import ipaddress  # needed for settings alone, and slow to import

    given = text.strip()
    if "://" in given:
        parsed = urlsplit(given)
        raise ValueError(f"give the host without the scheme and the path: {parsed.netloc!r}")
    subdomains = given.startswith("*.")
    try:
        parsed = urlsplit(f"//{given[2:] if subdomains else given}")
        host, port = parsed.hostname, parsed.port
    except ValueError as error:
        raise ValueError(f"{error}; give 'host' or 'host:port'") from None
    if not host or parsed.path or parsed.query or parsed.fragment or "@" in parsed.netloc:
        raise ValueError("give 'host' or 'host:port', such as 'localhost:8787'")
    host = normal_host(host)
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError("give an IPv6 address in brackets, such as '[::1]:8787'") from None
        if subdomains:
            raise ValueError("an address has no subdomains; leave the '*.' out")
    elif not re.fullmatch(_HOST_NAME, host):
        raise ValueError("give a host name, such as 'helicone.example.com' or 'localhost:8787'")
    return GatewayHost(host, port, subdomains)


def normal_host(host: str) -> str:
    """Return a host in the one form that hosts are compared in: lower case, short IPv6."""
    host = host.rstrip(".").lower()
    if ":" in host:
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            return host
    return host


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
