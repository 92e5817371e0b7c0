"""Which hosts are Helicone's: compared as parsed hosts, never as text inside a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

__all__ = ["HELICONE_HOSTS", "GatewayHost", "is_loopback", "normal_host", "parse_gateway_host"]

_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"


@dataclass(frozen=True)
class GatewayHost:
    """A host that session headers are sent to.

    Attributes:
        host: the host in lower case, an IPv6 address without its brackets.
        port: the one port that is meant, or None for every port.
        subdomains: whether the hosts below this one are meant as well.
    """

    host: str
    port: int | None = None
    subdomains: bool = False

    def matches(self, host: str, port: int | None) -> bool:
        """Tell whether a request to this host and port goes to this gateway.

        Args:
            host: the URL's host in lower case, without a trailing dot.
            port: the port that the request uses, the scheme's own where the URL names none.
        """
        if self.port is not None and self.port != port:
            return False
        return host == self.host or (self.subdomains and host.endswith(f".{self.host}"))


HELICONE_HOSTS: Final = (
    GatewayHost("helicone.ai", subdomains=True),
    GatewayHost("hconeai.com", subdomains=True),
)
"""Helicone's own hosts, which are always in effect."""


def parse_gateway_host(text: str) -> GatewayHost:
    """Read one gateway host from a setting.

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
    """Write a host the one way that hosts are compared in: lower case, IPv6 in its short form."""
    host = host.rstrip(".").lower()
    if ":" in host:
        import ipaddress

        try:
            return str(ipaddress.IPv6Address(host))
        except ValueError:
            return host
    return host


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
